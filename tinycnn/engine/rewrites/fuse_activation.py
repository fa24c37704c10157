"""A clip (relu, relu6) becomes the last step of the operation before it."""

from __future__ import annotations

from dataclasses import replace

from tinycnn.engine.ops import LINEAR, Affine, Binary, Clip, Elementwise, Linear, Net, Op
from tinycnn.engine.rewrites._edit import merge_pairs


def fuse_activation(net: Net) -> Net:
    """Operation, then clip: one operation that clips what it stores."""
    return merge_pairs(net, _merge)


def _merge(maker: Op, op: Op) -> Op | None:
    if not (isinstance(op, Elementwise) and op.kind == "clip"):
        return None
    if isinstance(maker, Linear | Affine | Binary) and maker.clip == LINEAR:
        return replace(maker, clip=Clip(*op.parameters))
    return None
