"""What classifiers end in."""

from __future__ import annotations

from tinycnn.nn.graph import Tensor
from tinycnn.nn.layers import Dense, GlobalAveragePooling2D


def score_activation(classes: int) -> str:
    """A single score is a sigmoid; several are a softmax."""
    return "sigmoid" if classes == 1 else "softmax"


def pooled_head(x: Tensor, classes: int) -> Tensor:
    """Global average pooling, then one dense layer: (H, W, C) -> (classes,)."""
    x = GlobalAveragePooling2D(name="global_average_pooling2d")(x)
    return Dense(classes, activation=score_activation(classes), name="predictions")(x)
