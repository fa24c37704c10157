"""The network as other engines get it: plain operations, batch-norm folded where it can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import NoReturn

import numpy as np

from tinycnn.engine import ops
from tinycnn.engine.lower import lower_graph
from tinycnn.engine.ops import Clip, Net, Op
from tinycnn.engine.rewrites import REWRITES, rewrite
from tinycnn.engine.rewrites._edit import merge_pairs
from tinycnn.errors import UsageError
from tinycnn.nn.model import Model
from tinycnn.nn.types import Array, Shape

# What a converter to any of the formats does as well; the rest is each engine's own affair.
SHARED = ("drop_no_ops", "absorb_padding", "fold_batch_norm", "fuse_activation")


def portable(model: Model) -> Net:
    """Operations of a model before anything that only our engine does."""
    with np.errstate(all="ignore"):
        net = rewrite(lower_graph(model.graph, model.weights), set(REWRITES) - set(SHARED))
    positive = {op.output for op in net.ops if _clip(op).low >= 0}

    def padded_pool(pad: Op, pool: Op) -> Op | None:
        """Zeros around what is not negative do not change a maximum: the pool can do without."""
        if not (isinstance(pad, ops.Pad) and isinstance(pool, ops.Pool)):
            return None
        if pool.kind != "max" or pad.inputs[0] not in positive or pool.pads != ops.NO_PADS:
            return None
        return replace(pool, inputs=pad.inputs, source=pad.source, pads=pad.pads)

    net = merge_pairs(net, padded_pool)
    return replace(net, ops=tuple(_with_weights(op) for op in net.ops))


def _with_weights(op: Op) -> Op:
    """The operation with its kernel multiplied out."""
    return replace(op, kernel=op.weights, scale=None) if isinstance(op, ops.Linear) else op


def _clip(op: Op) -> Clip:
    if isinstance(op, ops.Elementwise) and op.kind == "clip":
        return Clip(*op.parameters)
    clip = getattr(op, "clip", ops.LINEAR)
    assert isinstance(clip, Clip)
    return clip


def flattened(net: Net, format_name: str) -> dict[str, Shape]:
    """Flattened pictures and their shapes (H, W, C), for a format that puts channels first.

    There the order of a flat picture's values is another: dense layers behind it reorder their
    weights (`dense_kernel`), and nothing else can read it: UsageError.
    """
    shapes = {op.output: op.shape for op in net.ops}
    readers, flat = net.readers(), dict[str, Shape]()
    for op in net.ops:
        source = shapes.get(op.inputs[0], net.input_shape)
        if isinstance(op, ops.View) and len(source) == 3 and prod(source[:2]) > 1:
            after = readers.get(op.output, [])
            if not after or not all(isinstance(reader, ops.Dense) for reader in after):
                unsupported(op, format_name)
            flat[op.output] = source
    return flat


def dense_kernel(op: ops.Dense, flat: Mapping[str, Shape]) -> Array:
    """Kernel (channels, filters) of a dense layer, for the order of a channels-first format."""
    kernel = op.kernel
    if shape := flat.get(op.inputs[0]):
        kernel = kernel.reshape(*shape, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
    return kernel


def unsupported(op: Op, format_name: str) -> NoReturn:
    """Say that a network cannot be compared; UsageError."""
    kind = getattr(op, "kind", "")
    name = f"{type(op).__name__} {kind}".strip()
    raise UsageError(f"layer {op.output!r} ({name}) has no translation to {format_name}")
