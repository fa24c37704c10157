"""Normalisations and rescalings: a factor and a summand for each channel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tinycnn.lightclass import dataclass
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.types import Array, Shape, Weights

Factors = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BatchNormalization(Layer):
    """gamma (x - moving_mean) / sqrt(moving_variance + epsilon) + beta, along the channels.

    Weights, each (C,): gamma if ``scale``, beta if ``center``, moving_mean, moving_variance.
    """

    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True

    def __post_init__(self) -> None:
        """Refuse a negative epsilon."""
        super().__post_init__()
        if self.epsilon < 0:
            self.fail(f"epsilon must not be negative: {self.epsilon}")

    def weight_shapes(self, shape: Shape) -> dict[str, Shape]:  # noqa: D102
        present = {"gamma": self.scale, "beta": self.center}
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        return {name: (shape[-1],) for name in names if present.get(name, True)}

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return shape

    def working_shapes(self, shape: Shape) -> list[Shape]:  # noqa: D102
        return [shape]

    def factors(self, weights: Weights) -> tuple[Factors, Factors]:
        """(a, b), each (C,) float64, such that the layer computes a x + b."""
        variance = weights["moving_variance"].astype(np.float64)
        a = 1.0 / np.sqrt(variance + self.epsilon)
        if self.scale:
            a = a * weights["gamma"]
        b = -weights["moving_mean"] * a
        return a, b + weights["beta"] if self.center else b

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        a, b = self.factors(weights)
        return x * a.astype(x.dtype) + b.astype(x.dtype)


def _trailing(layer: Layer, axis: int | tuple[int, ...], shape: Shape) -> Shape:
    """The part of ``shape`` (without the images' axis) that ``axis``, counted with it, names."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    count = len(shape) + 1
    wanted = sorted(a + count if a < 0 else a for a in axes)
    if not wanted or wanted[0] < 1 or wanted != list(range(count - len(wanted), count)):
        layer.fail(f"axis {axis} is not the last axis, or the last few, of {shape}")
    return shape[len(shape) - len(wanted) :]


@dataclass(frozen=True)
class LayerNormalization(Layer):
    """Each image to mean 0 and variance 1 over ``axis``, then gamma and beta.

    ``axis``: the last one, or the last few, counted as Keras does (-1, or (1, 2, 3)).
    Weights, in the shape of these axes: gamma if ``scale``, beta if ``center``.
    """

    axis: int | tuple[int, ...] = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True

    def __post_init__(self) -> None:
        """Refuse a negative epsilon."""
        super().__post_init__()
        if self.epsilon < 0:
            self.fail(f"epsilon must not be negative: {self.epsilon}")

    def dimensions(self, shape: Shape) -> Shape:
        """Return the trailing part of ``shape`` that is normalised."""
        return _trailing(self, self.axis, shape)

    def weight_shapes(self, shape: Shape) -> dict[str, Shape]:  # noqa: D102
        present = {"gamma": self.scale, "beta": self.center}
        return {name: self.dimensions(shape) for name, there in present.items() if there}

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        self.dimensions(shape)
        return shape

    def working_shapes(self, shape: Shape) -> list[Shape]:  # noqa: D102
        return [shape] * 2

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        axes = tuple(range(-len(self.dimensions(x.shape[1:])), 0))
        centred = x - x.mean(axis=axes, keepdims=True)
        variance = np.square(centred).mean(axis=axes, keepdims=True)
        y = centred / np.sqrt(variance + np.float32(self.epsilon))
        if self.scale:
            y = y * weights["gamma"]
        return y + weights["beta"] if self.center else y


@dataclass(frozen=True)
class Normalization(Layer):
    """(x - mean) / sqrt(variance), both learnt from data; or its inverse.

    ``axis``: the last one, or the last few, counted as Keras does: -1 is a mean for each channel,
    (1, 2, 3) a mean image. Weights, in the shape of these axes: mean, variance.
    """

    invert: bool = False
    axis: int | tuple[int, ...] = -1

    def weight_shapes(self, shape: Shape) -> dict[str, Shape]:  # noqa: D102
        return dict.fromkeys(("mean", "variance"), _trailing(self, self.axis, shape))

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        _trailing(self, self.axis, shape)
        return shape

    def working_shapes(self, shape: Shape) -> list[Shape]:  # noqa: D102
        return [shape] * 2

    def factors(self, weights: Weights) -> tuple[Factors, Factors]:
        """(a, b), each in the shape of the axes, such that the layer computes a x + b."""
        deviation = np.maximum(np.sqrt(weights["variance"].astype(np.float64)), 1e-7)
        if self.invert:
            return deviation, weights["mean"].astype(np.float64)
        return 1 / deviation, -weights["mean"] / deviation

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        mean, variance = weights["mean"], weights["variance"]
        deviation = np.maximum(np.sqrt(variance.astype(x.dtype)), np.float32(1e-7))
        y = mean + x * deviation if self.invert else (x - mean) / deviation
        return np.asarray(y, x.dtype)


@dataclass(frozen=True)
class Rescaling(Layer):
    """X * scale + offset; each one number, or one for each channel."""

    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        for value in (self.scale, self.offset):
            if isinstance(value, tuple) and len(value) != shape[-1]:
                self.fail(f"has {len(value)} values for {shape[-1]} channels")
        return shape

    def working_shapes(self, shape: Shape) -> list[Shape]:  # noqa: D102
        return [shape]

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        scale, offset = np.asarray(self.scale, np.float32), np.asarray(self.offset, np.float32)
        return np.asarray(x * scale + offset, x.dtype)
