"""The interpreter: one compiled function that runs a whole program, in every thread."""

from __future__ import annotations

from numba import types

from tinycnn.engine.kernels._jit import (
    BYTES,
    INTEGERS,
    ahead,
    atomic_add,
    atomic_load,
    atomic_store,
    futex,
    helper,
    kernel,
    pause,
)
from tinycnn.engine.kernels.axiswise import axis_wise, layer_norm
from tinycnn.engine.kernels.blocked import (
    add_blocked,
    affine_blocked,
    convert,
    global_pool_blocked,
    pool_blocked,
    ring,
)
from tinycnn.engine.kernels.conv import conv, conv_transpose, dense, depthwise
from tinycnn.engine.kernels.depthwise import depthwise_blocked
from tinycnn.engine.kernels.elementwise import affine, binary, elementwise, prelu
from tinycnn.engine.kernels.instructions import (
    ADD_BLOCKED,
    AFFINE,
    AFFINE_BLOCKED,
    AXIS_WISE,
    BINARY,
    CLOCK,
    CONV,
    CONV_TRANSPOSE,
    CONVERT,
    COPY,
    DENSE,
    DEPTHWISE,
    DEPTHWISE_BLOCKED,
    ELEMENTWISE,
    GATHER,
    GLOBAL_POOL,
    GLOBAL_POOL_BLOCKED,
    INVERTED_RESIDUAL,
    LAYER_NORM,
    MATMUL,
    PEAK,
    POOL,
    POOL_BLOCKED,
    PRELU,
    RESAMPLE,
    RING,
    WIDTH,
    WINOGRAD_INPUT,
    WINOGRAD_OUTPUT,
)
from tinycnn.engine.kernels.inverted_residual import inverted_residual
from tinycnn.engine.kernels.matmul import matmul
from tinycnn.engine.kernels.measuring import clock, peak
from tinycnn.engine.kernels.moving import copy, gather, resample
from tinycnn.engine.kernels.pooling import global_pool, pool
from tinycnn.engine.kernels.winograd import winograd_input, winograd_output

SIGNATURE = (INTEGERS, types.int64, BYTES, BYTES, types.int64, types.int64, INTEGERS)

# Places in ``state``, each in a cache line of its own.
ARRIVED, GENERATION, JOB, SLEEPERS, STOP = 0, 8, 16, 24, 32
SPINS = 4_000  # looks before a thread sleeps: some 70 microseconds, more than between two calls
WAIT, WAKE = 128, 129  # private futex operations


@helper
def wait_while(state, place, value):
    """Return when state[place] is no longer ``value``: look for a while, then sleep."""
    spins = 0
    while atomic_load(ahead(state, place)) == value:
        spins += 1
        pause()
        if spins > SPINS:
            atomic_add(ahead(state, SLEEPERS), 1)
            futex(ahead(state, place), WAIT, value)  # compares the low half: enough
            atomic_add(ahead(state, SLEEPERS), -1)


@helper
def advance(state, place, threads):
    """Add 1 to state[place], and wake whoever sleeps on it."""
    atomic_add(ahead(state, place), 1)
    if atomic_load(ahead(state, SLEEPERS)) != 0:
        futex(ahead(state, place), WAKE, threads)


@helper
def barrier(state, threads):
    """Wait until all threads are here."""
    if threads == 1:
        return
    generation = atomic_load(ahead(state, GENERATION))
    if atomic_add(ahead(state, ARRIVED), 1) == threads - 1:
        atomic_store(ahead(state, ARRIVED), 0)
        advance(state, GENERATION, threads)
    else:
        wait_while(state, GENERATION, generation)


@helper
def execute(row, arena, weights, thread, threads):
    """One instruction: the kernel for its opcode."""
    code = row[0]
    if code == MATMUL.code:
        matmul(row, arena, weights, thread, threads)
    elif code == WINOGRAD_INPUT.code:
        winograd_input(row, arena, weights, thread, threads)
    elif code == WINOGRAD_OUTPUT.code:
        winograd_output(row, arena, weights, thread, threads)
    elif code == DEPTHWISE_BLOCKED.code:
        depthwise_blocked(row, arena, weights, thread, threads)
    elif code == INVERTED_RESIDUAL.code:
        inverted_residual(row, arena, weights, thread, threads)
    elif code == POOL_BLOCKED.code:
        pool_blocked(row, arena, weights, thread, threads)
    elif code == GLOBAL_POOL_BLOCKED.code:
        global_pool_blocked(row, arena, weights, thread, threads)
    elif code == AFFINE_BLOCKED.code:
        affine_blocked(row, arena, weights, thread, threads)
    elif code == ADD_BLOCKED.code:
        add_blocked(row, arena, weights, thread, threads)
    elif code == CONVERT.code:
        convert(row, arena, weights, thread, threads)
    elif code == RING.code:
        ring(row, arena, weights, thread, threads)
    elif code == CONV.code:
        conv(row, arena, weights, thread, threads)
    elif code == DEPTHWISE.code:
        depthwise(row, arena, weights, thread, threads)
    elif code == CONV_TRANSPOSE.code:
        conv_transpose(row, arena, weights, thread, threads)
    elif code == DENSE.code:
        dense(row, arena, weights, thread, threads)
    elif code == AFFINE.code:
        affine(row, arena, weights, thread, threads)
    elif code == ELEMENTWISE.code:
        elementwise(row, arena, weights, thread, threads)
    elif code == PRELU.code:
        prelu(row, arena, weights, thread, threads)
    elif code == BINARY.code:
        binary(row, arena, weights, thread, threads)
    elif code == POOL.code:
        pool(row, arena, weights, thread, threads)
    elif code == GLOBAL_POOL.code:
        global_pool(row, arena, weights, thread, threads)
    elif code == AXIS_WISE.code:
        axis_wise(row, arena, weights, thread, threads)
    elif code == LAYER_NORM.code:
        layer_norm(row, arena, weights, thread, threads)
    elif code == GATHER.code:
        gather(row, arena, weights, thread, threads)
    elif code == RESAMPLE.code:
        resample(row, arena, weights, thread, threads)
    elif code == COPY.code:
        copy(row, arena, weights, thread, threads)
    elif code == PEAK.code:
        peak(row, arena, weights, thread, threads)
    elif code == CLOCK.code:
        clock(row, arena, weights, thread, threads)


@helper
def run_table(table, count, arena, weights, thread, threads, state):
    """All instructions; between them the threads wait for one another."""
    for i in range(count):
        execute(ahead(table, i * WIDTH), arena, weights, thread, threads)
        barrier(state, threads)


@kernel
def run(table, count, arena, weights, thread, threads, state):
    """Thread 0: run the program once, with the help of the others.

    Every other thread serves: it waits for runs and takes its share, until it is told to stop
    (by a call with thread -1). So a run costs no start of threads, and Python is out of it.
    """
    if thread < 0:
        atomic_store(ahead(state, STOP), 1)
        advance(state, JOB, threads)
        return
    if thread == 0:
        if threads > 1:
            advance(state, JOB, threads)
        run_table(table, count, arena, weights, thread, threads, state)
        return
    seen = 0
    while atomic_load(ahead(state, STOP)) == 0:
        wait_while(state, JOB, seen)
        seen += 1
        if atomic_load(ahead(state, STOP)) == 0:
            run_table(table, count, arena, weights, thread, threads, state)
