"""Winograd's F(4x4, 3x3): 36 multiplications where 144 would be, for 3x3 convolutions of stride 1.

Three steps (Lavin and Gray 2016, section 4.1): 6x6 tiles of the picture are transformed to 36
values (`winograd_input`), 36 matrix products follow (`matmul`, as for 1x1 convolutions), and their
results are transformed to 4x4 tiles (`winograd_output`). The points are 0, 1, -1, 2, -2: an error
of some 1e-6 of the largest output.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from tinycnn.engine.kernels._jit import (
    FLOATS,
    ahead,
    floats,
    helper,
    kernel,
    parameter,
    share_begin,
    share_end,
)
from tinycnn.engine.kernels.family import BLOCK, CURRENT
from tinycnn.engine.kernels.instructions import WINOGRAD_INPUT as WI
from tinycnn.engine.kernels.instructions import WINOGRAD_OUTPUT as WO
from tinycnn.engine.kernels.tile import F32, Vectors, number

TILE, OUTPUT = 6, 4
POSITIONS = TILE * TILE


class _Transforms:
    """The two one-dimensional transforms, on vectors in registers."""

    def __init__(self, builder: Any, v: Vectors) -> None:
        self.builder, self.v = builder, v

    def scaled(self, factor: float, a: Any, b: Any) -> Any:
        """factor * a + b."""
        return self.v.multiply_add(self.v.splat(F32(factor)), a, b)

    def of_input(self, d: list[Any]) -> list[Any]:
        """B^T d: 6 values to 6."""
        add, subtract = self.builder.fadd, self.builder.fsub
        even, odd = self.scaled(-4, d[2], d[4]), self.scaled(-4, d[1], d[3])
        outer, inner = subtract(d[4], d[2]), subtract(d[3], d[1])
        inner = add(inner, inner)
        first = self.scaled(4, d[0], self.scaled(-5, d[2], d[4]))
        last = self.scaled(4, d[1], self.scaled(-5, d[3], d[5]))
        pairs = [add(even, odd), subtract(even, odd), add(outer, inner), subtract(outer, inner)]
        return [first, *pairs, last]

    def of_output(self, m: list[Any]) -> list[Any]:
        """A^T m: 6 values to 4."""
        add, subtract = self.builder.fadd, self.builder.fsub
        near, far = add(m[1], m[2]), add(m[3], m[4])
        near_odd, far_odd = subtract(m[1], m[2]), subtract(m[3], m[4])
        return [
            add(add(m[0], near), far),
            self.scaled(2, far_odd, near_odd),
            self.scaled(4, far, near),
            self.scaled(8, far_odd, add(near_odd, m[5])),
        ]

    @staticmethod
    def both(rows: list[list[Any]], transform: Any) -> list[list[Any]]:
        """Apply a transform to the columns, then to the rows of what comes out."""
        columns = [transform(list(column)) for column in zip(*rows, strict=True)]
        return [transform(list(row)) for row in zip(*columns, strict=True)]


@intrinsic
def _input_tile(typing, x, row, y, distance):
    """One vector of channels: 6x6 pixels of x to 36 places of y, ``distance`` apart."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, row, y, distance = args
        v = Vectors(builder, CURRENT.vector)
        lines = [v.at(x, builder.mul(row, number(i))) for i in range(TILE)]
        pixels = [[v.load(line, c * BLOCK) for c in range(TILE)] for line in lines]
        values = _Transforms.both(pixels, _Transforms(builder, v).of_input)
        for position, value in enumerate(value for row in values for value in row):
            v.store(value, y, builder.mul(distance, number(position)))
        return context.get_dummy_value()

    return types.void(FLOATS, types.int64, FLOATS, types.int64), codegen


@intrinsic
def _output_tile(typing, x, distance, bias, y, row, low, high):
    """One vector of filters: 36 places of x, ``distance`` apart, to 4x4 pixels of y."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, distance, bias, y, row, low, high = args
        v = Vectors(builder, CURRENT.vector)
        places = [builder.mul(distance, number(i)) for i in range(POSITIONS)]
        values = [[v.load(x, places[TILE * i + j]) for j in range(TILE)] for i in range(TILE)]
        pixels = _Transforms.both(values, _Transforms(builder, v).of_output)
        add, lows, highs = v.load(bias), v.splat(low), v.splat(high)
        for i, line in enumerate(pixels):
            target = v.at(y, builder.mul(row, number(i)))
            for j, value in enumerate(line):
                v.store(v.clip(builder.fadd(value, add), lows, highs), target, j * BLOCK)
        return context.get_dummy_value()

    long, real = types.int64, types.float32
    return types.void(FLOATS, long, FLOATS, FLOATS, long, real, real), codegen


VECTOR = CURRENT.vector


@kernel
def winograd_input(row, arena, weights, thread, threads):
    """y[position][block][tile][16] from a picture; threads share (block, row of tiles)."""
    rows, columns, blocks = row[WI.rows], row[WI.columns], row[WI.blocks]
    tiles, distance = rows * columns, row[WI.distance]
    total = blocks * rows
    for item in range(share_begin(total, thread, threads), share_end(total, thread, threads)):
        block, r = item // rows, item % rows
        x = ahead(floats(arena, row[WI.x]), block * row[WI.x_block] + r * OUTPUT * row[WI.x_row])
        y = ahead(floats(arena, row[WI.y]), (block * tiles + r * columns) * BLOCK)
        for c in range(columns):
            for lane in range(0, BLOCK, VECTOR):
                source = ahead(x, c * OUTPUT * BLOCK + lane)
                _input_tile(source, row[WI.x_row], ahead(y, c * BLOCK + lane), distance)


@helper
def copy_part(x, y, row, rows, columns):
    """The part of a 4x4 tile that lies inside the picture."""
    for r in range(rows):
        for i in range(columns * BLOCK):
            y[r * row + i] = x[r * OUTPUT * BLOCK + i]


@kernel
def winograd_output(row, arena, weights, thread, threads):
    """A picture from x[position][block][tile][16]; threads share (block, row of tiles)."""
    rows, columns, blocks = row[WO.rows], row[WO.columns], row[WO.blocks]
    tiles, distance, y_row = rows * columns, row[WO.distance], row[WO.y_row]
    low, high = parameter(row, WO.low), parameter(row, WO.high)
    part = ahead(floats(arena, row[WO.part]), thread * OUTPUT * OUTPUT * BLOCK)
    total = blocks * rows
    for item in range(share_begin(total, thread, threads), share_end(total, thread, threads)):
        block, r = item // rows, item % rows
        x = ahead(floats(arena, row[WO.x]), (block * tiles + r * columns) * BLOCK)
        y = ahead(floats(arena, row[WO.y]), block * row[WO.y_block] + r * OUTPUT * y_row)
        bias = ahead(floats(weights, row[WO.bias]), block * BLOCK)
        height = min(OUTPUT, row[WO.height] - r * OUTPUT)
        for c in range(columns):
            width = min(OUTPUT, row[WO.width] - c * OUTPUT)
            whole = height == OUTPUT and width == OUTPUT
            target = ahead(y, c * OUTPUT * BLOCK) if whole else part
            line = y_row if whole else OUTPUT * BLOCK
            for lane in range(0, BLOCK, VECTOR):
                _output_tile(
                    ahead(x, c * BLOCK + lane), distance, ahead(bias, lane), ahead(target, lane),
                    line, low, high,
                )  # fmt: skip
            if not whole:
                copy_part(part, ahead(y, c * OUTPUT * BLOCK), y_row, height, width)
