"""Windows and whole pictures reduced to their maximum or mean. NaN stays NaN."""

from __future__ import annotations

import numpy as np

from tinycnn.engine.kernels._jit import ahead, floats, helper, kernel, share_begin, share_end
from tinycnn.engine.kernels.instructions import GLOBAL_POOL, MAX, MEAN, POOL


@helper
def absorb(kind, y, x, channels):
    """y = max(y, x), or y += x."""
    if kind == MAX:
        for c in range(channels):
            if x[c] > y[c] or x[c] != x[c]:
                y[c] = x[c]
    else:
        for c in range(channels):
            y[c] += x[c]


@helper
def start(kind, y, channels):
    """y = what absorbs nothing."""
    value = np.float32(-np.inf) if kind == MAX else np.float32(0)
    for c in range(channels):
        y[c] = value


@kernel
def pool(row, arena, weights, thread, threads):
    """Pooling; cells outside the picture do not count. Threads share the output rows."""
    height, width, channels = row[POOL.height], row[POOL.width], row[POOL.channels]
    columns, kind, rows = row[POOL.out_width], row[POOL.kind], row[POOL.out_height]
    x, y = floats(arena, row[POOL.x]), floats(arena, row[POOL.y])
    for oy in range(share_begin(rows, thread, threads), share_end(rows, thread, threads)):
        for ox in range(columns):
            pixel = ahead(y, (oy * columns + ox) * channels)
            start(kind, pixel, channels)
            count = 0
            for ky in range(row[POOL.kernel_height]):
                iy = oy * row[POOL.stride_y] + ky - row[POOL.top]
                if iy < 0 or iy >= height:
                    continue
                for kx in range(row[POOL.kernel_width]):
                    ix = ox * row[POOL.stride_x] + kx - row[POOL.left]
                    if ix < 0 or ix >= width:
                        continue
                    absorb(kind, pixel, ahead(x, (iy * width + ix) * channels), channels)
                    count += 1
            if kind == MEAN:
                for c in range(channels):
                    pixel[c] /= np.float32(count)


@kernel
def global_pool(row, arena, weights, thread, threads):
    """Pooling of the whole picture; threads share the channels."""
    channels, kind, pixels = (
        row[GLOBAL_POOL.channels],
        row[GLOBAL_POOL.kind],
        row[GLOBAL_POOL.pixels],
    )
    begin, end = share_begin(channels, thread, threads), share_end(channels, thread, threads)
    x = ahead(floats(arena, row[GLOBAL_POOL.x]), begin)
    y = ahead(floats(arena, row[GLOBAL_POOL.y]), begin)
    start(kind, y, end - begin)
    for p in range(pixels):
        absorb(kind, y, ahead(x, p * channels), end - begin)
    if kind == MEAN:
        for c in range(end - begin):
            y[c] /= np.float32(pixels)
