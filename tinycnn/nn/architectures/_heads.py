"""What classifiers begin with and end in."""

from __future__ import annotations

from tinycnn.errors import UsageError
from tinycnn.nn.graph import Tensor
from tinycnn.nn.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePooling2D,
    MaxPooling2D,
    Reshape,
    ZeroPadding2D,
)


def score_activation(classes: int) -> str:
    """A single score is a sigmoid; several are a softmax."""
    return "sigmoid" if classes == 1 else "softmax"


def pooled_head(x: Tensor, classes: int, pooling: str = "global_average_pooling2d") -> Tensor:
    """Global average pooling, named ``pooling``, then one dense layer: (H, W, C) -> (classes,)."""
    x = GlobalAveragePooling2D(name=pooling)(x)
    return Dense(classes, activation=score_activation(classes), name="predictions")(x)


def conv_head(x: Tensor, classes: int) -> Tensor:
    """Keras 2's end of MobileNet, a 1x1 convolution of one pixel: (H, W, C) -> (classes,).

    Named and ordered as in keras-applications 1.0.8. Before it the softmax came before the last
    Reshape, and Keras 3 pools with keepdims: the scores are the same.
    """
    x = GlobalAveragePooling2D()(x)
    x = Reshape((1, 1, *x.shape), name="reshape_1")(x)
    x = Dropout(0.001, name="dropout")(x)
    x = Conv2D(classes, 1, padding="same", name="conv_preds")(x)
    x = Reshape((classes,), name="reshape_2")(x)
    activation = score_activation(classes)
    return Activation(activation, name=f"act_{activation}")(x)


def mobile_head(x: Tensor, classes: int, head: str) -> Tensor:
    """End a MobileNet in the ``head`` "pooling" or "conv": (H, W, C) -> (classes,)."""
    if head == "pooling":
        return pooled_head(x, classes)
    if head == "conv":
        return conv_head(x, classes)
    raise UsageError(f"head must be pooling or conv, not {head!r}")


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
