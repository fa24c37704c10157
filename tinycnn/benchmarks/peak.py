"""How many multiply-adds this machine can do: measured, not taken from a data sheet."""

from __future__ import annotations

import time

import numpy as np

from tinycnn.engine import native
from tinycnn.engine.kernels.family import CURRENT
from tinycnn.engine.kernels.instructions import PEAK, encode
from tinycnn.engine.program import Execution, Program, aligned_bytes

TURNS = 50_000
SUMS = CURRENT.rows * CURRENT.vectors * CURRENT.vector  # float32 that a turn adds to
X, Y = 0, 16 << 10  # places in the arena


def peak_flops(threads: int = 1, seconds: float = 0.3) -> float:
    """Floating-point operations per second of ``threads`` threads, a multiply-add counted as two.

    The loop does nothing but vector multiply-adds in registers. The best of many short runs: what
    the cores can do when nobody disturbs them.
    """
    execution = Execution(_program(threads), native.load(), threads)
    random = np.random.default_rng(0).uniform(0.1, 0.5, Y // 4)
    execution.arena[:Y].view(np.float32)[:] = random  # x = x * a + b, which stays in 0.1..1
    batch, best, end = np.zeros((1, 1, 1, 1), np.float32), np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        execution.run(batch)
        best = min(best, time.perf_counter() - start)
    return 2 * SUMS * TURNS * threads / best


def _program(threads: int) -> Program:
    """One instruction; input and output are cells that it does not touch."""
    size = Y + 4 * SUMS * threads
    table = np.array([encode(PEAK, x=X, y=Y, turns=TURNS)], np.int64)
    return Program(
        table=table, weights=aligned_bytes(64), arena_bytes=size + 64, sources=("peak",),
        input_shape=(1, 1, 1), input_offset=size, input_row=0,
        output_shape=(1,), output_offset=size, threads=threads,
    )  # fmt: skip
