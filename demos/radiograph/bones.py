"""One shape for every bone: a tube along an axis, solid at the ends, hollow in the shaft.

Lengths are in units of about one pixel of a film whose long side is 512; y points down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = tuple[float, float]

SAMPLES = 48


@dataclass(frozen=True)
class Bone:
    """A projected bone.

    axis: (P, 2) centre line; half_width: (P,); cortex: thickness of the wall as a fraction of the
    half width; density: peak absorption. `trim` shortens the sides (left start, left end, right
    start, right end) by samples, which makes the oblique ends of a broken bone.
    """

    axis: Array
    half_width: Array
    cortex: float = 0.35
    density: float = 1.0
    trim: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def tangents(self) -> Array:
        """Unit vectors along the axis: (P, 2)."""
        steps = np.gradient(self.axis, axis=0)
        lengths = np.linalg.norm(steps, axis=1, keepdims=True)
        return np.asarray(steps / np.maximum(lengths, 1e-9), np.float64)

    @property
    def normals(self) -> Array:
        """Unit vectors to the left of the axis: (P, 2)."""
        along = self.tangents
        return np.stack([along[:, 1], -along[:, 0]], axis=1)

    def outline(self, shrink: float = 1.0) -> Array:
        """The polygon (K, 2) at `shrink` times the half width."""
        reach = self.normals * (self.half_width * shrink)[:, None]
        left, right = self.axis + reach, self.axis - reach
        left_start, left_end, right_start, right_end = self.trim
        left = left[left_start : len(left) - left_end]
        right = right[right_start : len(right) - right_end]
        return np.concatenate([left, right[::-1]])

    def mapped(self, matrix: Array, offset: Array) -> Bone:
        """The bone under x -> matrix @ x + offset; widths grow with the mean scale."""
        scale = float(np.sqrt(abs(np.linalg.det(matrix))))
        axis = self.axis @ matrix.T + offset
        return replace(self, axis=axis, half_width=self.half_width * scale)

    def at(self, t: float) -> int:
        """Index of the sample at the fraction `t` of the length."""
        return int(np.clip(round(t * (len(self.axis) - 1)), 0, len(self.axis) - 1))


def _rounded(half_width: Array, length: float) -> Array:
    """Close both ends with a quarter of an ellipse."""
    position = np.linspace(0.0, length, len(half_width))
    rounded = half_width.copy()
    for distance, end in ((position, half_width[0]), (position[::-1], half_width[-1])):
        reach = max(0.75 * float(end), 1e-6)
        rounded *= np.sqrt(np.clip(1 - (1 - np.minimum(distance / reach, 1)) ** 2, 0.02, 1))
    return rounded


def tube(
    start: Point,
    end: Point,
    widths: Sequence[float],
    bow: float = 0.0,
    cortex: float = 0.35,
    density: float = 1.0,
) -> Bone:
    """A bone from `start` to `end` with half widths evenly spaced along it, bent by `bow`."""
    t = np.linspace(0.0, 1.0, SAMPLES)
    first, last = np.asarray(start, float), np.asarray(end, float)
    length = float(np.linalg.norm(last - first))
    across = np.array([last[1] - first[1], first[0] - last[0]]) / max(length, 1e-9)
    axis = first + t[:, None] * (last - first) + (bow * 4 * t * (1 - t))[:, None] * across
    half_width = np.interp(t, np.linspace(0, 1, len(widths)), np.asarray(widths, float))
    padded = np.pad(half_width, 3, mode="edge")
    smooth = np.convolve(padded, np.full(7, 1 / 7), mode="valid")
    return Bone(axis, _rounded(smooth, length), cortex, density)


def long_bone(
    start: Point,
    end: Point,
    proximal: float,
    shaft: float,
    distal: float,
    bow: float = 0.0,
    density: float = 1.0,
) -> Bone:
    """A shaft that flares at both ends."""
    taper = (1.25 * shaft, 1.02 * shaft)
    middle = (*taper, shaft, shaft, shaft, *taper[::-1])
    widths = (proximal, 0.95 * proximal, *middle, 0.95 * distal, distal)
    return tube(start, end, widths, bow, cortex=0.38, density=density)


def round_bone(
    centre: Point,
    radii: tuple[float, float],
    angle: float,
    rng: np.random.Generator,
    density: float = 0.75,
) -> Bone:
    """A small irregular bone with a thin cortex: an ellipse with dents."""
    s = np.linspace(-1.0, 1.0, SAMPLES)
    dents = (
        1 + 0.10 * np.sin(2.2 * s + rng.uniform(0, 6)) + 0.05 * np.sin(5 * s + rng.uniform(0, 6))
    )
    direction = np.array([np.cos(angle), np.sin(angle)])
    bend = rng.uniform(-0.15, 0.15) * radii[1] * (1 - s**2)
    normal = np.array([-direction[1], direction[0]])
    axis = np.asarray(centre, float) + np.outer(s * radii[0], direction) + np.outer(bend, normal)
    return Bone(axis, radii[1] * np.sqrt(np.clip(1 - s**2, 0.002, 1)) * dents, 0.14, density)
