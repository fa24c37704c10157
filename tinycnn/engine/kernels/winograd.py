"""Winograd's F(4x4, 3x3): 36 multiplications where 144 would be, for 3x3 convolutions of stride 1.

Three steps (Lavin and Gray 2016, section 4.1): 6x6 tiles of the picture are transformed to 36
values (`winograd_input`), 36 matrix products follow (`matmul`, as for 1x1 convolutions), and their
results are transformed to 4x4 tiles (`winograd_output`). The points are 0, 1, -1, 2, -2: an error
of some 1e-6 of the largest output.
"""

from __future__ import annotations

from collections.abc import Callable
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
# A transform in parts: a function of six vectors, and which values it gives.
Groups = list[tuple[Callable[[list[Any]], list[Any]], tuple[int, ...]]]


class _Transforms:
    """The one-dimensional transforms, on vectors in registers, in groups of one or two values."""

    def __init__(self, builder: Any, v: Vectors) -> None:
        self.builder, self.v = builder, v

    def scaled(self, factor: float, a: Any, b: Any) -> Any:
        """factor * a + b."""
        return self.v.multiply_add(self.v.splat(F32(factor)), a, b)

    def input_first(self, d: list[Any]) -> list[Any]:
        """Value 0 of B^T d; of ``d[1:]``, value 5."""
        return [self.scaled(4, d[0], self.scaled(-5, d[2], d[4]))]

    def input_near(self, d: list[Any]) -> list[Any]:
        """Values 1 and 2, of the points 1 and -1."""
        even, odd = self.scaled(-4, d[2], d[4]), self.scaled(-4, d[1], d[3])
        return [self.builder.fadd(even, odd), self.builder.fsub(even, odd)]

    def input_far(self, d: list[Any]) -> list[Any]:
        """Values 3 and 4, of the points 2 and -2."""
        even, odd = self.builder.fsub(d[4], d[2]), self.builder.fsub(d[3], d[1])
        return [self.scaled(2, odd, even), self.scaled(-2, odd, even)]

    def input_last(self, d: list[Any]) -> list[Any]:
        """Value 5."""
        return self.input_first(d[1:])

    def output_even(self, m: list[Any]) -> list[Any]:
        """Values 0 and 2 of A^T m."""
        near, far = self.builder.fadd(m[1], m[2]), self.builder.fadd(m[3], m[4])
        first = self.builder.fadd(self.builder.fadd(m[0], near), far)
        return [first, self.scaled(4, far, near)]

    def output_odd(self, m: list[Any]) -> list[Any]:
        """Values 1 and 3."""
        near, far = self.builder.fsub(m[1], m[2]), self.builder.fsub(m[3], m[4])
        return [self.scaled(2, far, near), self.scaled(8, far, self.builder.fadd(near, m[5]))]

    def input_groups(self) -> Groups:
        """B^T d, 6 values to 6: each group and which values it gives."""
        return [
            (self.input_near, (1, 2)), (self.input_far, (3, 4)),
            (self.input_first, (0,)), (self.input_last, (5,)),
        ]  # fmt: skip

    def output_groups(self) -> Groups:
        """A^T m, 6 values to 4."""
        return [(self.output_even, (0, 2)), (self.output_odd, (1, 3))]


def _both(groups: Groups, load: Callable[[int, int], Any], store: Callable[..., None]) -> None:
    """Transform the columns, then the rows; ``load(i, j)``, ``store(i, j, value)``.

    One group of rows after the other: 12 of 36 values are alive at a time, where 36 would not fit
    NEON's 32 registers. What two groups need is loaded twice.
    """
    for down, rows in groups:
        columns = [down([load(i, j) for i in range(TILE)]) for j in range(TILE)]
        for i, line in zip(rows, zip(*columns, strict=True), strict=True):
            for along, places in groups:
                for j, value in zip(places, along(list(line)), strict=True):
                    store(i, j, value)


def _places(v: Vectors, start: Any, distance: Any) -> Callable[[int, int], Any]:
    """Where the 6x6 values lie, ``distance`` apart: six pointers and five distances.

    Without `unknown` the compiler would keep 36 pointers from tile to tile, on the stack.
    """
    multiple = [v.builder.mul(distance, number(j)) for j in range(TILE)]
    step = v.builder.mul(distance, number(TILE))
    lines = [v.unknown(v.at(start, v.builder.mul(step, number(i)))) for i in range(TILE)]
    return lambda i, j: v.at(lines[i], multiple[j])


@intrinsic
def _input_tile(typing, x, row, y, distance):
    """One vector of channels: 6x6 pixels of x to 36 places of y, ``distance`` apart."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, row, y, distance = args
        v = Vectors(builder, CURRENT.vector)
        lines = [v.at(x, builder.mul(row, number(i))) for i in range(TILE)]
        place = _places(v, y, distance)
        _both(
            _Transforms(builder, v).input_groups(),
            lambda i, j: v.load(lines[i], j * BLOCK),
            lambda i, j, value: v.store(value, place(i, j)),
        )
        return context.get_dummy_value()

    return types.void(FLOATS, types.int64, FLOATS, types.int64), codegen


@intrinsic
def _output_tile(typing, x, distance, bias, y, row, low, high):
    """One vector of filters: 36 places of x, ``distance`` apart, to 4x4 pixels of y."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, distance, bias, y, row, low, high = args
        v = Vectors(builder, CURRENT.vector)
        add, lows, highs = v.load(bias), v.splat(low), v.splat(high)
        place = _places(v, x, distance)
        targets = [v.at(y, builder.mul(row, number(i))) for i in range(OUTPUT)]

        def load(i: int, j: int) -> Any:
            value = v.load(place(i, j))
            # The transform adds the value of the points (1, 1) to every pixel.
            return builder.fadd(value, add) if i == j == 1 else value

        def store(i: int, j: int, value: Any) -> None:
            v.store(v.clip(value, lows, highs), targets[i], j * BLOCK)

        _both(_Transforms(builder, v).output_groups(), load, store)
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
