"""Pictures made larger or smaller: padding, cropping, resizing."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tinycnn.lightclass import dataclass
from tinycnn.nn.layers.base import MAX_OPTION, Layer, pair
from tinycnn.nn.layers.resampling import Interpolation, resize, taps
from tinycnn.nn.types import Array, Pair, Shape, Weights

Sides = tuple[Pair, Pair]
WEIGHT_VALUES = 16  # float32 values that one weight takes while it is made


def _sides(value: Any) -> Any:
    """Spell Keras's short forms as ((top, bottom), (left, right))."""
    value = pair(value)
    return tuple(pair(v) for v in value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class ZeroPadding2D(Layer):
    """Zeros around the picture; ``padding``: ((top, bottom), (left, right))."""

    padding: int | Pair | Sides = (1, 1)

    def __post_init__(self) -> None:
        """Spell out the short forms."""
        self.set(padding=_sides(self.padding))
        super().__post_init__()
        if not all(0 <= n <= MAX_OPTION for side in self.sides for n in side):
            self.fail(f"padding must lie in 0..{MAX_OPTION}: {self.padding}")

    @property
    def sides(self) -> Sides:
        """((top, bottom), (left, right))."""
        return self.padding  # type: ignore[return-value]  # __post_init__ made it so

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        self.need_rank(shape)
        (top, bottom), (left, right) = self.sides
        return shape[0] + top + bottom, shape[1] + left + right, shape[2]

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        return np.pad(x, ((0, 0), *self.sides, (0, 0)))


@dataclass(frozen=True)
class Cropping2D(Layer):
    """Rows and columns cut off; ``cropping``: ((top, bottom), (left, right))."""

    cropping: int | Pair | Sides = ((0, 0), (0, 0))

    def __post_init__(self) -> None:
        """Spell out the short forms."""
        self.set(cropping=_sides(self.cropping))
        super().__post_init__()
        if not all(0 <= n <= MAX_OPTION for side in self.sides for n in side):
            self.fail(f"cropping must lie in 0..{MAX_OPTION}: {self.cropping}")

    @property
    def sides(self) -> Sides:
        """((top, bottom), (left, right))."""
        return self.cropping  # type: ignore[return-value]  # __post_init__ made it so

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        self.need_rank(shape)
        (top, bottom), (left, right) = self.sides
        rows, columns = shape[0] - top - bottom, shape[1] - left - right
        if rows < 1 or columns < 1:
            self.fail(f"nothing would be left of {shape}")
        return rows, columns, shape[2]

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        rows, columns, _ = self.output_shape(x.shape[1:])
        (top, _), (left, _) = self.sides
        return x[:, top : top + rows, left : left + columns]


class Resampled(Layer):
    """What the layers share that resize by ``interpolation``."""

    interpolation: Interpolation  # the subclasses' field, so that it comes in Keras's order

    def taps(self, shape: Shape) -> Pair:
        """How many rows, and how many columns, make one."""
        rows, columns = (
            taps(size, length, self.interpolation)
            for size, length in zip(shape[:2], self.output_shape(shape)[:2], strict=True)
        )
        return rows, columns

    def working_shapes(self, shape: Shape) -> list[Shape]:
        """Return what lies between the two passes, a tap and its product, and the weights."""
        rows, columns, channels = self.output_shape(shape)
        between = (rows, shape[1], channels)
        largest = max(between, (rows, columns, channels), key=prod)
        down, across = self.taps(shape)
        # in float64, and as many intermediate values again, several times
        tables = [(WEIGHT_VALUES, rows, down), (WEIGHT_VALUES, columns, across)]
        return [between, largest, largest, *tables]

    def steps(self, shape: Shape) -> int:
        """Multiply-adds of both passes."""
        rows, columns, channels = self.output_shape(shape)
        down, across = self.taps(shape)
        return int(rows * channels * (shape[1] * down + columns * across))


@dataclass(frozen=True)
class UpSampling2D(Resampled):
    """Every pixel ``size`` times, or what lies between pixels by ``interpolation``."""

    size: int | Pair = (2, 2)
    interpolation: Interpolation = "nearest"

    def __post_init__(self) -> None:
        """Spell the size as a pair."""
        self.set(size=pair(self.size))
        super().__post_init__()
        self.need_positive("size")

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        self.need_rank(shape)
        assert isinstance(self.size, tuple)
        return shape[0] * self.size[0], shape[1] * self.size[1], shape[2]

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        return resize(x, self.output_shape(x.shape[1:])[:2], self.interpolation)


@dataclass(frozen=True)
class Resizing(Resampled):
    """The picture at ``height`` x ``width``, as ``tf.image.resize`` without antialiasing."""

    height: int
    width: int
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        """Refuse an empty picture."""
        super().__post_init__()
        self.need_positive("height", "width")

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        self.need_rank(shape)
        return self.height, self.width, shape[2]

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        return resize(x, (self.height, self.width), self.interpolation)
