"""MobileNetV2 (Sandler et al. 2018, table 2), layer by layer as in ``keras.applications``."""

from __future__ import annotations

from tinycnn.nn.architectures._heads import mobile_head
from tinycnn.nn.graph import Graph, Input, Tensor, from_tensors
from tinycnn.nn.layers import (
    Add,
    BatchNormalization,
    Conv2D,
    DepthwiseConv2D,
    ReLU,
    ZeroPadding2D,
)
from tinycnn.nn.types import Shape

# (expansion, channels, stride) of the seventeen inverted residual blocks
BLOCKS = (
    (1, 16, 1),
    (6, 24, 2), (6, 24, 1),
    (6, 32, 2), (6, 32, 1), (6, 32, 1),
    (6, 64, 2), (6, 64, 1), (6, 64, 1), (6, 64, 1),
    (6, 96, 1), (6, 96, 1), (6, 96, 1),
    (6, 160, 2), (6, 160, 1), (6, 160, 1),
    (6, 320, 1),
)  # fmt: skip


def mobilenet_v2(
    input_shape: Shape = (224, 224, 1),
    classes: int = 2,
    *,
    alpha: float = 1.0,
    head: str = "pooling",
) -> Graph:
    """MobileNetV2 of width ``alpha``.

    ``head``: "pooling", global average pooling and one dense layer, or "conv", MobileNet's with a
    1x1 convolution. 2,259,970 parameters at 224x224x1, 2 classes and alpha 1, with either.
    """
    inputs = Input(input_shape)
    x = Conv2D(
        divisible(32 * alpha), 3, 2, padding="same", use_bias=False, name="Conv1"
    )(inputs)  # fmt: skip
    x = BatchNormalization(name="bn_Conv1")(x)
    x = ReLU(6.0, name="Conv1_relu")(x)
    for number, (expansion, channels, stride) in enumerate(BLOCKS):
        x = _inverted_residual(x, expansion, divisible(int(channels * alpha)), stride, number)
    x = Conv2D(last_channels(alpha), 1, use_bias=False, name="Conv_1")(x)
    x = BatchNormalization(name="Conv_1_bn")(x)
    x = ReLU(6.0, name="out_relu")(x)
    return from_tensors(inputs, mobile_head(x, classes, head))


def divisible(channels: float, divisor: int = 8) -> int:
    """Round to a multiple of ``divisor``, down by no more than a tenth."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def last_channels(alpha: float) -> int:
    """Width of the last convolution, which the paper widens, but does not narrow."""
    return divisible(1280 * alpha) if alpha > 1.0 else 1280


def _inverted_residual(
    x: Tensor, expansion: int, channels: int, stride: int, number: int
) -> Tensor:
    """Expand (1x1), convolve each channel (3x3), project (1x1); add the input where it fits."""
    inputs, narrow = x, x.shape[-1]
    prefix = f"block_{number}_" if number else "expanded_conv_"
    if number:
        x = _pointwise(x, expansion * narrow, f"{prefix}expand")
        x = ReLU(6.0, name=f"{prefix}expand_relu")(x)
    if stride == 2:
        x = ZeroPadding2D(_same_as_stride_2(x.shape), name=f"{prefix}pad")(x)
    x = DepthwiseConv2D(
        3, stride, padding="same" if stride == 1 else "valid", use_bias=False,
        name=f"{prefix}depthwise",
    )(x)  # fmt: skip
    x = BatchNormalization(name=f"{prefix}depthwise_BN")(x)
    x = ReLU(6.0, name=f"{prefix}depthwise_relu")(x)
    x = _pointwise(x, channels, f"{prefix}project")
    return Add(name=f"{prefix}add")([inputs, x]) if (narrow, 1) == (channels, stride) else x


def _pointwise(x: Tensor, channels: int, name: str) -> Tensor:
    x = Conv2D(channels, 1, padding="same", use_bias=False, name=name)(x)
    return BatchNormalization(name=f"{name}_BN")(x)


def _same_as_stride_2(shape: Shape) -> tuple[tuple[int, int], tuple[int, int]]:
    """Zeros that make a 3x3 'valid' window of stride 2 cover the picture: Keras's correct_pad."""
    rows, columns = ((size % 2, 1) for size in shape[:2])
    return rows, columns
