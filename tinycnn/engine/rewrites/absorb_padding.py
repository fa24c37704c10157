"""Zeros around a picture become the window's own padding: no copy of the picture is made."""

from __future__ import annotations

from dataclasses import replace

from tinycnn.engine.ops import Conv, Depthwise, Net, Op, Pad, Pads
from tinycnn.engine.rewrites._edit import merge_pairs


def absorb_padding(net: Net) -> Net:
    """Pad, then a convolution: one convolution. Not pooling, whose outside is not zero."""
    return merge_pairs(net, _merge)


def _merge(pad: Op, op: Op) -> Op | None:
    if not (isinstance(pad, Pad) and isinstance(op, Conv | Depthwise)):
        return None
    return replace(op, inputs=pad.inputs, source=pad.source, pads=_sum(pad.pads, op.pads))


def _sum(a: Pads, b: Pads) -> Pads:
    (at, ab), (al, ar) = a
    (bt, bb), (bl, br) = b
    return (at + bt, ab + bb), (al + bl, ar + br)
