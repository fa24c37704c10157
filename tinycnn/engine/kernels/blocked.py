"""Everything else on blocked pictures, [block][row][column][16]: one row of a block at a time.

Channels above the picture's own, in the last block, are computed along and never read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinycnn.engine.kernels._jit import (
    FLOATS,
    ahead,
    floats,
    helper,
    in_parts,
    kernel,
    parameter,
    share_begin,
    share_end,
)
from tinycnn.engine.kernels.elementwise import clipped, combine
from tinycnn.engine.kernels.family import BLOCK, CURRENT, Family
from tinycnn.engine.kernels.instructions import (
    ADD,
    ADD_BLOCKED,
    AFFINE_BLOCKED,
    CONVERT,
    GLOBAL_POOL_BLOCKED,
    MEAN,
    POOL_BLOCKED,
    RING,
)
from tinycnn.engine.kernels.tile import F32, Vectors, loop, number


def _emit_window(builder: Any, family: Family, largest: bool, args: Any) -> None:
    """Maximum or sum of a window in registers; a maximum with NaN is NaN."""
    x, row, rows, columns, factor, y = args
    v = Vectors(builder, family.vector)
    lanes = range(0, BLOCK, family.vector)

    def absorb(total: Any, value: Any) -> Any:
        if not largest:
            return builder.fadd(total, value)
        greater = builder.fcmp_ordered(">", value, total)
        nan = builder.fcmp_unordered("uno", value, value)
        return builder.select(builder.or_(greater, nan), value, total)

    def line(r: Any, totals: list[Any]) -> list[Any]:
        start = v.at(x, builder.mul(r, row))

        def pixel(c: Any, totals: list[Any]) -> list[Any]:
            place = v.at(start, builder.mul(c, number(BLOCK)))
            return [absorb(t, v.load(place, k)) for t, k in zip(totals, lanes, strict=True)]

        return loop(builder, columns, totals, pixel)

    nothing = v.splat(ir.Constant(F32, float("-inf") if largest else 0.0))
    totals = loop(builder, rows, [nothing for _ in lanes], line)
    for total, k in zip(totals, lanes, strict=True):
        v.store(total if largest else builder.fmul(total, v.splat(factor)), y, k)


def _make_window(largest: bool) -> Any:
    """Make ``window(x, row, rows, columns, factor, y)``: one pixel of one block."""

    @intrinsic
    def window(typing, x, row, rows, columns, factor, y):
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _emit_window(builder, CURRENT, largest, args)
            return context.get_dummy_value()

        long = types.int64
        return types.void(FLOATS, long, long, long, types.float32, FLOATS), codegen

    return window


_largest, _mean = _make_window(True), _make_window(False)


@helper
def window(kind, x, row, rows, columns, y):
    """Reduce ``rows`` x ``columns`` pixels of one block to one."""
    if kind == MEAN:
        _mean(x, row, rows, columns, np.float32(1) / np.float32(rows * columns), y)
    else:
        _largest(x, row, rows, columns, np.float32(1), y)


@kernel
def pool_blocked(row, arena, weights, thread, threads):
    """Pooling; cells outside the picture do not count. Threads share (block, row, part of it)."""
    rows, height = row[POOL_BLOCKED.out_height], row[POOL_BLOCKED.height]
    width, kind = row[POOL_BLOCKED.width], row[POOL_BLOCKED.kind]
    x_row = row[POOL_BLOCKED.x_row]
    columns = row[POOL_BLOCKED.out_width]
    parts = in_parts(columns, row[POOL_BLOCKED.kernel_height] * row[POOL_BLOCKED.kernel_width])
    total = row[POOL_BLOCKED.blocks] * rows * parts
    for item in range(share_begin(total, thread, threads), share_end(total, thread, threads)):
        block, oy, part = item // parts // rows, item // parts % rows, item % parts
        x = ahead(floats(arena, row[POOL_BLOCKED.x]), block * row[POOL_BLOCKED.x_block])
        y = ahead(floats(arena, row[POOL_BLOCKED.y]), block * row[POOL_BLOCKED.y_block])
        y = ahead(y, oy * row[POOL_BLOCKED.y_row])
        top = oy * row[POOL_BLOCKED.stride_y] - row[POOL_BLOCKED.top]
        y0, y1 = max(top, 0), min(top + row[POOL_BLOCKED.kernel_height], height)
        for ox in range(share_begin(columns, part, parts), share_end(columns, part, parts)):
            left = ox * row[POOL_BLOCKED.stride_x] - row[POOL_BLOCKED.left]
            x0, x1 = max(left, 0), min(left + row[POOL_BLOCKED.kernel_width], width)
            first = ahead(x, y0 * x_row + x0 * BLOCK)
            window(kind, first, x_row, y1 - y0, x1 - x0, ahead(y, ox * BLOCK))


@kernel
def global_pool_blocked(row, arena, weights, thread, threads):
    """Maximum or mean of each block; threads share the blocks."""
    blocks, kind = row[GLOBAL_POOL_BLOCKED.blocks], row[GLOBAL_POOL_BLOCKED.kind]
    rows, columns = row[GLOBAL_POOL_BLOCKED.rows], row[GLOBAL_POOL_BLOCKED.columns]
    for block in range(share_begin(blocks, thread, threads), share_end(blocks, thread, threads)):
        x = floats(arena, row[GLOBAL_POOL_BLOCKED.x])
        x = ahead(x, block * row[GLOBAL_POOL_BLOCKED.x_block])
        y = ahead(
            floats(arena, row[GLOBAL_POOL_BLOCKED.y]), block * row[GLOBAL_POOL_BLOCKED.y_block]
        )
        window(kind, x, row[GLOBAL_POOL_BLOCKED.x_row], rows, columns, y)


@intrinsic
def affine_line(typing, x, y, scale, shift, columns, low, high):
    """y = clip(x * scale + shift), one row of one block.

    In vectors, as LLVM makes scalar code of a loop: it cannot tell that y does not overlap scale.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, y, scale, shift, columns, low, high = args
        v = Vectors(builder, CURRENT.vector)
        lanes = range(0, BLOCK, CURRENT.vector)
        factors, terms = ([v.load(a, lane) for lane in lanes] for a in (scale, shift))
        lows, highs = v.splat(low), v.splat(high)

        def pixel(column: Any, state: list[Any]) -> list[Any]:
            place = builder.mul(column, number(BLOCK))
            source, target = v.at(x, place), v.at(y, place)
            for factor, term, lane in zip(factors, terms, lanes, strict=True):
                value = v.multiply_add(v.load(source, lane), factor, term)
                v.store(v.clip(value, lows, highs), target, lane)
            return []

        loop(builder, columns, [], pixel)
        return context.get_dummy_value()

    real = types.float32
    return types.void(FLOATS, FLOATS, FLOATS, FLOATS, types.int64, real, real), codegen


@kernel
def affine_blocked(row, arena, weights, thread, threads):
    """y = clip(x * scale + shift), along the channels; threads share (block, row)."""
    rows, columns = row[AFFINE_BLOCKED.rows], row[AFFINE_BLOCKED.columns]
    low, high = parameter(row, AFFINE_BLOCKED.low), parameter(row, AFFINE_BLOCKED.high)
    total = row[AFFINE_BLOCKED.blocks] * rows
    for item in range(share_begin(total, thread, threads), share_end(total, thread, threads)):
        block, r = item // rows, item % rows
        x = ahead(floats(arena, row[AFFINE_BLOCKED.x]), block * row[AFFINE_BLOCKED.x_block])
        y = ahead(floats(arena, row[AFFINE_BLOCKED.y]), block * row[AFFINE_BLOCKED.y_block])
        affine_line(
            ahead(x, r * row[AFFINE_BLOCKED.x_row]), ahead(y, r * row[AFFINE_BLOCKED.y_row]),
            ahead(floats(weights, row[AFFINE_BLOCKED.scale]), block * BLOCK),
            ahead(floats(weights, row[AFFINE_BLOCKED.shift]), block * BLOCK), columns, low, high,
        )  # fmt: skip


@kernel
def add_blocked(row, arena, weights, thread, threads):
    """y = clip(x1 op x2) of equal shapes; threads share (block, row)."""
    rows, size = row[ADD_BLOCKED.rows], row[ADD_BLOCKED.columns] * BLOCK
    low, high = parameter(row, ADD_BLOCKED.low), parameter(row, ADD_BLOCKED.high)
    kind, total = row[ADD_BLOCKED.kind], row[ADD_BLOCKED.blocks] * rows
    for item in range(share_begin(total, thread, threads), share_end(total, thread, threads)):
        block, r = item // rows, item % rows
        place = block * row[ADD_BLOCKED.block1] + r * row[ADD_BLOCKED.row1]
        a = ahead(floats(arena, row[ADD_BLOCKED.x1]), place)
        place = block * row[ADD_BLOCKED.block2] + r * row[ADD_BLOCKED.row2]
        b = ahead(floats(arena, row[ADD_BLOCKED.x2]), place)
        place = block * row[ADD_BLOCKED.y_block] + r * row[ADD_BLOCKED.y_row]
        y = ahead(floats(arena, row[ADD_BLOCKED.y]), place)
        if kind == ADD:
            for i in range(size):
                y[i] = clipped(a[i] + b[i], low, high)
        else:
            for i in range(size):
                y[i] = clipped(combine(kind, a[i], b[i]), low, high)


@kernel
def convert(row, arena, weights, thread, threads):
    """Copy a feature map between layouts; a plain one is a single block. Threads share the rows.

    Lanes above the last channel of a blocked one become zero, so that whole vectors may be read.
    """
    rows, columns, channels = row[CONVERT.rows], row[CONVERT.columns], row[CONVERT.channels]
    x_block, y_block = row[CONVERT.x_block], row[CONVERT.y_block]
    lanes = (channels + BLOCK - 1) // BLOCK * BLOCK if y_block != 0 else channels
    for r in range(share_begin(rows, thread, threads), share_end(rows, thread, threads)):
        x = ahead(floats(arena, row[CONVERT.x]), r * row[CONVERT.x_row])
        y = ahead(floats(arena, row[CONVERT.y]), r * row[CONVERT.y_row])
        for column in range(columns):
            source = ahead(x, column * row[CONVERT.x_pixel])
            target = ahead(y, column * row[CONVERT.y_pixel])
            for c in range(channels):
                lane = c % BLOCK
                a = c // BLOCK * x_block + lane if x_block != 0 else c
                b = c // BLOCK * y_block + lane if y_block != 0 else c
                target[b] = source[a]
            for c in range(channels, lanes):
                target[c // BLOCK * y_block + c % BLOCK] = np.float32(0)


@helper
def zero(y, size):
    """y = 0."""
    for i in range(size):
        y[i] = np.float32(0)


@kernel
def ring(row, arena, weights, thread, threads):
    """Zeros around a picture (y: its first pixel); threads share the blocks."""
    blocks, rows, columns = row[RING.blocks], row[RING.rows], row[RING.columns]
    line, left, right = row[RING.row], row[RING.left], row[RING.right]
    pixel = row[RING.pixel]
    for block in range(share_begin(blocks, thread, threads), share_end(blocks, thread, threads)):
        y = ahead(floats(arena, row[RING.y]), block * row[RING.block])
        above = row[RING.top] * line + left * pixel
        zero(ahead(y, -above), above)
        for r in range(rows - 1):
            zero(ahead(y, r * line + columns * pixel), (left + right) * pixel)
        # Nothing lies left of a row that does not exist: without a bottom, the buffer ends here.
        below = rows * line - left * pixel
        zero(ahead(y, below - right * pixel), right * pixel + row[RING.bottom] * line)
