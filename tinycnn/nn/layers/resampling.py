"""Images at another size, by TensorFlow's rules: each value is a weighted sum of a few others.

Rows and columns are resized one after the other. Along one axis, an output pixel is the sum of
``taps`` input pixels that lie together: the first one's index and their weights are all that is
kept, since most of a matrix from all pixels to all pixels would be zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from tinycnn.nn.types import Array

CUBIC_STEPS = 1024  # of TensorFlow's table, between two pixels
Interpolation = Literal[
    "nearest", "bilinear", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic"
]
Indices = np.ndarray[Any, np.dtype[np.int64]]


def resize(x: Array, size: tuple[int, ...], interpolation: str) -> Array:
    """Resize x (N, H, W, C) to ``size`` (rows, columns)."""
    for axis, length in ((1, size[0]), (2, size[1])):
        x = _along(x, axis, length, interpolation)
    return x


def _along(x: Array, axis: int, length: int, interpolation: str) -> Array:
    first, weights = resampling(x.shape[axis], length, interpolation)
    if weights.shape[1] == 1:  # every weight is 1
        return x.take(first, axis=axis)
    y = np.zeros((*x.shape[:axis], length, *x.shape[axis + 1 :]), x.dtype)
    for tap in range(weights.shape[1]):
        weight = weights[:, tap].reshape(-1, *[1] * (x.ndim - axis - 1))
        y += x.take(first + tap, axis=axis) * weight
    return y


def taps(size: int, length: int, interpolation: str) -> int:
    """How many of ``size`` pixels make one of ``length``."""
    if interpolation == "nearest":
        return 1
    if interpolation == "area":
        return min(size, math.ceil(size / length) + 1)
    return min(size, math.ceil(2 * KERNELS[interpolation][0]))


def resampling(size: int, length: int, interpolation: str) -> tuple[Indices, Array]:
    """(index of the first source pixel (length,), weights (length, taps) that sum to 1)."""
    count = taps(size, length, interpolation)
    if interpolation == "nearest":
        return nearest(size, length), np.ones((length, 1), np.float32)
    scale = size / length
    if interpolation == "area":
        begin = (np.arange(length) * scale)[:, None]
        source = _sources(np.floor(begin[:, 0]), size, count)
        weights = np.minimum(source + 1, begin + scale) - np.maximum(source, begin)
        weights = np.maximum(weights, 0)
    else:
        radius, kernel = KERNELS[interpolation]
        centres = _centres(size, length, interpolation)
        source = _sources(np.floor(centres - radius) + 1, size, count)
        distance = np.abs(source - centres[:, None])
        weights = np.where(distance < radius, kernel(distance), 0)
    return source[:, 0], (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _sources(first: Any, size: int, count: int) -> Indices:
    """Indices (length, count) from ``first`` on, all of them inside."""
    start = np.clip(first, 0, size - count).astype(np.int64)
    return np.asarray(start[:, None] + np.arange(count))


def _centres(size: int, length: int, interpolation: str) -> Any:
    """Where the centres of ``length`` pixels lie among ``size``."""
    centres = (np.arange(length) + 0.5) * (size / length) - 0.5
    if interpolation == "bilinear":  # TensorFlow clamps here and drops below
        return np.clip(centres, 0, size - 1)
    if interpolation == "bicubic":  # and here it looks the kernel up in a table
        whole = np.floor(centres)
        return whole + np.rint((centres - whole) * CUBIC_STEPS) / CUBIC_STEPS
    return centres


def nearest(size: int, length: int) -> Indices:
    """Index of the source pixel for each of ``length`` pixels: half-pixel centres."""
    centres = (np.arange(length, dtype=np.float32) + np.float32(0.5)) * np.float32(size / length)
    return np.minimum(np.floor(centres), size - 1).astype(np.int64)


def _cubic(b: float, c: float) -> Callable[[Any], Any]:
    """Mitchell and Netravali's family; Keys's cubic with a = -c is b = 0."""

    def kernel(d: Any) -> Any:
        inner = (12 - 9 * b - 6 * c) * d**3 + (-18 + 12 * b + 6 * c) * d**2 + (6 - 2 * b)
        outer = (-b - 6 * c) * d**3 + (6 * b + 30 * c) * d**2 + (-12 * b - 48 * c) * d
        return np.where(d < 1, inner, outer + 8 * b + 24 * c) / 6

    return kernel


def _lanczos(radius: int) -> Callable[[Any], Any]:
    return lambda d: np.sinc(d) * np.sinc(d / radius)


# radius in pixels, weight at a distance
KERNELS: dict[str, tuple[float, Callable[[Any], Any]]] = {
    "bilinear": (1.0, lambda d: 1 - d),
    "bicubic": (2.0, _cubic(0, 0.5)),
    "mitchellcubic": (2.0, _cubic(1 / 3, 1 / 3)),
    "lanczos3": (3.0, _lanczos(3)),
    "lanczos5": (5.0, _lanczos(5)),
    "gaussian": (1.5, lambda d: np.exp(-(d**2) / (2 * 0.5**2))),
}
