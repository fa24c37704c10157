"""Convolutions: general, depthwise, transposed, and the matrix product of dense layers."""

from __future__ import annotations

from tinycnn.engine.kernels._jit import (
    ahead,
    floats,
    helper,
    kernel,
    parameter,
    share_begin,
    share_end,
)
from tinycnn.engine.kernels.instructions import CONV, CONV_TRANSPOSE, DENSE, DEPTHWISE


@helper
def add_product(y, x, kernel, channels, filters, stride):
    """y[f] += sum over c of x[c] * kernel[c * stride + f]."""
    for c in range(channels):
        value, column = x[c], ahead(kernel, c * stride)
        for f in range(filters):
            y[f] += value * column[f]


@helper
def fill(y, bias, size):
    """y = bias."""
    for f in range(size):
        y[f] = bias[f]


@helper
def clip(y, size, low, high):
    """y = min(max(y, low), high), in place; NaN stays NaN."""
    for f in range(size):
        if y[f] < low:
            y[f] = low
        if y[f] > high:
            y[f] = high


@kernel
def conv(row, arena, weights, thread, threads):
    """Direct convolution, one output pixel after the other; threads share the output rows."""
    height, width, channels = row[CONV.height], row[CONV.width], row[CONV.channels]
    columns, filters, groups = row[CONV.out_width], row[CONV.filters], row[CONV.groups]
    inner, outer = channels // groups, filters // groups
    x, y = floats(arena, row[CONV.x]), floats(arena, row[CONV.y])
    kernel, bias = floats(weights, row[CONV.kernel]), floats(weights, row[CONV.bias])
    low, high = parameter(row, CONV.low), parameter(row, CONV.high)
    rows = row[CONV.out_height]
    for oy in range(share_begin(rows, thread, threads), share_end(rows, thread, threads)):
        for ox in range(columns):
            pixel = ahead(y, (oy * columns + ox) * filters)
            fill(pixel, bias, filters)
            for ky in range(row[CONV.kernel_height]):
                iy = oy * row[CONV.stride_y] + ky * row[CONV.dilation_y] - row[CONV.top]
                if iy < 0 or iy >= height:
                    continue
                for kx in range(row[CONV.kernel_width]):
                    ix = ox * row[CONV.stride_x] + kx * row[CONV.dilation_x] - row[CONV.left]
                    if ix < 0 or ix >= width:
                        continue
                    source = ahead(x, (iy * width + ix) * channels)
                    tap = ahead(kernel, (ky * row[CONV.kernel_width] + kx) * inner * filters)
                    for g in range(groups):
                        add_product(
                            ahead(pixel, g * outer), ahead(source, g * inner),
                            ahead(tap, g * outer), inner, outer, filters,
                        )  # fmt: skip
            clip(pixel, filters, low, high)


@kernel
def depthwise(row, arena, weights, thread, threads):
    """Depthwise convolution with any multiplier; threads share the output rows."""
    height, width, channels = row[DEPTHWISE.height], row[DEPTHWISE.width], row[DEPTHWISE.channels]
    columns, filters = row[DEPTHWISE.out_width], row[DEPTHWISE.filters]
    multiplier = row[DEPTHWISE.multiplier]
    x, y = floats(arena, row[DEPTHWISE.x]), floats(arena, row[DEPTHWISE.y])
    kernel, bias = floats(weights, row[DEPTHWISE.kernel]), floats(weights, row[DEPTHWISE.bias])
    low, high = parameter(row, DEPTHWISE.low), parameter(row, DEPTHWISE.high)
    rows = row[DEPTHWISE.out_height]
    for oy in range(share_begin(rows, thread, threads), share_end(rows, thread, threads)):
        for ox in range(columns):
            pixel = ahead(y, (oy * columns + ox) * filters)
            fill(pixel, bias, filters)
            for ky in range(row[DEPTHWISE.kernel_height]):
                iy = oy * row[DEPTHWISE.stride_y] + ky * row[DEPTHWISE.dilation_y]
                iy -= row[DEPTHWISE.top]
                if iy < 0 or iy >= height:
                    continue
                for kx in range(row[DEPTHWISE.kernel_width]):
                    ix = ox * row[DEPTHWISE.stride_x] + kx * row[DEPTHWISE.dilation_x]
                    ix -= row[DEPTHWISE.left]
                    if ix < 0 or ix >= width:
                        continue
                    source = ahead(x, (iy * width + ix) * channels)
                    tap = ahead(kernel, (ky * row[DEPTHWISE.kernel_width] + kx) * filters)
                    if multiplier == 1:
                        for c in range(channels):
                            pixel[c] += source[c] * tap[c]
                    else:
                        for f in range(filters):
                            pixel[f] += source[f // multiplier] * tap[f]
            clip(pixel, filters, low, high)


@kernel
def conv_transpose(row, arena, weights, thread, threads):
    """Transposed convolution, gathered: each output pixel asks which inputs reach it."""
    height, width = row[CONV_TRANSPOSE.height], row[CONV_TRANSPOSE.width]
    channels, filters = row[CONV_TRANSPOSE.channels], row[CONV_TRANSPOSE.filters]
    columns, kernel_width = row[CONV_TRANSPOSE.out_width], row[CONV_TRANSPOSE.kernel_width]
    stride_y, stride_x = row[CONV_TRANSPOSE.stride_y], row[CONV_TRANSPOSE.stride_x]
    x, y = floats(arena, row[CONV_TRANSPOSE.x]), floats(arena, row[CONV_TRANSPOSE.y])
    kernel = floats(weights, row[CONV_TRANSPOSE.kernel])
    bias = floats(weights, row[CONV_TRANSPOSE.bias])
    low, high = parameter(row, CONV_TRANSPOSE.low), parameter(row, CONV_TRANSPOSE.high)
    rows = row[CONV_TRANSPOSE.out_height]
    for oy in range(share_begin(rows, thread, threads), share_end(rows, thread, threads)):
        for ox in range(columns):
            pixel = ahead(y, (oy * columns + ox) * filters)
            fill(pixel, bias, filters)
            for ky in range(row[CONV_TRANSPOSE.kernel_height]):
                fy = oy + row[CONV_TRANSPOSE.top] - ky * row[CONV_TRANSPOSE.dilation_y]
                if fy < 0 or fy % stride_y != 0 or fy // stride_y >= height:
                    continue
                for kx in range(kernel_width):
                    fx = ox + row[CONV_TRANSPOSE.left] - kx * row[CONV_TRANSPOSE.dilation_x]
                    if fx < 0 or fx % stride_x != 0 or fx // stride_x >= width:
                        continue
                    source = ahead(x, (fy // stride_y * width + fx // stride_x) * channels)
                    tap = ahead(kernel, (ky * kernel_width + kx) * channels * filters)
                    add_product(pixel, source, tap, channels, filters, filters)
            clip(pixel, filters, low, high)


@kernel
def dense(row, arena, weights, thread, threads):
    """Matrix product; threads share the filters, because there is often one row only."""
    channels, filters = row[DENSE.channels], row[DENSE.filters]
    begin, end = share_begin(filters, thread, threads), share_end(filters, thread, threads)
    kernel = ahead(floats(weights, row[DENSE.kernel]), begin)
    bias = ahead(floats(weights, row[DENSE.bias]), begin)
    low, high = parameter(row, DENSE.low), parameter(row, DENSE.high)
    for r in range(row[DENSE.rows]):
        x = ahead(floats(arena, row[DENSE.x]), r * channels)
        y = ahead(floats(arena, row[DENSE.y]), r * filters + begin)
        fill(y, bias, end - begin)
        add_product(y, x, kernel, channels, end - begin, filters)
        clip(y, end - begin, low, high)
