"""Values moved: gathered by index, copied in stripes, resampled."""

from __future__ import annotations

import numpy as np

from tinycnn.engine.kernels._jit import ahead, floats, integers, kernel, share_begin, share_end
from tinycnn.engine.kernels.instructions import COPY, GATHER, RESAMPLE


@kernel
def gather(row, arena, weights, thread, threads):
    """y[i] = x[index[i]], or 0 where the index is -1."""
    x, y, size = floats(arena, row[GATHER.x]), floats(arena, row[GATHER.y]), row[GATHER.size]
    index = integers(weights, row[GATHER.index])
    for i in range(share_begin(size, thread, threads), share_end(size, thread, threads)):
        y[i] = np.float32(0) if index[i] < 0 else x[index[i]]


@kernel
def copy(row, arena, weights, thread, threads):
    """``outer`` stripes of ``length`` values, ``stride`` values apart in y."""
    length, outer, stride = row[COPY.length], row[COPY.outer], row[COPY.stride]
    for o in range(share_begin(outer, thread, threads), share_end(outer, thread, threads)):
        x = ahead(floats(arena, row[COPY.x]), o * length)
        y = ahead(floats(arena, row[COPY.y]), o * stride)
        for i in range(length):
            y[i] = x[i]


@kernel
def resample(row, arena, weights, thread, threads):
    """Each output row: rows of x summed by weight into scratch (one for each thread), then columns.

    ``rows`` (out_height, height) and ``columns`` (out_width, width) are mostly zeros: skipped.
    """
    height, width, channels = row[RESAMPLE.height], row[RESAMPLE.width], row[RESAMPLE.channels]
    out_height, out_width = row[RESAMPLE.out_height], row[RESAMPLE.out_width]
    x, y = floats(arena, row[RESAMPLE.x]), floats(arena, row[RESAMPLE.y])
    rows, columns = floats(weights, row[RESAMPLE.rows]), floats(weights, row[RESAMPLE.columns])
    size = width * channels
    line = ahead(floats(arena, row[RESAMPLE.scratch]), thread * size)
    begin = share_begin(out_height, thread, threads)
    for oy in range(begin, share_end(out_height, thread, threads)):
        for i in range(size):
            line[i] = np.float32(0)
        for iy in range(height):
            weight, source = rows[oy * height + iy], ahead(x, iy * size)
            if weight != 0:
                for i in range(size):
                    line[i] += weight * source[i]
        for ox in range(out_width):
            pixel = ahead(y, (oy * out_width + ox) * channels)
            for c in range(channels):
                pixel[c] = np.float32(0)
            for ix in range(width):
                weight, source = columns[ox * width + ix], ahead(line, ix * channels)
                if weight != 0:
                    for c in range(channels):
                        pixel[c] += weight * source[c]
