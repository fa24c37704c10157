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
STATE_BYTES, IDLE = 512, 1 << 19  # what threads share, see `kernels.interpreter`
Interpreter = Callable[..., int]  # see native.load: (table, rows, arena, weights, thread, ...)


@dataclass(frozen=True, eq=False)
class Program:
    """What `plan` makes, for one machine and number of threads; never saved.

    ``table``: (instructions, WIDTH) int64. ``weights``: all constants. ``sources``: for each
    instruction, the layer it came from. Offsets and sizes in bytes. ``memory``: for `verify`; None
    for a program that was verified before it was kept.
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
        self.arena = aligned_bytes(program.arena_bytes)
        self.input = rows_view(
            self.arena, program.input_offset, program.input_row, program.input_shape
        )
        self.result: Array = view(self.arena, program.output_offset, program.output_shape)
        self._start_threads()

    def _start_threads(self) -> None:
        self.process = os.getpid()
        self.state = aligned_bytes(STATE_BYTES).view(np.int64)
        self.state[0] = IDLE
        self.lock = threading.Lock()  # one arena: one image at a time
        # Each call keeps what it works on alive, also when the execution is forgotten.
        keep = (self.program, self.arena, self.state)
        calls = [self._call(i) for i in range(self.threads)]
        self._run = calls[0]
        if self.threads > 1:
            weakref.finalize(self, _stop, self._call(-1), keep, self.process)
        for call in calls[1:]:
            threading.Thread(target=_serve, args=(call, keep), daemon=True).start()

    def _call(self, thread: int) -> Callable[[], int]:
        table = self.program.table
        addresses = (table, self.arena, self.program.weights, self.state)
        at, arena, weights, state = (array.ctypes.data for array in addresses)
        return functools.partial(
            self.interpreter, at, len(table), arena, weights, thread, self.threads, state
        )

    def run(self, batch: Array) -> Array:
        """Scores (N, classes) for a batch (N, H, W, C), both float32, C-contiguous."""
        if self.process != os.getpid():  # a fork leaves the threads behind: nobody would come
            self._start_threads()
        scores = np.empty((len(batch), *self.program.output_shape), np.float32)
        with self.lock:
            for i in range(len(batch)):
                self.input[...] = batch[i]
                self._run()
                scores[i] = self.result
        return scores


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
