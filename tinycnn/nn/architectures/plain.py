"""Small networks of the reports, trained from scratch on films of one body part: stacks of layers.

Layers carry the automatic names of Keras. One class is the reports': a sigmoid.
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


def conv2(input_shape: Shape = (512, 512, 1), classes: int = 1) -> Graph:
    """Three convolutions 8x8, each with pooling 4 and dropout; Dense 32.

    45,665 parameters at 512x512x1. Assumed: one channel, padding 'same', relu, and no dropout
    behind Dense 32. The report gives sizes only.
    """
    layers = [part for filters in (8, 8, 16) for part in _dropped(filters, 8, 4)]
    return Sequential([*layers, *_dense([32], classes)], input_shape)


def conv3(input_shape: Shape = (224, 224, 1), classes: int = 1) -> Graph:
    """Five convolutions, each with pooling and dropout; Dense 64. 6,979 parameters at 224x224x1."""
    sizes = ((2, 3, 2), (2, 3, 2), (4, 5, 2), (4, 5, 2), (8, 7, 4))
    layers = [part for size in sizes for part in _dropped(*size)]
    return Sequential([*layers, *_dense([64], classes, 0.5)], input_shape)


def conv4(input_shape: Shape = (224, 224, 1), classes: int = 1) -> Graph:
    """Five convolutions 3x3 with batch-norm, pooling; Dense 64. 106,929 parameters at 224x224x1."""
    layers: list[Layer] = []
    for filters in (2, 4, 8, 16, 32):
        layers += [Conv2D(filters, 3, padding="same"), BatchNormalization(), ReLU()]
        layers += [MaxPooling2D(2)]
    return Sequential([*layers, *_dense([64], classes, 0.5)], input_shape)


def mlp(input_shape: Shape = (224, 224, 1), classes: int = 1) -> Graph:
    """Dense 512, 64, 32, with relu. 25,725,569 parameters at 224x224x1.

    The report does not say the size of its images: assumed is that of the convolutional networks.
    """
    return Sequential(_dense([512, 64, 32], classes), input_shape)


def _dropped(filters: int, size: int, pool: int) -> list[Layer]:
    conv = Conv2D(filters, size, padding="same", activation="relu")
    return [conv, MaxPooling2D(pool), Dropout(0.2)]


def _dense(units: Sequence[int], classes: int, dropout: float = 0.0) -> list[Layer]:
    """Dense layers with relu, dropout behind the last of them, scores."""
    hidden = [Dense(n, activation="relu") for n in units]
    dropped = [Dropout(dropout)] if dropout else []
    return [Flatten(), *hidden, *dropped, Dense(classes, activation=score_activation(classes))]
