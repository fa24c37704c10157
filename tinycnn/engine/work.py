"""How long an operation takes, roughly: for who may want to stop it in between.

The unit is a multiply-add of the fastest kernel: 0.02 to 0.05 ns on one core of a PC, 0.2 on one of
a Raspberry Pi 4. A factor of three does not matter.
"""

from __future__ import annotations

from functools import singledispatch
from math import prod

from tinycnn.engine import ops
from tinycnn.engine.kernels.family import BLOCK
from tinycnn.engine.ops import Op
from tinycnn.nn.layers.resampling import taps

MOST_WORK = 1 << 28  # of one work item: 10 ms on a PC, 60 on a Raspberry Pi 4
MOST_PIECES = 1 << 18
SIMPLE, CURVED = 8, 400  # a value that is moved or added; one of e^x and the like
SLOW = 30  # a step of a loop that uses no vectors


def pieces(op: Op) -> int:
    """Into how many pieces each instruction of an operation must fall at least."""
    longest = work(op)
    if isinstance(op, ops.Winograd):  # in chunks that fit into the cache, or a row of tiles each
        longest = 36 * op.tiles[1] * whole(op.kernel.shape[2]) * whole(op.kernel.shape[3])
    return min(-(-longest // MOST_WORK), MOST_PIECES)


@singledispatch
def work(op: Op) -> int:
    """Of an operation, all its instructions together."""
    return SIMPLE * prod(op.shape) * len(op.inputs)


@work.register
def _(op: ops.Conv) -> int:
    height, width, channels, filters = op.kernel.shape
    windows = height * width * prod(op.shape[:2])
    if op.groups == 1:
        return windows * (channels + 4) * whole(filters)
    return windows * SLOW * op.groups * (channels + 2) * (filters // op.groups + 2)


@work.register
def _(op: ops.Winograd) -> int:
    # 36 products for 16 pixels, and the transforms
    return 3 * prod(op.shape[:2]) * whole(op.kernel.shape[2]) * whole(op.kernel.shape[3])


@work.register
def _(op: ops.Depthwise) -> int:
    height, width, channels, multiplier = op.kernel.shape
    windows = height * width * prod(op.shape[:2])
    if multiplier == 1:
        return windows * (4 if (height, width) == (3, 3) else 8) * whole(channels)
    return windows * SLOW * channels * (multiplier + 2)


@work.register
def _(op: ops.ConvTranspose) -> int:
    height, width, filters, channels = op.kernel.shape
    hits = -(-height // op.strides[0]) * -(-width // op.strides[1])
    searched = sum(op.strides) if op.dilation != (1, 1) else 0
    return prod(op.shape[:2]) * SLOW * (searched + hits * (channels + 2) * (filters // 4 + 2))


@work.register
def _(op: ops.InvertedResidual) -> int:
    return sum(work(part) for part in (op.expand, op.depthwise, op.project))


@work.register
def _(op: ops.Dense) -> int:
    return prod(op.shape[:-1]) * SIMPLE * op.kernel.size


@work.register
def _(op: ops.Elementwise) -> int:
    return (SIMPLE if op.kind == "clip" else CURVED) * prod(op.shape)


@work.register
def _(op: ops.Pool) -> int:
    return prod(op.shape[:2]) * whole(op.shape[2]) * prod(op.window) * 2


@work.register
def _(op: ops.GlobalPool) -> int:
    return SIMPLE * prod(op.source)


@work.register
def _(op: ops.AxisWise) -> int:
    return CURVED * prod(op.source)


@work.register
def _(op: ops.LayerNorm) -> int:
    return 4 * SIMPLE * prod(op.shape)


@work.register
def _(op: ops.Resample) -> int:
    rows, columns = (
        taps(source, length, op.interpolation)
        for source, length in zip(op.source[:2], op.shape[:2], strict=True)
    )
    down, across = op.source[1] * op.shape[2] * rows, op.shape[1] * (op.shape[2] + 32) * columns
    return SIMPLE * op.shape[0] * (down + across)


def whole(channels: int) -> int:
    """Channels rounded up to whole blocks."""
    return -(-channels // BLOCK) * BLOCK
