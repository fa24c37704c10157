"""A network as an ONNX file, channels first as its readers like it, for ONNX Runtime and OpenVINO.

Needs the package ``onnx``, which writes the format; the graph is made here.
"""

from __future__ import annotations

from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.benchmarks.portable import dense_kernel, flattened, portable, unsupported
from tinycnn.engine import ops
from tinycnn.engine.ops import LINEAR, Clip, Net, Op
from tinycnn.nn.graph import INPUT
from tinycnn.nn.model import Model
from tinycnn.nn.types import Shape

OPSET, IR_VERSION = 13, 8
AXES = {-1: 1, 0: 2, 1: 3, 2: 1}  # of (H, W, C) in (N, C, H, W)


class OnnxFile:
    """Nodes and constants so far."""

    def __init__(self, net: Net) -> None:
        import onnx

        self.onnx, self.flat = onnx, flattened(net, "ONNX")
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Any) -> str:
        """Add a constant; return its name."""
        array = np.ascontiguousarray(value)
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        """Append a node."""
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], output, **attributes))

    def clipped(self, kind: str, op: Op, clip: Clip, inputs: list[str], **attributes: Any) -> None:
        """Append a node and the activation behind it."""
        before = op.output if clip == LINEAR else f"{op.output}:linear"
        self.node(kind, inputs, before, **attributes)
        if clip != LINEAR:
            self.clip(before, op.output, clip)

    def clip(self, source: str, output: str, clip: Clip) -> None:
        """Append min(max(x, low), high)."""
        if clip == ops.RELU:
            self.node("Relu", [source], output)
            return
        limits = [
            self.constant(f"{output}:{name}", np.float32(value))
            for name, value in clip._asdict().items()
        ]
        self.node("Clip", [source, *limits], output)

    def linear(self, op: ops.Linear, kernel: Any) -> list[str]:
        """Names of an operation's input, kernel and bias."""
        weights = {"kernel": kernel, "bias": op.bias}
        names = [self.constant(f"{op.output}:{name}", v) for name, v in weights.items()]
        return [op.inputs[0], *names]


def write(model: Model, path: Path, batch: int = 1) -> None:
    """Write ``model`` for images (batch, C, H, W); UsageError for a layer without translation."""
    net = portable(model)
    to = OnnxFile(net)
    for op in net.ops:
        emit(op, to)
    helper, onnx = to.onnx.helper, to.onnx
    height, width, channels = net.input_shape
    kind = onnx.TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info(INPUT, kind, (batch, channels, height, width))]
    shape = (batch, *net.output_shape)
    outputs = [helper.make_tensor_value_info(net.output, kind, shape)]
    graph = helper.make_graph(to.nodes, "network", inputs, outputs, to.constants)
    opset = [helper.make_opsetid("", OPSET)]
    made = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    onnx.checker.check_model(made)
    onnx.save(made, str(path))


@singledispatch
def emit(op: Op, to: OnnxFile) -> None:
    """Append the nodes of one operation."""
    unsupported(op, "ONNX")


def _window(op: Any, size: Shape) -> dict[str, Any]:
    (top, bottom), (left, right) = op.pads
    return {
        "kernel_shape": list(size), "strides": list(op.strides), "pads": [top, left, bottom, right],
    }  # fmt: skip


@emit.register
def _(op: ops.Conv, to: OnnxFile) -> None:
    kernel = op.kernel.transpose(3, 2, 0, 1)
    to.clipped(
        "Conv", op, op.clip, to.linear(op, kernel), **_window(op, op.kernel.shape[:2]),
        dilations=list(op.dilation), group=op.groups,
    )  # fmt: skip


@emit.register
def _(op: ops.Depthwise, to: OnnxFile) -> None:
    height, width, channels, multiplier = op.kernel.shape
    kernel = op.kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    to.clipped(
        "Conv", op, op.clip, to.linear(op, kernel), **_window(op, (height, width)),
        dilations=list(op.dilation), group=channels,
    )  # fmt: skip


@emit.register
def _(op: ops.Dense, to: OnnxFile) -> None:
    if len(op.shape) != 1:
        unsupported(op, "ONNX")
    to.clipped("Gemm", op, op.clip, to.linear(op, dense_kernel(op, to.flat)))


@emit.register
def _(op: ops.Affine, to: OnnxFile) -> None:
    size = op.shape[-1]
    values = {"scale": op.scale, "shift": op.shift, "mean": np.zeros(size), "var": np.ones(size)}
    names = [
        to.constant(f"{op.output}:{name}", np.broadcast_to(np.asarray(v, np.float32), size))
        for name, v in values.items()
    ]
    inputs = [op.inputs[0], *names]
    to.clipped("BatchNormalization", op, op.clip, inputs, epsilon=0.0)


@emit.register
def _(op: ops.Elementwise, to: OnnxFile) -> None:
    kinds = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}
    if op.kind == "clip":
        to.clip(op.inputs[0], op.output, Clip(*op.parameters))
    elif op.kind in kinds and not op.parameters:
        to.node(kinds[op.kind], list(op.inputs), op.output)
    else:
        unsupported(op, "ONNX")


@emit.register
def _(op: ops.Binary, to: OnnxFile) -> None:
    kinds = {"add": "Add", "subtract": "Sub", "multiply": "Mul"}
    if op.kind not in kinds or len({len(shape) for shape in op.shapes}) != 1:
        unsupported(op, "ONNX")
    to.clipped(kinds[op.kind], op, op.clip, list(op.inputs))


@emit.register
def _(op: ops.Pool, to: OnnxFile) -> None:
    kind = {"max": "MaxPool", "mean": "AveragePool"}[op.kind]
    to.node(kind, list(op.inputs), op.output, **_window(op, op.window))


@emit.register
def _(op: ops.GlobalPool, to: OnnxFile) -> None:
    kind = {"max": "GlobalMaxPool", "mean": "GlobalAveragePool"}[op.kind]
    if len(op.shape) == 3:
        to.node(kind, list(op.inputs), op.output)
        return
    to.node(kind, list(op.inputs), f"{op.output}:picture")
    to.node("Flatten", [f"{op.output}:picture"], op.output)


@emit.register
def _(op: ops.AxisWise, to: OnnxFile) -> None:
    if op.kind != "softmax":
        unsupported(op, "ONNX")
    axis = AXES[op.dimension] if len(op.shape) == 3 else -1
    to.node("Softmax", list(op.inputs), op.output, axis=axis)


@emit.register
def _(op: ops.Pad, to: OnnxFile) -> None:
    (top, bottom), (left, right) = op.pads
    pads = np.array([0, 0, top, left, 0, 0, bottom, right])
    to.node("Pad", [op.inputs[0], to.constant(f"{op.output}:pads", pads)], op.output)


@emit.register
def _(op: ops.Concat, to: OnnxFile) -> None:
    axis = AXES[op.dimension] if len(op.shape) == 3 else -1
    to.node("Concat", list(op.inputs), op.output, axis=axis)


@emit.register
def _(op: ops.View, to: OnnxFile) -> None:
    if len(op.shape) != 1:
        unsupported(op, "ONNX")
    to.node("Flatten", list(op.inputs), op.output)
