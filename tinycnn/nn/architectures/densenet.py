"""DenseNet (Huang et al. 2017, table 1), layer by layer as in ``keras.applications``."""

from __future__ import annotations

from tinycnn.nn.architectures._heads import imagenet_stem, pooled_head
from tinycnn.nn.graph import Graph, Input, Tensor, from_tensors
from tinycnn.nn.layers import Activation, AveragePooling2D, BatchNormalization, Concatenate, Conv2D
from tinycnn.nn.types import Shape

GROWTH = 32  # channels that each block adds
EPSILON = 1.001e-5


def densenet121(input_shape: Shape = (224, 224, 3), classes: int = 2) -> Graph:
    """DenseNet-121; 8,062,504 parameters at 224x224x3 and 1000 classes."""
    return _densenet((6, 12, 24, 16), input_shape, classes)


def densenet169(input_shape: Shape = (224, 224, 3), classes: int = 2) -> Graph:
    """DenseNet-169; 14,307,880 parameters at 224x224x3 and 1000 classes."""
    return _densenet((6, 12, 32, 32), input_shape, classes)


def densenet201(input_shape: Shape = (224, 224, 3), classes: int = 2) -> Graph:
    """DenseNet-201; 20,242,984 parameters at 224x224x3 and 1000 classes."""
    return _densenet((6, 12, 48, 32), input_shape, classes)


def _densenet(blocks: tuple[int, ...], input_shape: Shape, classes: int) -> Graph:
    """Four groups of dense blocks; between two of them, half the channels and a smaller picture."""
    inputs = Input(input_shape)
    x = imagenet_stem(inputs, ("", "", "pool1"), use_bias=False, epsilon=EPSILON)
    for group, count in enumerate(blocks, start=2):
        for block in range(1, count + 1):
            x = _dense_block(x, f"conv{group}_block{block}")
        if group < 5:
            x = _transition(x, f"pool{group}")
    x = _normalised(x, "bn", "relu")
    return from_tensors(inputs, pooled_head(x, classes, "avg_pool"))


def _dense_block(x: Tensor, name: str) -> Tensor:
    """Put `GROWTH` new channels behind those of ``x``, through a bottleneck four times as wide."""
    y = _normalised(x, f"{name}_0_bn", f"{name}_0_relu")
    y = Conv2D(4 * GROWTH, 1, use_bias=False, name=f"{name}_1_conv")(y)
    y = _normalised(y, f"{name}_1_bn", f"{name}_1_relu")
    y = Conv2D(GROWTH, 3, padding="same", use_bias=False, name=f"{name}_2_conv")(y)
    return Concatenate(name=f"{name}_concat")([x, y])


def _transition(x: Tensor, name: str) -> Tensor:
    """Halve channels, rows and columns."""
    x = _normalised(x, f"{name}_bn", f"{name}_relu")
    x = Conv2D(x.shape[-1] // 2, 1, use_bias=False, name=f"{name}_conv")(x)
    return AveragePooling2D(2, 2, name=f"{name}_pool")(x)


def _normalised(x: Tensor, norm: str, relu: str) -> Tensor:
    """Batch-norm before the convolution, with an activation of its own."""
    return Activation("relu", name=relu)(BatchNormalization(epsilon=EPSILON, name=norm)(x))
