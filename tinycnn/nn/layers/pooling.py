"""Pooling: windows and whole pictures reduced to their maximum or mean."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tinycnn.lightclass import dataclass
from tinycnn.nn.layers.base import Layer, pair
from tinycnn.nn.layers.convolution import Padding, same_padding, window_length
from tinycnn.nn.layers.products import CALL
from tinycnn.nn.types import Array, Pair, Shape, Weights


@dataclass(frozen=True)
class Pooling2D(Layer):
    """What the two window poolings share; ``strides`` None means ``pool_size``."""

    pool_size: int | Pair = (2, 2)
    strides: int | Pair | None = None
    padding: Padding = "valid"

    def __post_init__(self) -> None:
        """Spell sizes as pairs."""
        self.set(pool_size=pair(self.pool_size))
        self.set(strides=self.pool_size if self.strides is None else pair(self.strides))
        super().__post_init__()
        self.need_positive("pool_size", "strides")

    def geometry(self) -> list[Pair]:
        """(window, stride) for rows and for columns."""
        assert isinstance(self.pool_size, tuple)
        assert isinstance(self.strides, tuple)
        return list(zip(self.pool_size, self.strides, strict=True))

    def pads(self, shape: Shape) -> tuple[Pair, Pair]:
        """Cells ((top, bottom), (left, right)) outside of an input (H, W, C) that windows reach."""
        if self.padding == "valid":
            return (0, 0), (0, 0)
        rows, columns = (
            same_padding(n, k, s) for n, (k, s) in zip(shape, self.geometry(), strict=False)
        )
        return rows, columns

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        self.need_rank(shape)
        rows, columns = (
            window_length(n, k, s, self.padding)
            for n, (k, s) in zip(shape, self.geometry(), strict=False)
        )
        if rows < 1 or columns < 1:
            self.fail(f"the window {self.pool_size} is larger than the input {shape}")
        return rows, columns, shape[2]

    def working_shapes(self, shape: Shape) -> list[Shape]:
        """Return the padded input, and what lies between the two passes."""
        (top, bottom), (left, right) = self.pads(shape)
        rows, columns = shape[0] + top + bottom, shape[1] + left + right
        return [(rows, columns, shape[2]), (self.output_shape(shape)[0], columns, shape[2])]

    def steps(self, shape: Shape) -> int:
        """Nanoseconds at most: one for each cell of all windows, and NumPy's calls."""
        area = [k for k, _ in self.geometry()]
        return prod(self.output_shape(shape)) * prod(area) + CALL * sum(area)

    def reduced(self, x: Array, function: Any, fill: float) -> Array:
        """Reduce the windows of x (N, H, W, C), with ``fill`` outside: rows first, then columns."""
        x = np.pad(x, ((0, 0), *self.pads(x.shape[1:]), (0, 0)), constant_values=fill)
        for axis, (kernel, stride) in enumerate(self.geometry(), 1):
            x = np.moveaxis(x, axis, 0)
            last = len(x) - kernel
            y = x[: last + 1 : stride].copy()
            for tap in range(1, kernel):
                function(y, x[tap : last + tap + 1 : stride], out=y)
            x = np.moveaxis(y, 0, axis)
        return x


@dataclass(frozen=True)
class MaxPooling2D(Pooling2D):
    """Maximum of each window: (N, H, W, C) -> (N, Ho, Wo, C). NaN stays NaN."""

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        return self.reduced(x, np.maximum, -np.inf)


@dataclass(frozen=True)
class AveragePooling2D(Pooling2D):
    """Mean of each window, of its cells inside the picture: (N, H, W, C) -> (N, Ho, Wo, C)."""

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        counts = self.reduced(np.ones((1, *x.shape[1:3], 1), x.dtype), np.add, 0)
        return self.reduced(x, np.add, 0) / counts


@dataclass(frozen=True)
class GlobalPooling2D(Layer):
    """What the two global poolings share."""

    keepdims: bool = False

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        self.need_rank(shape)
        return (1, 1, shape[2]) if self.keepdims else (shape[2],)


@dataclass(frozen=True)
class GlobalMaxPooling2D(GlobalPooling2D):
    """Maximum over the picture: (N, H, W, C) -> (N, C), or (N, 1, 1, C) with keepdims."""

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        return x.max(axis=(1, 2), keepdims=self.keepdims)


@dataclass(frozen=True)
class GlobalAveragePooling2D(GlobalPooling2D):
    """Mean over the picture: (N, H, W, C) -> (N, C), or (N, 1, 1, C) with keepdims."""

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        return x.mean(axis=(1, 2), keepdims=self.keepdims)
