"""Instructions for Winograd convolutions: transform, 36 matrix products, transform back."""

from __future__ import annotations

import numpy as np

from tinycnn.engine import caches, ops, packing
from tinycnn.engine.kernels import instructions
from tinycnn.engine.kernels.family import BLOCK, Family
from tinycnn.engine.packing import Row
from tinycnn.engine.planner import Planner, emit
from tinycnn.lightclass import dataclass
from tinycnn.nn.types import Array

# Lavin and Gray 2016, section 4.3: G for F(4, 3)
G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)


G2 = np.kron(G, G)  # both directions: (36, 9)


@dataclass(frozen=True, eq=False)
class Transformed(packing.Packed):
    """Kernels (3, 3, C, F) as 36 matrices (C, F), each as `packing.Panels`.

    Computed in float64, a panel at a time: the whole would be eight times the kernel.
    """

    kernel: Array
    family: Family
    scale: Array | None = None

    @property
    def size(self) -> int:  # noqa: D102
        channels, filters = self.kernel.shape[2:]
        return 36 * channels * packing.vectors(filters, self.family) * self.family.vector

    def write(self, target: Array) -> None:  # noqa: D102
        channels, filters = self.kernel.shape[2:]
        matrices, panel = target.reshape(36, -1), self.family.panel
        whole = packing.vectors(filters, self.family) * self.family.vector
        for first in range(0, whole, panel):
            end = min(first + panel, whole)
            part = matrices[:, channels * first : channels * end].reshape(36, channels, -1)
            taps = self.kernel[..., first:end].astype(np.float64)
            if self.scale is not None:
                taps *= np.broadcast_to(self.scale, (filters,))[first:end]
            result = G2 @ taps.reshape(9, -1)
            part[..., : filters - first] = result.reshape(36, channels, -1)


def _sizes(op: ops.Winograd) -> tuple[int, int, int]:
    """(blocks of channels, blocks of filters, rows of tiles at a time)."""
    channels, filters = (-(-n // BLOCK) for n in op.kernel.shape[2:])
    row = 4 * 36 * BLOCK * (channels + filters) * op.tiles[1]
    return channels, filters, max(1, min(op.tiles[0], caches.winograd_bytes() // row))


def _distance(blocks: int, tiles: int) -> int:
    """Floats from one of the 36 matrices to the next: an odd number of cache lines.

    A tile's 36 values go to as many matrices. At a power of two from each other they would compete
    for one set of the first-level cache, which has room for 8 or 12 (20 microseconds instead of 4
    for 14x14x128).
    """
    return BLOCK * (blocks * tiles | 1)


def scratch(op: ops.Winograd, threads: int) -> int:
    """Floats: transformed input, products, and a tile for each thread."""
    channels, filters, rows = _sizes(op)
    tiles = rows * op.tiles[1]
    return 36 * (_distance(channels, tiles) + _distance(filters, tiles)) + 16 * BLOCK * threads


@emit.register
def _(op: ops.Winograd, to: Planner) -> None:
    _, _, step = _sizes(op)
    kernel = Transformed(op.kernel, to.family, op.scale)
    bias = packing.Row(op.bias, op.shape[2], BLOCK)
    zeros = packing.Row(np.zeros(1, np.float32), bias.size + to.family.panel)
    for first in range(0, op.tiles[0], step):
        _chunk(op, to, (kernel, bias, zeros), first, min(step, op.tiles[0] - first))


def _chunk(
    op: ops.Winograd, to: Planner, arrays: tuple[Transformed, Row, Row], first: int, rows: int
) -> None:
    """The rows of tiles from ``first`` on."""
    x, y = to.layouts[op.inputs[0]], to.layouts[op.output]
    (kernel, bias, zeros), family = arrays, to.family
    channels, filters, _ = _sizes(op)
    columns, count = op.tiles[1], op.kernel.shape[3]
    tiles = rows * columns
    into, out = _distance(channels, tiles), _distance(filters, tiles)
    before = to.address(f"{op.output}:scratch")
    products = before + 4 * 36 * into
    part = products + 4 * 36 * out
    top = op.pads[0][0] - 4 * first
    to.add(
        op, instructions.WINOGRAD_INPUT, to.several,
        x=to.pixel(op.inputs[0], top, op.pads[1][0]), y=before,
        blocks=channels, rows=rows, columns=columns, x_row=x.row, x_block=x.block,
        distance=into,
    )  # fmt: skip
    table = packing.segments(op.kernel.shape[2], tiles * BLOCK, 0, BLOCK, (1, 1))
    to.add(
        op, instructions.MATMUL, to.several, x=before, y=products, residual=-1, kernel=kernel,
        bias=zeros,
        segments=table[0], full=table[1], short=table[2], channels=table[3],
        panels=-(-count // family.panel),
        last=(packing.vectors(count, family) - 1) % family.vectors + 1, groups=1, rows=1,
        columns=tiles, tiles=-(-tiles // family.rows), distance=BLOCK, x_row=0, y_row=0,
        y_block=tiles * BLOCK, residual_row=0, residual_block=0, low=-np.inf, high=np.inf,
        batch=36, x_batch=into, y_batch=out, kernel_batch=kernel.size // 36,
    )  # fmt: skip
    to.add(
        op, instructions.WINOGRAD_OUTPUT, x=products, y=to.pixel(op.output) + 16 * y.row * first,
        part=part, bias=bias, blocks=filters, rows=rows, columns=columns,
        height=op.shape[0] - 4 * first, width=op.shape[1], distance=out,
        y_row=y.row, y_block=y.block, **op.clip._asdict(),
    )  # fmt: skip
