"""From layers to operations: every Keras layer becomes one operation, or a few.

`functools.singledispatch` on the layer's class: one function for each kind, found by its type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import singledispatch
from math import prod
from typing import Any

import numpy as np

from tinycnn.engine import ops
from tinycnn.engine.ops import Clip, Net, Op
from tinycnn.errors import BackendError
from tinycnn.nn import layers as nn
from tinycnn.nn.activations import AXIS_WISE
from tinycnn.nn.graph import Graph, Node
from tinycnn.nn.layers.core import Identity
from tinycnn.nn.layers.merging import Merge
from tinycnn.nn.layers.pooling import GlobalPooling2D, Pooling2D
from tinycnn.nn.types import Array, Shape, Weights

CLIPS = {
    "linear": ops.LINEAR,
    "relu": ops.RELU,
    "relu6": ops.RELU6,
    "hard_tanh": Clip(-1.0, 1.0),
}


@dataclass
class Lowering:
    """One node being lowered: its surroundings, and the operations it became so far."""

    node: Node
    source: Any  # Shape, or a list of them where the layer merges
    weights: Weights
    ops: list[Op] = field(default_factory=list)

    @property
    def value(self) -> str:
        """Name of the newest value: the last operation's output, or the node's input."""
        return self.ops[-1].output if self.ops else self.node.inputs[0]

    def add(
        self, operation: type[Op], shape: Shape, inputs: Sequence[str] = (), /, **options: Any
    ) -> None:
        """Append an operation on the newest value, or on ``inputs``."""
        name = f"{self.node.name}:{len(self.ops)}"
        self.ops.append(
            operation(inputs=tuple(inputs) or (self.value,), output=name, shape=shape, **options)
        )

    def bias(self, filters: int) -> Array:
        """The layer's bias, or zeros that need no memory."""
        bias = self.weights.get("bias")
        return np.broadcast_to(np.float32(0), (filters,)) if bias is None else bias

    def activate(self, name: str, shape: Shape) -> None:
        """Append an activation by its name; ``shape`` is the one before it."""
        if name in AXIS_WISE:
            half = name == "glu"
            after = (*shape[:-1], shape[-1] // 2) if half else shape
            self.add(ops.AxisWise, after, kind=name, source=shape)
        elif name in CLIPS:
            self.clip(CLIPS[name], shape)
        else:
            self.add(ops.Elementwise, shape, kind=name, parameters=PARAMETERS.get(name, ()))

    def clip(self, clip: Clip, shape: Shape) -> None:
        """Append a clip, unless it does nothing."""
        if clip != ops.LINEAR:
            self.add(ops.Elementwise, shape, kind="clip", parameters=tuple(clip))


PARAMETERS = {
    "leaky_relu": (0.2,),
    "elu": (1.0,),
    "celu": (1.0,),
    "hard_shrink": (0.5,),
    "soft_shrink": (0.5,),
    "threshold": (0.0, 0.0),
    "squareplus": (4.0,),
}


def lower_graph(graph: Graph, weights: Weights) -> Net:
    """Turn a graph and its weights into operations."""
    result: list[Op] = []
    for node in graph.until(graph.output).nodes:  # a dead branch is nothing to run
        shapes = [graph.shapes[name] for name in node.inputs]
        source = shapes if node.layer.merges else shapes[0]
        lowering = Lowering(node, source, graph.node_weights(node, weights))
        lower(node.layer, lowering)
        if not lowering.ops:
            lowering.add(ops.View, graph.shapes[node.name])
        lowering.ops[-1] = replace(lowering.ops[-1], output=node.name)
        result += lowering.ops
    return Net(graph.input_shape, tuple(result), graph.output)


@singledispatch
def lower(layer: nn.Layer, to: Lowering) -> None:
    """Append the operations of one layer to ``to``."""
    raise BackendError(f"layer {layer.name!r}: {type(layer).__name__} has no kernel; use numpy")


@lower.register
def _(layer: nn.Conv2D, to: Lowering) -> None:
    (_, sh, dh), (_, sw, dw) = layer.geometry()
    shape = (*layer.window_shape(to.source), layer.filters)
    to.add(
        ops.Conv, shape, source=to.source, kernel=to.weights["kernel"], bias=to.bias(layer.filters),
        strides=(sh, sw), dilation=(dh, dw), pads=layer.pads(to.source),
        groups=layer.groups,
    )  # fmt: skip
    to.activate(layer.activation, shape)


@lower.register
def _(layer: nn.DepthwiseConv2D, to: Lowering) -> None:
    filters = to.source[2] * layer.depth_multiplier
    shape = (*layer.window_shape(to.source), filters)
    _add_depthwise(to, layer, shape, to.bias(filters))
    to.activate(layer.activation, shape)


@lower.register
def _(layer: nn.SeparableConv2D, to: Lowering) -> None:
    inner = to.source[2] * layer.depth_multiplier
    window = layer.window_shape(to.source)
    none = np.broadcast_to(np.float32(0), (inner,))
    _add_depthwise(to, layer.depthwise_layer(), (*window, inner), none)
    shape, kernel = (*window, layer.filters), to.weights["pointwise_kernel"]
    to.add(ops.Conv, shape, source=(*window, inner), kernel=kernel, bias=to.bias(layer.filters))
    to.activate(layer.activation, shape)


def _add_depthwise(to: Lowering, layer: nn.DepthwiseConv2D, shape: Shape, bias: Array) -> None:
    (_, sh, dh), (_, sw, dw) = layer.geometry()
    to.add(
        ops.Depthwise, shape, source=to.source, kernel=to.weights["depthwise_kernel"], bias=bias,
        strides=(sh, sw), dilation=(dh, dw), pads=layer.pads(to.source),
    )  # fmt: skip


@lower.register
def _(layer: nn.Conv2DTranspose, to: Lowering) -> None:
    (_, sh, dh), (_, sw, dw) = layer.geometry()
    shape = (*layer.lengths(to.source), layer.filters)
    top, left = layer.cuts(to.source)
    to.add(
        ops.ConvTranspose, shape, source=to.source, kernel=to.weights["kernel"],
        bias=to.bias(layer.filters), strides=(sh, sw), dilation=(dh, dw),
        pads=((top, 0), (left, 0)),
    )  # fmt: skip
    to.activate(layer.activation, shape)


@lower.register
def _(layer: nn.Dense, to: Lowering) -> None:
    shape = (*to.source[:-1], layer.units)
    to.add(ops.Dense, shape, kernel=to.weights["kernel"], bias=to.bias(layer.units))
    to.activate(layer.activation, shape)


@lower.register
def _(layer: nn.BatchNormalization | nn.Normalization, to: Lowering) -> None:
    scale, shift = layer.factors(to.weights)
    if scale.ndim == 1:
        _add_affine(to, scale, shift)
        return
    # A mean image: each of its values is a channel of a picture with fewer, or no, pixels.
    shape = (1, prod(to.source) // scale.size, scale.size)
    to.add(ops.View, shape)
    a, b = (np.asarray(value, np.float32).ravel() for value in (scale, shift))
    to.add(ops.Affine, shape, scale=a, shift=b)
    to.add(ops.View, to.source)


@lower.register
def _(layer: nn.Rescaling, to: Lowering) -> None:
    _add_affine(to, layer.scale, layer.offset)


def _add_affine(to: Lowering, scale: Any, shift: Any) -> None:
    a, b = (np.asarray(value, np.float32).reshape(-1) for value in (scale, shift))
    to.add(ops.Affine, to.source, scale=a, shift=b)


@lower.register
def _(layer: nn.LayerNormalization, to: Lowering) -> None:
    to.add(
        ops.LayerNorm, to.source, length=prod(layer.dimensions(to.source)),
        gamma=to.weights.get("gamma"), beta=to.weights.get("beta"), epsilon=layer.epsilon,
    )  # fmt: skip


@lower.register
def _(layer: nn.Activation, to: Lowering) -> None:
    to.activate(layer.activation, to.source)


@lower.register
def _(layer: nn.ReLU, to: Lowering) -> None:
    high = np.inf if layer.max_value is None else layer.max_value
    if layer.threshold == 0 and layer.negative_slope == 0:
        to.clip(Clip(0.0, high), to.source)
    else:
        parameters = (layer.threshold, layer.negative_slope, high)
        to.add(ops.Elementwise, to.source, kind="relu", parameters=parameters)


@lower.register
def _(layer: nn.LeakyReLU, to: Lowering) -> None:
    to.add(ops.Elementwise, to.source, kind="leaky_relu", parameters=(layer.negative_slope,))


@lower.register
def _(layer: nn.ELU, to: Lowering) -> None:
    to.add(ops.Elementwise, to.source, kind="elu", parameters=(layer.alpha,))


@lower.register
def _(layer: nn.PReLU, to: Lowering) -> None:
    to.add(ops.PRelu, to.source, alpha=to.weights["alpha"])


@lower.register
def _(layer: nn.Softmax, to: Lowering) -> None:
    dimension = layer.dimension(to.source)
    to.add(ops.AxisWise, to.source, kind="softmax", source=to.source, dimension=dimension)


@lower.register
def _(layer: Pooling2D, to: Lowering) -> None:
    (kh, sh), (kw, sw) = layer.geometry()
    kind = "max" if isinstance(layer, nn.MaxPooling2D) else "mean"
    to.add(
        ops.Pool, layer.output_shape(to.source), kind=kind, source=to.source,
        window=(kh, kw), strides=(sh, sw), pads=layer.pads(to.source),
    )  # fmt: skip


@lower.register
def _(layer: GlobalPooling2D, to: Lowering) -> None:
    kind = "max" if isinstance(layer, nn.GlobalMaxPooling2D) else "mean"
    to.add(ops.GlobalPool, layer.output_shape(to.source), kind=kind, source=to.source)


@lower.register
def _(layer: nn.ZeroPadding2D, to: Lowering) -> None:
    to.add(ops.Pad, layer.output_shape(to.source), source=to.source, pads=layer.sides)


@lower.register
def _(layer: nn.Cropping2D, to: Lowering) -> None:
    (top, _), (left, _) = layer.sides
    to.add(ops.Crop, layer.output_shape(to.source), source=to.source, start=(top, left))


@lower.register
def _(layer: nn.Permute, to: Lowering) -> None:
    order = tuple(d - 1 for d in layer.dims)
    to.add(ops.Permute, layer.output_shape(to.source), source=to.source, order=order)


@lower.register
def _(layer: nn.UpSampling2D | nn.Resizing, to: Lowering) -> None:
    shape = layer.output_shape(to.source)
    to.add(ops.Resample, shape, source=to.source, interpolation=layer.interpolation)


@lower.register
def _(layer: nn.Flatten | nn.Reshape, to: Lowering) -> None:
    to.add(ops.View, layer.output_shape(to.source))


@lower.register
def _(layer: Identity, to: Lowering) -> None:
    to.add(ops.View, to.source)


BINARY = {
    nn.Add: "add",
    nn.Average: "add",
    nn.Subtract: "subtract",
    nn.Multiply: "multiply",
    nn.Maximum: "maximum",
    nn.Minimum: "minimum",
}


@lower.register
def _(layer: Merge, to: Lowering) -> None:
    value, shape = to.node.inputs[0], to.source[0]
    for other, other_shape in zip(to.node.inputs[1:], to.source[1:], strict=True):
        result = np.broadcast_shapes(shape, other_shape)
        to.add(
            ops.Binary, result, (value, other), kind=BINARY[type(layer)],
            shapes=(shape, other_shape),
        )  # fmt: skip
        value, shape = to.value, result
    if isinstance(layer, nn.Average):
        scale = np.array([1 / len(to.node.inputs)], np.float32)
        to.add(ops.Affine, shape, scale=scale, shift=np.zeros_like(scale))


@lower.register
def _(layer: nn.Concatenate, to: Lowering) -> None:
    shapes = tuple(to.source)
    dimension = layer.dimension(shapes[0])
    shape = layer.output_shape(shapes)
    to.add(ops.Concat, shape, to.node.inputs, shapes=shapes, dimension=dimension)
