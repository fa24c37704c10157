"""Matrix products in portions, between which Python looks whether it was interrupted."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.nn.types import Array

PORTION = 1 << 24  # multiply-adds: a millisecond by BLAS, a tenth of a second without, or if busy
CALL = 20_000  # nanoseconds that a few calls of NumPy take, whatever their arrays


def product(x: Array, matrix: Array) -> Array:
    """``x @ matrix``: (..., C) by (C, F)."""
    result = np.empty((*x.shape[:-1], matrix.shape[1]), x.dtype)
    _multiply(x, matrix, result)
    return result


def _multiply(x: Any, matrix: Array, result: Any) -> None:
    longest = max(x.shape[:-1])
    if longest == 1 or x.size * matrix.shape[1] <= PORTION:
        np.matmul(x, matrix, out=result)
        return
    axis = x.shape.index(longest)
    before, half = (slice(None),) * axis, longest // 2
    for part in (slice(half), slice(half, None)):
        _multiply(x[(*before, part)], matrix, result[(*before, part)])


def product_steps(pixels: int, channels: int, filters: int) -> int:
    """Nanoseconds that it takes at most; small ones use no vectors, and others a tenth of this."""
    return pixels * (channels + 2) * (filters + 2) + CALL
