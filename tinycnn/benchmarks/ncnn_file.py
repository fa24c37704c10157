"""A network as files for ncnn: a text that lists the layers, and beside it ``.bin`` with weights.

Format: ncnn's wiki, "param and model file structure" and "operators".
"""

from __future__ import annotations

from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.benchmarks.portable import dense_kernel, flattened, portable, unsupported
from tinycnn.engine import ops
from tinycnn.engine.ops import Clip, Net, Op
from tinycnn.nn.graph import INPUT
from tinycnn.nn.model import Model
from tinycnn.nn.types import Shape

MAGIC = 7767517
PLAIN = b"\0\0\0\0"  # before weights that are neither float16 nor int8
FORMAT = "ncnn"


class NcnnFile:
    """Layers and weights so far."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.flat = flattened(net, FORMAT)
        self.readers = {name: len(ops) for name, ops in net.readers().items()}
        self.copies: dict[str, list[str]] = {}
        self.layers: list[str] = []
        self.blobs = 0
        self.weights: list[bytes] = []

    def layer(self, kind: str, inputs: list[str], output: str, **options: Any) -> None:
        """Append a layer; an option's name is ``o`` and its number."""
        taken = [self._take(name) for name in inputs]
        self._write(kind, output, taken, [output], options)
        if (count := self.readers.get(output, 0)) > 1:  # a blob has one reader
            self.copies[output] = [f"{output}:copy{i}" for i in range(count)]
            self._write("Split", f"{output}:split", [output], self.copies[output], {})

    def _take(self, name: str) -> str:
        return self.copies[name].pop() if name in self.copies else name

    def _write(
        self, kind: str, name: str, inputs: list[str], outputs: list[str], options: dict[str, Any]
    ) -> None:
        values = [f"{key[1:].replace('_', '-')}={value}" for key, value in options.items()]
        counts = [str(len(inputs)), str(len(outputs))]
        self.layers.append(" ".join([kind, name, *counts, *inputs, *outputs, *values]))
        self.blobs += len(outputs)

    def data(self, *arrays: Any, tagged: bool = False) -> None:
        """Append weights; ``tagged``: the first may be of other types in other files."""
        raw = [np.ascontiguousarray(a, np.float32).tobytes() for a in arrays]
        self.weights += [PLAIN, *raw] if tagged else raw

    def clipped(self, op: Op, clip: Clip, kind: str, inputs: list[str], **options: Any) -> None:
        """Append a layer that has no activation of its own, and the activation."""
        before = op.output if clip == ops.LINEAR else f"{op.output}:linear"
        self.layer(kind, inputs, before, **options)
        if clip != ops.LINEAR:
            self.clip(before, op.output, clip)

    def clip(self, source: str, output: str, clip: Clip) -> None:
        """Append min(max(x, low), high)."""
        if clip == ops.RELU:
            self.layer("ReLU", [source], output)
        else:
            self.layer("Clip", [source], output, o0=f"{clip.low:e}", o1=f"{clip.high:e}")


def write(model: Model, path: Path, batch: int = 1) -> None:
    """Write ``model`` for one image (C, H, W); UsageError for a layer without translation."""
    net = portable(model)
    to = NcnnFile(net)
    height, width, channels = net.input_shape
    to.layer("Input", [], INPUT, o0=width, o1=height, o2=channels)
    for op in net.ops:
        emit(op, to)
    head = [str(MAGIC), f"{len(to.layers)} {to.blobs}"]
    path.write_text("\n".join([*head, *to.layers]) + "\n")
    weights_of(path).write_bytes(b"".join(to.weights))
    path.with_suffix(".output").write_text(net.output)


def weights_of(path: Path) -> Path:
    """Where the weights lie that belong to a list of layers."""
    return path.with_suffix(".bin")


def output_of(path: Path) -> str:
    """Name of the result."""
    return path.with_suffix(".output").read_text()


@singledispatch
def emit(op: Op, to: NcnnFile) -> None:
    """Append the layers of one operation."""
    unsupported(op, FORMAT)


def _activation(clip: Clip) -> dict[str, Any]:
    """Options of a layer that clips what it stores."""
    if clip == ops.LINEAR:
        return {}
    if clip == ops.RELU:
        return {"o9": 1}
    return {"o9": 3, "o_23310": f"2,{clip.low:e},{clip.high:e}"}


def _convolve(op: Any, to: NcnnFile, kind: str, kernel: Any, size: Shape, **more: Any) -> None:
    (top, bottom), (left, right) = op.pads
    to.layer(
        kind, list(op.inputs), op.output, o0=op.shape[2], o1=size[1], o11=size[0],
        o2=op.dilation[1], o12=op.dilation[0], o3=op.strides[1], o13=op.strides[0],
        o4=left, o15=right, o14=top, o16=bottom, o5=1, o6=kernel.size, **more,
        **_activation(op.clip),
    )  # fmt: skip
    to.data(kernel, op.bias, tagged=True)


@emit.register
def _(op: ops.Conv, to: NcnnFile) -> None:
    kernel, size = op.kernel.transpose(3, 2, 0, 1), op.kernel.shape[:2]
    if op.groups == 1:
        _convolve(op, to, "Convolution", kernel, size)
    else:
        _convolve(op, to, "ConvolutionDepthWise", kernel, size, o7=op.groups)


@emit.register
def _(op: ops.Depthwise, to: NcnnFile) -> None:
    kernel, size = op.kernel.transpose(2, 3, 0, 1), op.kernel.shape[:2]
    _convolve(op, to, "ConvolutionDepthWise", kernel, size, o7=op.kernel.shape[2])


@emit.register
def _(op: ops.Dense, to: NcnnFile) -> None:
    if len(op.shape) != 1:
        unsupported(op, FORMAT)
    kernel = dense_kernel(op, to.flat).T
    options = {"o0": op.shape[0], "o1": 1, "o2": kernel.size}
    to.layer("InnerProduct", list(op.inputs), op.output, **options, **_activation(op.clip))
    to.data(kernel, op.bias, tagged=True)


@emit.register
def _(op: ops.Affine, to: NcnnFile) -> None:
    size = op.shape[-1]
    to.clipped(op, op.clip, "Scale", list(op.inputs), o0=size, o1=1)
    to.data(np.broadcast_to(op.scale, size), np.broadcast_to(op.shift, size))


@emit.register
def _(op: ops.Elementwise, to: NcnnFile) -> None:
    kinds = {"relu": "ReLU", "sigmoid": "Sigmoid", "tanh": "TanH"}
    if op.kind == "clip":
        to.clip(op.inputs[0], op.output, Clip(*op.parameters))
    elif op.kind in kinds and not op.parameters:
        to.layer(kinds[op.kind], list(op.inputs), op.output)
    else:
        unsupported(op, FORMAT)


@emit.register
def _(op: ops.Binary, to: NcnnFile) -> None:
    kinds = {"add": 0, "subtract": 1, "multiply": 2}
    if op.kind not in kinds or op.shapes[0] != op.shapes[1]:
        unsupported(op, FORMAT)
    to.clipped(op, op.clip, "BinaryOp", list(op.inputs), o0=kinds[op.kind])


@emit.register
def _(op: ops.Pool, to: NcnnFile) -> None:
    (top, bottom), (left, right) = op.pads
    to.layer(
        "Pooling", list(op.inputs), op.output, o0=_pooling(op), o1=op.window[1], o11=op.window[0],
        o2=op.strides[1], o12=op.strides[0], o3=left, o14=right, o13=top, o15=bottom, o5=1,
    )  # fmt: skip


@emit.register
def _(op: ops.GlobalPool, to: NcnnFile) -> None:
    if len(op.shape) != 1:
        unsupported(op, FORMAT)
    to.layer("Pooling", list(op.inputs), op.output, o0=_pooling(op), o4=1)


def _pooling(op: ops.Pool | ops.GlobalPool) -> int:
    """Number of a kind of pooling."""
    return {"max": 0, "mean": 1}[op.kind]


@emit.register
def _(op: ops.AxisWise, to: NcnnFile) -> None:
    if op.kind != "softmax" or len(op.shape) != 1:
        unsupported(op, FORMAT)
    to.layer("Softmax", list(op.inputs), op.output, o0=0, o1=1)


@emit.register
def _(op: ops.Pad, to: NcnnFile) -> None:
    (top, bottom), (left, right) = op.pads
    to.layer("Padding", list(op.inputs), op.output, o0=top, o1=bottom, o2=left, o3=right)


@emit.register
def _(op: ops.Concat, to: NcnnFile) -> None:
    if op.dimension % len(op.shape) != len(op.shape) - 1:
        unsupported(op, FORMAT)
    to.layer("Concat", list(op.inputs), op.output, o0=0)


@emit.register
def _(op: ops.View, to: NcnnFile) -> None:
    if len(op.shape) != 1:
        unsupported(op, FORMAT)
    to.layer("Flatten", list(op.inputs), op.output)
