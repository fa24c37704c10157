"""ONNX's products with matrices and its normalisations, along our channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Tensor
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.types import Array

from .onnx_call import Call, rule
from .onnx_values import Value, arranged, in_place, scattered


@rule("Gemm")
def gemm(call: Call) -> Value:
    """alpha A B + beta C with constants B and C: a Dense layer."""
    value, kernel = call.value(), call.weight(1, "weight", 2)
    if call.integer("transA", 0) or len(value.axes) != 1:
        call.fail(f"takes a row for each image, not {('N', *value.shape)} or its transpose")
    kernel = kernel.T if call.integer("transB", 0) else kernel
    if (alpha := call.number("alpha", 1.0)) != 1:
        kernel = kernel * np.float32(alpha)
    beta, bias = np.float32(call.number("beta", 1.0)), call.argument(2)
    if bias is not None:
        found = np.asarray(call.constant(2, "bias"), np.float32) * beta
        if found.size not in (1, kernel.shape[1]) or found.ndim > 2:
            call.fail(f"bias {found.shape} does not fit weight {kernel.shape}")
        bias = np.broadcast_to(found.reshape(-1), kernel.shape[1:])
    return in_place(_dense(call, value, kernel, bias))


def _dense(call: Call, value: Value, kernel: Array, bias: Any) -> Tensor:
    if kernel.shape[0] != value.channels or min(kernel.shape) < 1:
        call.fail(f"weight {kernel.shape} does not fit {value.channels} values")
    layer: Layer = nn.Dense(kernel.shape[1], use_bias=bias is not None)
    weights = {"kernel": scattered(kernel, value), **({} if bias is None else {"bias": bias})}
    return call.place(layer, value.tensor, weights)


@rule("MatMul")
def product(call: Call) -> Value:
    """A tensor times a constant matrix, along the tensor's last axis."""
    value, kernel = call.value(), call.weight(1, "weight", 2)
    if value.axes[-1] != len(value.axes) - 1:
        value = arranged(value, tuple(range(len(value.axes))), call.place)
    return Value(_dense(call, value, kernel, None), value.axes)


@rule("BatchNormalization")
def batch_normalization(call: Call) -> Value:
    """Along ONNX's axis 1, which must be our channels."""
    value = call.value()
    call.ignore("momentum")
    if call.integer("training_mode", 0) or (call.opset < 14 and any(call.node.outputs[1:])):
        call.fail("was exported in training mode")
    if not call.integer("spatial", 1):
        call.fail("spatial 0, statistics for each pixel, cannot be converted")
    if value.axes[0] != len(value.axes) - 1:
        count = len(value.axes)
        value = arranged(value, (count - 1, *range(count - 1)), call.place)
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    weights = {}
    for index, name in enumerate(names, 1):
        found = call.weight(index, name, 1)
        if len(found) != value.channels:
            call.fail(f"its {name} has {len(found)} values for {value.channels} channels")
        weights[name] = scattered(found, value)
    layer = nn.BatchNormalization(call.number("epsilon", 1e-5))
    return value.on(call.place(layer, value.tensor, weights))


@rule("LayerNormalization")
def layer_normalization(call: Call) -> Value:
    """Over the last axis, which must be our channels."""
    value = call.value()
    call.ignore("stash_type")  # how precisely statistics of 16 bits are computed
    axis = call.integer("axis", -1)
    if value.dimension(axis) != len(value.axes) - 1 or axis % (len(value.axes) + 1) != len(
        value.axes
    ):
        call.fail(f"axis {axis} of {('N', *value.shape)} is not the channels' alone")
    if len(call.node.outputs) > 1:
        call.fail("its statistics cannot be converted")
    value = call.sorted(value)
    weights = {"gamma": call.weight(1, "scale", 1)}
    if call.argument(2) is not None:
        weights["beta"] = call.weight(2, "bias", 1)
    if any(len(w) != value.channels for w in weights.values()):
        call.fail(f"its weights are not {value.channels} values each")
    layer = nn.LayerNormalization(-1, call.number("epsilon", 1e-5), "beta" in weights)
    return value.on(call.place(layer, value.tensor, weights))
