"""Depthwise convolutions on blocked pictures: one block of channels after the other.

The 3x3 tile keeps its nine weights and a run of output pixels in registers; each input vector is
loaded once and used up to three times. The picture carries its ring of zeros.
"""

from __future__ import annotations

from typing import Any

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
from tinycnn.engine.kernels.family import BLOCK, CURRENT, Family
from tinycnn.engine.kernels.instructions import DEPTHWISE_BLOCKED
from tinycnn.engine.kernels.tile import Vectors, choose


def _emit_tile(builder: Any, family: Family, columns: int, stride: int, args: Any) -> None:
    """``columns`` output pixels of one row, one vector of channels, or a pair of them."""
    *lines, weights, bias, y, low, high = args
    v = Vectors(builder, family.vector)
    lanes = range(0, family.across * family.vector, family.vector)
    sums = _biases(v, family, columns, bias, lanes)
    for ky, line in enumerate(lines):
        taps = [[v.load(weights, (3 * ky + kx) * BLOCK + n) for n in lanes] for kx in range(3)]
        for column in _order((columns - 1) * stride + 3, stride):
            users = [(c, column - c * stride) for c in range(columns)]
            users = [(c, kx) for c, kx in users if 0 <= kx < 3]
            if users:
                values = [v.load(line, column * BLOCK + lane) for lane in lanes]
                for c, kx in users:
                    sums[c] = list(map(v.multiply_add, values, taps[kx], sums[c]))
    if family.lanes:  # else stores would go first, and all loads before them, into the stack
        sums = v.together(sums)
    lows, highs = v.splat(low), v.splat(high)
    for c, values in enumerate(sums):
        for value, lane in zip(values, lanes, strict=True):
            v.store(v.clip(value, lows, highs), y, c * BLOCK + lane)
    if family.lanes:  # else the last two vectors are stored one by one, which costs twice as much
        v.end()


def _biases(v: Vectors, family: Family, columns: int, bias: Any, lanes: range) -> list[list[Any]]:
    """What the sums begin with. On Arm a copy takes a pipe of the multiply-adds: load each."""
    sums = []
    for _ in range(columns):
        if family.lanes:
            bias = v.unknown(bias)
        sums.append([v.load(bias, lane) for lane in lanes])
    return sums


def _order(width: int, stride: int) -> list[int]:
    """Input columns; for stride 2 the even ones first: neighbours add to the same sum."""
    return [c for first in range(stride) for c in range(first, width, stride)]


def make_tile(family: Family, stride: int) -> Any:
    """Make ``tile(columns, line0, line1, line2, weights, bias, y, low, high)``."""

    @intrinsic
    def tile(typing, columns, line0, line1, line2, weights, bias, y, low, high):
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            cases: dict[int, Any] = {
                n: lambda n=n: _emit_tile(builder, family, n, stride, args[1:])
                for n in range(1, family.depthwise + 1)
            }
            choose(builder, args[0], cases)
            return context.get_dummy_value()

        return types.void(types.int64, *[FLOATS] * 6, types.float32, types.float32), codegen

    return tile


_near, _far = make_tile(CURRENT, 1), make_tile(CURRENT, 2)
ACROSS, COLUMNS = CURRENT.across * CURRENT.vector, CURRENT.depthwise


@helper
def line_3x3(stride, columns, line0, line1, line2, weights, bias, y, low, high):
    """One output row of one block of channels; the lines begin at the first column of zeros."""
    tiles = (columns + COLUMNS - 1) // COLUMNS
    for lane in range(0, BLOCK, ACROSS):
        for t in range(tiles):
            begin = t * columns // tiles
            count = (t + 1) * columns // tiles - begin
            place = begin * stride * BLOCK + lane
            a, b, c = ahead(line0, place), ahead(line1, place), ahead(line2, place)
            w, s, out = ahead(weights, lane), ahead(bias, lane), ahead(y, begin * BLOCK + lane)
            if stride == 1:
                _near(count, a, b, c, w, s, out, low, high)
            else:
                _far(count, a, b, c, w, s, out, low, high)


@helper
def line_any(row, x, weights, bias, y, first, end, low, high):
    """Columns ``first`` to ``end`` of an output row of one block, for any window."""
    for column in range(first, end):
        pixel = ahead(y, column * BLOCK)
        for c in range(BLOCK):
            pixel[c] = bias[c]
        for ky in range(row[DEPTHWISE_BLOCKED.kernel_height]):
            for kx in range(row[DEPTHWISE_BLOCKED.kernel_width]):
                place = ky * row[DEPTHWISE_BLOCKED.dilation_y] * row[DEPTHWISE_BLOCKED.x_row]
                place += kx * row[DEPTHWISE_BLOCKED.dilation_x] * BLOCK
                source = ahead(x, place + column * row[DEPTHWISE_BLOCKED.stride_x] * BLOCK)
                tap = ahead(weights, (ky * row[DEPTHWISE_BLOCKED.kernel_width] + kx) * BLOCK)
                for c in range(BLOCK):
                    pixel[c] += source[c] * tap[c]
        for c in range(BLOCK):
            if pixel[c] < low:
                pixel[c] = low
            if pixel[c] > high:
                pixel[c] = high


@kernel
def depthwise_blocked(row, arena, weights, thread, threads):
    """All blocks and rows; threads share the pairs, or parts of rows where these are long."""
    rows, stride = row[DEPTHWISE_BLOCKED.rows], row[DEPTHWISE_BLOCKED.stride_x]
    area = row[DEPTHWISE_BLOCKED.kernel_height] * row[DEPTHWISE_BLOCKED.kernel_width]
    low, high = parameter(row, DEPTHWISE_BLOCKED.low), parameter(row, DEPTHWISE_BLOCKED.high)
    x_row, columns = row[DEPTHWISE_BLOCKED.x_row], row[DEPTHWISE_BLOCKED.columns]
    simple = (
        row[DEPTHWISE_BLOCKED.kernel_height] == 3
        and row[DEPTHWISE_BLOCKED.kernel_width] == 3
        and row[DEPTHWISE_BLOCKED.dilation_y] == 1
        and row[DEPTHWISE_BLOCKED.dilation_x] == 1
        and stride <= 2
    )
    parts = 1 if simple else in_parts(columns, area)
    total = row[DEPTHWISE_BLOCKED.blocks] * rows * parts
    for item in range(share_begin(total, thread, threads), share_end(total, thread, threads)):
        block, line, part = item // parts // rows, item // parts % rows, item % parts
        x = ahead(floats(arena, row[DEPTHWISE_BLOCKED.x]), block * row[DEPTHWISE_BLOCKED.x_block])
        x = ahead(x, line * row[DEPTHWISE_BLOCKED.stride_y] * x_row)
        y = ahead(floats(arena, row[DEPTHWISE_BLOCKED.y]), block * row[DEPTHWISE_BLOCKED.y_block])
        y = ahead(y, line * row[DEPTHWISE_BLOCKED.y_row])
        w = ahead(floats(weights, row[DEPTHWISE_BLOCKED.kernel]), block * area * BLOCK)
        b = ahead(floats(weights, row[DEPTHWISE_BLOCKED.bias]), block * BLOCK)
        if simple:
            below = ahead(x, x_row)
            line_3x3(stride, columns, x, below, ahead(below, x_row), w, b, y, low, high)
        else:
            first, end = share_begin(columns, part, parts), share_end(columns, part, parts)
            line_any(row, x, w, b, y, first, end, low, high)
