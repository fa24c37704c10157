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
    helper,
    kernel,
    yield_core,
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
    POOL,
    POOL_BLOCKED,
    PRELU,
    RESAMPLE,
    RING,
    WIDTH,
)
from tinycnn.engine.kernels.inverted_residual import inverted_residual
from tinycnn.engine.kernels.matmul import matmul
from tinycnn.engine.kernels.moving import copy, gather, resample
from tinycnn.engine.kernels.pooling import global_pool, pool

SPINS = 2000  # looks at the barrier before the core is offered to others
SIGNATURE = (INTEGERS, types.int64, BYTES, BYTES, types.int64, types.int64, INTEGERS)


@helper
def barrier(state, threads):
    """Wait until all threads are here. state[0]: how many are; state[8]: how often all were."""
    if threads == 1:
        return
    generation = atomic_load(ahead(state, 8))
    if atomic_add(state, 1) == threads - 1:
        atomic_store(state, 0)
        atomic_add(ahead(state, 8), 1)
        return
    spins = 0
    while atomic_load(ahead(state, 8)) == generation:
        spins += 1
        if spins > SPINS:
            yield_core()


@helper
def execute(row, arena, weights, thread, threads):
    """One instruction: the kernel for its opcode."""
    code = row[0]
    if code == MATMUL.code:
        matmul(row, arena, weights, thread, threads)
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


@kernel
def run(table, count, arena, weights, thread, threads, state):
    """Run ``count`` instructions; between them the threads wait for one another."""
    for i in range(count):
        execute(ahead(table, i * WIDTH), arena, weights, thread, threads)
        barrier(state, threads)
