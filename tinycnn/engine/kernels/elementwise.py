"""One value at a time: activations, per-channel factors, and pairs of pictures."""

from __future__ import annotations

import math

import numpy as np

from tinycnn.engine.kernels._jit import (
    ahead,
    floats,
    helper,
    in_parts,
    kernel,
    parameter,
    share_begin,
    share_end,
)
from tinycnn.engine.kernels.instructions import (
    ADD,
    AFFINE,
    BINARY,
    CELU,
    CLIP,
    CURVED,
    ELEMENTWISE,
    ELU,
    EXPONENTIAL,
    GELU,
    HARD_SHRINK,
    HARD_SIGMOID,
    HARD_SIGMOID_KERAS2,
    HARD_SILU,
    LEAKY_RELU,
    LOG_SIGMOID,
    MAXIMUM,
    MISH,
    MULTIPLY,
    PRELU,
    RELU,
    SELU,
    SIGMOID,
    SILU,
    SOFT_SHRINK,
    SOFTPLUS,
    SOFTSIGN,
    SPARSE_PLUS,
    SQUAREPLUS,
    SUBTRACT,
    TANH,
    TANH_SHRINK,
    THRESHOLD,
)
from tinycnn.engine.kernels.moving import plane_begin

ONE, HALF = np.float32(1), np.float32(0.5)
SELU_ALPHA, SELU_SCALE = np.float32(1.6732632423543772), np.float32(1.0507009873554805)
SQRT_HALF, GELU_FACTOR = np.float32(math.sqrt(0.5)), np.float32(math.sqrt(2 / math.pi))


@helper
def clipped(x, low, high):
    """min(max(x, low), high); NaN stays NaN."""
    if x < low:
        x = low
    if x > high:
        x = high
    return x


@helper
def sigmoid(x):
    """1 / (1 + e^-x), without overflow on either side."""
    z = math.exp(-abs(x))
    return (ONE if x >= 0 else z) / (ONE + z)


@helper
def softplus(x):
    """log(1 + e^x), without overflow."""
    return max(x, np.float32(0)) + math.log1p(math.exp(-abs(x)))


@helper
def elu(x, alpha):
    """X for x > 0, else alpha (e^x - 1)."""
    return x if not x <= 0 else alpha * math.expm1(x)


@helper
def piecewise(kind, x, p0, p1, p2):
    """Activations made of straight lines and squares; a comparison with NaN keeps it."""
    zero = np.float32(0)
    if kind == CLIP:
        return clipped(x, p0, p1)
    if kind == RELU:  # threshold, slope, maximum
        y = p1 * (x - p0) if x < p0 else x
        return p2 if y > p2 else y
    if kind == LEAKY_RELU:
        return p0 * x if x < 0 else x
    if kind == HARD_SIGMOID:
        return clipped(x + np.float32(3), zero, np.float32(6)) / np.float32(6)
    if kind == HARD_SIGMOID_KERAS2:
        return clipped(np.float32(0.2) * x + HALF, zero, ONE)
    if kind == HARD_SILU:
        return x * (clipped(x + np.float32(3), zero, np.float32(6)) / np.float32(6))
    if kind == HARD_SHRINK:
        return zero if abs(x) <= p0 else x
    if kind == SOFT_SHRINK:
        return zero if abs(x) <= p0 else (x - p0 if x > 0 else x + p0)
    if kind == THRESHOLD:
        return p1 if x <= p0 else x
    if kind == SOFTSIGN:
        return x / (ONE + abs(x))
    if kind == SQUAREPLUS:
        return (x + math.sqrt(x * x + p0)) * HALF
    if kind == SPARSE_PLUS:
        if x <= -ONE:
            return zero
        return (x + ONE) * (x + ONE) / np.float32(4) if x < ONE else x
    return clipped((x + ONE) * HALF, zero, ONE)  # SPARSE_SIGMOID


@helper
def curved(kind, x, p0):
    """Activations with an exponential in them."""
    if kind == ELU:
        return elu(x, p0)
    if kind == CELU:
        return elu(x / p0, p0) if x <= 0 else x
    if kind == SELU:
        return SELU_SCALE * elu(x, SELU_ALPHA)
    if kind == EXPONENTIAL:
        return math.exp(x)
    if kind == SIGMOID:
        return sigmoid(x)
    if kind == SILU:
        return x * sigmoid(x)
    if kind == TANH:
        return math.tanh(x)
    if kind == TANH_SHRINK:
        return x - math.tanh(x)
    if kind == SOFTPLUS:
        return softplus(x)
    if kind == LOG_SIGMOID:
        return -softplus(-x)
    if kind == MISH:
        return x * math.tanh(softplus(x))
    if kind == GELU:
        return HALF * x * (ONE + np.float32(math.erf(x * SQRT_HALF)))
    inner = GELU_FACTOR * (x + np.float32(0.044715) * x * x * x)  # GELU_TANH
    return HALF * x * (ONE + math.tanh(inner))


@helper
def activate(kind, x, y, size, p0, p1, p2):
    """One line."""
    if kind == CLIP:
        for i in range(size):
            y[i] = clipped(x[i], p0, p1)
    elif kind in CURVED:
        for i in range(size):
            y[i] = curved(kind, x[i], p0)
    else:
        for i in range(size):
            y[i] = piecewise(kind, x[i], p0, p1, p2)


@kernel
def elementwise(row, arena, weights, thread, threads):
    """y = activation(x); threads share (block, row), or parts of long rows."""
    kind, size, rows = row[ELEMENTWISE.kind], row[ELEMENTWISE.size], row[ELEMENTWISE.rows]
    p0, p1 = parameter(row, ELEMENTWISE.p0), parameter(row, ELEMENTWISE.p1)
    p2 = parameter(row, ELEMENTWISE.p2)
    parts = in_parts(size, 4)  # one value of the slowest takes as long as four simple vectors
    total = row[ELEMENTWISE.blocks] * rows * parts
    for item in range(share_begin(total, thread, threads), share_end(total, thread, threads)):
        block, r, part = item // parts // rows, item // parts % rows, item % parts
        first = share_begin(size, part, parts)
        place = block * row[ELEMENTWISE.x_block] + r * row[ELEMENTWISE.x_row] + first
        x = ahead(floats(arena, row[ELEMENTWISE.x]), place)
        place = block * row[ELEMENTWISE.y_block] + r * row[ELEMENTWISE.y_row] + first
        y, count = ahead(floats(arena, row[ELEMENTWISE.y]), place), share_end(size, part, parts)
        activate(kind, x, y, count - first, p0, p1, p2)


@kernel
def affine(row, arena, weights, thread, threads):
    """y = clip(x * scale + shift), along the channels."""
    channels, rows = row[AFFINE.channels], row[AFFINE.rows]
    scale, shift = floats(weights, row[AFFINE.scale]), floats(weights, row[AFFINE.shift])
    low, high = parameter(row, AFFINE.low), parameter(row, AFFINE.high)
    for r in range(share_begin(rows, thread, threads), share_end(rows, thread, threads)):
        x = ahead(floats(arena, row[AFFINE.x]), r * channels)
        y = ahead(floats(arena, row[AFFINE.y]), r * channels)
        for c in range(channels):
            y[c] = clipped(x[c] * scale[c] + shift[c], low, high)


@helper
def slope_rows(x, y, alpha, rows, row_step, length, step):
    """Some rows of a plane."""
    for r in range(rows):
        for k in range(length):
            value = x[r * length + k]
            if value < 0:
                value *= alpha[r * row_step + k * step]
            y[r * length + k] = value


@kernel
def prelu(row, arena, weights, thread, threads):
    """y = x where x >= 0, else alpha * x, whose strides are 0 where it is shared; by rows."""
    x, y = floats(arena, row[PRELU.x]), floats(arena, row[PRELU.y])
    sizes, strides = ahead(row, PRELU.size0), ahead(row, PRELU.stride0)
    rows, length, row_step = row[PRELU.rows], row[PRELU.length], row[PRELU.row_step]
    i = share_begin(row[PRELU.planes] * rows, thread, threads)
    end = share_end(row[PRELU.planes] * rows, thread, threads)
    while i < end:
        place = plane_begin(sizes, strides, i // rows) + i % rows * row_step
        alpha = ahead(floats(weights, row[PRELU.alpha]), place)
        source, target = ahead(x, i * length), ahead(y, i * length)
        count = min(rows - i % rows, end - i)
        slope_rows(source, target, alpha, count, row_step, length, row[PRELU.step])
        i += count


@helper
def combine(kind, a, b):
    """One pair; NaN stays NaN."""
    if kind == ADD:
        return a + b
    if kind == SUBTRACT:
        return a - b
    if kind == MULTIPLY:
        return a * b
    if kind == MAXIMUM:
        return a if (a > b or a != a) else b
    return a if (a < b or a != a) else b


@kernel
def binary(row, arena, weights, thread, threads):
    """y = clip(x1 op x2), (rows, columns, channels); a stride of 0 broadcasts."""
    x1, x2 = floats(arena, row[BINARY.x1]), floats(arena, row[BINARY.x2])
    y, kind = floats(arena, row[BINARY.y]), row[BINARY.kind]
    rows, columns, channels = row[BINARY.rows], row[BINARY.columns], row[BINARY.channels]
    c1, c2 = row[BINARY.channel1], row[BINARY.channel2]
    low, high = parameter(row, BINARY.low), parameter(row, BINARY.high)
    total = rows * columns
    for i in range(share_begin(total, thread, threads), share_end(total, thread, threads)):
        r, c = i // columns, i % columns
        a = ahead(x1, r * row[BINARY.row1] + c * row[BINARY.column1])
        b = ahead(x2, r * row[BINARY.row2] + c * row[BINARY.column2])
        out = ahead(y, i * channels)
        for k in range(channels):
            out[k] = clipped(combine(kind, a[k * c1], b[k * c2]), low, high)
