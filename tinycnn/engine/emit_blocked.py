"""Instructions for blocked pictures: the fast kernels."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tinycnn.engine import caches, emit_plain, ops, packing, work
from tinycnn.engine.kernels import instructions
from tinycnn.engine.kernels.family import BLOCK
from tinycnn.engine.layout import Convert, Layout
from tinycnn.engine.ops import Op
from tinycnn.engine.planner import Planner, emit


@emit.register
def _(op: ops.View, to: Planner) -> None:
    pass


def ring(value: str, op: Op, to: Planner, pieces: int) -> None:
    """Zeros around a value, if it has a ring; memory is used again, so at every run."""
    layout = to.layouts[value]
    if layout.ringed:
        (top, bottom), (left, right) = layout.ring
        to.add(
            op, instructions.RING, pieces, y=to.pixel(value), blocks=layout.blocks,
            rows=layout.shape[0], columns=layout.shape[1], top=top, bottom=bottom, left=left,
            right=right, pixel=layout.pixel, row=layout.row, block=layout.block,
        )  # fmt: skip


def _y(layout: Layout) -> dict[str, int]:
    return {"y_row": layout.row, "y_block": layout.block}


def _x(layout: Layout) -> dict[str, int]:
    return {"x_row": layout.row, "x_block": layout.block}


@emit.register
def _(op: ops.Conv, to: Planner) -> None:
    x, y = to.layouts[op.inputs[0]], to.layouts[op.output]
    if not y.blocked:
        emit_plain.conv(op, to)
        return
    window = (op.kernel.shape[0], op.kernel.shape[1])
    if x.blocked:
        table = packing.segments(x.shape[2], x.block, x.row, BLOCK, window, op.dilation)
        kernel = packing.Panels(op.kernel, to.family, op.scale, packing.taps_by_block)
    else:
        table = packing.stem_segments(x.shape[2], x.row, window)
        kernel = packing.Panels(op.kernel, to.family, op.scale)
    _matmul(op, to, kernel, table, x, y)


def _matmul(
    op: ops.Conv, to: Planner, kernel: packing.Panels, table: Any, x: Layout, y: Layout
) -> None:
    """One MATMUL; a picture whose rows follow one another without a gap counts as one row."""
    (rows, columns, filters), family = op.shape, to.family
    distances, full, short, channels = table
    residual = to.layouts[op.inputs[1]] if len(op.inputs) == 2 else None
    x_row = op.strides[0] * x.row
    gaps = [x_row - columns * op.strides[1] * x.pixel, y.row - columns * BLOCK]
    gaps += [residual.row - columns * BLOCK] if residual else []
    if not any(gaps):
        rows, columns = 1, rows * columns
    tiles, panels = -(-columns // family.rows), -(-filters // family.panel)
    up, left = op.pads[0][0], op.pads[1][0]
    to.add(
        op, instructions.MATMUL, to.pieces(op.kernel.size * rows * columns),
        x=to.pixel(op.inputs[0], up, left),
        residual=to.pixel(op.inputs[1]) if residual else -1,
        kernel=kernel, bias=packing.Row(op.bias, filters, family.vector),
        segments=distances, full=full, short=short, channels=channels,
        panels=panels, rows=rows, columns=columns, tiles=tiles,
        last=(packing.vectors(filters, family) - 1) % family.vectors + 1,
        groups=_groups(x, rows * tiles, -(-work.pieces(op) // panels), to.threads),
        distance=op.strides[1] * x.pixel, x_row=x_row, **_y(y),
        residual_row=residual.row if residual else 0,
        residual_block=residual.block if residual else 0, **op.clip._asdict(),
        batch=1, x_batch=0, y_batch=0, kernel_batch=0,
    )  # fmt: skip


def _groups(x: Layout, tiles: int, least: int, threads: int) -> int:
    """In how many groups of tiles a picture is worked off: as the cache wants, in even shares.

    ``least``: so many are needed for that none takes long.
    """
    groups = min(tiles, max(4 * x.size // caches.group_bytes(), least))
    return 1 if groups <= 1 else -(-groups // threads) * threads


@emit.register
def _(op: ops.Depthwise, to: Planner) -> None:
    x, y = to.layouts[op.inputs[0]], to.layouts[op.output]
    if not y.blocked:
        emit_plain.depthwise(op, to)
        return
    height, width, _, _ = op.kernel.shape
    to.add(
        op, instructions.DEPTHWISE_BLOCKED, to.several,
        x=to.pixel(op.inputs[0], op.pads[0][0], op.pads[1][0]),
        kernel=packing.Blocks(op.kernel, op.scale),
        bias=packing.Row(op.bias, op.shape[2], BLOCK),
        blocks=y.blocks, rows=op.shape[0], columns=op.shape[1], kernel_height=height,
        kernel_width=width, stride_y=op.strides[0], stride_x=op.strides[1],
        dilation_y=op.dilation[0], dilation_x=op.dilation[1], **_x(x), **_y(y),
        **op.clip._asdict(),
    )  # fmt: skip


def inverted_residual_scratch(op: ops.InvertedResidual) -> int:
    """Floats for each thread: three expanded lines, one of zeros, one after the depthwise."""
    blocks = -(-op.expanded // BLOCK)
    return BLOCK * blocks * (4 * (op.source[1] + 2) + op.shape[1])


@emit.register
def _(op: ops.InvertedResidual, to: Planner) -> None:
    family = to.family
    x, y = to.layouts[op.inputs[0]], to.layouts[op.output]
    blocks = -(-op.expanded // BLOCK)
    into = packing.segments(x.shape[2], x.block, x.row, BLOCK, (1, 1))
    middle = np.arange(blocks, dtype=np.int64) * op.shape[1] * BLOCK
    residual = to.layouts[op.inputs[1]] if len(op.inputs) == 2 else None
    to.add(
        op, instructions.INVERTED_RESIDUAL, scratch=to.address(f"{op.output}:scratch"),
        scratch_size=inverted_residual_scratch(op),
        residual=to.pixel(op.inputs[1]) if residual else -1,
        segments_in=into[0], full_in=into[1], short_in=into[2], channels_in=into[3],
        kernel_in=packing.Panels(
            op.expand.kernel, family, op.expand.scale, packing.taps_by_block
        ),
        bias_in=packing.Row(op.expand.bias, op.expanded, BLOCK), blocks=blocks,
        kernel=packing.Blocks(op.depthwise.kernel, op.depthwise.scale),
        bias=packing.Row(op.depthwise.bias, op.expanded, BLOCK),
        segments_out=middle,
        kernel_out=packing.Panels(op.project.kernel[0, 0], family, op.project.scale),
        bias_out=packing.Row(op.project.bias, op.shape[2], BLOCK),
        height=op.source[0], width=op.source[1], stride=op.depthwise.strides[0],
        top=op.depthwise.pads[0][0], left=op.depthwise.pads[1][0],
        out_height=op.shape[0], out_width=op.shape[1], filters=op.shape[2],
        **_x(x), **_y(y), residual_row=residual.row if residual else 0,
        residual_block=residual.block if residual else 0, **op.depthwise.clip._asdict(),
    )  # fmt: skip


@emit.register
def _(op: ops.Affine, to: Planner) -> None:
    x, y = to.layouts[op.inputs[0]], to.layouts[op.output]
    if not y.blocked:
        emit_plain.affine(op, to)
        return
    to.add(
        op, instructions.AFFINE_BLOCKED, scale=packing.Row(op.scale, op.shape[2], BLOCK),
        shift=packing.Row(op.shift, op.shape[2], BLOCK), blocks=y.blocks, rows=op.shape[0],
        columns=op.shape[1], **_x(x), **_y(y), **op.clip._asdict(),
    )  # fmt: skip


@emit.register
def _(op: ops.Elementwise, to: Planner) -> None:
    x, y = to.layouts[op.inputs[0]], to.layouts[op.output]
    p0, p1, p2 = (*op.parameters, 0.0, 0.0, 0.0)[:3]
    if y.blocked:
        shape = {"blocks": y.blocks, "rows": op.shape[0], "size": op.shape[1] * BLOCK}
        shape |= _x(x) | _y(y)
    else:
        rows = op.shape[0] if len(op.shape) > 1 else 1
        size = prod(op.shape) // rows
        shape = {"blocks": 1, "rows": rows, "size": size}
        shape |= {"x_row": size, "x_block": 0, "y_row": size, "y_block": 0}
    kind = instructions.ELEMENTWISE_KINDS.index(op.kind)
    to.add(
        op,
        instructions.ELEMENTWISE,
        to.pieces(16 * prod(op.shape)),
        kind=kind,
        p0=p0,
        p1=p1,
        p2=p2,
        **shape,
    )


@emit.register
def _(op: ops.Binary, to: Planner) -> None:
    y = to.layouts[op.output]
    if not y.blocked:
        emit_plain.binary(op, to)
        return
    a, b = (to.layouts[name] for name in op.inputs)
    to.add(
        op, instructions.ADD_BLOCKED, x1=to.pixel(op.inputs[0]), x2=to.pixel(op.inputs[1]),
        kind=instructions.BINARY_KINDS.index(op.kind), blocks=y.blocks, rows=op.shape[0],
        columns=op.shape[1], row1=a.row, block1=a.block, row2=b.row, block2=b.block,
        **_y(y), **op.clip._asdict(),
    )  # fmt: skip


@emit.register
def _(op: ops.Pool, to: Planner) -> None:
    x, y = to.layouts[op.inputs[0]], to.layouts[op.output]
    to.add(
        op, instructions.POOL_BLOCKED, kind=instructions.POOL_KINDS.index(op.kind),
        blocks=y.blocks, height=op.source[0], width=op.source[1], out_height=op.shape[0],
        out_width=op.shape[1], kernel_height=op.window[0], kernel_width=op.window[1],
        stride_y=op.strides[0], stride_x=op.strides[1], top=op.pads[0][0], left=op.pads[1][0],
        **_x(x), **_y(y),
    )  # fmt: skip


@emit.register
def _(op: ops.GlobalPool, to: Planner) -> None:
    x, y = to.layouts[op.inputs[0]], to.layouts[op.output]
    to.add(
        op, instructions.GLOBAL_POOL_BLOCKED, kind=instructions.POOL_KINDS.index(op.kind),
        blocks=x.blocks, rows=op.source[0], columns=op.source[1], **_x(x),
        y_block=y.block if y.blocked else BLOCK,
    )  # fmt: skip


@emit.register
def _(op: ops.Concat, to: Planner) -> None:
    """Parts that already lie in place cost nothing; others are copied block by block."""
    y = to.layouts[op.output]
    if not y.blocked:
        emit_plain.concat(op, to)
        return
    channel = 0
    for name, shape in zip(op.inputs, op.shapes, strict=True):
        place = to.pixel(op.output) + 4 * (channel // BLOCK) * y.block
        if to.pixel(name) != place:
            _convert(op, to, name, place, Layout(shape, True, y.ring))
        channel += shape[2]


@emit.register
def _(op: Convert, to: Planner) -> None:
    _convert(op, to, op.inputs[0], to.pixel(op.output), to.layouts[op.output])


def _convert(op: Op, to: Planner, name: str, place: int, y: Layout) -> None:
    x = to.layouts[name]
    rows, columns, channels = y.shape
    to.add(
        op, instructions.CONVERT, to.pieces(4 * prod(y.shape)),
        x=to.pixel(name), y=place, rows=rows, columns=columns,
        channels=channels, **_x(x), x_pixel=x.pixel, **_y(y), y_pixel=y.pixel,
    )  # fmt: skip


@emit.register
def _(op: ops.Pad, to: Planner) -> None:
    if not to.layouts[op.output].blocked:  # blocked: the ring is the padding
        emit_plain.pad(op, to)
