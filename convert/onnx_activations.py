"""ONNX's activations as ours."""

from __future__ import annotations

from math import isclose

import numpy as np

from tinycnn.lightclass import dataclass
from tinycnn.nn import layers as nn
from tinycnn.nn.activations import SELU_ALPHA, SELU_SCALE
from tinycnn.nn.graph import Tensor
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.types import Shape

from .onnx_call import Call, rule
from .onnx_values import Value, scattered

PLAIN = {
    **{"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus"},
    **{"Softsign": "softsign", "Mish": "mish", "HardSwish": "hard_silu", "Exp": "exponential"},
}


@dataclass(frozen=True)
class Erf(Layer):
    """The error function, for which there is no layer: it must turn out to be part of a gelu."""

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return shape


@rule(*PLAIN, "Erf")
def plain(call: Call) -> Value:
    """Activations without options."""
    value = call.value()
    layer = Erf() if call.node.op == "Erf" else nn.Activation(PLAIN[call.node.op])
    return value.on(call.place(layer, value.tensor, {}))


@rule("LeakyRelu", "Elu", "Celu", "Selu", "ThresholdedRelu", "Swish", "HardSigmoid", "Gelu")
def with_options(call: Call) -> Value:
    """Activations whose options either have a layer or the one value that ours has."""
    value = call.value()
    tensor = value.tensor
    match call.node.op:
        case "LeakyRelu":
            layer: Layer = nn.LeakyReLU(call.number("alpha", 0.01))
        case "Elu":
            layer = nn.ELU(call.number("alpha", 1.0))
        case "Celu":
            layer = _named(call, "celu", alpha=(1.0, 1.0))
        case "Selu":
            layer = _named(call, "selu", alpha=(SELU_ALPHA, SELU_ALPHA), gamma=(SELU_SCALE,) * 2)
        case "Swish":
            layer = _named(call, "silu", alpha=(1.0, 1.0))
        case "ThresholdedRelu":
            layer = nn.ReLU(threshold=call.number("alpha", 1.0))
        case "Gelu":
            kinds = {"none": "gelu", "tanh": "gelu_tanh"}
            if (kind := call.text("approximate", "none")) not in kinds:
                call.fail(f"approximate {kind!r} is none of {', '.join(kinds)}")
            layer = nn.Activation(kinds[kind])
        case _:
            return _hard_sigmoid(call, value)
    return value.on(call.place(layer, tensor, {}))


def _named(call: Call, name: str, **wanted: tuple[float, float]) -> Layer:
    """Our activation, if each option (ONNX's default, ours) has the value that ours has."""
    for option, (default, ours) in wanted.items():
        if not isclose(found := call.number(option, default), ours, rel_tol=1e-5):
            call.fail(f"{option} {found} cannot be converted; {ours} can")
    return nn.Activation(name)


def _hard_sigmoid(call: Call, value: Value) -> Value:
    """max(0, min(1, alpha x + beta))."""
    alpha, beta = call.number("alpha", 0.2), call.number("beta", 0.5)
    for name, slope in (("hard_sigmoid", 1 / 6), ("hard_sigmoid_keras2", 0.2)):
        if isclose(alpha, slope, rel_tol=1e-5) and beta == 0.5:
            return value.on(call.place(nn.Activation(name), value.tensor, {}))
    return value.on(clipped(call, call.place(nn.Rescaling(alpha, beta), value.tensor, {}), 0, 1))


@rule("PRelu")
def prelu(call: Call) -> Value:
    """x, or slope * x below 0, with one slope or one for each channel."""
    value = call.value()
    slope = np.asarray(call.constant(1, "slope"), np.float32)
    found = per_channel(value, slope)
    if found is None:
        call.fail(f"slope {slope.shape} is not one for each channel of {value.shape}")
    rank = len(value.tensor.shape)
    alpha = np.broadcast_to(found, (value.channels,)).reshape(*(1,) * (rank - 1), -1)
    layer = nn.PReLU(tuple(range(1, rank)))
    return value.on(call.place(layer, value.tensor, {"alpha": alpha}))


def per_channel(value: Value, constant: np.ndarray) -> np.ndarray | None:
    """One number, or one for each of our channels (C,), out of what ONNX would broadcast."""
    shape, rank = constant.shape, len(value.axes) + 1
    if constant.size == 1 and constant.ndim <= rank:
        return constant.reshape(())
    full = (1,) * (rank - len(shape)) + shape
    long = [i for i, d in enumerate(full) if d != 1]
    if len(full) != rank or len(long) != 1 or long[0] == 0:
        return None
    if value.axes[long[0] - 1] != rank - 2 or constant.size != value.channels:
        return None
    return scattered(constant.reshape(-1), value)


@rule("Clip")
def clip(call: Call) -> Value:
    """Clip by attributes (before opset 11) or inputs."""
    value = call.value()
    low, high = (
        call.number(name, default) if call.argument(i) is None else _scalar(call, i)
        for i, name, default in ((1, "min", -np.inf), (2, "max", np.inf))
    )
    return value.on(clipped(call, value.tensor, low, high))


def _scalar(call: Call, index: int) -> float:
    found = call.constant(index, "limit")
    if found.size != 1:
        call.fail("its limits are not one number each")
    return float(found.ravel()[0])


def clipped(call: Call, tensor: Tensor, low: float, high: float) -> Tensor:
    """min(max(x, low), high)."""
    if not low < high:
        call.fail(f"limits {low} and {high} leave nothing")
    if (low, high) == (-np.inf, np.inf):
        return tensor
    if (low, high) == (-1, 1):
        return call.place(nn.Activation("hard_tanh"), tensor, {})
    if low == -np.inf:  # -max(-x, -high)
        turned = clipped(call, call.place(nn.Rescaling(-1.0), tensor, {}), -high, np.inf)
        return call.place(nn.Rescaling(-1.0), turned, {})
    if low != 0:
        moved = call.place(nn.Rescaling(1.0, -low), tensor, {})
        return call.place(nn.Rescaling(1.0, low), clipped(call, moved, 0, high - low), {})
    layer: Layer = nn.ReLU(None if high == np.inf else high)
    return call.place(layer, tensor, {})


@rule("Softmax", "LogSoftmax")
def softmax(call: Call) -> Value:
    """Over one axis; before opset 13, over all axes from ``axis`` on."""
    value, old = call.value(), call.opset < 13
    axis = call.integer("axis", 1 if old else -1)
    dimension = value.dimension(axis)
    if old:
        first = axis % (len(value.axes) + 1) - 1
        long = [i for i in range(first, len(value.axes)) if value.shape[i] > 1]
        if len(long) > 1:
            call.fail(f"axis {axis} of {value.shape}: a sum over several axes")
        dimension = value.axes[(long or [first])[0]]
    kind = "softmax" if call.node.op == "Softmax" else "log_softmax"
    if dimension == len(value.axes) - 1:
        return value.on(call.place(nn.Activation(kind), value.tensor, {}))
    if kind == "log_softmax":
        call.fail(f"axis {axis} of {value.shape} is not the channels'")
    return value.on(call.place(nn.Softmax(dimension + 1), value.tensor, {}))
