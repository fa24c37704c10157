"""What classifiers begin with and end in."""

from __future__ import annotations

from tinycnn.errors import UsageError
from tinycnn.nn.graph import Tensor
from tinycnn.nn.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    GlobalAveragePooling2D,
    MaxPooling2D,
    ZeroPadding2D,
)


def score_activation(classes: int) -> str:
    """A single score is a sigmoid; several are a softmax."""
    return "sigmoid" if classes == 1 else "softmax"


def pooled_head(x: Tensor, classes: int, pooling: str = "global_average_pooling2d") -> Tensor:
    """Global average pooling, named ``pooling``, then one dense layer: (H, W, C) -> (classes,)."""
    x = GlobalAveragePooling2D(name=pooling)(x)
    return Dense(classes, activation=score_activation(classes), name="predictions")(x)


def imagenet_stem(
    x: Tensor, names: tuple[str, str, str], *, use_bias: bool, epsilon: float
) -> Tensor:
    """Convolve 7x7/2 to 64 channels, pool 3x3/2: (H, W, C) -> (H / 4, W / 4, 64).

    ``names`` of the two paddings and of the pooling; "": as Keras names layers without one.
    """
    x = ZeroPadding2D(3, name=names[0])(x)
    x = Conv2D(64, 7, 2, use_bias=use_bias, name="conv1_conv")(x)
    x = BatchNormalization(epsilon=epsilon, name="conv1_bn")(x)
    x = Activation("relu", name="conv1_relu")(x)
    x = ZeroPadding2D(1, name=names[1])(x)
    return MaxPooling2D(3, 2, name=names[2])(x)


def one_width(alpha: float) -> None:
    """Refuse a width factor for a network that has none."""
    if alpha != 1.0:
        raise UsageError(f"this network has one width only: alpha must be 1, not {alpha}")
