"""Convolutions of any size as matrix products, without ever copying a patch.

A tile computes ``rows`` output pixels x ``vectors`` vectors of filters. The inputs it needs are
runs of channels that lie together, one for each block of channels and tap of the kernel: their
distances from the first pixel stand in a table, ``segments``, made by the planner. So 1x1, 3x3,
dilated convolutions and stems are one and the same loop (indirection as in Dukhan 2019, but one
table for all pixels, because the picture carries its ring of zeros).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinycnn.engine.kernels._jit import (
    FLOATS,
    INTEGERS,
    ahead,
    floats,
    helper,
    kernel,
    longs,
    null,
    parameter,
    share_begin,
    share_end,
    typed,
)
from tinycnn.engine.kernels.family import BLOCK, CURRENT, Family
from tinycnn.engine.kernels.instructions import MATMUL
from tinycnn.engine.kernels.tile import F32, Vectors, choose, loop, number

UNROLL = 4  # channels in one turn of the inner loop; 16 are a whole number of turns
CACHE_LINE = 16  # floats

# how many tiles, x, distance of its pixels, segments, (full, short, channels of a short one),
# weights, bias, residual or null, its block stride, y, its block stride, low, high
_TILE = (
    *(
        types.int64,
        FLOATS,
        types.int64,
        INTEGERS,
        types.int64,
        types.int64,
        types.int64,
        FLOATS,
        FLOATS,
    ),
    *(FLOATS, types.int64, FLOATS, types.int64, types.float32, types.float32),
)


def _emit_run(builder: Any, family: Family, rows: int, vectors: int, step: int, args: Any) -> None:
    """``args[0]`` tiles one behind the other, each ``rows`` pixels."""
    count, x, distance, *table, residual, residual_block, y, y_block, low, high = args
    v = Vectors(builder, family.vector)
    across = number(rows * step) if step else builder.mul(distance, number(rows))

    def one(index: Any, state: list[Any]) -> list[Any]:
        x, y, residual = state
        target = (residual, residual_block, y, y_block, low, high)
        _emit_tile(builder, family, rows, vectors, step, (x, distance, *table, *target))
        onward = builder.select(none, residual, v.at(residual, rows * BLOCK))
        return [v.at(x, across), v.at(y, rows * BLOCK), onward]

    none = builder.icmp_unsigned("==", builder.ptrtoint(residual, number(0).type), number(0))
    loop(builder, count, [x, y, residual], one)


def _emit_tile(builder: Any, family: Family, rows: int, vectors: int, step: int, args: Any) -> None:
    """One tile: accumulators from the bias, all segments, then residual, clip and store."""
    x, distance, segments, full, short, channels, weights, bias = args[:8]
    residual, residual_block, y, y_block, low, high = args[8:]
    v = Vectors(builder, family.vector)
    pixels = [number(p * step) if step else builder.mul(distance, number(p)) for p in range(rows)]
    grid = [(p, j) for p in range(rows) for j in range(vectors)]
    # One pixel alone would wait for each sum before adding to it: it has several, added at the end.
    sets = UNROLL if rows == 1 else 1
    size = len(grid)
    taps = builder.add(builder.mul(full, number(BLOCK)), builder.mul(short, channels))
    panel = builder.mul(taps, number(family.panel))

    def multiply(sources: Any, column: Any, offset: int, sums: Any) -> list[Any]:
        """One channel: sums[p, j] += x[p] * w[j]."""
        w = [v.load(column, offset + j * family.vector) for j in range(vectors)]
        return [v.multiply_add(sources[p], w[j], s) for (p, j), s in zip(grid, sums, strict=True)]

    def several(source: Any, column: Any, sums: Any) -> list[Any]:
        """`UNROLL` channels, from scalar broadcasts or from lanes of a vector.

        Meanwhile the next panel comes nearer: memory would have nothing to do until its first tile.
        (A pixel alone has one tile, and does nothing but wait for memory.)
        """
        if family.prefetch and rows > 1:
            following = v.at(column, panel)
            for k in range(0, UNROLL * vectors * family.vector, CACHE_LINE):
                v.prefetch(following, k)
        ahead = [v.at(source, p) for p in pixels]
        quads = [v.load(a, 0, UNROLL) for a in ahead] if family.lanes else []
        for k in range(UNROLL):
            a = [v.lane(q, k) for q in quads] or [v.splat(v.scalar(a, k)) for a in ahead]
            mine = slice(k % sets * size, (k % sets + 1) * size)
            sums[mine] = multiply(a, column, k * vectors * family.vector, sums[mine])
        return list(sums)

    def one(source: Any, column: Any, sums: Any) -> list[Any]:
        a = [v.splat(v.scalar(source, p)) for p in pixels]
        return multiply(a, column, 0, sums[:size]) + sums[size:]

    def run(first: Any, count: Any, quads: Any, rest: Any, state: list[Any]) -> Any:
        """Add ``count`` segments of so many times `UNROLL` channels, and ``rest`` single ones.

        ``state``: the place in the weights, then the sums.
        """

        def segment(index: Any, state: list[Any]) -> list[Any]:
            place = builder.gep(segments, [builder.add(first, index)])
            source = v.at(x, builder.load(place))

            def turn(body: Any, unroll: int) -> Any:
                def channel(k: Any, state: list[Any]) -> list[Any]:
                    begin = v.at(source, builder.mul(k, number(unroll)))
                    sums = body(begin, state[0], state[1:])
                    return [v.at(state[0], unroll * vectors * family.vector), *sums]

                return channel

            state = loop(builder, quads, state, turn(several, UNROLL))
            if rest is None:
                return state
            source = v.at(source, builder.mul(quads, number(UNROLL)))
            return loop(builder, rest, state, turn(one, 1))

        return loop(builder, count, state, segment)

    biases = [v.load(bias, j * family.vector) for j in range(vectors)]
    zeros = [v.splat(ir.Constant(F32, 0.0))] * (sets - 1) * size
    state = [weights, *(biases[j] for _, j in grid), *zeros]
    state = run(number(0), full, number(BLOCK // UNROLL), None, state)
    quads, rest = builder.udiv(channels, number(UNROLL)), builder.urem(channels, number(UNROLL))
    state = run(full, short, quads, rest, state)
    totals = state[1 : 1 + size]
    for first in range(1 + size, len(state), size):
        totals = list(map(builder.fadd, totals, state[first : first + size]))
    sums = dict(zip(grid, totals, strict=True))
    lows, highs = v.splat(low), v.splat(high)

    def place(j: int, stride: Any, p: int) -> Any:
        block, lane = divmod(j * family.vector, BLOCK)
        return builder.add(builder.mul(stride, number(block)), number(lane + p * BLOCK))

    def finish(add: bool) -> None:
        for p, j in grid:
            value = sums[p, j]
            if add:
                value = builder.fadd(value, v.load(residual, place(j, residual_block, p)))
            v.store(v.clip(value, lows, highs), y, place(j, y_block, p))

    null = builder.icmp_unsigned("==", builder.ptrtoint(residual, number(0).type), number(0))
    with builder.if_else(null) as (without, with_residual):
        with without:
            finish(False)
        with with_residual:
            finish(True)


def make_tile(family: Family, step: int) -> Any:
    """Make ``tile(rows, vectors, tiles, ...)`` for pixels ``step`` floats apart (0: as told)."""

    @intrinsic
    def tile(
        typing, rows, vectors, tiles, x, distance, segments, full, short, channels, weights, bias,
        residual, residual_block, y, y_block, low, high,
    ):  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            rows, vectors, *rest = args
            most = family.rows + 1
            key = builder.add(builder.mul(vectors, number(most)), rows)
            cases: dict[int, Any] = {
                n * most + m: lambda m=m, n=n: _emit_run(builder, family, m, n, step, rest)
                for n in range(1, family.vectors + 1)
                for m in range(1, family.rows + 1)
            }
            choose(builder, key, cases)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, *_TILE), codegen

    return tile


_near, _far, _any = (make_tile(CURRENT, step) for step in (BLOCK, 2 * BLOCK, 0))
PANEL, ROWS, VECTOR, VECTORS = CURRENT.panel, CURRENT.rows, CURRENT.vector, CURRENT.vectors


@typed(types.int64, types.int64, *_TILE)
def run(
    rows, vectors, tiles, x, distance, segments, full, short, channels, weights, bias,
    residual, residual_block, y, y_block, low, high,
):  # fmt: skip
    """A run of tiles, by the code for its distance of pixels: a constant is an address for free."""
    if distance == BLOCK:
        _near(rows, vectors, tiles, x, distance, segments, full, short, channels, weights, bias,
              residual, residual_block, y, y_block, low, high)  # fmt: skip
    elif distance == 2 * BLOCK:
        _far(rows, vectors, tiles, x, distance, segments, full, short, channels, weights, bias,
             residual, residual_block, y, y_block, low, high)  # fmt: skip
    else:
        _any(rows, vectors, tiles, x, distance, segments, full, short, channels, weights, bias,
             residual, residual_block, y, y_block, low, high)  # fmt: skip


@helper
def line(
    columns, tiles, first, end, vectors, x, distance, segments, full, short, channels, weights,
    bias, residual, residual_block, y, y_block, low, high,
):  # fmt: skip
    """Tiles ``first`` to ``end`` of the ``tiles`` of a row; the first ones are a pixel longer."""
    size, longer = columns // tiles, columns % tiles
    for extra in (1, 0):
        begin = min(first, longer) if extra == 1 else max(first, longer)
        count = (min(end, longer) if extra == 1 else max(end, longer)) - begin
        if count > 0:
            pixel = begin * (size + extra) if extra == 1 else begin * size + longer
            add = residual if residual_block == 0 else ahead(residual, pixel * BLOCK)
            run(
                size + extra, vectors, count, ahead(x, pixel * distance), distance, segments,
                full, short, channels, weights, bias, add, residual_block,
                ahead(y, pixel * BLOCK), y_block, low, high,
            )  # fmt: skip


@kernel
def matmul(row, arena, weights, thread, threads):
    """All tiles of a convolution: for each of a batch, for groups of tiles, for panels of filters.

    Groups keep a part of the picture in the cache while all panels pass over it. A batch is
    several products of equal shape (`winograd`). Threads share the tiles of one group evenly, or
    whole panels of several groups, which the planner makes a multiple of the threads.
    """
    panels, groups = row[MATMUL.panels], row[MATMUL.groups]
    tiles = row[MATMUL.rows] * row[MATMUL.tiles]
    total = row[MATMUL.batch] * panels * (tiles if groups == 1 else groups)
    begin, end = share_begin(total, thread, threads), share_end(total, thread, threads)
    if groups == 1:
        for item in range(begin // tiles, (end + tiles - 1) // tiles):
            first, last = max(begin - item * tiles, 0), min(end - item * tiles, tiles)
            some_tiles(row, arena, weights, item // panels, item % panels, first, last)
    else:
        for item in range(begin, end):
            group = item // panels % groups
            first, last = group * tiles // groups, (group + 1) * tiles // groups
            batch = item // (panels * groups)
            some_tiles(row, arena, weights, batch, item % panels, first, last)


@helper
def some_tiles(row, arena, weights, batch, panel, first, end):
    """Tiles ``first`` to ``end`` of a picture, for one panel of filters."""
    x = ahead(floats(arena, row[MATMUL.x]), batch * row[MATMUL.x_batch])
    y = ahead(floats(arena, row[MATMUL.y]), batch * row[MATMUL.y_batch])
    segments, full = longs(weights, row[MATMUL.segments]), row[MATMUL.full]
    short, channels = row[MATMUL.short], row[MATMUL.channels]
    taps = full * BLOCK + short * channels
    kernel = ahead(floats(weights, row[MATMUL.kernel]), batch * row[MATMUL.kernel_batch])
    kernel = ahead(kernel, panel * taps * PANEL)
    bias = ahead(floats(weights, row[MATMUL.bias]), panel * PANEL)
    vectors = row[MATMUL.last] if panel == row[MATMUL.panels] - 1 else VECTORS
    blocks = panel * PANEL // BLOCK
    lane = panel * PANEL % BLOCK
    y = ahead(y, blocks * row[MATMUL.y_block] + lane)
    residual, add = floats(arena, row[MATMUL.residual]), row[MATMUL.residual] >= 0
    residual = ahead(residual, blocks * row[MATMUL.residual_block] + lane)
    low, high = parameter(row, MATMUL.low), parameter(row, MATMUL.high)
    columns, tiles, distance = row[MATMUL.columns], row[MATMUL.tiles], row[MATMUL.distance]
    for r in range(first // tiles, (end + tiles - 1) // tiles):
        line(
            columns, tiles, max(first - r * tiles, 0), min(end - r * tiles, tiles), vectors,
            ahead(x, r * row[MATMUL.x_row]), distance, segments, full, short, channels, kernel,
            bias, ahead(residual, r * row[MATMUL.residual_row]) if add else null(),
            row[MATMUL.residual_block], ahead(y, r * row[MATMUL.y_row]), row[MATMUL.y_block],
            low, high,
        )  # fmt: skip
