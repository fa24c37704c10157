"""A network as a TensorFlow Lite file, for LiteRT, without TensorFlow.

The format's classes come with the package ``ai-edge-litert``; the graph is made here, with the
operations and fused activations that TensorFlow's converter gives such a network.
"""

from __future__ import annotations

from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.benchmarks.portable import portable, unsupported
from tinycnn.engine import ops
from tinycnn.engine.ops import Clip, Op, Pads
from tinycnn.nn.graph import INPUT
from tinycnn.nn.layers.convolution import same_padding
from tinycnn.nn.model import Model
from tinycnn.nn.types import Shape

IDENTIFIER = b"TFL3"
VERSION = 3


class TfliteFile:
    """Operators, tensors and buffers so far."""

    def __init__(self, batch: int) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema, self.batch = schema, batch
        self.codes: list[int] = []
        self.tensors: list[Any] = []
        self.buffers = [schema.BufferT()]  # number 0 is empty by convention
        self.operators: list[Any] = []
        self.places: dict[str, int] = {}

    def value(self, name: str, shape: Shape) -> int:
        """Add what an operator computes, (N, *shape)."""
        self.places[name] = self._tensor(name, (self.batch, *shape), 0, self.schema.TensorType)
        return self.places[name]

    def constant(self, name: str, array: Any) -> int:
        """Add an array of float32 or int32."""
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        self.buffers.append(buffer)
        return self._tensor(
            name, array.shape, len(self.buffers) - 1, self.schema.TensorType,
            integer=array.dtype == np.int32,
        )  # fmt: skip

    def _tensor(
        self, name: str, shape: Shape, buffer: int, types: Any, integer: bool = False
    ) -> int:  # fmt: skip
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, list(shape), buffer
        tensor.type = types.INT32 if integer else types.FLOAT32
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def operator(
        self, kind: str, inputs: list[int], output: int, options: str = "", **fields: Any
    ) -> None:
        """Append an operator; ``options``: the stem of the class that has its ``fields``."""
        operator = self.schema.OperatorT()
        operator.opcodeIndex = self._code(getattr(self.schema.BuiltinOperator, kind))
        operator.inputs, operator.outputs = inputs, [output]
        if options:
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(self.schema, f"{options}T")()
            for name, value in fields.items():
                assert hasattr(operator.builtinOptions, name), name
                setattr(operator.builtinOptions, name, value)
        self.operators.append(operator)

    def _code(self, code: int) -> int:
        if code not in self.codes:
            self.codes.append(code)
        return self.codes.index(code)

    def activation(self, op: Op, clip: Clip) -> int:
        """Number of a fused activation."""
        kinds = self.schema.ActivationFunctionType
        numbers = {ops.LINEAR: kinds.NONE, ops.RELU: kinds.RELU, ops.RELU6: kinds.RELU6}
        if clip not in numbers:
            unsupported(op, "TensorFlow Lite")
        return int(numbers[clip])

    def pack(self, output: str) -> bytes:
        """Return the file's bytes."""
        import flatbuffers

        schema, graph, model = self.schema, self.schema.SubGraphT(), self.schema.ModelT()
        graph.tensors, graph.operators, graph.name = self.tensors, self.operators, "main"
        graph.inputs, graph.outputs = [self.places[INPUT]], [self.places[output]]
        model.version, model.subgraphs, model.buffers = VERSION, [graph], self.buffers
        model.operatorCodes = []
        for number in self.codes:
            code = schema.OperatorCodeT()
            code.builtinCode, code.deprecatedBuiltinCode, code.version = number, number, 1
            model.operatorCodes.append(code)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())


def write(model: Model, path: Path, batch: int = 1) -> None:
    """Write ``model`` for images (batch, H, W, C); UsageError for a layer without translation."""
    net = portable(model)
    to = TfliteFile(batch)
    to.value(INPUT, net.input_shape)
    for op in net.ops:
        emit(op, to)
    path.write_bytes(to.pack(net.output))


@singledispatch
def emit(op: Op, to: TfliteFile) -> None:
    """Append the operators of one operation."""
    unsupported(op, "TensorFlow Lite")


def _inputs(op: Op, to: TfliteFile) -> list[int]:
    return [to.places[name] for name in op.inputs]


def _pad(op: Op, source: int, pads: Pads, shape: Shape, to: TfliteFile) -> int:
    """Zeros around a picture of ``shape``."""
    (top, bottom), (left, right) = pads
    padded = (shape[0] + top + bottom, shape[1] + left + right, shape[2])
    table = np.array([(0, 0), *pads, (0, 0)], np.int32)
    target = to.value(f"{op.output}:padded", padded)
    to.operator("PAD", [source, to.constant(f"{op.output}:pads", table)], target, "PadOptions")
    return target


def _windowed(op: Any, size: Shape, to: TfliteFile) -> tuple[int, dict[str, Any]]:
    """Input of a windowed operation, padded if need be, and the fields that all of them have."""
    dilation = getattr(op, "dilation", (1, 1))
    same = tuple(map(same_padding, op.source[:2], size, op.strides, dilation))
    source, padding = to.places[op.inputs[0]], to.schema.Padding.VALID
    if op.pads == same and op.pads != ops.NO_PADS:
        padding = to.schema.Padding.SAME
    elif op.pads != ops.NO_PADS:
        source = _pad(op, source, op.pads, op.source, to)
    return source, {"padding": padding, "strideH": op.strides[0], "strideW": op.strides[1]}


def _convolve(kind: str, op: Any, kernel: Any, options: str, to: TfliteFile, **more: Any) -> None:
    source, fields = _windowed(op, op.kernel.shape[:2], to)
    inputs = [source, to.constant(f"{op.output}:kernel", kernel)]
    inputs.append(to.constant(f"{op.output}:bias", op.bias))
    to.operator(
        kind, inputs, to.value(op.output, op.shape), options, **fields, **more,
        dilationHFactor=op.dilation[0], dilationWFactor=op.dilation[1],
        fusedActivationFunction=to.activation(op, op.clip),
    )  # fmt: skip


@emit.register
def _(op: ops.Conv, to: TfliteFile) -> None:
    _convolve("CONV_2D", op, op.kernel.transpose(3, 0, 1, 2), "Conv2DOptions", to)


@emit.register
def _(op: ops.Depthwise, to: TfliteFile) -> None:
    kernel, multiplier = op.kernel.reshape(1, *op.kernel.shape[:2], -1), op.kernel.shape[3]
    options = "DepthwiseConv2DOptions"
    _convolve("DEPTHWISE_CONV_2D", op, kernel, options, to, depthMultiplier=multiplier)


@emit.register
def _(op: ops.Dense, to: TfliteFile) -> None:
    inputs = [*_inputs(op, to), to.constant(f"{op.output}:kernel", op.kernel.T)]
    inputs.append(to.constant(f"{op.output}:bias", op.bias))
    to.operator(
        "FULLY_CONNECTED", inputs, to.value(op.output, op.shape), "FullyConnectedOptions",
        fusedActivationFunction=to.activation(op, op.clip), keepNumDims=len(op.shape) > 1,
    )  # fmt: skip


@emit.register
def _(op: ops.Affine, to: TfliteFile) -> None:
    scaled = to.value(f"{op.output}:scaled", op.shape)
    inputs = [*_inputs(op, to), to.constant(f"{op.output}:scale", op.scale)]
    to.operator("MUL", inputs, scaled, "MulOptions")
    inputs = [scaled, to.constant(f"{op.output}:shift", op.shift)]
    to.operator(
        "ADD", inputs, to.value(op.output, op.shape), "AddOptions",
        fusedActivationFunction=to.activation(op, op.clip),
    )  # fmt: skip


@emit.register
def _(op: ops.Elementwise, to: TfliteFile) -> None:
    kinds = {"relu": "RELU", "sigmoid": "LOGISTIC", "tanh": "TANH"}
    clips = {ops.RELU: "RELU", ops.RELU6: "RELU6"}
    clip = clips.get(Clip(*op.parameters), "") if op.kind == "clip" else ""
    if not (kind := clip or ("" if op.parameters else kinds.get(op.kind, ""))):
        unsupported(op, "TensorFlow Lite")
    to.operator(kind, _inputs(op, to), to.value(op.output, op.shape))


@emit.register
def _(op: ops.Binary, to: TfliteFile) -> None:
    kinds = {"add": "Add", "subtract": "Sub", "multiply": "Mul"}
    if op.kind not in kinds:
        unsupported(op, "TensorFlow Lite")
    stem = kinds[op.kind]
    to.operator(
        stem.upper(), _inputs(op, to), to.value(op.output, op.shape), f"{stem}Options",
        fusedActivationFunction=to.activation(op, op.clip),
    )  # fmt: skip


@emit.register
def _(op: ops.Pool, to: TfliteFile) -> None:
    kind = {"max": "MAX_POOL_2D", "mean": "AVERAGE_POOL_2D"}[op.kind]
    source, fields = _windowed(op, op.window, to)
    to.operator(
        kind, [source], to.value(op.output, op.shape), "Pool2DOptions", **fields,
        filterHeight=op.window[0], filterWidth=op.window[1],
    )  # fmt: skip


@emit.register
def _(op: ops.GlobalPool, to: TfliteFile) -> None:
    kind = {"max": "REDUCE_MAX", "mean": "MEAN"}[op.kind]
    axes = to.constant(f"{op.output}:axes", np.array([1, 2], np.int32))
    to.operator(
        kind, [*_inputs(op, to), axes], to.value(op.output, op.shape), "ReducerOptions",
        keepDims=len(op.shape) == 3,
    )  # fmt: skip


@emit.register
def _(op: ops.AxisWise, to: TfliteFile) -> None:
    if op.kind != "softmax" or op.dimension % len(op.shape) != len(op.shape) - 1:
        unsupported(op, "TensorFlow Lite")
    output = to.value(op.output, op.shape)
    to.operator("SOFTMAX", _inputs(op, to), output, "SoftmaxOptions", beta=1.0)


@emit.register
def _(op: ops.Pad, to: TfliteFile) -> None:
    to.places[op.output] = _pad(op, to.places[op.inputs[0]], op.pads, op.source, to)


@emit.register
def _(op: ops.Concat, to: TfliteFile) -> None:
    axis = op.dimension % len(op.shape) + 1
    output = to.value(op.output, op.shape)
    to.operator("CONCATENATION", _inputs(op, to), output, "ConcatenationOptions", axis=axis)


@emit.register
def _(op: ops.View, to: TfliteFile) -> None:
    shape = [to.batch, *op.shape]
    table = to.constant(f"{op.output}:shape", np.array(shape, np.int32))
    output = to.value(op.output, op.shape)
    to.operator("RESHAPE", [*_inputs(op, to), table], output, "ReshapeOptions", newShape=shape)
