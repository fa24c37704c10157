"""A network lowered to a table of integers, and what runs it."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tinycnn.engine.arena import ALIGNMENT
from tinycnn.engine.memory import Memory
from tinycnn.lightclass import dataclass
from tinycnn.nn.types import Array, Shape

Bytes = npt.NDArray[np.uint8]
STATE_BYTES, SHIFT, IDLE = 512, 20, 1 << 19  # what threads share, see `kernels.interpreter`
LONG = 1 << 31  # of `Program.work`: some tenths of a second on a Raspberry Pi 4
LOOK = 0.2  # seconds from one look at a run to the next
Watch = Callable[[float], None]
Interpreter = Callable[..., int]  # see native.load: (table, rows, arena, weights, thread, ...)


@dataclass(frozen=True, eq=False)
class Program:
    """What `plan` makes, for one machine and number of threads; never saved.

    ``table``: (instructions, WIDTH) int64. ``weights``: all constants. ``sources``: for each
    instruction, the layer it came from. ``work``: about how many multiply-adds of the fastest
    kernel take as long as one image (see `work`). ``memory``: for `verify`; None for a program that
    was verified before it was kept. Offsets and sizes in bytes.
    """

    table: npt.NDArray[np.int64]
    weights: Bytes
    arena_bytes: int
    input_shape: Shape
    input_offset: int
    input_row: int  # floats from one row to the next, or 0 where rows follow one another
    output_offset: int
    output_shape: Shape
    sources: tuple[str, ...]
    threads: int
    work: int = 0
    memory: Memory | None = None

    @property
    def steps(self) -> list[int]:
        """The rows that are instructions of their own, not attached to the one before."""
        from tinycnn.engine.kernels.instructions import ATTACHED, PIECES

        return [i for i, row in enumerate(self.table) if row[PIECES] != ATTACHED]


class Execution:
    """A program with its arena and threads, ready to run images one after the other.

    Threads other than the caller's wait inside compiled code for runs (see `interpreter.run`):
    they hold no lock of Python's, and a run wakes them without Python.
    """

    def __init__(self, program: Program, interpreter: Interpreter, threads: int) -> None:
        if program.memory is not None:
            from tinycnn.engine.verify import verify

            verify(program)
        self.program, self.interpreter, self.threads = program, interpreter, threads
        self.lock = threading.Lock()  # one arena: one image at a time
        self.space: Workspace | None = Workspace(program, interpreter, threads)
        _executions.add(self)

    @property
    def arena(self) -> Bytes:
        """The memory of all activations."""
        return self._workspace().arena

    @property
    def long(self) -> bool:
        """Whether an image may take so long that one might want to interrupt it."""
        return self.program.work > LONG

    def run(self, batch: Array, watch: Watch | None = None) -> Array:
        """Scores (N, classes) for a batch (N, H, W, C), both float32, C-contiguous.

        ``watch``: is told now and then how much of an image is done, from 0 to 1, if it is `long`.
        """
        scores = np.empty((len(batch), *self.program.output_shape), np.float32)
        with self.lock:
            space = self._workspace()
            if self.long and threading.current_thread() is threading.main_thread():
                self._run_beside(space, batch, scores, watch)
            else:
                space.run(batch, scores)
        return scores

    def _workspace(self) -> Workspace:
        if self.space is None:
            self.space = Workspace(self.program, self.interpreter, self.threads)
        return self.space

    def _run_beside(
        self, space: Workspace, batch: Array, scores: Array, watch: Watch | None
    ) -> None:
        """Run in another thread, so that this one can be interrupted while it waits.

        Python calls signal handlers in the main thread only, and not inside compiled code.
        """
        done, failed = threading.Lock(), list[BaseException]()
        done.acquire()

        def work() -> None:
            try:
                space.run(batch, scores)
            except BaseException as error:
                failed.append(error)
            done.release()

        try:
            threading.Thread(target=work, daemon=True).start()
            while not done.acquire(timeout=LOOK if watch else -1):
                if watch:
                    watch(space.done())
        except BaseException:  # Ctrl-C, or what another signal's handler raises
            self.space = None  # its threads may go on for a moment: the next run has a new one
            space.stop()
            raise
        for error in failed:
            raise error

    def after_fork(self) -> None:
        """In a forked child: the threads stayed with the parent, and so did who held the lock."""
        self.lock, self.space = threading.Lock(), None


class Workspace:
    """What a run works on: arena, state, and the threads that wait for it.

    It is thrown away as a whole where a run was interrupted, and in a forked child.
    """

    def __init__(self, program: Program, interpreter: Interpreter, threads: int) -> None:
        self.program, self.arena = program, aligned_bytes(program.arena_bytes)
        self.input = rows_view(
            self.arena, program.input_offset, program.input_row, program.input_shape
        )
        self.result: Array = view(self.arena, program.output_offset, program.output_shape)
        self.state = aligned_bytes(STATE_BYTES).view(np.int64)
        self.state[0] = IDLE
        self.stopped = False
        table = program.table
        addresses = (table, self.arena, program.weights, self.state)
        at, arena, weights, state = (array.ctypes.data for array in addresses)

        def call(thread: int) -> Callable[[], int]:
            return functools.partial(
                interpreter, at, len(table), arena, weights, thread, threads, state
            )

        # Each call keeps what it works on alive, also when the workspace is forgotten.
        keep = (program, self.arena, self.state)
        self.call, self.call_stop = call(0), call(-1)
        if threads > 1:
            weakref.finalize(self, _stop, self.call_stop, keep, os.getpid())
        for i in range(1, threads):
            threading.Thread(target=_serve, args=(call(i), keep), daemon=True).start()

    def run(self, batch: Array, scores: Array) -> None:
        """Fill ``scores`` from ``batch``, image by image, unless it is stopped."""
        for i in range(len(batch)):
            self.input[...] = batch[i]
            self.call()
            scores[i] = self.result
            if self.stopped:
                return

    def done(self) -> float:
        """Share of the image that is done: of all pieces, which take about as long."""
        from tinycnn.engine.kernels.instructions import PIECES

        table, (number, piece) = self.program.table, divmod(int(self.state[0]), 1 << SHIFT)
        pieces = np.maximum(table[:, PIECES], 1)
        now = number % len(table)
        if piece >= IDLE:
            return 1.0
        return float((pieces[:now].sum() + min(piece, pieces[now])) / pieces.sum())

    def stop(self) -> None:
        """Let every thread leave after the work item that it has; nothing runs here any more."""
        self.stopped = True
        self.call_stop()


_executions: weakref.WeakSet[Execution] = weakref.WeakSet()


def _after_fork() -> None:
    for execution in _executions:
        execution.after_fork()


os.register_at_fork(after_in_child=_after_fork)


def _serve(call: Callable[[], int], keep: object) -> None:
    call()


def _stop(call: Callable[[], int], keep: object, process: int) -> None:
    if process == os.getpid():  # the threads of a parent process are not ours to stop
        call()


def aligned_bytes(size: int) -> Bytes:
    """Zeroed memory that begins at a cache line."""
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


def view(memory: Bytes, offset: int, shape: Shape) -> Any:
    """Part of ``memory`` as a float32 array."""
    size = 4 * int(np.prod(shape))
    return memory[offset : offset + size].view(np.float32).reshape(shape)


def rows_view(memory: Bytes, offset: int, row: int, shape: Shape) -> Any:
    """`view` of a picture (H, W, C) whose rows are ``row`` floats apart; 0: no gaps."""
    if not row:
        return view(memory, offset, shape)
    height, width, channels = shape
    length = (height - 1) * row + width * channels
    flat = view(memory, offset, (length,))
    strides = (4 * row, 4 * channels, 4)
    return np.lib.stride_tricks.as_strided(flat, shape, strides)
