"""Which code a program takes: opcodes and their variants, read from its table, and graph passes.

`PATHS` lists them; a run of the generator that leaves one out has not tested it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import numpy as np

from tinycnn.engine.kernels.family import BLOCK, CURRENT
from tinycnn.engine.kernels.instructions import (
    ATTACHED,
    AXIS_WISE_KINDS,
    BINARY_KINDS,
    ELEMENTWISE_KINDS,
    FLOAT_FIELDS,
    LAYOUTS,
    PIECES,
    POOL_KINDS,
)
from tinycnn.engine.ops import Net, Op
from tinycnn.engine.program import Program
from tinycnn.engine.rewrites import REWRITES

Row = Any  # an instruction's fields by name, `pieces` and the program's `weights` among them
Test = Callable[[Row], bool]
MEASURING = ("PEAK", "CLOCK")  # for benchmarks only


def clipped(row: Row) -> bool:
    return bool(row.low > -np.inf or row.high < np.inf)


def either(name: str, test: Test) -> dict[str, Test]:
    """Two variants: so, and not so."""
    return {name: test, f"not {name}": lambda row: not test(row)}


def kinds(names: tuple[str, ...], **and_: Test) -> dict[str, Test]:
    """A variant for each kind, or for each kind and each of some conditions."""
    return {
        f"{name} {text}".strip(): lambda row, i=i, test=test: row.kind == i and test(row)
        for i, name in enumerate(names)
        for text, test in (and_ or {"": lambda row: True}).items()
    }


def padded(row: Row) -> bool:
    beyond = (row.out_height - 1) * row.stride_y + row.kernel_height - row.top > row.height
    right = (row.out_width - 1) * row.stride_x + row.kernel_width - row.left > row.width
    return bool(row.top or row.left or beyond or right)


def three(row: Row) -> bool:
    dilated = row.dilation_y > 1 or row.dilation_x > 1
    return row.kernel_height == row.kernel_width == 3 and not dilated and row.stride_x <= 2


def spread(operand: int, place: str) -> Test:
    """Whether an operand of BINARY is the same along its rows, columns or channels."""
    return lambda row: (
        getattr(row, f"{place}s") > 1 and not getattr(row, f"{place}{operand}")
    )  # fmt: skip


BROADCASTS = {
    f"operand {operand} along {place}s": spread(operand, place)
    for operand in (1, 2)
    for place in ("row", "column", "channel")
}
VARIANTS: dict[str, dict[str, Test]] = {
    "MATMUL": {
        "pixels near": lambda r: r.distance == BLOCK,
        "pixels far": lambda r: r.distance == 2 * BLOCK,
        "pixels at any distance": lambda r: r.distance not in (BLOCK, 2 * BLOCK),
        **either("residual", lambda r: r.residual >= 0),
        **either("several groups", lambda r: r.groups > 1),
        **either("batch of Winograd's", lambda r: r.batch > 1),
        "full segments": lambda r: r.full > 0 and not r.short,
        "short segments": lambda r: r.short > 0 and not r.full,
        "full and short segments": lambda r: r.full > 0 and r.short > 0,
        **either("last panel narrower", lambda r: r.last < CURRENT.vectors),
        **either("several panels", lambda r: r.panels > 1),
        "tiles of one pixel": lambda r: r.columns // r.tiles == 1,
        **either("tiles of two lengths", lambda r: r.columns % r.tiles > 0),
        **either("several rows", lambda r: r.rows > 1),
        **either("clipped", clipped),
        "one pixel": lambda r: r.rows == r.columns == 1,
    },
    "WINOGRAD_INPUT": either("several rows", lambda r: r.rows > 1),
    "WINOGRAD_OUTPUT": {
        **either("clipped", clipped),
        **either("tiles overhang", lambda r: r.columns * 4 > r.width or r.rows * 4 > r.height),
        **either("not the last chunk", lambda r: r.rows * 4 < r.height),
    },
    "DEPTHWISE_BLOCKED": {
        "3x3 of stride 1": lambda r: three(r) and r.stride_x == 1,
        "3x3 of stride 2": lambda r: three(r) and r.stride_x == 2,
        "any window": lambda r: not three(r),
        "dilated": lambda r: r.dilation_y > 1 or r.dilation_x > 1,
        "strides differ": lambda r: r.stride_y != r.stride_x,
        **either("clipped", clipped),
    },
    "INVERTED_RESIDUAL": {
        "stride 1": lambda r: r.stride == 1,
        "stride 2": lambda r: r.stride == 2,
        **either("residual", lambda r: r.residual >= 0),
        **either("short segments", lambda r: r.short_in > 0),
        **either("clipped", clipped),
        **either("padded", lambda r: r.top > 0),
    },
    "POOL_BLOCKED": kinds(POOL_KINDS, padded=padded, **{"not padded": lambda row: not padded(row)}),
    "GLOBAL_POOL_BLOCKED": kinds(POOL_KINDS),
    "AFFINE_BLOCKED": either("clipped", clipped),
    "ADD_BLOCKED": {**kinds(BINARY_KINDS), **either("clipped", clipped)},
    "CONVERT": {
        "to blocks": lambda r: r.y_block and not r.x_block,
        "from blocks": lambda r: r.x_block and not r.y_block,
        "between blocks": lambda r: r.x_block and r.y_block,
    },
    "RING": {
        **either("attached", lambda r: r.pieces == ATTACHED),
        "left and no bottom": lambda r: r.left and not r.bottom,
        **{
            side: lambda r, s=side: getattr(r, s) > 0 for side in ("top", "bottom", "left", "right")
        },
        **either("blocked", lambda r: r.block > 0),
    },
    "CONV": {"groups": lambda r: r.groups > 1, **either("clipped", clipped)},
    "DEPTHWISE": {"multiplier": lambda r: r.multiplier > 1, **either("clipped", clipped)},
    "CONV_TRANSPOSE": {
        **either("strides", lambda r: r.stride_y * r.stride_x > 1),
        **either("dilated", lambda r: r.dilation_y * r.dilation_x > 1),
        **either("cut", lambda r: r.top + r.left > 0),
        **either("clipped", clipped),
    },
    "DENSE": either("clipped", clipped),
    "AFFINE": either("clipped", clipped),
    "ELEMENTWISE": kinds(
        ELEMENTWISE_KINDS, plain=lambda r: not r.y_block, blocked=lambda r: r.y_block > 0
    ),
    "PRELU": {
        **either("alpha the same along some dimension", lambda r: r.row_step * r.step == 0),
        "several planes": lambda r: r.planes > 1,
    },
    "BINARY": {
        **kinds(BINARY_KINDS, **BROADCASTS),
        **kinds(BINARY_KINDS, equal=lambda r: not any(test(r) for test in BROADCASTS.values())),
        **either("clipped", clipped),
    },
    "AXIS_WISE": {
        **kinds(AXIS_WISE_KINDS),
        "softmax not along the last axis": lambda r: r.inner > 1,
    },
    "LAYER_NORM": either("several groups", lambda r: r.groups > 1),
    "PERMUTE": {
        "rows longer than columns": lambda r: r.rows > r.length,
        "columns longer than rows": lambda r: r.rows <= r.length,
        **either("several planes", lambda r: r.planes > 1),
    },
    "RESAMPLE": {
        "one row, one column": lambda r: r.row_taps == r.column_taps == 1,
        "several rows and columns": lambda r: r.row_taps > 1 and r.column_taps > 1,
    },
    "COPY": {
        **either("several stripes", lambda r: r.outer > 1),
        "stripes with gaps in x": lambda r: r.outer > 1 and r.x_stride != r.length,
        "stripes with gaps in y": lambda r: r.outer > 1 and r.stride != r.length,
    },
}
PROGRAMS: dict[str, Callable[[Program], bool]] = {
    "program of views alone": lambda p: not p.table[0, 0],
    "program whose input has zeros around": lambda p: p.input_row > 0,
}
PATHS = (
    *VARIANTS,
    *(f"{name}: {variant}" for name, variants in VARIANTS.items() for variant in variants),
    *PROGRAMS,
    *(f"pass {name}" for name in REWRITES),
)


def row_of(program: Program, values: Any) -> tuple[str, Row]:
    """Name and fields of one instruction."""
    layout = LAYOUTS[int(values[0])]
    row = SimpleNamespace(weights=program.weights, pieces=int(values[PIECES]))
    for place, name in enumerate(layout._fields[1:], 1):
        bits = values[place]
        value = bits.astype(np.int32).view(np.float32) if name in FLOAT_FIELDS else int(bits)
        setattr(row, name, value)
    return type(layout).__name__, row


def of_program(program: Program) -> Counter[str]:
    """How often a program takes each path of the kernels."""
    taken = Counter(name for name, test in PROGRAMS.items() if test(program))
    for values in program.table:
        if values[0]:
            name, row = row_of(program, values)
            taken[name] += 1
            taken.update(f"{name}: {v}" for v, test in VARIANTS[name].items() if test(row))
    return taken


def of_passes(net: Net) -> Iterator[str]:
    """The graph passes that change a network."""
    for name, apply in REWRITES.items():
        after = apply(net)
        if [*map(_looks, after.ops)] != [*map(_looks, net.ops)]:
            yield f"pass {name}"
        net = after


def _looks(op: Op) -> Any:
    """An operation without its arrays, which are not compared."""
    values = ((f.name, getattr(op, f.name)) for f in fields(op))
    return type(op), [(k, id(v) if isinstance(v, np.ndarray | Op) else v) for k, v in values]
