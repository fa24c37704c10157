"""Improvements of a network that leave its results alone, one small file each.

A rewrite takes a `Net` and returns one. They run in the order of `REWRITES`; each can be switched
off by its name, to find out what it is worth or whether it is to blame.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from tinycnn.engine.ops import Net
from tinycnn.engine.rewrites.absorb_padding import absorb_padding
from tinycnn.engine.rewrites.drop_no_ops import drop_no_ops
from tinycnn.engine.rewrites.fold_batch_norm import fold_batch_norm
from tinycnn.engine.rewrites.fuse_activation import fuse_activation
from tinycnn.engine.rewrites.fuse_inverted_residual import fuse_inverted_residual
from tinycnn.engine.rewrites.fuse_residual import fuse_residual
from tinycnn.engine.rewrites.pool_first import pool_first
from tinycnn.engine.rewrites.use_winograd import use_winograd

REWRITES: dict[str, Callable[[Net], Net]] = {
    f.__name__: f
    for f in (
        drop_no_ops,
        absorb_padding,
        fold_batch_norm,
        fuse_activation,
        fuse_residual,
        pool_first,
        fuse_inverted_residual,
        use_winograd,
    )
}


def rewrite(net: Net, without: Collection[str] = ()) -> Net:
    """Apply all rewrites but those named in ``without``."""
    for name, apply in REWRITES.items():
        if name not in without:
            net = apply(net)
    return net
