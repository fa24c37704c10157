"""Nodes of an ONNX file while a generated network becomes one, channels first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import numpy as np

from tests.convert import onnx_files
from tests.differential.builder import UnfitError
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.types import Shape

Weights = dict[str, Any]
AXES = (2, 3, 1)  # of an image's rows, columns and channels in ONNX
# Name -> operator and options; what is missing here is a formula below.
ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "linear": ("Identity", {}),
    "relu": ("Relu", {}),
    "relu6": ("Clip", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.2}),
    "elu": ("Elu", {"alpha": 1.0}),
    "celu": ("Celu", {}),
    "selu": ("Selu", {}),
    "exponential": ("Exp", {}),
    "sigmoid": ("Sigmoid", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6}),
    "hard_sigmoid_keras2": ("HardSigmoid", {}),
    "silu": ("Sigmoid", {}),
    "hard_silu": ("HardSwish", {}),
    "tanh": ("Tanh", {}),
    "hard_tanh": ("Clip", {}),
    "threshold": ("ThresholdedRelu", {"alpha": 0.0}),
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
    "mish": ("Mish", {}),
    "gelu": ("Gelu", {}),
    "gelu_tanh": ("Gelu", {"approximate": "tanh"}),
    "softmax": ("Softmax", {}),
    "log_softmax": ("LogSoftmax", {}),
}
LIMITS = {"relu6": (0.0, 6.0), "hard_tanh": (-1.0, 1.0)}


def activate(to: Nodes, x: str, name: str, rank: int) -> str:
    """An activation by its name."""
    op, options = ACTIVATIONS[name]
    if name in LIMITS:
        return to.node(op, ",".join([x, *(to.constant(np.float32(v)) for v in LIMITS[name])]))
    if name in ("softmax", "log_softmax"):
        options = {"axis": 1 if rank != 2 else 2}
    y = x if op == "Identity" else to.node(op, x, **options)
    return to.node("Mul", f"{x},{y}") if name == "silu" else y


def channels_last(to: Nodes, x: str, shape: Shape) -> str:
    """An image as (N, H, W, C); other values are the same in both."""
    return to.node("Transpose", x, perm=[0, 2, 3, 1]) if len(shape) == 3 else x


def channels_first(to: Nodes, x: str, shape: Shape) -> str:
    """Back again."""
    return to.node("Transpose", x, perm=[0, 3, 1, 2]) if len(shape) == 3 else x


def spread(value: Any, shape: Shape) -> Any:
    """A factor for each channel, in a shape that ONNX broadcasts."""
    value = np.asarray(value, np.float32)
    return value.reshape(-1, 1, 1) if value.ndim == 1 and len(shape) == 3 else value


class Nodes:
    """Nodes and tensors so far; a value is channels first as long as it has rows and columns."""

    def __init__(self) -> None:
        self.nodes: list[bytes] = []
        self.tensors: list[tuple[str, Any]] = []
        self.used: set[str] = set()

    def node(self, op: str, inputs: str, output: str = "", /, **attributes: Any) -> str:
        """Append a node; the name of its output."""
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(onnx_files.node(op, inputs, output, f"op{len(self.nodes)}", **attributes))
        self.used.add(op)
        return output

    def constant(self, value: Any) -> str:
        """A tensor of the file; its name."""
        name = f"c{len(self.tensors)}"
        self.tensors.append((name, np.ascontiguousarray(value)))
        return name


@singledispatch
def emit(layer: Layer, to: Nodes, xs: Sequence[str], shapes: Any, weights: Weights) -> str:
    """Append the nodes of a layer; the name of its output."""
    raise UnfitError(f"{type(layer).__name__} is not written")
