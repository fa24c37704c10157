"""Arithmetic between tensors and with constants; formulas that stand for one layer."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from math import isclose, sqrt

import numpy as np

from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Tensor
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.types import Array

from .onnx_activations import Erf, clipped, per_channel
from .onnx_call import Call, rule
from .onnx_values import Value, arranged, compose

MERGES: dict[str, type[Layer]] = {
    **{"Add": nn.Add, "Sum": nn.Add, "Sub": nn.Subtract, "Mul": nn.Multiply},
    **{"Max": nn.Maximum, "Min": nn.Minimum, "Mean": nn.Average},
}
GATED = {"sigmoid": "silu", "hard_sigmoid": "hard_silu"}  # x f(x)


@rule("Add", "Sum", "Sub", "Mul", "Div", "Max", "Min", "Mean")
def arithmetic(call: Call) -> Value:
    """Of tensors, or of one tensor and a constant for all or for each channel."""
    every = call.every()
    values = [a for a in every if isinstance(a, Value)]
    if len(values) == len(every) and call.node.op in MERGES:
        return values[0] if len(values) == 1 else merged(call, MERGES[call.node.op](), values)
    if len(every) != 2:
        call.fail("takes a tensor and a constant, or tensors alone")
    index = 0 if isinstance(call.argument(0), Value) else 1
    value, constant = call.value(index), np.asarray(call.constant(1 - index, "constant"))
    if call.node.op in ("Max", "Min"):
        return _limited(call, value, constant)
    found = per_channel(value, constant.astype(np.float32))
    if found is None:
        call.fail(
            f"the constant {constant.shape} is neither one number nor one for each channel "
            f"of {('N', *value.shape)}"
        )
    return value.on(_affine(call, value.tensor, *_line(call, found, index), index))


def _line(call: Call, c: Array, index: int) -> tuple[Array, Array]:
    """Scale and offset that the constant ``c`` stands for."""
    one, nothing = np.ones_like(c), np.zeros_like(c)
    op = call.node.op
    if op == "Div":
        if index == 1 or not np.all(c):
            call.fail("divides by zero, or a constant by what depends on the image")
        return (1 / c.astype(np.float64)).astype(np.float32), nothing
    if op == "Mul":
        return c, nothing
    if op == "Mean":
        return one * np.float32(0.5), c * np.float32(0.5)
    return (-one if (op, index) == ("Sub", 1) else one), (-c if (op, index) == ("Sub", 0) else c)


def _affine(call: Call, tensor: Tensor, scale: Array, offset: Array, index: int) -> Tensor:
    """scale x + offset: a bias of the layer before where it has none, else a layer."""
    if bool(np.all(scale == 1)) and (biased := _biased(call, tensor, offset, index)):
        return biased
    if scale.ndim == 0:
        line = nn.Rescaling(float(scale), float(offset))
        return (
            _hard(call, tensor, line) or _gelu(call, tensor, line) or call.place(line, tensor, {})
        )
    zero, one = np.zeros_like(scale), np.ones_like(scale)
    weights = {"gamma": scale, "beta": offset, "moving_mean": zero, "moving_variance": one}
    return call.place(nn.BatchNormalization(0.0), tensor, weights)


def _biased(call: Call, tensor: Tensor, offset: Array, index: int) -> Tensor | None:
    """A sum behind a product of matrices or a convolution without bias is that bias."""
    layer = tensor.layer
    if not isinstance(layer, nn.Dense | nn.Conv2D | nn.DepthwiseConv2D) or layer.use_bias:
        return None
    if not call.only_reader(index) or layer.activation != "linear":
        return None
    call.weights[f"{layer.name}/bias"] = np.broadcast_to(offset, tensor.shape[-1:])
    return replace(layer, use_bias=True)(tensor.inputs[0])


def _limited(call: Call, value: Value, constant: Array) -> Value:
    """Max and Min with one number."""
    if constant.size != 1:
        call.fail(f"a limit of shape {constant.shape} cannot be converted")
    limit = float(constant.ravel()[0])
    low, high = (limit, np.inf) if call.node.op == "Max" else (-np.inf, limit)
    return value.on(clipped(call, value.tensor, low, high))


def merged(call: Call, layer: Layer, values: list[Value]) -> Value:
    """Put a layer behind values that are laid out alike first."""
    first = max(values, key=lambda v: int(np.prod(v.shape)))
    values = [arranged(v, first.axes, call.place) for v in values]
    if any(not _alike(v, values[0]) for v in values):
        values = [call.sorted(v) for v in values]
    tensors = [v.tensor for v in values]
    if isinstance(layer, nn.Multiply) and len(tensors) == 2 and (gate := _gate(tensors)):
        return values[0].on(call.place(nn.Activation(gate[0]), gate[1], {}))
    return values[0].on(call.merge(layer, tensors))


def _alike(a: Value, b: Value) -> bool:
    if a.order is None or b.order is None:
        return a.order is b.order
    return np.array_equal(a.order, b.order)


def _gate(tensors: list[Tensor]) -> tuple[str, Tensor] | None:
    """x f(x) by its name: silu, hard_silu, mish, gelu; and x."""
    if (x := _half_gelu(tensors)) is not None:
        return "gelu", x
    for x, gate in (tensors, tensors[::-1]):
        layer = gate.layer
        if not isinstance(layer, nn.Activation):
            continue
        inner = gate.inputs[0]
        if inner is x and layer.activation in GATED:
            return GATED[layer.activation], x
        soft = isinstance(inner.layer, nn.Activation) and inner.layer.activation == "softplus"
        if layer.activation == "tanh" and soft and inner.inputs[0] is x:
            return "mish", x
    return None


def _hard(call: Call, tensor: Tensor, line: nn.Rescaling) -> Tensor | None:
    """relu6(x + 3) / 6, and that times x, as Keras spells hard_sigmoid and hard_swish."""
    assert isinstance(line.scale, float)
    if not isclose(line.scale, 1 / 6, rel_tol=1e-5) or line.offset != 0:
        return None
    if (x := _shifted(tensor)) is not None:
        return call.place(nn.Activation("hard_sigmoid"), x, {})
    if isinstance(tensor.layer, nn.Multiply) and len(tensor.inputs) == 2:
        for x, gate in (tensor.inputs, tensor.inputs[::-1]):
            if _shifted(gate) is x:
                return call.place(nn.Activation("hard_silu"), x, {})
    return None


def _shifted(tensor: Tensor) -> Tensor | None:
    """Return x if this is relu6(x + 3)."""
    if not isinstance(tensor.layer, nn.ReLU) or tensor.layer != nn.ReLU(
        6.0, name=tensor.layer.name
    ):
        return None
    (inner,) = tensor.inputs
    plus = isinstance(inner.layer, nn.Rescaling) and (inner.layer.scale, inner.layer.offset)
    return inner.inputs[0] if plus == (1.0, 3.0) else None


def _gelu(call: Call, tensor: Tensor, line: nn.Rescaling) -> Tensor | None:
    """x (1 + erf(x / sqrt 2)) times 1/2, the half last: how PyTorch writes gelu."""
    if (line.scale, line.offset) != (0.5, 0.0) or not isinstance(tensor.layer, nn.Multiply):
        return None
    for x, gate in (tensor.inputs, tensor.inputs[::-1]):
        if _normal(gate) is x:
            return call.place(nn.Activation("gelu"), x, {})
    return None


def _half_gelu(tensors: list[Tensor]) -> Tensor | None:
    """Return x if the product is (x / 2) (1 + erf(x / sqrt 2)), the other way to write gelu."""
    for half, gate in (tensors, tensors[::-1]):
        line = half.layer
        is_half = isinstance(line, nn.Rescaling) and (line.scale, line.offset) == (0.5, 0.0)
        if is_half and _normal(gate) is half.inputs[0]:
            return half.inputs[0]
    return None


def _normal(tensor: Tensor) -> Tensor | None:
    """Return x if this is 1 + erf(x / sqrt 2)."""
    if not isinstance(tensor.layer, nn.Rescaling):
        return None
    if (tensor.layer.scale, tensor.layer.offset) != (1.0, 1.0):
        return None
    (erf,) = tensor.inputs
    line = erf.inputs[0].layer if isinstance(erf.layer, Erf) else None
    if not isinstance(line, nn.Rescaling) or line.offset != 0 or not isinstance(line.scale, float):
        return None
    return erf.inputs[0].inputs[0] if isclose(line.scale, sqrt(0.5), rel_tol=1e-5) else None


@rule("Neg")
def negative(call: Call) -> Value:
    """-x."""
    value = call.value()
    return value.on(call.place(nn.Rescaling(-1.0), value.tensor, {}))


@rule("Concat")
def concatenation(call: Call) -> Value:
    """Concat along one axis; what the channels' orders are behind it is worked out."""
    values = [call.value(i) for i in range(len(call.every()))]
    first = values[0]
    dimension = first.dimension(call.integer("axis", 1))
    if len(values) == 1:
        return first
    values = [arranged(v, first.axes, call.place) for v in values]
    last = dimension == len(first.axes) - 1
    if not last and any(v.order is not None for v in values):
        values = [call.sorted(v) for v in values]
    tensor = call.merge(nn.Concatenate(-1 if last else dimension + 1), [v.tensor for v in values])
    return replace(first, tensor=tensor, order=_joined(values) if last else None)


def _joined(values: list[Value]) -> np.ndarray | None:
    starts = np.cumsum([0, *(v.channels for v in values)])
    orders = [np.arange(v.channels) if v.order is None else v.order for v in values]
    parts = (start + order for start, order in zip(starts, orders, strict=False))
    return compose(reduce(lambda a, b: np.concatenate([a, b]), parts))
