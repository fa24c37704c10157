"""The one-, three- and five-layer CNNs of the shoulder report, for 32x32x1 images.

The report gives the five-layer network in full. The smaller two are taken to be its first one and
three stages before the same dense layers: each stage a 3x3 'valid' convolution and a 2x2 pool.

Options: ``dense``, the units of the dense layers before the last, and the rate of ``dropout`` (0:
none) behind the first of them. Further ones are taken to be as the second, with relu alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from tinycnn.nn.architectures._heads import score_activation
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
from tinycnn.nn.types import Shape

DENSE, DROPOUT = (128, 64), 0.25


def one_layer_cnn(
    input_shape: Shape = (32, 32, 1),
    classes: int = 1,
    *,
    dense: tuple[int, ...] = DENSE,
    dropout: float = DROPOUT,
) -> Graph:
    """Conv 32, pool, dense layers."""
    head = _head(classes, dense, dropout)
    return Sequential([*_block(32), MaxPooling2D(2), *head], input_shape)


def three_layer_cnn(
    input_shape: Shape = (32, 32, 1),
    classes: int = 1,
    *,
    dense: tuple[int, ...] = DENSE,
    dropout: float = DROPOUT,
) -> Graph:
    """Conv 32, pool, Conv 64, pool, Conv 32, pool, dense layers."""
    blocks = [*_block(32), MaxPooling2D(2), *_block(64), MaxPooling2D(2), *_last_block()]
    return Sequential([*blocks, *_head(classes, dense, dropout)], input_shape)


def five_layer_cnn(
    input_shape: Shape = (32, 32, 1),
    classes: int = 1,
    *,
    dense: tuple[int, ...] = DENSE,
    dropout: float = DROPOUT,
) -> Graph:
    """Conv 32, Conv 32, pool, Conv 64, Conv 64, pool, Conv 32, pool, dense layers."""
    pairs = [*_block(32), *_block(32), MaxPooling2D(2), *_block(64), *_block(64), MaxPooling2D(2)]
    return Sequential([*pairs, *_last_block(), *_head(classes, dense, dropout)], input_shape)


def _block(filters: int) -> list[Layer]:
    return [Conv2D(filters, 3), BatchNormalization(), ReLU()]


def _last_block() -> list[Layer]:
    # Here, and only here, the report puts the batch-norm behind the activation.
    return [Conv2D(32, 3, activation="relu"), BatchNormalization(), MaxPooling2D(2, strides=2)]


def _head(classes: int, units: Sequence[int], dropout: float) -> list[Layer]:
    """Dense layers, batch-norm and dropout behind the first; scores."""
    hidden: list[Layer] = [Dense(n, activation="relu") for n in units]
    hidden[1:1] = [BatchNormalization(), *([Dropout(dropout)] if dropout else [])] if units else []
    return [Flatten(), *hidden, Dense(classes, activation=score_activation(classes))]
