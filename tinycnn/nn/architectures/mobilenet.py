"""MobileNet (Howard et al. 2017, table 1), layer by layer as in ``keras.applications``."""

from __future__ import annotations

from tinycnn.nn.architectures._heads import mobile_head
from tinycnn.nn.graph import Graph, Input, Tensor, from_tensors
from tinycnn.nn.layers import BatchNormalization, Conv2D, DepthwiseConv2D, ReLU, ZeroPadding2D
from tinycnn.nn.types import Shape

# (channels, stride) of the thirteen depthwise separable blocks
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    *((512, 1),) * 5, (1024, 2), (1024, 1),
)  # fmt: skip


def mobilenet(
    input_shape: Shape = (224, 224, 1),
    classes: int = 2,
    *,
    alpha: float = 1.0,
    head: str = "pooling",
) -> Graph:
    """MobileNet of width ``alpha``.

    ``head``: "pooling", global average pooling and one dense layer, or "conv", Keras's own with a
    1x1 convolution. 3,230,338 parameters at 224x224x1, 2 classes and alpha 1, with either.
    """
    inputs = Input(input_shape)
    x = Conv2D(int(32 * alpha), 3, 2, padding="same", use_bias=False, name="conv1")(inputs)
    x = BatchNormalization(name="conv1_bn")(x)
    x = ReLU(6.0, name="conv1_relu")(x)
    for number, (channels, stride) in enumerate(BLOCKS, start=1):
        x = _block(x, int(channels * alpha), stride, number)
    return from_tensors(inputs, mobile_head(x, classes, head))


def _block(x: Tensor, channels: int, stride: int, number: int) -> Tensor:
    """Put a 3x3 depthwise and a 1x1 convolution behind ``x``, each with batch-norm and relu6."""
    if stride == 2:
        x = ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{number}")(x)
    x = DepthwiseConv2D(
        3, stride, padding="same" if stride == 1 else "valid", use_bias=False,
        name=f"conv_dw_{number}",
    )(x)  # fmt: skip
    x = BatchNormalization(name=f"conv_dw_{number}_bn")(x)
    x = ReLU(6.0, name=f"conv_dw_{number}_relu")(x)
    x = Conv2D(channels, 1, padding="same", use_bias=False, name=f"conv_pw_{number}")(x)
    x = BatchNormalization(name=f"conv_pw_{number}_bn")(x)
    return ReLU(6.0, name=f"conv_pw_{number}_relu")(x)
