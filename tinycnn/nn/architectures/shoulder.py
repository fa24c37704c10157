"""The one-, three- and five-layer CNNs of the shoulder report, for 32x32x1 images.

The report gives the five-layer network in full. The smaller two are taken to be its first one and
three stages before the same dense layers: each stage a 3x3 'valid' convolution and a 2x2 pool.
"""

from __future__ import annotations

from collections.abc import Sequence

from tinycnn.nn.architectures._heads import one_width, score_activation
from tinycnn.nn.graph import Graph, Sequential
from tinycnn.nn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPooling2D,
    ReLU,
)
from tinycnn.nn.layers.base import Shape


def one_layer_cnn(input_shape: Shape = (32, 32, 1), classes: int = 1, alpha: float = 1.0) -> Graph:
    """Conv 32, pool, dense layers."""
    return _network([*_block(32), MaxPooling2D(2)], input_shape, classes, alpha)


def three_layer_cnn(
    input_shape: Shape = (32, 32, 1), classes: int = 1, alpha: float = 1.0
) -> Graph:
    """Conv 32, pool, Conv 64, pool, Conv 32, pool, dense layers."""
    blocks = [*_block(32), MaxPooling2D(2), *_block(64), MaxPooling2D(2), *_last_block()]
    return _network(blocks, input_shape, classes, alpha)


def five_layer_cnn(input_shape: Shape = (32, 32, 1), classes: int = 1, alpha: float = 1.0) -> Graph:
    """Conv 32, Conv 32, pool, Conv 64, Conv 64, pool, Conv 32, pool, dense layers."""
    pairs = [*_block(32), *_block(32), MaxPooling2D(2), *_block(64), *_block(64), MaxPooling2D(2)]
    return _network([*pairs, *_last_block()], input_shape, classes, alpha)


def _block(filters: int) -> list[Layer]:
    return [Conv2D(filters, 3), BatchNormalization(), ReLU()]


def _last_block() -> list[Layer]:
    # Here, and only here, the report puts the batch-norm behind the activation.
    return [Conv2D(32, 3, activation="relu"), BatchNormalization(), MaxPooling2D(2, strides=2)]


def _head(classes: int) -> list[Layer]:
    return [
        Flatten(),
        Dense(128, activation="relu"),
        BatchNormalization(),
        Dropout(0.25),
        Dense(64, activation="relu"),
        Dense(classes, activation=score_activation(classes)),
    ]


def _network(blocks: Sequence[Layer], input_shape: Shape, classes: int, alpha: float) -> Graph:
    one_width(alpha)
    return Sequential([*blocks, *_head(classes)], input_shape)
