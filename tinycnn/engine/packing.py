"""Weights in the order in which kernels read them: made once, when a program is planned."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tinycnn.engine.arena import MAX_CONSTANTS
from tinycnn.engine.kernels.family import BLOCK, Family
from tinycnn.errors import BackendError
from tinycnn.nn.layers.base import Array


def panels(matrix: Array, family: Family) -> Array:
    """Order a matrix (K, F) as panels of filters, each (K, panel); the last one is narrower.

    Filters are rounded up to whole vectors, with zeros.
    """
    filters = matrix.shape[1]
    whole = vectors(filters, family) * family.vector
    if 4 * len(matrix) * whole > MAX_CONSTANTS:
        raise BackendError(f"constants take over {MAX_CONSTANTS >> 20} MB; use numpy")
    matrix = np.pad(matrix, ((0, 0), (0, whole - filters)))
    starts = range(0, whole, family.panel)
    return np.concatenate([matrix[:, s : s + family.panel].ravel() for s in starts])


def vectors(filters: int, family: Family) -> int:
    """Vectors that hold ``filters`` values."""
    return -(-filters // family.vector)


def taps_by_block(kernel: Array) -> Array:
    """Order a kernel (kh, kw, C, F) as (K, F): blocks of channels, then taps, then channels."""
    channels, filters = kernel.shape[2:]
    parts = [
        kernel[:, :, first : first + BLOCK].reshape(-1, filters)
        for first in range(0, channels, BLOCK)
    ]
    return np.concatenate(parts)


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
