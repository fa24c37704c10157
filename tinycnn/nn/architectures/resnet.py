"""ResNet-50 (He et al. 2016, table 1), layer by layer as in ``keras.applications``.

As there, the first 1x1 convolution of a group has the stride, and convolutions have a bias.
"""

from __future__ import annotations

from tinycnn.nn.architectures._heads import imagenet_stem, pooled_head
from tinycnn.nn.graph import Graph, Input, Tensor, from_tensors
from tinycnn.nn.layers import Activation, Add, BatchNormalization, Conv2D
from tinycnn.nn.types import Shape

# (channels of the bottleneck, stride, blocks) of the four groups
GROUPS = ((64, 1, 3), (128, 2, 4), (256, 2, 6), (512, 2, 3))
EPSILON = 1.001e-5


def resnet50(input_shape: Shape = (224, 224, 3), classes: int = 2) -> Graph:
    """ResNet-50; 25,636,712 parameters at 224x224x3 and 1000 classes."""
    inputs = Input(input_shape)
    names = ("conv1_pad", "pool1_pad", "pool1_pool")
    x = imagenet_stem(inputs, names, use_bias=True, epsilon=EPSILON)
    for group, (channels, stride, blocks) in enumerate(GROUPS, start=2):
        x = _bottleneck(x, channels, stride, f"conv{group}_block1", widen=True)
        for block in range(2, blocks + 1):
            x = _bottleneck(x, channels, 1, f"conv{group}_block{block}")
    return from_tensors(inputs, pooled_head(x, classes, "avg_pool"))


def _bottleneck(
    x: Tensor, channels: int, stride: int, name: str, *, widen: bool = False
) -> Tensor:  # fmt: skip
    """Narrow (1x1), convolve (3x3), widen (1x1); add the input, or its projection."""
    shortcut = _convolution(x, 4 * channels, 1, stride, f"{name}_0") if widen else x
    x = _relu(_convolution(x, channels, 1, stride, f"{name}_1"), f"{name}_1_relu")
    x = _relu(_convolution(x, channels, 3, 1, f"{name}_2"), f"{name}_2_relu")
    x = _convolution(x, 4 * channels, 1, 1, f"{name}_3")
    return _relu(Add(name=f"{name}_add")([shortcut, x]), f"{name}_out")


def _convolution(x: Tensor, filters: int, size: int, stride: int, name: str) -> Tensor:
    x = Conv2D(filters, size, stride, padding="same" if size > 1 else "valid", name=f"{name}_conv")(
        x
    )
    return BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)


def _relu(x: Tensor, name: str) -> Tensor:
    return Activation("relu", name=name)(x)
