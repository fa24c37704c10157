"""From operations to a program: layouts, lifetimes, addresses, rows of integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tinycnn.engine import emit_blocked, ops, winograd
from tinycnn.engine.arena import Lifetime, aligned, place
from tinycnn.engine.kernels.family import BLOCK, CURRENT, Family
from tinycnn.engine.kernels.instructions import ATTACHED, WIDTH
from tinycnn.engine.layout import Arranged, arrange
from tinycnn.engine.memory import Buffer, Memory, Operand
from tinycnn.engine.ops import Net, Op
from tinycnn.engine.planner import Place, Planner, emit
from tinycnn.engine.program import Program
from tinycnn.engine.work import work
from tinycnn.errors import BackendError
from tinycnn.nn.graph import INPUT


def plan(net: Net, threads: int = 1, family: Family = CURRENT) -> Program:
    """Lower ``net`` to a program that ``threads`` threads of a CPU ``family`` run together."""
    arranged = arrange(net)
    places = _places(arranged)
    lifetimes = _lifetimes(arranged, places, threads)
    offsets, arena_bytes = place(lifetimes)
    planner = Planner(family, threads, arranged.layouts, places, offsets)
    emit_blocked.ring(INPUT, arranged.net.ops[0], planner, 1)
    input_shape, output, shape = net.input_shape, arranged.net.output, net.output_shape
    layout, ends = arranged.layouts[INPUT], [0]  # `ends` of each operation's rows
    for op in arranged.net.ops:
        before = planner.count
        emit(op, planner)
        if planner.count > before:  # views have the halo of what they show
            emit_blocked.ring(op.output, op, planner, ATTACHED)
        ends.append(planner.count)
    # A network of views: one instruction that does nothing.
    table = np.array(planner.rows or [0] * WIDTH, np.int64).reshape(-1, WIDTH)
    ends[-1] = len(table)
    total = sum(map(work, arranged.net.ops))
    memory = describe(planner, lifetimes, ends, output)
    del net, arranged, op  # nobody else holds its kernels: each is let go once it is packed
    return Program(
        table=table,
        weights=planner.constants.packed(),
        arena_bytes=arena_bytes,
        input_shape=input_shape,
        input_offset=planner.pixel(INPUT),
        input_row=layout.row if layout.ringed else 0,
        output_offset=planner.address(output),
        output_shape=shape,
        sources=tuple(planner.sources) or (output,),
        threads=threads,
        work=total,
        memory=memory,
    )


def describe(
    planner: Planner, lifetimes: Mapping[str, Lifetime], ends: Sequence[int], output: str
) -> Memory:
    """Say for `verify`, in rows and bytes, what was decided in operations.

    ``ends[i]``: the rows before operation i. The result is read after the last one.
    """
    starts = [*ends, ends[-1] + 1]
    blocked = {place.root for v, place in planner.places.items() if planner.layouts[v].blocked}
    buffers = {
        name: Buffer(
            name, planner.offsets[name], aligned(life.size),
            BLOCK if name in blocked or name not in planner.places else 1,
            starts[life.first], starts[life.last + 1] - 1,
        )
        for name, life in lifetimes.items()
    }  # fmt: skip

    def operand(value: str) -> Operand:
        begin, place = int(planner.address(value)), planner.places.get(value)
        if place is None:  # scratch
            end = begin + buffers[value].size
            return Operand(value, value, begin, end, end, 0, scratch=True)
        layout, root = planner.layouts[value], buffers[place.root]
        size = 4 * layout.size
        whole = place.offset == 0 and aligned(size) == root.size
        end = begin + (root.size if whole else size)
        lanes = layout.shape[-1] % BLOCK if layout.blocked else 0
        tail = end - 4 * layout.block if lanes else end
        return Operand(value, place.root, begin, end, tail, lanes or BLOCK)

    values = {value for row in planner.operands for value in row.values()} | {INPUT, output}
    known = {value: operand(value) for value in values}
    rows = {id(row): row for row in planner.operands}  # equal ones are one
    described = {i: {f: known[v] for f, v in row.items()} for i, row in rows.items()}
    return Memory(
        buffers=buffers,
        operands=[described[id(row)] for row in planner.operands],
        constants=planner.constants.sizes,
        input=known[INPUT],
        output=known[output],
    )


def arena_bytes(net: Net, threads: int = 1) -> int:
    """Bytes of all activations and scratch in `plan`'s program, without making it."""
    arranged = arrange(net)
    return place(_lifetimes(arranged, _places(arranged), threads))[1]


def _places(arranged: Arranged) -> dict[str, Place]:
    """Where each value lies: views share their input's memory, parts their concatenation's."""
    places = {INPUT: Place(INPUT)}
    for op in arranged.net.ops:
        if op.output in places:  # two sizes for one place: the larger would run over
            raise BackendError(f"two operations write {op.output!r}")
        places[op.output] = Place(op.output)
    for op in reversed(arranged.net.ops):
        if isinstance(op, ops.Concat) and arranged.layouts[op.output].blocked:
            _place_parts(op, arranged, places)
    for op in arranged.net.ops:
        if is_view(op, arranged):
            places[op.output] = places[op.inputs[0]]
    return places


def is_view(op: Op, arranged: Arranged) -> bool:
    """Whether the operation's output is its input's memory under another shape."""
    blocked = arranged.layouts[op.output].blocked
    return isinstance(op, ops.View) or (isinstance(op, ops.Pad) and blocked)


def _place_parts(concat: ops.Concat, arranged: Arranged, places: dict[str, Place]) -> None:
    """Let the parts be computed where the concatenation wants them: nothing is copied then."""
    makers = {op.output: op for op in arranged.net.ops}
    whole, position = places[concat.output], 0
    for name, shape in zip(concat.inputs, concat.shapes, strict=True):
        layout, maker = arranged.layouts[name], makers.get(name)
        own = places[name] == Place(name) and maker is not None and not is_view(maker, arranged)
        if own and not layout.ringed and not arranged.layouts[concat.output].ringed:
            places[name] = Place(whole.root, whole.offset + position // BLOCK * layout.block)
        position += shape[-1]


def _lifetimes(arranged: Arranged, places: dict[str, Place], threads: int) -> dict[str, Lifetime]:
    """When each buffer is in use; step i is operation i, the result is read after the last."""
    net, layouts = arranged.net, arranged.layouts
    first, last = {INPUT: 0}, {INPUT: 0}
    lifetimes = {}
    for i, op in enumerate(net.ops):
        for name in op.inputs:
            last[places[name].root] = i
        root = places[op.output].root
        first.setdefault(root, i)
        last[root] = i
        if scratch := scratch_values(op, threads):
            lifetimes[f"{op.output}:scratch"] = Lifetime(4 * scratch, i, i)
    last[places[net.output].root] = len(net.ops)
    return lifetimes | {n: Lifetime(4 * layouts[n].size, first[n], last[n]) for n in first}


def scratch_values(op: Op, threads: int) -> int:
    """Float32 values of working memory that an operation needs while it runs."""
    if isinstance(op, ops.Resample):
        return threads * op.source[1] * op.source[2]
    if isinstance(op, ops.Winograd):
        return winograd.scratch(op, threads)
    if isinstance(op, ops.InvertedResidual):
        return threads * emit_blocked.inverted_residual_scratch(op)
    return 0
