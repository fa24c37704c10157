"""3x3 convolutions of stride 1 by Winograd's algorithm, where that is faster."""

from __future__ import annotations

from dataclasses import fields, replace
from math import prod

from tinycnn.engine.ops import Conv, Net, Op, Winograd

LEAST_CHANNELS = 16  # below, the transforms cost more than they save
LEAST_TILES = 6  # a matrix product of fewer rows does not fill its tile of registers
MOST_WEIGHTS = 12 << 20  # bytes of 36 transformed kernels: beyond, memory is what limits


def use_winograd(net: Net) -> Net:
    """Replace convolutions that gain."""
    return replace(net, ops=tuple(_winograd(op) if _gains(op) else op for op in net.ops))


def _winograd(op: Op) -> Op:
    return Winograd(**{f.name: getattr(op, f.name) for f in fields(op)})


def _gains(op: Op) -> bool:
    if not isinstance(op, Conv) or op.kernel.shape[:2] != (3, 3):
        return False
    plain = op.strides == (1, 1) and op.dilation == (1, 1) and op.groups == 1
    channels, filters = op.kernel.shape[2:]
    tiles = prod(-(-n // 4) for n in op.shape[:2])
    waste = 16 * tiles / prod(op.shape[:2])  # of what is computed, to what is wanted
    return (
        plain
        and len(op.inputs) == 1
        and min(channels, filters) >= LEAST_CHANNELS
        and tiles >= LEAST_TILES
        and waste < 2
        and 4 * 36 * channels * filters <= MOST_WEIGHTS
    )
