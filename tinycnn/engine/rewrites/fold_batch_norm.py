"""Batch normalisation after a linear operation becomes part of that operation's weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinycnn.engine.ops import LINEAR, Affine, Linear, Net, Op
from tinycnn.engine.rewrites._edit import merge_pairs


def fold_batch_norm(net: Net) -> Net:
    """Multiply kernels by the scale, add the shift to biases; computed in float64."""
    return merge_pairs(net, _merge)


def _merge(maker: Op, op: Op) -> Op | None:
    if not isinstance(op, Affine):
        return None
    if isinstance(maker, Linear) and maker.clip == LINEAR:
        kernel, bias = maker.scaled(op.scale, op.shift)
        if np.isfinite(kernel).all() and np.isfinite(bias).all():
            return replace(maker, kernel=kernel, bias=bias, clip=op.clip)
    if isinstance(maker, Affine) and maker.clip == LINEAR:
        shift = maker.shift * op.scale + op.shift
        return replace(maker, scale=maker.scale * op.scale, shift=shift, clip=op.clip)
    return None
