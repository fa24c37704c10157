"""Pictures made larger or smaller: padding, cropping, resizing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from tinycnn.lightclass import dataclass
from tinycnn.nn.layers.base import MAX_OPTION, Layer, pair
from tinycnn.nn.types import Array, Pair, Shape, Weights

MAX_MATRIX = 1 << 22  # 2048 pixels become 2048 others

Sides = tuple[Pair, Pair]
CUBIC_STEPS = 1024  # of TensorFlow's table, between two pixels
Resample = Literal[
    "nearest", "bilinear", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic"
]


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

    interpolation: Resample  # the subclasses' field, so that it comes in Keras's order

    def working_shapes(self, shape: Shape) -> list[Shape]:
        """Return the picture between the two passes; fail if the matrices would be too large."""
        target = self.output_shape(shape)
        pairs = zip(shape[:2], target[:2], strict=True)
        if self.interpolation != "nearest" and any(a * b > MAX_MATRIX for a, b in pairs):
            self.fail(f"{shape[:2]} cannot become {target[:2]}: the matrix would be too large")
        return [(target[0], *shape[1:])]

    def steps(self, shape: Shape) -> int:
        """Multiply-adds of the two matrix products."""
        rows, columns, channels = self.output_shape(shape)
        return int(rows * shape[1] * channels * (shape[0] + columns))


@dataclass(frozen=True)
class UpSampling2D(Resampled):
    """Every pixel ``size`` times, or what lies between pixels by ``interpolation``."""

    size: int | Pair = (2, 2)
    interpolation: Resample = "nearest"

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
    interpolation: Resample = "bilinear"

    def __post_init__(self) -> None:
        """Refuse an empty picture."""
        super().__post_init__()
        self.need_positive("height", "width")

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        self.need_rank(shape)
        return self.height, self.width, shape[2]

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        return resize(x, (self.height, self.width), self.interpolation)


def resize(x: Array, size: tuple[int, ...], interpolation: str) -> Array:
    """Resize x (N, H, W, C) to ``size`` (rows, columns): one matrix for rows, one for columns."""
    for axis, length in ((1, size[0]), (2, size[1])):
        if interpolation == "nearest":
            x = x.take(nearest(x.shape[axis], length), axis=axis)
        else:
            matrix = resampling_matrix(x.shape[axis], length, interpolation)
            x = np.moveaxis(np.tensordot(matrix, x, (1, axis)), 0, axis)
    return np.ascontiguousarray(x)


def nearest(size: int, length: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Index of the source pixel for each of ``length`` pixels: half-pixel centres."""
    centres = (np.arange(length, dtype=np.float32) + np.float32(0.5)) * np.float32(size / length)
    return np.minimum(np.floor(centres), size - 1).astype(np.int64)


def resampling_matrix(size: int, length: int, interpolation: str) -> Array:
    """Weights (length, size) of source pixels, by TensorFlow's rules; every row sums to 1."""
    scale = size / length
    if interpolation == "area":
        start = np.arange(length)[:, None] * scale
        source = np.arange(size)[None, :]
        weights = np.minimum(source + 1, start + scale) - np.maximum(source, start)
        weights = np.maximum(weights, 0)
    else:
        radius, kernel = KERNELS[interpolation]
        centres = (np.arange(length) + 0.5) * scale - 0.5
        if interpolation == "bilinear":  # TensorFlow clamps here and drops below
            centres = np.clip(centres, 0, size - 1)
        elif interpolation == "bicubic":  # and here it looks the kernel up in a table
            whole = np.floor(centres)
            centres = whole + np.rint((centres - whole) * CUBIC_STEPS) / CUBIC_STEPS
        distance = np.abs(np.arange(size)[None, :] - centres[:, None])
        weights = np.where(distance < radius, kernel(distance), 0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _cubic(b: float, c: float) -> Callable[[Any], Any]:
    """Mitchell and Netravali's family; Keys's cubic with a = -c is b = 0."""

    def kernel(d: Any) -> Any:
        inner = (12 - 9 * b - 6 * c) * d**3 + (-18 + 12 * b + 6 * c) * d**2 + (6 - 2 * b)
        outer = (-b - 6 * c) * d**3 + (6 * b + 30 * c) * d**2 + (-12 * b - 48 * c) * d
        return np.where(d < 1, inner, outer + 8 * b + 24 * c) / 6

    return kernel


def _lanczos(radius: int) -> Callable[[Any], Any]:
    return lambda d: np.sinc(d) * np.sinc(d / radius)


KERNELS: dict[str, tuple[float, Callable[[Any], Any]]] = {
    "bilinear": (1.0, lambda d: 1 - d),
    "bicubic": (2.0, _cubic(0, 0.5)),
    "mitchellcubic": (2.0, _cubic(1 / 3, 1 / 3)),
    "lanczos3": (3.0, _lanczos(3)),
    "lanczos5": (5.0, _lanczos(5)),
    "gaussian": (1.5, lambda d: np.exp(-(d**2) / (2 * 0.5**2))),
}
