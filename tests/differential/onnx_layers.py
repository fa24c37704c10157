"""All other layers in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.differential.builder import UnfitError
from tests.differential.onnx_nodes import (
    AXES,
    Nodes,
    Weights,
    activate,
    channels_first,
    channels_last,
    emit,
    spread,
)
from tinycnn.nn import layers as nn
from tinycnn.nn.layers.core import Identity
from tinycnn.nn.layers.merging import Merge


@emit.register
def _(layer: nn.Dense, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    kernel, shape = weights["kernel"], shapes[0]
    if len(shape) == 1:
        bias = [to.constant(weights["bias"])] if layer.use_bias else []
        y = to.node("Gemm", ",".join([xs[0], to.constant(kernel.T), *bias]), transB=1)
        return activate(to, y, layer.activation, 1)
    y = to.node("MatMul", f"{channels_last(to, xs[0], shape)},{to.constant(kernel)}")
    y = to.node("Add", f"{y},{to.constant(weights['bias'])}") if layer.use_bias else y
    return activate(to, channels_first(to, y, shape), layer.activation, len(shape))


@emit.register
def _(layer: nn.BatchNormalization, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    if len(shapes[0]) == 2:
        raise UnfitError("ONNX would normalise axis 1")
    size = shapes[0][-1:]
    found = {"gamma": np.ones(size, np.float32), "beta": np.zeros(size, np.float32)} | weights
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    inputs = [xs[0], *(to.constant(found[name]) for name in names)]
    return to.node("BatchNormalization", ",".join(inputs), epsilon=float(layer.epsilon))


@emit.register
def _(layer: nn.LayerNormalization, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    x, size = channels_last(to, xs[0], shapes[0]), shapes[0][-1:]
    inputs = [x, to.constant(weights.get("gamma", np.ones(size, np.float32)))]
    inputs += [to.constant(weights["beta"])] if layer.center else []
    y = to.node("LayerNormalization", ",".join(inputs), axis=-1, epsilon=float(layer.epsilon))
    return channels_first(to, y, shapes[0])


@emit.register
def _(layer: nn.Normalization, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    deviation = np.maximum(np.sqrt(weights["variance"]), np.float32(1e-7))
    mean, scale = (to.constant(spread(v, shapes[0])) for v in (weights["mean"], deviation))
    if layer.invert:
        return to.node("Add", f"{to.node('Mul', f'{xs[0]},{scale}')},{mean}")
    return to.node("Div", f"{to.node('Sub', f'{xs[0]},{mean}')},{scale}")


@emit.register
def _(layer: nn.Rescaling, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    scale, offset = (to.constant(spread(v, shapes[0])) for v in (layer.scale, layer.offset))
    return to.node("Add", f"{offset},{to.node('Mul', f'{xs[0]},{scale}')}")


@emit.register
def _(layer: nn.Activation, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    return activate(to, xs[0], layer.activation, len(shapes[0]))


@emit.register
def _(layer: nn.ReLU, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    if layer.max_value is None:
        return to.node("Relu", xs[0])
    limits = to.constant(np.float32(0)), to.constant(np.float32(layer.max_value))
    return to.node("Clip", ",".join([xs[0], *limits]))


@emit.register
def _(layer: nn.LeakyReLU, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    return to.node("LeakyRelu", xs[0], alpha=float(layer.negative_slope))


@emit.register
def _(layer: nn.ELU, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    return to.node("Elu", xs[0], alpha=float(layer.alpha))


@emit.register
def _(layer: nn.PReLU, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    alpha, rank = weights["alpha"], len(shapes[0])
    if alpha.size != alpha.shape[-1]:
        raise UnfitError("a slope for each pixel")
    slope = alpha.reshape(-1, 1, 1) if rank == 3 else alpha
    return to.node("PRelu", f"{xs[0]},{to.constant(slope)}")


@emit.register
def _(layer: nn.Softmax, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    axis = layer.dimension(shapes[0])
    return to.node("Softmax", xs[0], axis=AXES[axis] if len(shapes[0]) == 3 else axis + 1)


@emit.register
def _(layer: nn.Flatten, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    return to.node("Flatten", channels_last(to, xs[0], shapes[0]))


@emit.register
def _(layer: nn.Reshape, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    shape = layer.output_shape(shapes[0])
    target = to.constant(np.array([0, *shape]))
    y = to.node("Reshape", f"{channels_last(to, xs[0], shapes[0])},{target}")
    return channels_first(to, y, shape)


@emit.register
def _(layer: nn.Permute, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    y = channels_last(to, xs[0], shapes[0])
    y = to.node("Transpose", y, perm=[0, *layer.dims])
    return channels_first(to, y, shapes[0])


@emit.register
def _(layer: Identity, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    return to.node("Identity" if type(layer) is Identity else "Dropout", xs[0])


MERGES = {nn.Add: "Sum", nn.Subtract: "Sub", nn.Multiply: "Mul", nn.Average: "Mean",
          nn.Maximum: "Max", nn.Minimum: "Min"}  # fmt: skip


@emit.register
def _(layer: Merge, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    op = MERGES[type(layer)]
    if op == "Mul":  # the only one of two inputs that may have more
        y = xs[0]
        for x in xs[1:]:
            y = to.node(op, f"{y},{x}")
        return y
    return to.node("Add" if op == "Sum" and len(xs) == 2 else op, ",".join(xs))


@emit.register
def _(layer: nn.Concatenate, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    axis = layer.dimension(shapes[0])
    return to.node("Concat", ",".join(xs), axis=AXES[axis] if len(shapes[0]) == 3 else axis + 1)
