"""No sound program is refused, and planted faults of every kind are found, by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.engine.cases import CASES, network
from tinycnn.engine.kernels import instructions
from tinycnn.engine.kernels.access import CONSTANT, Access
from tinycnn.engine.kernels.family import CURRENT, FAMILIES
from tinycnn.engine.kernels.instructions import ATTACHED, LAYOUTS, PIECES, TOUCHES
from tinycnn.engine.lower import lower_graph
from tinycnn.engine.plan import plan
from tinycnn.engine.program import Program
from tinycnn.engine.rewrites import rewrite
from tinycnn.engine.verify import verify
from tinycnn.errors import ProgramError

MEASURING = {"PEAK", "CLOCK"}  # not in networks
NAMES = {code: type(layout).__name__ for code, layout in LAYOUTS.items()}


@cache
def program(name: str, seed: int = 0, threads: int = 2, without: tuple[str, ...] = ()) -> Program:
    graph, weights, _ = network(CASES[name], seed)
    return plan(rewrite(lower_graph(graph, weights), without), threads)


@cache
def rows() -> dict[str, list[tuple[str, int, int]]]:
    """Instruction -> (case, seed, row) of some rows of it."""
    found: dict[str, list[tuple[str, int, int]]] = {}
    for name in CASES:
        for seed in range(6):
            for number, row in enumerate(program(name, seed).table):
                if row[0]:
                    found.setdefault(NAMES[row[0]], []).append((name, seed, number))
    return {name: places[:: max(len(places) // 8, 1)] for name, places in found.items()}


def planted(made: Program, number: int, **fields: int) -> Program:
    """The program with other values in a row's fields."""
    table = made.table.copy()
    layout = LAYOUTS[table[number, 0]]
    for field, value in fields.items():
        places = {"pieces": PIECES, "code": 0}
        table[number, places.get(field) if field in places else getattr(layout, field)] = value
    return replace(made, table=table)


def accesses(made: Program, number: int) -> Iterator[Access]:
    row = made.table[number].tolist()
    fields = type(LAYOUTS[row[0]])(*row[: len(LAYOUTS[row[0]])])
    for one in TOUCHES[row[0]](fields, CURRENT, 2):
        if isinstance(one, Access):
            yield one


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("name", CASES)
def test_sound_programs_are_accepted(name, family):
    for seed in range(4):
        graph, weights, _ = network(CASES[name], seed)
        net = rewrite(lower_graph(graph, weights))
        for threads in (1, 3):
            verify(plan(net, threads, family), family)


def test_every_instruction_is_declared_and_tried():
    assert TOUCHES.keys() == LAYOUTS.keys()
    assert set(NAMES.values()) - MEASURING == set(rows())


def test_an_instruction_without_a_declaration_cannot_be_made():
    with pytest.raises(TypeError, match="touches"):
        instructions._layout("NEGATIVE", "x y")


@pytest.mark.parametrize("name", sorted(set(NAMES.values()) - MEASURING))
def test_addresses_outside_of_the_own_buffer(name):
    """Each operand of each instruction, a float before its value and at its end."""
    for case, seed, number in rows()[name]:
        made = program(case, seed)
        for one in accesses(made, number):
            if one.mode == CONSTANT or not one.run:
                continue
            operand = made.memory.operands[number][one.field]
            for address in (operand.begin - 4 - 4 * one.at, operand.end):
                with pytest.raises(ProgramError, match=f"row {number}, {name} .*{one.field}"):
                    verify(planted(made, number, **{one.field: address}))


@pytest.mark.parametrize("name", sorted(set(NAMES.values()) - MEASURING))
def test_constants_that_are_none(name):
    for case, seed, number in rows()[name]:
        made = program(case, seed)
        for one in accesses(made, number):
            if one.mode == CONSTANT:
                wrong = planted(made, number, **{one.field: made.weights.nbytes})
                with pytest.raises(ProgramError, match=f"{one.field} .* is no constant"):
                    verify(wrong)
                at = made.table[number, getattr(LAYOUTS[made.table[number, 0]], one.field)]
                short = replace(made.memory, constants={**made.memory.constants, at: 3})
                with pytest.raises(ProgramError, match=f"{one.field} has .* bytes, and it reads"):
                    verify(replace(made, memory=short))


def without_row(made: Program, number: int) -> Program:
    """The program without a row, and without what is attached to it."""
    end = number + 1
    while end < len(made.table) and made.table[end, PIECES] == ATTACHED:
        end += 1
    gone = end - number

    def moved(row: int) -> int:
        return row if row <= number else max(row - gone, number)

    buffers = {
        name: replace(b, first=moved(b.first), last=moved(b.last))
        for name, b in made.memory.buffers.items()
    }
    operands = [*made.memory.operands[:number], *made.memory.operands[end:]]
    memory = replace(made.memory, buffers=buffers, operands=operands)
    table = np.delete(made.table, range(number, end), 0)
    sources = made.sources[:number] + made.sources[end:]
    return replace(made, table=table, memory=memory, sources=sources)


@pytest.mark.parametrize("name", sorted(set(NAMES.values()) - MEASURING))
def test_what_nobody_wrote_is_not_read(name):
    for case, seed, number in rows()[name]:
        made = program(case, seed)
        with pytest.raises(ProgramError, match=r"reads what no earlier row has written|in use"):
            verify(without_row(made, number))


@pytest.mark.parametrize("name", sorted(set(NAMES.values()) - MEASURING))
def test_sizes_that_are_too_large_or_too_small(name):
    """A row or a block more or less: too far, twice, or not all that is read later."""
    sizes = ("blocks", "rows", "columns", "size", "out_height", "out_width", "filters", "length")
    layout = next(la for la in LAYOUTS.values() if type(la).__name__ == name)
    tried = 0
    for case, seed, number in rows()[name]:
        made = program(case, seed)
        for field in set(sizes) & set(layout._fields):
            value = int(made.table[number, getattr(layout, field)])
            if name == "RESAMPLE" and field in ("rows", "columns"):  # constants, tried elsewhere
                continue
            if _means_nothing(made, number, field):
                continue
            with pytest.raises(ProgramError):
                verify(planted(made, number, **{field: value + 1000}))
            tried += 1
    assert tried


def _means_nothing(made: Program, number: int, field: str) -> bool:
    """Whether a size is one of repetitions of nothing."""
    halo = NAMES[made.table[number, 0]] == "RING"
    return halo and field in ("rows", "blocks") and not accesses_of(made, number, field)


def accesses_of(made: Program, number: int, field: str) -> bool:
    before = list(accesses(made, number))
    layout = LAYOUTS[made.table[number, 0]]
    value = int(made.table[number, getattr(layout, field)])
    after = list(accesses(planted(made, number, **{field: value + 1000}), number))
    return [a for a in before if a.run] != [a for a in after if a.run]


def one_row(name: str) -> tuple[Program, int]:
    case, seed, number = rows()[name][0]
    return program(case, seed), number


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("MATMUL", {"tiles": 0}, "a tile holds its pixels"),
        ("MATMUL", {"last": 99}, "a panel is as wide as its vectors"),
        ("MATMUL", {"groups": 0}, "there are groups of tiles"),
        ("POOL_BLOCKED", {"kind": 2}, "kind 2 is one of 2"),
        ("ELEMENTWISE", {"kind": 26}, "kind 26 is one of 26"),
        ("AXIS_WISE", {"kind": -1}, "kind -1 is one of 4"),
        ("CONV_TRANSPOSE", {"stride_x": 0}, "strides are positive"),
        ("PRELU", {"planes": 99}, "planes are as many as their places"),
        ("PERMUTE", {"planes": 99}, "planes are as many as their places"),
        ("CONV", {"groups": 0}, "fall into groups"),
        ("INVERTED_RESIDUAL", {"left": 3}, "stay in their line|line of zeros"),
        ("INVERTED_RESIDUAL", {"scratch_size": 16}, "have room"),
        ("DEPTHWISE_BLOCKED", {"y_row": 0}, "writes some values twice|row has written"),
        ("CONVERT", {"pieces": -2}, "cannot be shared among -2"),
    ],
)
def test_what_must_hold(name, fields, words):
    made, number = one_row(name)
    with pytest.raises(ProgramError, match=f"{name} of .*({words})"):
        verify(planted(made, number, **fields))


def test_an_unknown_instruction():
    made, number = one_row("MATMUL")
    with pytest.raises(ProgramError, match="opcode 99: there is no such instruction"):
        verify(planted(made, number, code=99))


def test_tables_of_distances():
    made, number = one_row("MATMUL")
    at = made.table[number, LAYOUTS[made.table[number, 0]].segments]
    for value in (1 << 40, -(1 << 40)):
        weights = made.weights.copy()
        weights[at : at + 8].view(np.int64)[0] = value
        with pytest.raises(ProgramError, match=r"MATMUL of .*x reads bytes .* outside of its own"):
            verify(replace(made, weights=weights))


@pytest.mark.parametrize("field", ["rows", "columns"])
@pytest.mark.parametrize("value", [-1, 1 << 40])
def test_tables_of_taps(field, value):
    made, number = one_row("RESAMPLE")
    at = made.table[number, getattr(LAYOUTS[made.table[number, 0]], field)]
    weights = made.weights.copy()
    weights[at : at + 8].view(np.int64)[0] = value
    with pytest.raises(ProgramError, match=f"RESAMPLE of .*{field} begins at"):
        verify(replace(made, weights=weights))


def test_a_halo_that_reaches_into_what_the_row_before_writes():
    """A halo row runs beside the first piece of the row before it."""
    found = 0
    for case, seed, number in rows()["RING"]:
        made = program(case, seed)
        layout = LAYOUTS[made.table[number, 0]]
        top, height, line = (
            int(made.table[number, f]) for f in (layout.top, layout.rows, layout.row)
        )
        if made.table[number, PIECES] == ATTACHED and top and height > 1:
            address = int(made.table[number, layout.y]) + 4 * line
            wrong = {"y": address, "top": top + 1, "rows": height - 1}
            with pytest.raises(ProgramError, match=r"RING of .*y writes what"):
                verify(planted(made, number, **wrong))
            found += 1
    assert found


def test_buffers_that_overlap_and_buffers_that_leave():
    made, _ = one_row("MATMUL")
    buffers = made.memory.buffers
    first, second = list(buffers)[:2]
    wrong = replace(buffers[second], offset=buffers[first].offset, size=64, first=0, last=99)
    with pytest.raises(ProgramError, match="overlap while both are in use"):
        verify(replace(made, memory=replace(made.memory, buffers={**buffers, second: wrong})))
    gone = replace(buffers[first], offset=made.arena_bytes)
    with pytest.raises(ProgramError, match="leaves the arena"):
        verify(replace(made, memory=replace(made.memory, buffers={**buffers, first: gone})))


def test_buffers_that_are_not_in_use_any_more():
    found = 0
    for name in CASES:
        made = program(name)
        for buffer in made.memory.buffers.values():
            rows = [i for i, row in enumerate(made.memory.operands)
                    if any(operand.buffer == buffer.name for operand in row.values())]  # fmt: skip
            rows += [len(made.table)] * (made.memory.output.buffer == buffer.name)
            if rows and rows[-1] > buffer.first:
                cut = replace(buffer, last=rows[-1] - 1)
                short = {**made.memory.buffers, buffer.name: cut}
                with pytest.raises(ProgramError, match="is in use in rows"):
                    verify(replace(made, memory=replace(made.memory, buffers=short)))
                found += 1
    assert found > 50


def test_attached_to_nothing():
    made, _ = one_row("MATMUL")
    with pytest.raises(ProgramError, match="cannot be shared among -1"):
        verify(planted(made, 0, pieces=ATTACHED))


def test_a_program_that_says_nothing_of_its_memory():
    made, _ = one_row("MATMUL")
    with pytest.raises(ProgramError, match="cannot be verified"):
        verify(replace(made, memory=None))
