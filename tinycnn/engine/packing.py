"""Weights in the order in which kernels read them: made once, when a program is planned.

A constant says first how large it will be: nothing is allocated before all of them are known. Then
each is written straight to its place.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from tinycnn.engine.kernels.family import BLOCK, Family
from tinycnn.lightclass import dataclass
from tinycnn.nn.layers.resampling import resampling, taps
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

    @property
    def made(self) -> bool:
        """Whether it is made of a layer's options: no weight in the model file answers for it."""
        return False

    @property
    def key(self) -> tuple[object, ...]:
        """What is equal for equal constants: arrays by their identity."""
        values = vars(self).values()
        return type(self), *(id(v) if isinstance(v, np.ndarray) else v for v in values)


@dataclass(frozen=True, eq=False)
class Panels(Packed):
    """A kernel (..., F) as panels of filters, each (..., panel); the last one is narrower.

    ``order``: gives the kernel as a matrix, (..., F) too. Filters are rounded up to whole vectors,
    with zeros, and multiplied by ``scale``, (F,) or (1,).
    """

    kernel: Array
    family: Family
    scale: Array | None = None
    order: Callable[[Array], Array] | None = None

    @property
    def size(self) -> int:  # noqa: D102
        filters = self.kernel.shape[-1]
        rows = self.kernel.size // filters
        return rows * vectors(filters, self.family) * self.family.vector

    def write(self, target: Array) -> None:  # noqa: D102
        matrix = self.order(self.kernel) if self.order else self.kernel
        filters = matrix.shape[-1]
        rows, whole = matrix.shape[:-1], vectors(filters, self.family) * self.family.vector
        scale = None if self.scale is None else np.broadcast_to(self.scale, (filters,))
        for first in range(0, whole, self.family.panel):
            end = min(first + self.family.panel, whole)
            size = prod(rows)
            part = target[size * first : size * end].reshape(*rows, end - first)
            part = part[..., : filters - first]
            if scale is None:
                part[...] = matrix[..., first:end]
            else:
                np.multiply(matrix[..., first:end], scale[first:end], out=part)


@dataclass(frozen=True, eq=False)
class Row(Packed):
    """A vector (n,), or (1,) for ``length`` equal values, and zeros up to a multiple."""

    values: Array
    length: int
    multiple: int = 1

    @property
    def size(self) -> int:  # noqa: D102
        return -(-self.length // self.multiple) * self.multiple

    def write(self, target: Array) -> None:  # noqa: D102
        target[: self.length] = self.values.reshape(-1)

    @property
    def made(self) -> bool:  # noqa: D102
        return self.values.size == 1 or not any(self.values.strides)

    @property
    def key(self) -> tuple[object, ...]:  # noqa: D102
        if not self.made:
            return super().key
        return Row, float(self.values.flat[0]), self.length, self.multiple


@dataclass(frozen=True, eq=False)
class Kernel(Packed):
    """A kernel as it is, multiplied by ``scale``; ``transposed``: its last two axes swapped."""

    kernel: Array
    scale: Array | None
    transposed: bool = False

    @property
    def size(self) -> int:  # noqa: D102
        return self.kernel.size

    def write(self, target: Array) -> None:  # noqa: D102
        shape = self.kernel.shape
        if self.transposed:
            whole = target.reshape(*shape[:-2], shape[-1], shape[-2]).swapaxes(-1, -2)
        else:
            whole = target.reshape(shape)
        np.multiply(self.kernel, 1 if self.scale is None else self.scale, out=whole)


@dataclass(frozen=True, eq=False)
class Blocks(Packed):
    """A depthwise kernel (kh, kw, C, 1) by blocks of 16 channels: (C / 16, kh, kw, 16)."""

    kernel: Array
    scale: Array | None = None

    @property
    def size(self) -> int:  # noqa: D102
        height, width, channels, _ = self.kernel.shape
        return height * width * -(-channels // BLOCK) * BLOCK

    def write(self, target: Array) -> None:  # noqa: D102
        height, width, channels, _ = self.kernel.shape
        scale = np.broadcast_to(np.float32(1) if self.scale is None else self.scale, (channels,))
        whole = target.reshape(-1, height, width, BLOCK)
        for block, first in enumerate(range(0, channels, BLOCK)):
            part = self.kernel[:, :, first : first + BLOCK, 0]
            whole[block, :, :, : part.shape[2]] = part * scale[first : first + BLOCK]


@dataclass(frozen=True, eq=False)
class Resampling(Packed):
    """One axis of a resampled picture: indices (length,) int64, then weights (length, taps)."""

    source: int
    length: int
    interpolation: str

    @property
    def taps(self) -> int:
        """Weights of each."""
        return taps(self.source, self.length, self.interpolation)

    @property
    def size(self) -> int:  # noqa: D102
        return self.length * (2 + self.taps)

    def write(self, target: Array) -> None:  # noqa: D102
        first, weights = resampling(self.source, self.length, self.interpolation)
        target[: 2 * self.length].view(np.int64)[:] = first
        target[2 * self.length :] = weights.reshape(-1)

    @property
    def made(self) -> bool:  # noqa: D102
        return True


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


Segments = npt.NDArray[Any]


def segments(
    channels: int, block: int, row: int, pixel: int, window: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> tuple[Segments, int, int, int]:  # fmt: skip
    """Where each run of input channels begins, in floats from the first one.

    Returns (distances, full, short, channels): ``full`` runs of 16, then ``short`` runs of
    ``channels``. In the order of `taps_by_block`.
    """
    down, across = (np.arange(n, dtype=np.int64) * d for n, d in zip(window, dilation, strict=True))
    places = (down[:, None] * row + across * pixel).ravel()
    full, rest = divmod(channels, BLOCK)
    blocks = np.arange(full + (rest > 0), dtype=np.int64)[:, None] * block
    short = len(places) if rest else 0
    return (blocks + places).ravel(), full * len(places), short, rest


def stem_segments(
    channels: int, row: int, window: tuple[int, int]
) -> tuple[Segments, int, int, int]:
    """Like `segments` for a plain picture: the taps of a row and their channels are one run."""
    height, width = window
    return np.arange(height, dtype=np.int64) * row, 0, height, width * channels
