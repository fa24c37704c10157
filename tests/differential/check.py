"""Runs a case in the compiled kernels and says what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import numpy as np

from tests.differential import paths
from tests.differential.case import Case
from tests.differential.tolerance import difference
from tests.engine import guarded
from tinycnn.engine import caches, native
from tinycnn.engine.lower import lower_graph
from tinycnn.engine.ops import Net
from tinycnn.engine.plan import plan
from tinycnn.engine.program import Execution, Program
from tinycnn.engine.rewrites import rewrite

THREADS = (1, 2, 3)
GUARDED_THREADS = (1, 2, 3, 4)


def planned(
    case: Case, threads: Sequence[int], plan: Callable[[Net, int], Any] = plan
) -> tuple[list[Any], Counter[str]]:
    """What ``plan`` makes for each number of threads, and the graph passes that do something."""
    with mock.patch.object(caches, "second_level", return_value=case.cache):
        net = lower_graph(case.graph, case.weights)
        taken = Counter(paths.of_passes(net))
        net = rewrite(net)
        return [plan(net, count) for count in threads], taken


def plainly(program: Program, threads: int, backend: str) -> Execution:
    """The program ready to run, in poisoned memory."""
    execution = Execution(program, native.load(backend), threads)
    execution.arena[:] = guarded.POISON
    return execution


def check(case: Case, backend: str = "numba") -> tuple[str, Counter[str]]:
    """(what is wrong with the case or "", how often it took each path).

    Each number of threads runs it twice: the second time finds what the first has left behind.
    """
    programs, taken = planned(case, THREADS)
    taken.update(paths.of_program(programs[0]))
    runs = (
        (f"{threads} threads, run {again + 1}", execution.run(case.x))
        for threads, program in zip(THREADS, programs, strict=True)
        for execution in [plainly(program, threads, backend)]
        for again in range(2)
    )
    return compared(case, runs), taken


def check_guarded(case: Case, backend: str = "numba") -> tuple[str, Counter[str]]:
    """`check` between unmapped pages, and with every buffer of the arena by itself.

    Call it in a process that may die: of a step beyond an end it does.
    """
    programs, taken = planned(case, GUARDED_THREADS)
    taken.update(paths.of_program(programs[0]))
    apart, _ = planned(case, GUARDED_THREADS, guarded.plan_apart)

    def runs() -> Iterator[tuple[str, Any]]:
        for threads, program in zip(GUARDED_THREADS, programs, strict=True):
            for at_end in (True, False):
                execution = guarded.execution(program, threads, backend, at_end)
                yield f"{threads} threads, guarded at {at_end=}", execution.run(case.x)
        for threads, (program, free) in zip(GUARDED_THREADS, apart, strict=True):
            execution = plainly(program, threads, backend)
            yield f"{threads} threads, buffers apart", execution.run(case.x)
            if (execution.arena[free] != guarded.POISON).any():
                yield f"{threads} threads wrote between the buffers", None

    return compared(case, runs()), taken


def compared(case: Case, runs: Iterator[tuple[str, Any]]) -> str:
    """What is wrong with the first result, or differs in a bit in a later one; "" if nothing."""
    _, first = next(runs)
    if wrong := difference(case, first):
        return wrong
    for name, got in runs:
        if not np.array_equal(first, got):
            return f"{name}: other bits"
    return ""


CHECKS: dict[bool, Callable[..., tuple[str, Counter[str]]]] = {False: check, True: check_guarded}
