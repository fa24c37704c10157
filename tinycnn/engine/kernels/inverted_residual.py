"""A whole inverted residual block at once: expand, depthwise 3x3, project, add.

Row by row, so that the expanded tensor, six times the size of the others, never leaves the cache:
three expanded lines are kept, each new output row expands one more (two for stride 2). A thread
takes a run of output rows and has lines of its own; at the seam two threads expand the same rows.
"""

from __future__ import annotations

import numpy as np

from tinycnn.engine.kernels._jit import (
    ahead,
    floats,
    helper,
    kernel,
    longs,
    null,
    parameter,
    share_begin,
    share_end,
)
from tinycnn.engine.kernels.depthwise import line_3x3
from tinycnn.engine.kernels.family import BLOCK
from tinycnn.engine.kernels.instructions import INVERTED_RESIDUAL as IR
from tinycnn.engine.kernels.matmul import PANEL, ROWS, VECTOR, line

ZERO, INFINITY = np.float32(0), np.float32(np.inf)


@helper
def line_matmul(
    columns, filters, x, segments, full, short, channels, kernel, bias,
    residual, residual_block, y, y_block, low, high,
):  # fmt: skip
    """One row of a 1x1 convolution: ``columns`` pixels that lie together."""
    taps = full * BLOCK + short * channels
    tiles = (columns + ROWS - 1) // ROWS
    for first in range(0, filters, PANEL):
        vectors = (min(filters - first, PANEL) + VECTOR - 1) // VECTOR
        blocks, lane = first // BLOCK, first % BLOCK
        out = ahead(y, blocks * y_block + lane)
        add = ahead(residual, blocks * residual_block + lane)
        line(
            columns, tiles, 0, tiles, vectors, x, BLOCK, segments, full, short, channels,
            ahead(kernel, first * taps), ahead(bias, first),
            add if residual_block != 0 else null(), residual_block, out, y_block, low, high,
        )  # fmt: skip


@helper
def expand(row, arena, weights, target, source_row):
    """Row ``source_row`` of the expanded picture into ``target``, between its columns of zeros."""
    x = ahead(floats(arena, row[IR.x]), source_row * row[IR.x_row])
    width = row[IR.width]
    line_matmul(
        width, row[IR.blocks] * BLOCK, x, longs(weights, row[IR.segments_in]), row[IR.full_in],
        row[IR.short_in], row[IR.channels_in], floats(weights, row[IR.kernel_in]),
        floats(weights, row[IR.bias_in]), null(), 0, ahead(target, BLOCK), (width + 2) * BLOCK,
        parameter(row, IR.low), parameter(row, IR.high),
    )  # fmt: skip


@helper
def project(row, arena, weights, middle, oy):
    """Output row ``oy`` from the depthwise row ``middle``, plus the residual."""
    columns, blocks = row[IR.out_width], row[IR.blocks]
    residual = ahead(floats(arena, row[IR.residual]), oy * row[IR.residual_row])
    y = ahead(floats(arena, row[IR.y]), oy * row[IR.y_row])
    line_matmul(
        columns, row[IR.filters], middle, longs(weights, row[IR.segments_out]), blocks, 0, 0,
        floats(weights, row[IR.kernel_out]), floats(weights, row[IR.bias_out]),
        residual, row[IR.residual_block], y, row[IR.y_block], -INFINITY, INFINITY,
    )  # fmt: skip


@kernel
def inverted_residual(row, arena, weights, thread, threads):
    """Threads share the output rows."""
    rows, columns, blocks = row[IR.out_height], row[IR.out_width], row[IR.blocks]
    width, height, stride = row[IR.width], row[IR.height], row[IR.stride]
    block = (width + 2) * BLOCK
    size = blocks * block
    lines = ahead(floats(arena, row[IR.scratch]), thread * row[IR.scratch_size])
    zeros, middle = ahead(lines, 3 * size), ahead(lines, 4 * size)
    kernel, bias = floats(weights, row[IR.kernel]), floats(weights, row[IR.bias])
    low, high = parameter(row, IR.low), parameter(row, IR.high)
    for i in range(4 * size):
        lines[i] = ZERO
    begin, end = share_begin(rows, thread, threads), share_end(rows, thread, threads)
    ready = max(begin * stride - row[IR.top], 0)  # the first row that is not yet expanded
    for oy in range(begin, end):
        top = oy * stride - row[IR.top]
        for y in range(ready, min(top + 3, height)):
            expand(row, arena, weights, ahead(lines, y % 3 * size), y)
        ready = max(ready, top + 3)
        line0 = ahead(lines, top % 3 * size) if top >= 0 else zeros
        line1 = ahead(lines, (top + 1) % 3 * size) if top + 1 < height else zeros
        line2 = ahead(lines, (top + 2) % 3 * size) if top + 2 < height else zeros
        skip = (1 - row[IR.left]) * BLOCK
        for b in range(blocks):
            place = b * block + skip
            line_3x3(
                stride, columns, ahead(line0, place), ahead(line1, place), ahead(line2, place),
                ahead(kernel, b * 9 * BLOCK), ahead(bias, b * BLOCK),
                ahead(middle, b * columns * BLOCK), low, high,
            )  # fmt: skip
        project(row, arena, weights, middle, oy)
