"""Instructions for plain values: the general kernels, which do everything, and nothing fast."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tinycnn.engine import ops, packing
from tinycnn.engine.kernels import instructions
from tinycnn.engine.kernels.family import BLOCK
from tinycnn.engine.planner import Planner, emit
from tinycnn.errors import BackendError
from tinycnn.nn.types import Shape


def window_fields(op: Any, source: Shape, kernel: Shape) -> dict[str, int]:
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
    return {"kernel": op.weights, "bias": op.bias, **op.clip._asdict()}


def conv(op: ops.Conv, to: Planner) -> None:
    """Any convolution."""
    window = window_fields(op, op.source, op.kernel.shape)
    to.add(op, instructions.CONV, **_linear(op), **window, groups=op.groups)


def depthwise(op: ops.Depthwise, to: Planner) -> None:
    """Depthwise, with any multiplier."""
    window = window_fields(op, op.source, op.kernel.shape)
    to.add(op, instructions.DEPTHWISE, **_linear(op), **window, multiplier=op.kernel.shape[3])


@emit.register
def _(op: ops.ConvTranspose, to: Planner) -> None:
    fields = _linear(op) | {"kernel": np.ascontiguousarray(op.weights.transpose(0, 1, 3, 2))}
    to.add(
        op, instructions.CONV_TRANSPOSE, **fields, **window_fields(op, op.source, op.kernel.shape)
    )


@emit.register
def _(op: ops.Dense, to: Planner) -> None:
    channels, filters = op.kernel.shape
    if prod(op.shape[:-1]) == 1:
        _matrix_vector(op, to)
        return
    to.add(
        op, instructions.DENSE, to.pieces(op.kernel.size),
        **_linear(op), rows=prod(op.shape[:-1]), channels=channels, filters=filters,
    )  # fmt: skip


def _matrix_vector(op: ops.Dense, to: Planner) -> None:
    """A product with one row, as a convolution of one pixel: weights are read in one stream.

    Whole vectors are written; a value's memory is rounded up to a cache line, which holds them.
    """
    family, (channels, filters) = to.family, op.kernel.shape
    table = packing.segments(channels, BLOCK, 0, BLOCK, (1, 1))
    to.add(
        op, instructions.MATMUL, to.pieces(op.kernel.size), residual=-1,
        kernel=packing.Panels(op.kernel, family, op.scale),
        bias=packing.rounded(op.bias, family.vector),
        segments=table[0], full=table[1], short=table[2], channels=table[3],
        panels=-(-filters // family.panel),
        last=(packing.vectors(filters, family) - 1) % family.vectors + 1, groups=1, rows=1,
        columns=1, tiles=1, distance=BLOCK, x_row=0, y_row=0, y_block=BLOCK, residual_row=0,
        residual_block=0, **op.clip._asdict(), batch=1, x_batch=0, y_batch=0, kernel_batch=0,
    )  # fmt: skip


def affine(op: ops.Affine, to: Planner) -> None:
    """A factor and a summand for each channel."""
    to.add(
        op, instructions.AFFINE, to.pieces(prod(op.shape)),
        scale=op.scale, shift=op.shift, rows=prod(op.shape[:-1]),
        channels=op.shape[-1], **op.clip._asdict(),
    )  # fmt: skip


@emit.register
def _(op: ops.PRelu, to: Planner) -> None:
    to.add(op, instructions.PRELU, alpha=op.alpha, size=prod(op.shape), period=op.alpha.size)


def binary(op: ops.Binary, to: Planner) -> None:
    """Two values, broadcast."""
    (row1, column1, channel1), (row2, column2, channel2) = map(_broadcast_strides, op.shapes)
    rows, columns, channels = _as_picture(op.shape)
    to.add(
        op, instructions.BINARY, x1=to.address(op.inputs[0]), x2=to.address(op.inputs[1]),
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
def _(op: ops.AxisWise, to: Planner) -> None:
    dimension = op.dimension % len(op.source)
    to.add(
        op, instructions.AXIS_WISE, to.pieces(16 * prod(op.shape)),
        kind=instructions.AXIS_WISE_KINDS.index(op.kind),
        outer=prod(op.source[:dimension]), length=op.source[dimension],
        inner=prod(op.source[dimension + 1 :]),
    )  # fmt: skip


@emit.register
def _(op: ops.LayerNorm, to: Planner) -> None:
    groups = prod(op.shape) // op.gamma.size
    to.add(
        op, instructions.LAYER_NORM, gamma=op.gamma, beta=op.beta, groups=groups,
        length=op.gamma.size, epsilon=op.epsilon,
    )  # fmt: skip


def pad(op: ops.Pad, to: Planner) -> None:
    """Zeros around, as a gather."""
    index = np.arange(prod(op.source), dtype=np.int32).reshape(op.source)
    padded = np.pad(index, (*op.pads, (0, 0)), constant_values=-1)
    to.add(op, instructions.GATHER, index=padded, size=padded.size)


@emit.register
def _(op: ops.Gather, to: Planner) -> None:
    to.add(op, instructions.GATHER, index=op.index, size=op.index.size)


@emit.register
def _(op: ops.Resample, to: Planner) -> None:
    height, width, channels = op.source
    to.add(
        op, instructions.RESAMPLE, scratch=to.address(f"{op.output}:scratch"), rows=op.rows,
        columns=op.columns, height=height, width=width, channels=channels,
        out_height=op.shape[0], out_width=op.shape[1],
    )  # fmt: skip


def concat(op: ops.Concat, to: Planner) -> None:
    """A copy of each part."""
    outer, stride = prod(op.shape[: op.dimension]), prod(op.shape[op.dimension :])
    y = to.address(op.output)
    for name, shape in zip(op.inputs, op.shapes, strict=True):
        length = prod(shape[op.dimension :])
        to.add(
            op,
            instructions.COPY,
            x=to.address(name),
            y=y,
            outer=outer,
            length=length,
            stride=stride,
        )
        y += 4 * length
