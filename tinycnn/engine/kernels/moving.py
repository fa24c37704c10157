"""Values moved: copied in stripes, in another order of dimensions, resampled."""

from __future__ import annotations

import numpy as np

from tinycnn.engine.kernels._jit import (
    ahead,
    floats,
    helper,
    kernel,
    longs,
    share_begin,
    share_end,
)
from tinycnn.engine.kernels.instructions import COPY, OUTER, PERMUTE, RESAMPLE


@helper
def plane_begin(sizes, strides, plane):
    """Where the ``plane``-th plane begins: an index of `OUTER` dimensions, times their strides."""
    place = 0
    for i in range(OUTER - 1, -1, -1):
        if sizes[i] > 1:
            place += plane % sizes[i] * strides[i]
            plane //= sizes[i]
    return place


@helper
def permute_rows(x, y, rows, row_step, length, step):
    """Some rows of a plane; the longer of both loops is the inner one."""
    if rows > length:
        for k in range(length):
            for r in range(rows):
                y[r * length + k] = x[r * row_step + k * step]
    else:
        for r in range(rows):
            for k in range(length):
                y[r * length + k] = x[r * row_step + k * step]


@kernel
def permute(row, arena, weights, thread, threads):
    """Each value of y from where it stands in x; threads share the rows."""
    x, y = floats(arena, row[PERMUTE.x]), floats(arena, row[PERMUTE.y])
    sizes, strides = ahead(row, PERMUTE.size0), ahead(row, PERMUTE.stride0)
    rows, length, row_step = row[PERMUTE.rows], row[PERMUTE.length], row[PERMUTE.row_step]
    i = share_begin(row[PERMUTE.planes] * rows, thread, threads)
    end = share_end(row[PERMUTE.planes] * rows, thread, threads)
    while i < end:
        place = plane_begin(sizes, strides, i // rows) + i % rows * row_step
        count = min(rows - i % rows, end - i)
        source, target = ahead(x, place), ahead(y, i * length)
        permute_rows(source, target, count, row_step, length, row[PERMUTE.step])
        i += count


@kernel
def copy(row, arena, weights, thread, threads):
    """``outer`` stripes of ``length`` values, ``x_stride`` values apart in x, ``stride`` in y."""
    length, outer = row[COPY.length], row[COPY.outer]
    for o in range(share_begin(outer, thread, threads), share_end(outer, thread, threads)):
        x = ahead(floats(arena, row[COPY.x]), o * row[COPY.x_stride])
        y = ahead(floats(arena, row[COPY.y]), o * row[COPY.stride])
        for i in range(length):
            y[i] = x[i]


@helper
def add_scaled(y, x, weight, size):
    """y += weight * x, unless the weight is 0: then x may be anything."""
    if weight != 0:
        for i in range(size):
            y[i] += weight * x[i]


@helper
def zero(y, size):
    """y = 0."""
    for i in range(size):
        y[i] = np.float32(0)


@kernel
def resample(row, arena, weights, thread, threads):
    """Each output row: rows of x summed by weight into scratch (one for each thread), then columns.

    At ``rows`` stand the first row of x for each output row, then ``row_taps`` weights for each;
    at ``columns`` the same.
    """
    width, channels = row[RESAMPLE.width], row[RESAMPLE.channels]
    out_height, out_width = row[RESAMPLE.out_height], row[RESAMPLE.out_width]
    row_taps, column_taps = row[RESAMPLE.row_taps], row[RESAMPLE.column_taps]
    x, y = floats(arena, row[RESAMPLE.x]), floats(arena, row[RESAMPLE.y])
    first_row, first_column = (
        longs(weights, row[RESAMPLE.rows]),
        longs(weights, row[RESAMPLE.columns]),
    )
    rows = floats(weights, row[RESAMPLE.rows] + 8 * out_height)
    columns = floats(weights, row[RESAMPLE.columns] + 8 * out_width)
    size = width * channels
    line = ahead(floats(arena, row[RESAMPLE.scratch]), thread * size)
    begin = share_begin(out_height, thread, threads)
    for oy in range(begin, share_end(out_height, thread, threads)):
        zero(line, size)
        for k in range(row_taps):
            source = ahead(x, (first_row[oy] + k) * size)
            add_scaled(line, source, rows[oy * row_taps + k], size)
        for ox in range(out_width):
            pixel = ahead(y, (oy * out_width + ox) * channels)
            zero(pixel, channels)
            for k in range(column_taps):
                source = ahead(line, (first_column[ox] + k) * channels)
                add_scaled(pixel, source, columns[ox * column_taps + k], channels)
