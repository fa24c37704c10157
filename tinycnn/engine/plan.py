"""From operations to a program: lifetimes, addresses, packed constants, rows of integers.

`functools.singledispatch` on the operation's class: one ``emit`` function for each kind.
"""

from __future__ import annotations

from functools import singledispatch
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from tinycnn.engine import ops
from tinycnn.engine.arena import ALIGNMENT, MAX_CONSTANTS, Lifetime, aligned, place
from tinycnn.engine.kernels import instructions
from tinycnn.engine.kernels.instructions import WIDTH, encode
from tinycnn.engine.ops import Net, Op
from tinycnn.engine.program import Program, aligned_bytes
from tinycnn.errors import BackendError
from tinycnn.nn.graph import INPUT
from tinycnn.nn.layers.base import Shape


def plan(net: Net, threads: int = 1) -> Program:
    """Lower ``net`` to a program that ``threads`` threads run together."""
    planner = Planner(net, threads)
    for op in net.ops:
        planner.op = op
        emit(op, planner)
    rows = planner.rows or [[0] * WIDTH]  # a network of views: one instruction that does nothing
    return Program(
        table=np.array(rows, np.int64),
        weights=planner.constants.packed(),
        arena_bytes=planner.arena_bytes,
        input_offset=planner.address(INPUT),
        output_offset=planner.address(net.output),
        output_shape=net.ops[-1].shape,
        sources=tuple(planner.sources) or (net.output,),
    )


class Constants:
    """Arrays behind one another in one block, each at a cache line; the same array once."""

    def __init__(self) -> None:
        self.arrays: list[npt.NDArray[Any]] = []
        self.offsets: dict[int, int] = {}
        self.size = 0

    def add(self, array: npt.NDArray[Any]) -> int:
        """Byte offset of ``array`` in the block."""
        if id(array) not in self.offsets:
            self.offsets[id(array)] = self.size
            self.arrays.append(array)  # kept alive: an id is unique only among the living
            self.size += aligned(array.nbytes)
            if self.size > MAX_CONSTANTS:
                raise BackendError(f"constants take over {MAX_CONSTANTS >> 20} MB; use numpy")
        return self.offsets[id(array)]

    def packed(self) -> npt.NDArray[np.uint8]:
        """The block."""
        block = aligned_bytes(max(self.size, ALIGNMENT))
        for array in self.arrays:
            offset = self.offsets[id(array)]
            flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            block[offset : offset + array.nbytes] = flat
        return block


class Planner:
    """What ``emit`` writes to: addresses of values and constants, and the rows so far."""

    def __init__(self, net: Net, threads: int) -> None:
        self.threads = threads
        self.op: Op = net.ops[0]
        self.rows: list[list[int]] = []
        self.sources: list[str] = []
        self.constants = Constants()
        self.roots = _roots(net)
        self.offsets, self.arena_bytes = place(_lifetimes(net, self.roots, threads))

    def address(self, value: str) -> int:
        """Byte offset of a value, or of an operation's scratch, in the arena."""
        return self.offsets[self.roots.get(value, value)]

    def add(self, layout: Any, **fields: Any) -> None:
        """Append an instruction; arrays become addresses, x and y default to the operation's."""
        for name, value in fields.items():
            if isinstance(value, np.ndarray):
                fields[name] = self.constants.add(value)
        defaults = {"x": self.op.inputs[0], "y": self.op.output}
        for name, value in defaults.items():
            if name in layout._fields and name not in fields:
                fields[name] = self.address(value)
        self.rows.append(encode(layout, **fields))
        self.sources.append(self.op.output)


def _roots(net: Net) -> dict[str, str]:
    """Value -> the value whose memory it shares: views have none of their own."""
    roots: dict[str, str] = {INPUT: INPUT}
    for op in net.ops:
        if op.output in roots:  # two sizes for one place: the larger would run over
            raise BackendError(f"two operations write {op.output!r}")
        roots[op.output] = roots[op.inputs[0]] if isinstance(op, ops.View) else op.output
    return roots


def _lifetimes(net: Net, roots: dict[str, str], threads: int) -> dict[str, Lifetime]:
    """When each buffer is in use; step i is operation i, the result is read after the last."""
    first, last = {INPUT: 0}, {INPUT: 0}
    sizes = {INPUT: prod(net.input_shape)}
    lifetimes = {}
    for i, op in enumerate(net.ops):
        for name in op.inputs:
            last[roots[name]] = i
        if roots[op.output] == op.output:
            first[op.output] = last[op.output] = i
            sizes[op.output] = prod(op.shape)
        if scratch := scratch_values(op, threads):
            lifetimes[f"{op.output}:scratch"] = Lifetime(4 * scratch, i, i)
    last[roots[net.output]] = len(net.ops)
    return lifetimes | {n: Lifetime(4 * sizes[n], first[n], last[n]) for n in first}


def scratch_values(op: Op, threads: int) -> int:
    """Float32 values of working memory that an operation needs while it runs."""
    if isinstance(op, ops.Resample):
        return threads * op.source[1] * op.source[2]
    return 0


@singledispatch
def emit(op: Op, to: Planner) -> None:
    """Append the instructions of one operation."""
    raise BackendError(f"{op.output}: {type(op).__name__} has no instruction")


@emit.register
def _(op: ops.View, to: Planner) -> None:
    pass


def _window(op: Any, source: Shape, kernel: Shape) -> dict[str, int]:
    """Fields that all windowed instructions share."""
    dilation = getattr(op, "dilation", (1, 1))
    return {
        "height": source[0], "width": source[1], "channels": source[2],
        "out_height": op.shape[0], "out_width": op.shape[1], "filters": op.shape[2],
        "kernel_height": kernel[0], "kernel_width": kernel[1],
        "stride_y": op.strides[0], "stride_x": op.strides[1],
        "dilation_y": dilation[0], "dilation_x": dilation[1],
        "top": op.pads[0][0], "left": op.pads[1][0],
    }  # fmt: skip


def _linear(op: ops.Linear) -> dict[str, Any]:
    return {"kernel": op.kernel, "bias": op.bias, **op.clip._asdict()}


@emit.register
def _(op: ops.Conv, to: Planner) -> None:
    window = _window(op, op.source, op.kernel.shape)
    to.add(instructions.CONV, **_linear(op), **window, groups=op.groups)


@emit.register
def _(op: ops.Depthwise, to: Planner) -> None:
    window = _window(op, op.source, op.kernel.shape)
    to.add(instructions.DEPTHWISE, **_linear(op), **window, multiplier=op.kernel.shape[3])


@emit.register
def _(op: ops.ConvTranspose, to: Planner) -> None:
    fields = _linear(op) | {"kernel": np.ascontiguousarray(op.kernel.transpose(0, 1, 3, 2))}
    to.add(instructions.CONV_TRANSPOSE, **fields, **_window(op, op.source, op.kernel.shape))


@emit.register
def _(op: ops.Dense, to: Planner) -> None:
    channels, filters = op.kernel.shape
    to.add(
        instructions.DENSE, **_linear(op), rows=prod(op.shape[:-1]), channels=channels,
        filters=filters,
    )  # fmt: skip


@emit.register
def _(op: ops.Affine, to: Planner) -> None:
    to.add(
        instructions.AFFINE, scale=op.scale, shift=op.shift, rows=prod(op.shape[:-1]),
        channels=op.shape[-1], **op.clip._asdict(),
    )  # fmt: skip


@emit.register
def _(op: ops.Elementwise, to: Planner) -> None:
    p0, p1, p2 = (*op.parameters, 0.0, 0.0, 0.0)[:3]
    kind = instructions.ELEMENTWISE_KINDS.index(op.kind)
    to.add(instructions.ELEMENTWISE, size=prod(op.shape), kind=kind, p0=p0, p1=p1, p2=p2)


@emit.register
def _(op: ops.PRelu, to: Planner) -> None:
    to.add(instructions.PRELU, alpha=op.alpha, size=prod(op.shape), period=op.alpha.size)


@emit.register
def _(op: ops.Binary, to: Planner) -> None:
    (row1, column1, channel1), (row2, column2, channel2) = map(_broadcast_strides, op.shapes)
    rows, columns, channels = _as_picture(op.shape)
    to.add(
        instructions.BINARY, x1=to.address(op.inputs[0]), x2=to.address(op.inputs[1]),
        kind=instructions.BINARY_KINDS.index(op.kind), rows=rows, columns=columns,
        channels=channels, row1=row1, column1=column1, channel1=channel1,
        row2=row2, column2=column2, channel2=channel2, **op.clip._asdict(),
    )  # fmt: skip


def _as_picture(shape: Shape) -> tuple[int, int, int]:
    if len(shape) > 3:
        raise BackendError(f"element-wise layers of rank {len(shape)} have no kernel; use numpy")
    rows, columns, channels = (1,) * (3 - len(shape)) + shape
    return rows, columns, channels


def _broadcast_strides(shape: Shape) -> tuple[int, int, int]:
    """Strides in values over (rows, columns, channels); 0 where the dimension is 1."""
    rows, columns, channels = _as_picture(shape)
    return (
        columns * channels if rows > 1 else 0,
        channels if columns > 1 else 0,
        1 if channels > 1 else 0,
    )


@emit.register
def _(op: ops.Pool, to: Planner) -> None:
    window = _window(op, op.source, op.window)
    to.add(instructions.POOL, kind=instructions.POOL_KINDS.index(op.kind), **window)


@emit.register
def _(op: ops.GlobalPool, to: Planner) -> None:
    to.add(
        instructions.GLOBAL_POOL, kind=instructions.POOL_KINDS.index(op.kind),
        pixels=prod(op.source[:2]), channels=op.source[2],
    )  # fmt: skip


@emit.register
def _(op: ops.AxisWise, to: Planner) -> None:
    dimension = op.dimension % len(op.source)
    to.add(
        instructions.AXIS_WISE, kind=instructions.AXIS_WISE_KINDS.index(op.kind),
        outer=prod(op.source[:dimension]), length=op.source[dimension],
        inner=prod(op.source[dimension + 1 :]),
    )  # fmt: skip


@emit.register
def _(op: ops.LayerNorm, to: Planner) -> None:
    groups = prod(op.shape) // op.gamma.size
    to.add(
        instructions.LAYER_NORM, gamma=op.gamma, beta=op.beta, groups=groups,
        length=op.gamma.size, epsilon=op.epsilon,
    )  # fmt: skip


@emit.register
def _(op: ops.Pad, to: Planner) -> None:
    index = np.arange(prod(op.source), dtype=np.int32).reshape(op.source)
    padded = np.pad(index, (*op.pads, (0, 0)), constant_values=-1)
    to.add(instructions.GATHER, index=padded, size=padded.size)


@emit.register
def _(op: ops.Gather, to: Planner) -> None:
    to.add(instructions.GATHER, index=op.index, size=op.index.size)


@emit.register
def _(op: ops.Resample, to: Planner) -> None:
    height, width, channels = op.source
    to.add(
        instructions.RESAMPLE, scratch=to.address(f"{op.output}:scratch"), rows=op.rows,
        columns=op.columns, height=height, width=width, channels=channels,
        out_height=op.shape[0], out_width=op.shape[1],
    )  # fmt: skip


@emit.register
def _(op: ops.Concat, to: Planner) -> None:
    outer, stride = prod(op.shape[: op.dimension]), prod(op.shape[op.dimension :])
    y = to.address(op.output)
    for name, shape in zip(op.inputs, op.shapes, strict=True):
        length = prod(shape[op.dimension :])
        to.add(
            instructions.COPY, x=to.address(name), y=y, outer=outer, length=length, stride=stride
        )
        y += 4 * length
