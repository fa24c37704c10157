"""Functions of a whole axis: softmax and its kin, layer normalisation."""

from __future__ import annotations

import math

import numpy as np

from tinycnn.engine.kernels._jit import (
    ahead,
    floats,
    helper,
    kernel,
    parameter,
    share_begin,
    share_end,
)
from tinycnn.engine.kernels.elementwise import sigmoid
from tinycnn.engine.kernels.instructions import (
    AXIS_WISE,
    GLU,
    LAYER_NORM,
    LOG_SOFTMAX,
    SOFTMAX,
    SPARSEMAX,
)


@helper
def largest(x, length, stride):
    """Maximum of ``length`` values; NaN if one is."""
    result = x[0]
    for i in range(1, length):
        if x[i * stride] > result or x[i * stride] != x[i * stride]:
            result = x[i * stride]
    return result


@helper
def softmax(x, y, length, stride):
    """e^x / sum e^x.

    The sum has a loop of its own. In one that also stores, whether it is added up in vectors would
    depend on how near x and y lie: another last bit for another number of threads.
    """
    top, total = largest(x, length, stride), np.float32(0)
    for i in range(length):
        y[i * stride] = math.exp(x[i * stride] - top)
    for i in range(length):
        total += y[i * stride]
    for i in range(length):
        y[i * stride] /= total


@helper
def log_softmax(x, y, length, stride):
    """X - log sum e^x."""
    top, total = largest(x, length, stride), np.float32(0)
    for i in range(length):
        total += math.exp(x[i * stride] - top)
    shift = top + math.log(total)
    for i in range(length):
        y[i * stride] = x[i * stride] - shift


@helper
def sparsemax(x, y, length, stride):
    """Projection onto the simplex: the threshold by Newton's method, which ends exactly."""
    top = largest(x, length, stride)
    tau = top - np.float32(1)
    for _ in range(length + 1):
        total, count = np.float32(0), 0
        for i in range(length):
            if x[i * stride] > tau:
                total += x[i * stride]
                count += 1
        if count == 0:
            break
        better = (total - np.float32(1)) / np.float32(count)
        if better <= tau:
            break
        tau = better
    for i in range(length):
        value = x[i * stride] - tau
        y[i * stride] = np.float32(0) if value < 0 else value


@helper
def glu(x, y, length, stride):
    """First half times the sigmoid of the second half."""
    half = length // 2
    for i in range(half):
        y[i * stride] = x[i * stride] * sigmoid(x[(half + i) * stride])


@kernel
def axis_wise(row, arena, weights, thread, threads):
    """One of `KINDS` along the middle axis of (outer, length, inner); threads share the rest."""
    length, inner, kind = row[AXIS_WISE.length], row[AXIS_WISE.inner], row[AXIS_WISE.kind]
    kept = length // 2 if kind == GLU else length
    total = row[AXIS_WISE.outer] * inner
    for i in range(share_begin(total, thread, threads), share_end(total, thread, threads)):
        outer, offset = i // inner, i % inner
        x = ahead(floats(arena, row[AXIS_WISE.x]), outer * length * inner + offset)
        y = ahead(floats(arena, row[AXIS_WISE.y]), outer * kept * inner + offset)
        if kind == SOFTMAX:
            softmax(x, y, length, inner)
        elif kind == LOG_SOFTMAX:
            log_softmax(x, y, length, inner)
        elif kind == SPARSEMAX:
            sparsemax(x, y, length, inner)
        else:
            glu(x, y, length, inner)


@kernel
def layer_norm(row, arena, weights, thread, threads):
    """Each group of ``length`` values to mean 0 and variance 1, then gamma and beta."""
    length, groups = row[LAYER_NORM.length], row[LAYER_NORM.groups]
    gamma, beta = floats(weights, row[LAYER_NORM.gamma]), floats(weights, row[LAYER_NORM.beta])
    scaled, shifted = row[LAYER_NORM.gamma] >= 0, row[LAYER_NORM.beta] >= 0
    epsilon = parameter(row, LAYER_NORM.epsilon)
    for g in range(share_begin(groups, thread, threads), share_end(groups, thread, threads)):
        x = ahead(floats(arena, row[LAYER_NORM.x]), g * length)
        y = ahead(floats(arena, row[LAYER_NORM.y]), g * length)
        mean = np.float32(0)
        for i in range(length):
            mean += x[i]
        mean /= np.float32(length)
        variance = np.float32(0)
        for i in range(length):
            variance += (x[i] - mean) * (x[i] - mean)
        factor = np.float32(1) / math.sqrt(variance / np.float32(length) + epsilon)
        for i in range(length):
            y[i] = (x[i] - mean) * factor
        if scaled:
            for i in range(length):
                y[i] *= gamma[i]
        if shifted:
            for i in range(length):
                y[i] += beta[i]
