"""Register tiles: vectors of float32 that stay in registers, written with LLVM's builder.

`Vectors` is the small language of the tiles: load, splat, multiply-add, clip, store. A kernel that
is written in it is ordinary Python which runs once, while Numba compiles: its ``for`` loops unroll,
its lists of accumulators are registers. `loop` makes a loop of the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from tinycnn.engine.kernels.family import CURRENT

F32, I64, I32 = ir.FloatType(), ir.IntType(64), ir.IntType(32)


def number(value: int) -> Any:
    """Return an integer constant of the machine."""
    return ir.Constant(I64, value)


class Vectors:
    """Operations on vectors of ``length`` float32."""

    def __init__(self, builder: Any, length: int) -> None:
        self.builder, self.length = builder, length
        self.type = ir.VectorType(F32, length)

    def at(self, pointer: Any, offset: Any) -> Any:
        """Pointer ``offset`` floats further; an int or a value of the machine."""
        return self.builder.gep(pointer, [number(offset) if isinstance(offset, int) else offset])

    def unknown(self, pointer: Any) -> Any:
        """The same pointer, but the compiler cannot tell: what was loaded is loaded again."""
        kind = ir.FunctionType(pointer.type, [pointer.type])
        return self.builder.asm(kind, "", "=r,0", [pointer], False)

    def together(self, rows: list[list[Any]]) -> list[list[Any]]:
        """The same values, but the compiler needs all of them before it goes on with one."""
        values = [value for row in rows for value in row]
        types = [self.type] * len(values)
        kind = ir.FunctionType(ir.LiteralStructType(types), types)
        places = range(len(values))
        # "x": a vector register, for Arm's compiler and for x86's
        constraints = ",".join([*("=x" for _ in places), *map(str, places)])
        every = self.builder.asm(kind, "", constraints, values, False)
        taken = iter(self.builder.extract_value(every, i) for i in places)
        return [[next(taken) for _ in row] for row in rows]

    def end(self) -> None:
        """Close a case of `choose` that shall not share its last instructions with others."""
        self.builder.asm(ir.FunctionType(ir.VoidType(), []), "", "", [], True)

    def load(self, pointer: Any, offset: Any = 0, length: int | None = None) -> Any:
        """Read a vector; float alignment is enough."""
        kind = self.type if length is None else ir.VectorType(F32, length)
        address = self.builder.bitcast(self.at(pointer, offset), kind.as_pointer())
        value = self.builder.load(address)
        value.align = 4
        return value

    def store(self, value: Any, pointer: Any, offset: Any = 0) -> None:
        """Write a vector."""
        address = self.builder.bitcast(self.at(pointer, offset), self.type.as_pointer())
        self.builder.store(value, address).align = 4

    def splat(self, scalar: Any) -> Any:
        """Give a vector with the same value everywhere."""
        undefined = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
        return self.lane(first, 0)

    def lane(self, vector: Any, index: int) -> Any:
        """Give a vector with lane ``index`` of another everywhere."""
        mask = ir.Constant(ir.VectorType(I32, self.length), [index] * self.length)
        return self.builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)

    def scalar(self, pointer: Any, offset: Any) -> Any:
        """Read one value."""
        return self.builder.load(self.at(pointer, offset))

    def prefetch(self, pointer: Any, offset: int) -> None:
        """Ask for a cache line, into the second level; any address will do."""
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32])
        name = "llvm.prefetch.p0i8"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        address = self.builder.bitcast(self.at(pointer, offset), byte)
        self.builder.call(function, [address, I32(0), I32(2), I32(1)])  # to read, level, data

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """a * b + c, rounded once."""
        kind = ir.FunctionType(self.type, [self.type] * 3)
        name = f"llvm.fma.v{self.length}f32"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, [a, b, c])

    def _both(self, name: str, a: Any, b: Any) -> Any:
        """An instruction of Arm's that x86 does not have: NaN if either is."""
        kind = ir.FunctionType(self.type, [self.type] * 2)
        name = f"llvm.{name}.v{self.length}f32"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, [a, b])

    def clip(self, value: Any, low: Any, high: Any) -> Any:
        """min(max(value, low), high); comparisons are false for NaN, so NaN stays NaN."""
        builder = self.builder
        if CURRENT.lanes:
            return self._both("minimum", self._both("maximum", value, low), high)
        value = builder.select(builder.fcmp_ordered(">", low, value), low, value)
        return builder.select(builder.fcmp_ordered("<", high, value), high, value)


def loop(
    builder: Any, count: Any, start: Sequence[Any], body: Callable[[Any, list[Any]], Sequence[Any]]
) -> list[Any]:
    """Run ``body(i, values) -> values`` for i in 0..count-1; the values stay in registers."""
    before = builder.block
    head = builder.append_basic_block("loop")
    inside, after = builder.append_basic_block("body"), builder.append_basic_block("done")
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(I64)
    index.add_incoming(number(0), before)
    values = [builder.phi(v.type) for v in start]
    for phi, value in zip(values, start, strict=True):
        phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", index, count), inside, after)
    builder.position_at_end(inside)
    results = body(index, values)
    index.add_incoming(builder.add(index, number(1)), builder.block)
    for phi, value in zip(values, results, strict=True):
        phi.add_incoming(value, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return values


def choose(builder: Any, key: Any, cases: dict[int, Callable[[], None]]) -> None:
    """Run the case that ``key`` names; nothing if there is none."""
    end = builder.append_basic_block("end")
    switch = builder.switch(key, end)
    for value, body in cases.items():
        block = builder.append_basic_block(f"case{value}")
        switch.add_case(number(value), block)
        builder.position_at_end(block)
        body()
        builder.branch(end)
    builder.position_at_end(end)
