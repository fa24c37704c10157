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
    ATTACHED,
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
    GLOBAL_POOL_BLOCKED,
    INVERTED_RESIDUAL,
    LAYER_NORM,
    MATMUL,
    PEAK,
    PERMUTE,
    PIECES,
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
from tinycnn.engine.kernels.moving import copy, permute, resample
from tinycnn.engine.kernels.winograd import winograd_input, winograd_output

SIGNATURE = (INTEGERS, types.int64, BYTES, BYTES, types.int64, types.int64, INTEGERS)

# Places in ``state``, each in a cache line of its own.
TICKET, DONE, SLEEPERS, STOP = 0, 8, 16, 24
# A ticket is (number of the instruction since ever, number of a piece of it).
SHIFT = 20
PIECE = (1 << SHIFT) - 1
FOREVER = 1 << 62
IDLE = 1 << (SHIFT - 1)  # a piece that no instruction has: there is nothing to do
SPINS = 4_000  # looks before a thread sleeps: some 70 microseconds, more than between two calls
WAIT, WAKE = 128, 129  # private futex operations


@helper
def wait_while(state, ticket):
    """Return when the ticket is no longer this one: look for a while, then sleep."""
    spins = 0
    while atomic_load(ahead(state, TICKET)) == ticket:
        spins += 1
        pause()
        if spins > SPINS:
            atomic_add(ahead(state, SLEEPERS), 1)
            futex(ahead(state, TICKET), WAIT, ticket)  # compares the low half: enough
            atomic_add(ahead(state, SLEEPERS), -1)


@helper
def publish(state, ticket, threads):
    """Let everybody see a new ticket, and wake whoever sleeps."""
    atomic_store(ahead(state, TICKET), ticket)
    if atomic_add(ahead(state, SLEEPERS), 0) != 0:  # an exchange: never before the store
        futex(ahead(state, TICKET), WAKE, threads)


@helper
def take_part(table, count, arena, weights, threads, state, until):
    """Do pieces of instructions, whichever are next, up to instruction ``until``.

    Nobody waits for a thread that has taken nothing: one that the system has put aside does not
    hold up the others. Who finishes the last piece of an instruction opens the next one. Rows
    that are `ATTACHED` to an instruction are done with its first piece.
    """
    while True:
        ticket = atomic_load(ahead(state, TICKET))
        if ticket >> SHIFT >= until or atomic_load(ahead(state, STOP)) != 0:
            return
        row = ahead(table, (ticket >> SHIFT) % count * WIDTH)
        pieces = row[PIECES] if row[PIECES] != 0 else threads
        if ticket & PIECE >= pieces:
            wait_while(state, ticket)
            continue
        ticket = atomic_add(ahead(state, TICKET), 1)  # perhaps of a later instruction by now
        row = ahead(table, (ticket >> SHIFT) % count * WIDTH)
        pieces = row[PIECES] if row[PIECES] != 0 else threads
        if ticket & PIECE >= pieces:
            continue
        execute(row, arena, weights, ticket & PIECE, pieces)
        following = (ticket >> SHIFT) + 1
        while following % count != 0 and table[following % count * WIDTH + PIECES] == ATTACHED:
            if ticket & PIECE == 0:
                execute(ahead(table, following % count * WIDTH), arena, weights, 0, 1)
            following += 1
        if atomic_add(ahead(state, DONE), 1) == pieces - 1:
            atomic_store(ahead(state, DONE), 0)
            idle = IDLE if following % count == 0 else 0
            publish(state, (following << SHIFT) + idle, threads)


@helper
def alone(table, count, arena, weights, state):
    """All instructions, one after the other; long ones in pieces, too, for who wants to stop."""
    for i in range(count):
        row = ahead(table, i * WIDTH)
        pieces = max(row[PIECES], 1)
        for piece in range(pieces):
            if atomic_load(ahead(state, STOP)) != 0:
                return
            atomic_store(ahead(state, TICKET), (i << SHIFT) + piece)  # for who wants to know
            execute(row, arena, weights, piece, pieces)


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
    elif code == AXIS_WISE.code:
        axis_wise(row, arena, weights, thread, threads)
    elif code == LAYER_NORM.code:
        layer_norm(row, arena, weights, thread, threads)
    elif code == PERMUTE.code:
        permute(row, arena, weights, thread, threads)
    elif code == RESAMPLE.code:
        resample(row, arena, weights, thread, threads)
    elif code == COPY.code:
        copy(row, arena, weights, thread, threads)
    elif code == PEAK.code:
        peak(row, arena, weights, thread, threads)
    elif code == CLOCK.code:
        clock(row, arena, weights, thread, threads)


@kernel
def run(table, count, arena, weights, thread, threads, state):
    """Thread 0: run the program once, with the help of the others.

    Every other thread serves: it waits for runs and takes part, until it is told to stop (by a
    call with thread -1). So a run costs no start of threads, and Python is out of it.
    """
    if thread < 0:
        atomic_store(ahead(state, STOP), 1)
        atomic_add(ahead(state, TICKET), 1)
        futex(ahead(state, TICKET), WAKE, threads)
    elif threads == 1:
        alone(table, count, arena, weights, state)
    elif thread > 0:
        take_part(table, count, arena, weights, threads, state, FOREVER)
    else:
        first = atomic_load(ahead(state, TICKET)) >> SHIFT
        publish(state, first << SHIFT, threads)
        take_part(table, count, arena, weights, threads, state, first + count)
