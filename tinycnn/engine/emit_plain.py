"""Instructions for plain values: the general kernels, which do everything, and nothing fast."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

from tinycnn.engine import ops, packing
from tinycnn.engine.kernels import instructions
from tinycnn.engine.kernels.family import BLOCK
from tinycnn.engine.planner import Planner, emit
from tinycnn.nn.limits import MAX_RANK
from tinycnn.nn.types import Shape

LONGEST = 4096  # values of a factor that is the same for all channels


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


def _linear(op: ops.Linear, filters: int, transposed: bool = False) -> dict[str, Any]:
    scale = None if op.scale is None else op.filters_last(op.scale)
    kernel = packing.Kernel(op.kernel, scale, transposed)
    return {"kernel": kernel, "bias": packing.Row(op.bias, filters), **op.clip._asdict()}


def conv(op: ops.Conv, to: Planner) -> None:
    """Any convolution."""
    window = window_fields(op, op.source, op.kernel.shape)
    to.add(op, instructions.CONV, **_linear(op, op.shape[2]), **window, groups=op.groups)


def depthwise(op: ops.Depthwise, to: Planner) -> None:
    """Depthwise, with any multiplier."""
    window = window_fields(op, op.source, op.kernel.shape)
    linear = _linear(op, op.shape[2])
    to.add(op, instructions.DEPTHWISE, **linear, **window, multiplier=op.kernel.shape[3])


@emit.register
def _(op: ops.ConvTranspose, to: Planner) -> None:
    window = window_fields(op, op.source, op.kernel.shape)
    to.add(op, instructions.CONV_TRANSPOSE, **_linear(op, op.shape[2], True), **window)


@emit.register
def _(op: ops.Dense, to: Planner) -> None:
    channels, filters = op.kernel.shape
    if prod(op.shape[:-1]) == 1:
        _matrix_vector(op, to)
        return
    to.add(
        op, instructions.DENSE, to.pieces(op.kernel.size),
        **_linear(op, filters), rows=prod(op.shape[:-1]), channels=channels, filters=filters,
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
        bias=packing.Row(op.bias, filters, family.vector),
        segments=table[0], full=table[1], short=table[2], channels=table[3],
        panels=-(-filters // family.panel),
        last=(packing.vectors(filters, family) - 1) % family.vectors + 1, groups=1, rows=1,
        columns=1, tiles=1, distance=BLOCK, x_row=0, y_row=0, y_block=BLOCK, residual_row=0,
        residual_block=0, **op.clip._asdict(), batch=1, x_batch=0, y_batch=0, kernel_batch=0,
    )  # fmt: skip


def affine(op: ops.Affine, to: Planner) -> None:
    """A factor and a summand for each channel."""
    channels = op.shape[-1]
    if channels > LONGEST and op.scale.size == op.shift.size == 1:  # so a table need not be long
        channels = next(n for n in range(LONGEST, 0, -1) if channels % n == 0)
    to.add(
        op, instructions.AFFINE, to.pieces(prod(op.shape)),
        scale=packing.Row(op.scale, channels), shift=packing.Row(op.shift, channels),
        rows=prod(op.shape) // channels, channels=channels, **op.clip._asdict(),
    )  # fmt: skip


@emit.register
def _(op: ops.PRelu, to: Planner) -> None:
    shape = op.alpha.shape
    strides = [s if n > 1 else 0 for n, s in zip(shape, steps(shape), strict=True)]
    alpha = packing.Row(op.alpha, op.alpha.size)
    to.add(op, instructions.PRELU, alpha=alpha, **strided(op.shape, strides))


def steps(shape: Shape) -> list[int]:
    """From one value to the next along each dimension, in values."""
    return [prod(shape[i + 1 :]) for i in range(len(shape))]


def strided(shape: Shape, strides: Sequence[int]) -> dict[str, int]:
    """Fields of instructions that walk over values in order, with ``strides`` in another array.

    Dimensions that can be walked over as one become one, but the first two: threads share rows.
    """
    first, *others = zip(shape, strides, strict=True)
    merged: list[tuple[int, int]] = []
    for size, stride in others:
        if merged and merged[-1][1] == size * stride:
            merged[-1] = (merged[-1][0] * size, stride)
        elif size > 1:
            merged.append((size, stride))
    missing = [(1, 0)] * (MAX_RANK - 1 - len(merged))
    sizes = [*missing, first, *merged]
    outer, (rows, row_step), (length, step) = sizes[:-2], sizes[-2], sizes[-1]
    fields = {f"size{i}": size for i, (size, _) in enumerate(outer)}
    fields |= {f"stride{i}": stride for i, (_, stride) in enumerate(outer)}
    return fields | {
        "planes": prod(shape) // (rows * length), "rows": rows, "row_step": row_step,
        "length": length, "step": step,
    }  # fmt: skip


def binary(op: ops.Binary, to: Planner) -> None:
    """Two values, broadcast: an instruction for three dimensions, and for each place of others."""
    sizes, strides = _walk(op.shape, op.shapes)
    *outer, rows, columns, channels = sizes
    x1, x2, y = (to.address(name) for name in (*op.inputs, op.output))
    (*outer1, row1, column1, channel1), (*outer2, row2, column2, channel2) = strides
    for number, place in enumerate(product(*map(range, outer))):
        to.add(
            op, instructions.BINARY, x1=x1 + 4 * _offset(place, outer1),
            x2=x2 + 4 * _offset(place, outer2), y=y + 4 * number * rows * columns * channels,
            kind=instructions.BINARY_KINDS.index(op.kind), rows=rows, columns=columns,
            channels=channels, row1=row1, column1=column1, channel1=channel1,
            row2=row2, column2=column2, channel2=channel2, **op.clip._asdict(),
        )  # fmt: skip


def _offset(place: Sequence[int], strides: Sequence[int]) -> int:
    return sum(index * stride for index, stride in zip(place, strides, strict=True))


def _walk(shape: Shape, shapes: Sequence[Shape]) -> tuple[list[int], list[list[int]]]:
    """Dimensions, three or more, and each operand's strides along them; 0: the same value again.

    Of more than three, those that all operands walk over as one are one.
    """
    sizes = [1] * (3 - len(shape)) + list(shape)
    strides = [
        [0] * (3 - len(shape)) + [s if n > 1 else 0 for n, s in zip(own, steps(own), strict=True)]
        for own in shapes
    ]
    i = len(sizes) - 1
    while len(sizes) > 3 and i > 0:
        if all(own[i - 1] == sizes[i] * own[i] for own in strides):
            sizes[i - 1 : i + 1] = [sizes[i - 1] * sizes[i]]
            for own in strides:
                del own[i - 1]
        i -= 1
    return sizes, strides


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
    gamma, beta = (
        -1 if values is None else packing.Row(values, op.length) for values in (op.gamma, op.beta)
    )
    to.add(
        op, instructions.LAYER_NORM, gamma=gamma, beta=beta, groups=prod(op.shape) // op.length,
        length=op.length, epsilon=op.epsilon,
    )  # fmt: skip


def pad(op: ops.Pad, to: Planner) -> None:
    """A copy of the rows, and zeros around it."""
    (rows, columns, channels), line = op.source, steps(op.shape)[0]
    (top, bottom), (left, right) = op.pads
    inside = to.address(op.output) + 4 * (top * line + left * channels)
    to.add(
        op, instructions.COPY, y=inside, outer=rows, length=columns * channels,
        x_stride=columns * channels, stride=line,
    )  # fmt: skip
    to.add(
        op, instructions.RING, instructions.ATTACHED, y=inside, blocks=1, rows=rows,
        columns=columns, top=top, bottom=bottom, left=left, right=right, pixel=channels, row=line,
        block=0,
    )  # fmt: skip


@emit.register
def _(op: ops.Crop, to: Planner) -> None:
    line, pixel, _ = steps(op.source)
    start = to.address(op.inputs[0]) + 4 * (op.start[0] * line + op.start[1] * pixel)
    length = steps(op.shape)[0]
    to.add(
        op, instructions.COPY, x=start, outer=op.shape[0], length=length, x_stride=line,
        stride=length,
    )  # fmt: skip


@emit.register
def _(op: ops.Permute, to: Planner) -> None:
    strides = [steps(op.source)[d] for d in op.order]
    to.add(op, instructions.PERMUTE, **strided(op.shape, strides))


@emit.register
def _(op: ops.Resample, to: Planner) -> None:
    rows, columns = (
        packing.Resampling(source, length, op.interpolation)
        for source, length in zip(op.source[:2], op.shape[:2], strict=True)
    )
    height, width, channels = op.source
    to.add(
        op, instructions.RESAMPLE, scratch=to.address(f"{op.output}:scratch"), rows=rows,
        row_taps=rows.taps, columns=columns, column_taps=columns.taps, height=height, width=width,
        channels=channels, out_height=op.shape[0], out_width=op.shape[1],
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
            x_stride=length,
            stride=stride,
        )
        y += 4 * length
