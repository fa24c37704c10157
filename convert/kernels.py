"""Kernels as files hold them, in the layout of Keras 2 and 3: (rows, columns, in, out)."""

from __future__ import annotations

from collections.abc import Mapping

from tinycnn.nn import layers as nn
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.types import Array

from .dialect import Dialect

KERNELS = frozenset({"kernel", "depthwise_kernel", "pointwise_kernel"})
FROM_OUT_FIRST = (2, 3, 1, 0)  # Keras 1 with dim_ordering "th": (out, in, rows, columns)


def arrange(
    value: Array,
    layer: Layer,
    weight: str,
    dialect: Dialect,
    *,
    out_first: bool,
    order: Mapping[str, tuple[int, ...]],
) -> Array:
    """Return an array of the file as ``layer`` takes it.

    ``out_first``: whether the file's layer had Theano's layout. ``order``: see `Adapted`.
    """
    if weight in order and len(order[weight]) == value.ndim:
        value = value.transpose(order[weight])
    if weight not in KERNELS or value.ndim != 4:
        return value
    if out_first and dialect.keras1:
        value = value.transpose(FROM_OUT_FIRST)
    if _is_turnable(layer, value) and dialect.is_theano(f"layer {layer.name!r}"):
        value = value[::-1, ::-1]  # Theano convolves, all others correlate
    return value


def _is_turnable(layer: Layer, kernel: Array) -> bool:
    """Whether Theano's backend turned this kernel; that of depthwise ones it turned back itself."""
    return isinstance(layer, nn.Conv2D | nn.Conv2DTranspose) and kernel.shape[:2] != (1, 1)
