"""Batch normalisation after a linear operation becomes part of that operation's weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinycnn.engine.ops import LINEAR, Affine, Linear, Net, Op
from tinycnn.engine.rewrites._edit import merge_pairs
from tinycnn.nn.types import Array


def fold_batch_norm(net: Net) -> Net:
    """Multiply kernels by the scale (when they are packed), add the shift to biases."""
    return merge_pairs(net, _merge)


def _merge(maker: Op, op: Op) -> Op | None:
    if not isinstance(op, Affine):
        return None
    if isinstance(maker, Linear) and maker.clip == LINEAR:
        scale, bias = maker.scaled(op.scale, op.shift)
        if np.isfinite(bias).all() and _stays_finite(maker.kernel, scale):
            return replace(maker, scale=scale, bias=bias, clip=op.clip)
    if isinstance(maker, Affine) and maker.clip == LINEAR:
        shift = maker.shift * op.scale + op.shift
        return replace(maker, scale=maker.scale * op.scale, shift=shift, clip=op.clip)
    return None


def _stays_finite(kernel: Array, scale: Array) -> bool:
    """Whether no product can overflow; False also where one is NaN."""
    largest = max(float(kernel.max()), -float(kernel.min()))
    return largest * float(np.abs(scale).max()) < float(np.finfo(np.float32).max)
