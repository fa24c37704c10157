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

FAR = 1 << 40  # no kernel has so many taps


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
    """Direct convolution, one output pixel after the other; threads share the pixels."""
    height, width, channels = row[CONV.height], row[CONV.width], row[CONV.channels]
    columns, filters, groups = row[CONV.out_width], row[CONV.filters], row[CONV.groups]
    inner, outer = channels // groups, filters // groups
    x, y = floats(arena, row[CONV.x]), floats(arena, row[CONV.y])
    kernel, bias = floats(weights, row[CONV.kernel]), floats(weights, row[CONV.bias])
    low, high = parameter(row, CONV.low), parameter(row, CONV.high)
    pixels = row[CONV.out_height] * columns
    for i in range(share_begin(pixels, thread, threads), share_end(pixels, thread, threads)):
        oy, ox = i // columns, i % columns
        pixel = ahead(y, i * filters)
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
    """Depthwise convolution with any multiplier; threads share the output pixels."""
    height, width, channels = row[DEPTHWISE.height], row[DEPTHWISE.width], row[DEPTHWISE.channels]
    columns, filters = row[DEPTHWISE.out_width], row[DEPTHWISE.filters]
    multiplier = row[DEPTHWISE.multiplier]
    x, y = floats(arena, row[DEPTHWISE.x]), floats(arena, row[DEPTHWISE.y])
    kernel, bias = floats(weights, row[DEPTHWISE.kernel]), floats(weights, row[DEPTHWISE.bias])
    low, high = parameter(row, DEPTHWISE.low), parameter(row, DEPTHWISE.high)
    pixels = row[DEPTHWISE.out_height] * columns
    for i in range(share_begin(pixels, thread, threads), share_end(pixels, thread, threads)):
        oy, ox = i // columns, i % columns
        pixel = ahead(y, i * filters)
        fill(pixel, bias, filters)
        for ky in range(row[DEPTHWISE.kernel_height]):
            iy = oy * row[DEPTHWISE.stride_y] + ky * row[DEPTHWISE.dilation_y] - row[DEPTHWISE.top]
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
                    for c in range(channels):
                        for f in range(c * multiplier, (c + 1) * multiplier):
                            pixel[f] += source[c] * tap[f]
        clip(pixel, filters, low, high)


@helper
def every(stride, dilation):
    """Every how many taps of a kernel meet an input pixel: stride / gcd(stride, dilation)."""
    a, b = stride, dilation
    while b != 0:
        a, b = b, a % b
    return stride // a


@helper
def first_tap(place, stride, dilation, step):
    """The first tap that meets an input pixel from output row or column ``place``."""
    if dilation == 1:
        return place % stride
    for k in range(step):
        if (place - k * dilation) % stride == 0:
            return k
    return FAR


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
    dilation_y, dilation_x = row[CONV_TRANSPOSE.dilation_y], row[CONV_TRANSPOSE.dilation_x]
    step_y, step_x = every(stride_y, dilation_y), every(stride_x, dilation_x)
    pixels = row[CONV_TRANSPOSE.out_height] * columns
    for i in range(share_begin(pixels, thread, threads), share_end(pixels, thread, threads)):
        oy, ox = i // columns + row[CONV_TRANSPOSE.top], i % columns + row[CONV_TRANSPOSE.left]
        pixel = ahead(y, i * filters)
        fill(pixel, bias, filters)
        first_y = first_tap(oy, stride_y, dilation_y, step_y)
        first_x = first_tap(ox, stride_x, dilation_x, step_x)
        for ky in range(first_y, row[CONV_TRANSPOSE.kernel_height], step_y):
            iy = (oy - ky * dilation_y) // stride_y
            if iy < 0 or iy >= height:
                continue
            for kx in range(first_x, kernel_width, step_x):
                ix = (ox - kx * dilation_x) // stride_x
                if ix < 0 or ix >= width:
                    continue
                source = ahead(x, (iy * width + ix) * channels)
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
