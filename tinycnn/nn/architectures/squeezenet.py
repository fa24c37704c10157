"""SqueezeNet v1.1 (Iandola et al. 2016), layer by layer as in the package keras-squeezenet.

That package's layer names, so that the weights which it downloads find their place.
"""

from __future__ import annotations

from tinycnn.nn.architectures._heads import score_activation
from tinycnn.nn.graph import Graph, Input, Tensor, from_tensors
from tinycnn.nn.layers import (
    Activation,
    Concatenate,
    Conv2D,
    Dropout,
    GlobalAveragePooling2D,
    MaxPooling2D,
)
from tinycnn.nn.types import Shape

# Filters of the squeeze and of each expand convolution in fire2 to fire9
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
POOLED_AFTER = frozenset({3, 5})


def squeezenet(input_shape: Shape = (224, 224, 3), classes: int = 2) -> Graph:
    """SqueezeNet v1.1 with its last convolution: 1,235,496 parameters at 1000 classes."""
    inputs = Input(input_shape)
    x = Dropout(0.5, name="drop9")(_fires(inputs))
    x = Conv2D(classes, 1, activation="relu", name="conv10")(x)
    x = GlobalAveragePooling2D(name="avgpool10")(x)
    return from_tensors(inputs, Activation(score_activation(classes), name="softmax")(x))


def squeezenet_notop(input_shape: Shape = (224, 224, 3), classes: int = 512) -> Graph:
    """SqueezeNet v1.1 up to its means of 512 channels, whatever ``classes``: 722,496 parameters."""
    inputs = Input(input_shape)
    return from_tensors(inputs, GlobalAveragePooling2D(name="avgpool10")(_fires(inputs)))


def _fires(x: Tensor) -> Tensor:
    """Put the stem and fire2 to fire9 behind ``x``: (H, W, C) -> (about H / 16, W / 16, 512)."""
    x = Conv2D(64, 3, 2, name="conv1")(x)
    x = Activation("relu", name="relu_conv1")(x)
    x = MaxPooling2D(3, 2, name="pool1")(x)
    for number, (squeeze, expand) in enumerate(FIRES, start=2):
        x = _fire(x, number, squeeze, expand)
        if number in POOLED_AFTER:
            x = MaxPooling2D(3, 2, name=f"pool{number}")(x)
    return x


def _fire(x: Tensor, number: int, squeeze: int, expand: int) -> Tensor:
    """Squeeze to few channels, then expand by 1x1 and by 3x3 filters, one behind the other."""

    def conv(x: Tensor, filters: int, size: int, name: str) -> Tensor:
        x = Conv2D(filters, size, padding="same", name=f"fire{number}/{name}")(x)
        return Activation("relu", name=f"fire{number}/relu_{name}")(x)

    x = conv(x, squeeze, 1, "squeeze1x1")
    branches = [conv(x, expand, 1, "expand1x1"), conv(x, expand, 3, "expand3x3")]
    return Concatenate(name=f"fire{number}/concat")(branches)
