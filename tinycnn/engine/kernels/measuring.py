"""Instructions that compute nothing: what a core can do at most, and what time it is.

`benchmark` puts them into programs of its own; no network contains them.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinycnn.engine.kernels._jit import FLOATS, INTEGERS, ahead, floats, kernel, longs
from tinycnn.engine.kernels.family import CURRENT
from tinycnn.engine.kernels.instructions import CLOCK, PEAK
from tinycnn.engine.kernels.tile import Vectors, loop

# As many sums as a tile keeps in registers: more than enough to hide a multiply-add's latency.
SUMS, VECTOR = CURRENT.rows * CURRENT.vectors, CURRENT.vector
MONOTONIC = 1  # Linux's number of the clock that time.perf_counter reads


@intrinsic  # type: ignore[untyped-decorator]
def multiply_adds(typing: Any, x: Any, turns: Any, y: Any) -> Any:
    """``turns`` times `SUMS` multiply-adds on vectors that stay in registers; y gets the sums."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, turns, target = args
        v = Vectors(builder, CURRENT.vector)
        factor, summand = v.load(source), v.load(source, CURRENT.vector)
        start = [v.load(source, 2 * CURRENT.vector + i) for i in range(SUMS)]
        sums = loop(
            builder, turns, start,
            lambda _, sums: [v.multiply_add(s, factor, summand) for s in sums],
        )  # fmt: skip
        for i, value in enumerate(sums):
            v.store(value, target, i * CURRENT.vector)
        return context.get_dummy_value()

    return types.void(FLOATS, types.int64, FLOATS), codegen


@kernel
def peak(row, arena, weights, thread, threads):
    """Multiply and add in registers, every thread as much as if it were alone."""
    y = ahead(floats(arena, row[PEAK.y]), thread * SUMS * VECTOR)
    multiply_adds(floats(arena, row[PEAK.x]), row[PEAK.turns], y)


@intrinsic  # type: ignore[untyped-decorator]
def read_clock(typing: Any, place: Any) -> Any:
    """``clock_gettime(MONOTONIC, place)``: seconds, then nanoseconds; takes some 30 ns."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [ir.IntType(32), args[0].type])
        function = cgutils.get_or_insert_function(builder.module, kind, "clock_gettime")
        builder.call(function, [ir.Constant(ir.IntType(32), MONOTONIC), args[0]])
        return context.get_dummy_value()

    return types.void(INTEGERS), codegen


@kernel
def clock(row, arena, weights, thread, threads):
    """Write the time into the arena."""
    if thread == 0:
        read_clock(longs(arena, row[CLOCK.y]))
