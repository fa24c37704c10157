"""Where the time of an image goes: one row for each instruction, timed where it stands."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import singledispatch
from math import prod
from typing import Any

import numpy as np

from tinycnn.benchmarks.networks import random_images
from tinycnn.engine import native, ops
from tinycnn.engine.arena import aligned
from tinycnn.engine.kernels import instructions
from tinycnn.engine.kernels.instructions import CLOCK, encode
from tinycnn.engine.lower import lower_graph
from tinycnn.engine.ops import Net, Op
from tinycnn.engine.plan import plan
from tinycnn.engine.program import Execution, Program, view
from tinycnn.engine.rewrites import rewrite
from tinycnn.engine.session import Session
from tinycnn.nn.model import Model
from tinycnn.nn.types import Array, Shape

STAMP = 16  # bytes of a time: seconds and nanoseconds
WARM_UP = 3
MULTIPLYING = (
    *("MATMUL", "DEPTHWISE_BLOCKED", "INVERTED_RESIDUAL", "DENSE"),
    *("CONV", "DEPTHWISE", "CONV_TRANSPOSE"),
)


@dataclass(frozen=True)
class Row:
    """One instruction: the layer it came from and its output (H, W, C), median time, work."""

    instruction: str
    layer: str
    shape: Shape
    nanoseconds: float
    macs: int
    share: float  # of the time of all

    @property
    def gflops(self) -> float:
        """Billions of operations per second, a multiply-add counted as two."""
        return 2 * self.macs / self.nanoseconds if self.nanoseconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self) | {"shape": list(self.shape), "gflops": self.gflops}


@dataclass(frozen=True)
class Profile:
    """``rows``, and medians in ns: ``inside`` of the whole program, ``call`` of predict around it.

    The difference of the two is Python's.
    """

    rows: tuple[Row, ...]
    inside: float
    call: float


def profile(model: Model, threads: int = 1, runs: int = 50) -> Profile:
    """Run a random image ``runs`` times, with a clock between the instructions.

    The clock is an instruction, so that caches are as in a normal run and Python is out of it; it
    adds some 30 ns to each row. With several threads a row's time ends when the last is done.
    """
    with np.errstate(all="ignore"):
        net = rewrite(lower_graph(model.graph, model.weights))
    program, images = plan(net, threads), random_images(model.input_shape, 1)
    places = program.steps
    rows = _rows(program, places, net, _times(program, places, threads, images, runs))
    (inside,) = _times(program, [0], threads, images, runs)
    session = Session(model, None, threads)
    calls = []
    for _ in range(runs):
        start = time.perf_counter_ns()
        session.predict(images)
        calls.append(time.perf_counter_ns() - start)
    return Profile(tuple(rows), float(inside), float(np.median(calls)))


def _times(
    program: Program, places: Sequence[int], threads: int, images: Array, runs: int
) -> Sequence[float]:  # fmt: skip
    """Median ns from each of ``places`` to the next, and from the last to the end."""
    execution = Execution(with_clocks(program, places), native.load(), threads)
    size = (len(places) + 1) * STAMP
    stamps = view(execution.arena, aligned(program.arena_bytes), (size // 4,))
    stamps = stamps.view(np.int64).reshape(-1, 2)
    times = []
    for _ in range(WARM_UP + runs):
        execution.run(images)
        times.append(np.diff(stamps @ np.array([10**9, 1])))
    medians: Sequence[float] = np.median(times[WARM_UP:], axis=0).tolist()
    return medians


def with_clocks(program: Program, places: Sequence[int]) -> Program:
    """Give the same program that writes the time before the instructions ``places``, and last.

    The times lie behind its arena.
    """
    start = aligned(program.arena_bytes)
    clocks = [encode(CLOCK, y=start + i * STAMP) for i in range(len(places) + 1)]
    rows = program.table.tolist()
    for place, row in sorted(zip(places, clocks, strict=False), reverse=True):
        rows.insert(place, row)
    table = np.array([*rows, clocks[-1]], np.int64)
    # Not verified: its rows are those of a program that is, and clocks behind its arena.
    return replace(program, table=table, arena_bytes=start + STAMP * len(clocks), memory=None)


def _rows(
    program: Program, places: Sequence[int], net: Net, times: Sequence[float]
) -> list[Row]:  # fmt: skip
    made = {op.output: op for op in net.ops}
    codes, layers = program.table[places, 0].tolist(), [program.sources[i] for i in places]
    names = [instructions.name(code) if code else "NOTHING" for code in codes]
    total, rows = sum(times) or 1.0, list[Row]()
    for name, layer, duration, work in zip(
        names, layers, times, _work(names, layers, made), strict=True
    ):
        shape = made[layer].shape if layer in made else ()
        rows.append(Row(name, layer, shape, duration, work, duration / total))
    return rows


def _work(names: Sequence[str], layers: Sequence[str], made: dict[str, Op]) -> Iterable[int]:
    """Multiply-adds of each row: those of its operation, shared by the rows that multiply."""
    multiplying = [
        layer for name, layer in zip(names, layers, strict=True) if name in MULTIPLYING
    ]  # fmt: skip
    for name, layer in zip(names, layers, strict=True):
        mine = name in MULTIPLYING and layer in made
        yield macs(made[layer]) // multiplying.count(layer) if mine else 0


@singledispatch
def macs(op: Op) -> int:
    """Multiply-adds of an operation, counted as if it were done directly (also Winograd's)."""
    return 0


@macs.register
def _(op: ops.Linear) -> int:
    return prod(op.shape) * prod(op.kernel.shape[:-1])


@macs.register
def _(op: ops.Depthwise) -> int:
    return prod(op.shape) * prod(op.kernel.shape[:2])


@macs.register
def _(op: ops.ConvTranspose) -> int:
    return prod(op.source[:2]) * prod(op.kernel.shape)


@macs.register
def _(op: ops.InvertedResidual) -> int:
    return sum(macs(part) for part in (op.expand, op.depthwise, op.project))
