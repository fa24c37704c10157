"""Weights in the order in which kernels read them: made once, when a program is planned."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from tinycnn.engine.kernels.family import BLOCK, Family
from tinycnn.lightclass import dataclass
from tinycnn.nn.types import Array


class Packed:
    """A constant that is written straight to its place among the others, float32."""

    @property
    def size(self) -> int:
        """How many values."""
        raise NotImplementedError

    def write(self, target: Array) -> None:
        """Fill ``target`` (size,), which holds zeros."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Panels(Packed):
    """A matrix (..., F) as panels of filters, each (..., panel); the last one is narrower.

    Filters are rounded up to whole vectors, with zeros, and multiplied by ``scale`` (F,).
    """

    matrix: Array
    family: Family
    scale: Array | None = None

    @property
    def size(self) -> int:  # noqa: D102
        filters = self.matrix.shape[-1]
        return self.matrix.size // filters * vectors(filters, self.family) * self.family.vector

    def write(self, target: Array) -> None:  # noqa: D102
        filters = self.matrix.shape[-1]
        rows, whole = self.matrix.shape[:-1], vectors(filters, self.family) * self.family.vector
        for first in range(0, whole, self.family.panel):
            end = min(first + self.family.panel, whole)
            size = prod(rows)
            part = target[size * first : size * end].reshape(*rows, end - first)
            part = part[..., : filters - first]
            if self.scale is None:
                part[...] = self.matrix[..., first:end]
            else:
                np.multiply(self.matrix[..., first:end], self.scale[first:end], out=part)


def vectors(filters: int, family: Family) -> int:
    """Vectors that hold ``filters`` values."""
    return -(-filters // family.vector)


def taps_by_block(kernel: Array) -> Array:
    """Order a kernel (kh, kw, C, F) by blocks of channels, then taps, then channels: (..., F)."""
    channels, filters = kernel.shape[2:]
    taps = kernel.reshape(-1, channels, filters)
    if channels % BLOCK == 0:
        return taps.reshape(len(taps), -1, BLOCK, filters).swapaxes(0, 1)  # no copy
    firsts = range(0, channels, BLOCK)
    return np.concatenate([taps[:, i : i + BLOCK].reshape(-1, filters) for i in firsts])


def blocks(values: Array) -> Array:
    """Round channels, the last axis of (..., C), up to whole blocks: (C / 16, ..., 16)."""
    channels = values.shape[-1]
    whole = -(-channels // BLOCK) * BLOCK
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, whole - channels)])
    parts = padded.reshape(*values.shape[:-1], whole // BLOCK, BLOCK)
    return np.ascontiguousarray(np.moveaxis(parts, -2, 0))


def rounded(values: Array, multiple: int) -> Array:
    """Pad a vector (n,) with zeros to a multiple."""
    return np.pad(values, (0, -len(values) % multiple))


Segments = npt.NDArray[Any]


def segments(
    channels: int, block: int, row: int, pixel: int, window: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> tuple[Segments, int, int, int]:  # fmt: skip
    """Where each run of input channels begins, in floats from the first one.

    Returns (distances, full, short, channels): ``full`` runs of 16, then ``short`` runs of
    ``channels``. In the order of `taps_by_block`.
    """
    height, width = window
    taps = [
        ky * dilation[0] * row + kx * dilation[1] * pixel
        for ky in range(height)
        for kx in range(width)
    ]
    full, rest = divmod(channels, BLOCK)
    distances = [b * block + tap for b in range(full) for tap in taps]
    short = [full * block + tap for tap in taps] if rest else []
    return np.array(distances + short, np.int64), len(distances), len(short), rest


def stem_segments(
    channels: int, row: int, window: tuple[int, int]
) -> tuple[Segments, int, int, int]:
    """Like `segments` for a plain picture: the taps of a row and their channels are one run."""
    height, width = window
    return np.arange(height, dtype=np.int64) * row, 0, height, width * channels
