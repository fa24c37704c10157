"""The proof that a program stays inside its memory, made before it runs.

For each row of the table, what its instruction touches (`kernels.access`) must lie inside the
operand that the planner meant, while that operand's buffer is in use; what is read must have been
written or zeroed by an earlier row; and nothing that another share of the row, or an attached row,
works on at the same time may be written. Nothing of the planner's reasoning is believed but which
value each operand is, and where values lie. See docs/decisions/016-verified-programs.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from tinycnn.engine.kernels.access import (
    CONSTANT,
    READ,
    SCRATCH,
    WRITE,
    Access,
    Dims,
    Firsts,
    Need,
)
from tinycnn.engine.kernels.family import BLOCK, CURRENT, Family
from tinycnn.engine.kernels.instructions import ATTACHED, LAYOUTS, PIECES, TOUCHES
from tinycnn.engine.memory import FLOAT, Buffer, Memory, Operand
from tinycnn.engine.program import Program
from tinycnn.errors import ProgramError

INPUT_ROW = 0  # the row before the first: the caller writes the image
Cells = npt.NDArray[np.int32]


def verify(program: Program, family: Family = CURRENT) -> None:
    """Raise ProgramError, with row, instruction and operand, unless the program is sound."""
    if program.memory is None:
        raise ProgramError("a program without a description of its memory cannot be verified")
    _Verifier(program, program.memory, family).run()


class _Verifier:
    """State of the walk: for each buffer, which row wrote each of its cells (0: none did)."""

    def __init__(self, program: Program, memory: Memory, family: Family) -> None:
        self.program, self.memory, self.family = program, memory, family
        self.written = {
            name: np.full(buffer.cells, -1, np.int32) for name, buffer in memory.buffers.items()
        }
        self.where = "the layout of the arena"

    def run(self) -> None:
        self._check_buffers()
        self._write_input()
        leader = 0
        for number, row in enumerate(self.program.table.tolist()):
            if row[PIECES] != ATTACHED:
                leader = number
            self._row(number, leader, row)
        self._read_output()

    def fail(self, text: str) -> None:
        raise ProgramError(f"{self.where}: {text}")

    def _check_buffers(self) -> None:
        """Every buffer lies in the arena, and apart from those that are in use at the same time."""
        buffers = list(self.memory.buffers.values())
        begin, end, first, last = np.array(
            [(b.offset, b.offset + b.size, b.first, b.last) for b in buffers], np.int64
        ).T
        outside = (begin < 0) | (end > self.program.arena_bytes)
        if outside.any():
            self.fail(f"buffer {buffers[int(outside.argmax())].name!r} leaves the arena")
        meet = (begin[:, None] < end) & (begin < end[:, None])
        meet &= (first[:, None] <= last) & (first <= last[:, None])
        np.fill_diagonal(meet, False)
        if meet.any():
            a, b = (buffers[int(i)].name for i in np.argwhere(meet)[0])
            self.fail(f"buffers {a!r} and {b!r} overlap while both are in use")

    def _write_input(self) -> None:
        self.where = "the input"
        program = self.program
        height, row = program.input_shape[0], program.input_row
        run = prod(program.input_shape) // height if row else prod(program.input_shape)
        access = Access("input", WRITE, run, ((height, row),) if row else ())
        self._write(0, 0, self._region(program.input_offset, access, self.memory.input))

    def _read_output(self) -> None:
        self.where = "the output"
        run = Access("output", READ, prod(self.program.output_shape))
        region = self._region(self.program.output_offset, run, self.memory.output)
        self._in_use(len(self.program.table), region.buffer)
        self._read(region)

    def _row(self, number: int, leader: int, row: list[int]) -> None:
        layout: Any = LAYOUTS.get(row[0])
        self.where = f"row {number}, opcode {row[0]}"
        if layout is None:
            if row[0] == 0 and not any(row):  # the one row of a network of views
                return
            self.fail("there is no such instruction")
        self.where = f"row {number}, {type(layout).__name__} of {self._source(number)!r}"
        fields = type(layout)(*row[: len(layout)])
        shares = self._shares(number, leader, row[PIECES])
        reads, writes, scratch = list[_Region](), list[_Region](), list[_Region]()
        for touched in TOUCHES[row[0]](fields, self.family, shares):
            if isinstance(touched, Need):
                if not touched.holds:
                    self.fail(f"it does not hold that {touched.words}")
            elif isinstance(touched, Firsts):
                self._check_firsts(fields, touched)
            elif touched.mode == CONSTANT:
                self._constant(fields, touched)
            elif _is_anything(touched):
                regions = self._regions(number, fields, touched)
                {READ: reads, WRITE: writes, SCRATCH: scratch}[touched.mode].extend(regions)
        for region in reads:
            self._read(region)
        self._apart(writes, reads + scratch)
        for region in writes:
            self._write(number + 1, leader + 1, region)
        for region in scratch:
            self._occupy(region, reads + writes)

    def _source(self, number: int) -> str:
        sources = self.program.sources
        return sources[number] if number < len(sources) else "?"

    def _shares(self, number: int, leader: int, pieces: int) -> int:
        if pieces < ATTACHED or (pieces == ATTACHED and leader == number):
            self.fail(f"it cannot be shared among {pieces}")
        return 1 if pieces == ATTACHED else pieces or self.program.threads

    def _constant(self, fields: Any, access: Access) -> None:
        """One array of the weights, from its beginning, and no value behind it."""
        offset = getattr(fields, access.field)
        size = self.memory.constants.get(offset)
        low, high = _span(access)
        if size is None or size + offset > self.program.weights.nbytes:
            self.fail(f"{access.field} {offset} is no constant")
        elif low < 0 or high * access.size > size:
            self.fail(f"{access.field} has {size} bytes, and it reads {high * access.size}")

    def _longs(self, fields: Any, table: tuple[str, int, int]) -> Any:
        name, first, count = table
        offset = getattr(fields, name)
        return self.program.weights[offset : offset + 8 * (first + count)].view(np.int64)[first:]

    def _check_firsts(self, fields: Any, firsts: Firsts) -> None:
        """What a table of taps reaches lies inside."""
        table = self._longs(fields, (firsts.table, 0, firsts.length))
        if table.size and not 0 <= table.min() <= table.max() <= firsts.most - firsts.taps:
            self.fail(
                f"{firsts.table} begins at {table.min()} to {table.max()}, {firsts.taps} each, "
                f"of {firsts.most}"
            )

    def _regions(self, number: int, fields: Any, access: Access) -> Iterator[_Region]:
        operand = self.memory.operands[number].get(access.field)
        if operand is None:
            self.fail(f"{access.field} is no operand")
            return
        self._in_use(number, self.memory.buffers[operand.buffer])
        address = getattr(fields, access.field)
        if access.table is None:
            yield self._region(address, access, operand)
            return
        distances = self._longs(fields, access.table)
        for distance, dims in _progressions(distances):
            one = access._replace(dims=access.dims + dims, at=access.at + distance, table=None)
            yield self._region(address, one, operand)

    def _in_use(self, number: int, buffer: Buffer) -> None:
        if not buffer.first <= number <= buffer.last:
            self.fail(f"buffer {buffer.name!r} is in use in rows {buffer.first} to {buffer.last}")

    def _region(self, address: int, access: Access, operand: Operand) -> _Region:
        """Check bounds, alignment and lanes; give the cells."""
        low, high = _span(access)
        size, buffer = access.size, self.memory.buffers[operand.buffer]
        begin, end = address + low * size, address + high * size
        if begin < operand.begin or end > operand.end:
            self.fail(
                f"{access.field} {access.mode} bytes {begin} to {end} of the arena, outside of "
                f"its own {operand.begin} to {operand.end} ({operand.value!r})"
            )
        if buffer.cell == BLOCK:
            self._check_lanes(access, operand, begin, end)
        unit = buffer.cell * FLOAT
        start = address + access.at * size - buffer.offset
        steps = [step * size for _, step in access.dims]
        if start % FLOAT or any(step % unit for step in steps):
            self.fail(f"{access.field}: distances {steps} are no whole pixels of {unit} bytes")
        run = -(-(start % unit + access.run * size) // unit)
        dims = tuple(
            (count, step // unit) for (count, _), step in zip(access.dims, steps, strict=True)
        )
        return _Region(buffer, access.field, (*dims, (run, 1)), start // unit)

    def _check_lanes(self, access: Access, operand: Operand, begin: int, end: int) -> None:
        """In the last block only so many lanes mean something: none else is read or left out."""
        partial = access.run % BLOCK
        last, too_many = end > operand.tail, not partial or partial > operand.lanes
        if access.mode == READ and not access.lanewise and last and too_many:
            self.fail(f"{access.field} reads channels above the last one of {operand.value!r}")
        too_few = begin < operand.tail or partial < operand.lanes
        if access.mode == WRITE and partial and too_few and not operand.scratch:
            self.fail(f"{access.field} does not write all channels of {operand.value!r}")

    def _view(self, region: _Region) -> Cells:
        cells = self.written[region.buffer.name]
        counts = [count for count, _ in region.dims]
        strides = [4 * step for _, step in region.dims]
        return np.ndarray(counts, np.int32, cells, 4 * region.start, strides)

    def _read(self, region: _Region) -> None:
        if self._view(region).min() < 0:
            self.fail(f"{region.field} reads what no earlier row has written")

    def _write(self, mark: int, leader: int, region: _Region) -> None:
        """Note the row; nothing twice by one row, nor by a row and what is attached to it."""
        if not _is_injective(region.dims):
            self.fail(f"{region.field} writes some values twice")
        view = self._view(region)
        if mark and view.max() >= leader:
            self.fail(f"{region.field} writes what the same row, or the one it is attached to, has")
        view[...] = mark

    def _apart(self, writes: list[_Region], others: list[_Region]) -> None:
        """Shares of a row run at the same time: none writes what another one reads."""
        for write in writes:
            same = [other for other in others if other.buffer is write.buffer]
            if same and self._meet(write, same):
                self.fail(f"{write.field} writes what the row reads or works in")

    def _occupy(self, region: _Region, others: list[_Region]) -> None:
        same = [other for other in others if other.buffer is region.buffer]
        if same and self._meet(region, same):
            self.fail(f"{region.field} works in what the row reads or writes")

    def _meet(self, region: _Region, others: list[_Region]) -> bool:
        cells, kept = self.written[region.buffer.name], self.written
        touched = np.zeros_like(cells)
        self.written = {region.buffer.name: touched}
        try:
            for other in others:
                self._view(other)[...] = 1
            return bool(self._view(region).any())
        finally:
            self.written = kept


class _Region:
    """Cells of a buffer: from ``start`` on, along ``dims`` (how many, cells apart)."""

    def __init__(self, buffer: Buffer, field: str, dims: Dims, start: int) -> None:
        self.buffer, self.field, self.dims, self.start = buffer, field, dims, start


def _is_anything(access: Access) -> bool:
    return access.run > 0 and all(count > 0 for count, _ in access.dims)


def _span(access: Access) -> tuple[int, int]:
    """First and end of the values, from the operand's address, without what a table adds."""
    low = high = access.at
    for count, step in access.dims:
        low += min(step * (count - 1), 0)
        high += max(step * (count - 1), 0)
    return low, high + access.run


def _is_injective(dims: Dims) -> bool:
    """Whether no two positions are the same, by nesting: each step is wider than all below it."""
    extent = 1
    for step, count in sorted((abs(step), count) for count, step in dims if count > 1):
        if step < extent:
            return False
        extent += step * (count - 1)
    return True


def _progressions(distances: npt.NDArray[np.int64]) -> list[tuple[int, Dims]]:
    """The same numbers as (first, dims): blocks of taps of rows of a kernel are nested dims."""
    count = len(distances)
    for inner in range(1, count // 2 + 1):
        if count % inner == 0:
            step = int(distances[inner] - distances[0])
            if (distances[inner:] - distances[:-inner] == step).all():
                outer = ((count // inner, step),)
                return [(at, outer + dims) for at, dims in _progressions(distances[:inner])]
    return [(int(distance), ()) for distance in distances]
