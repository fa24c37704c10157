"""The Raspberry Pi report's 'MobileNet_Self_Design': two networks bore that name.

Both are MobileNetV2 with biased convolutions, plain 'same' padding and an expansion in every block.
The structure is derived; layer and parameter counts are the report's to the last one. Layers carry
the automatic names of Keras. Layers are counted as Keras does, with the input.
"""

from __future__ import annotations

from tinycnn.nn.architectures._heads import score_activation
from tinycnn.nn.architectures.mobilenet_v2 import BLOCKS as RESIDUAL_BLOCKS
from tinycnn.nn.architectures.mobilenet_v2 import divisible, last_channels
from tinycnn.nn.graph import Graph, Input, Tensor, from_tensors
from tinycnn.nn.layers import (
    Activation,
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Reshape,
)
from tinycnn.nn.types import Shape

# (expanded channels, channels, stride) of the seventeen blocks of the second
BLOCKS = (
    (32, 16, 1),
    (96, 24, 2), (144, 24, 1),
    (144, 32, 2), (196, 32, 1), (196, 32, 1),
    (196, 64, 2), (384, 64, 1), (384, 64, 1), (384, 64, 1),
    (384, 96, 1), (576, 96, 1), (576, 96, 1),
    (576, 160, 2), (960, 160, 1), (960, 160, 1),
    (960, 320, 1),
)  # fmt: skip


def mobilenet_self_design_a(
    input_shape: Shape = (224, 224, 1), classes: int = 2, *, alpha: float = 1.0
) -> Graph:
    """The one with residuals; 159 layers, 2,278,210 parameters at 224x224x1 and 2 classes.

    Names of dropout and softmax, and what ``alpha`` narrows, are those of the public Keras code
    that has the same figures (github.com/xiaochus/MobileNetV2).
    """
    inputs = Input(input_shape)
    x = _relu6(_convolution(inputs, divisible(32 * alpha), 3, 2))
    for expansion, channels, stride in RESIDUAL_BLOCKS:
        narrow, channels = x, int(channels * alpha)
        x = _block(x, expansion * x.shape[-1], channels, stride)
        if stride == 1 and narrow.shape == x.shape:
            x = Add()([x, narrow])
    x = _relu6(_convolution(x, last_channels(alpha)))
    x = GlobalAveragePooling2D()(x)
    x = Reshape((1, 1, *x.shape))(x)
    x = Dropout(0.3, name="Dropout")(x)
    x = Conv2D(classes, 1, padding="same")(x)
    activation = score_activation(classes)
    x = Activation(activation, name=activation)(x)
    return from_tensors(inputs, Reshape((classes,))(x))


def mobilenet_self_design_b(input_shape: Shape = (224, 224, 1), classes: int = 2) -> Graph:
    """The one without residuals; 147 layers, 3,280,182 parameters at 224x224x1 and 2 classes.

    Assumed, because only then both counts come out: a stride is the depthwise convolution's, the
    stem and the head's convolution have batch-norm and relu6, too, and the relu6 behind Dense 16 is
    a layer.
    """
    inputs = Input(input_shape)
    x = BatchNormalization()(Conv2D(32, 2, 2)(inputs))
    x = _relu6(x)
    for expanded, channels, stride in BLOCKS:
        x = _block(x, expanded, channels, stride)
    x = Flatten()(_relu6(_convolution(x, 1280)))
    x = _relu6(Dense(16)(x))
    return from_tensors(inputs, Dense(classes, activation=score_activation(classes))(x))


def _block(x: Tensor, expanded: int, channels: int, stride: int) -> Tensor:
    """Expand (1x1), convolve each channel (3x3), project (1x1)."""
    x = _relu6(_convolution(x, expanded))
    x = DepthwiseConv2D(3, stride, padding="same")(x)
    x = _relu6(BatchNormalization()(x))
    return _convolution(x, channels)


def _convolution(x: Tensor, filters: int, size: int = 1, stride: int = 1) -> Tensor:
    return BatchNormalization()(Conv2D(filters, size, stride, padding="same")(x))


def _relu6(x: Tensor) -> Tensor:
    return Activation("relu6")(x)
