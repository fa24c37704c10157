"""A network lowered to a table of integers, and what runs it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinycnn.engine.arena import ALIGNMENT
from tinycnn.nn.layers.base import Array, Shape

Bytes = npt.NDArray[np.uint8]
Interpreter = Callable[..., int]  # see native.load: (table, rows, arena, weights, thread, ...)


@dataclass(frozen=True, eq=False)
class Program:
    """What `plan` makes, for one machine and number of threads; never saved.

    ``table``: (instructions, WIDTH) int64. ``weights``: all constants. ``sources``: for each
    instruction, the layer it came from. Offsets and sizes in bytes.
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


class Execution:
    """A program with its arena and threads, ready to run images one after the other."""

    def __init__(self, program: Program, interpreter: Interpreter, threads: int) -> None:
        self.program, self.interpreter, self.threads = program, interpreter, threads
        self.arena = aligned_bytes(program.arena_bytes)
        self.input = rows_view(
            self.arena, program.input_offset, program.input_row, program.input_shape
        )
        self.result: Array = view(self.arena, program.output_offset, program.output_shape)
        self._start_threads()

    def _start_threads(self) -> None:
        self.process = os.getpid()
        self.state = np.zeros(16, np.int64)
        self.lock = threading.Lock()  # one arena: one image at a time
        self.pool = ThreadPoolExecutor(self.threads - 1) if self.threads > 1 else None

    def run(self, batch: Array) -> Array:
        """Scores (N, classes) for a batch (N, H, W, C), both float32, C-contiguous."""
        if self.process != os.getpid():  # a fork leaves the threads behind: nobody would come
            self._start_threads()
        scores = np.empty((len(batch), *self.program.output_shape), np.float32)
        with self.lock:
            for i, image in enumerate(batch):
                self.input[...] = image
                self._run_threads()
                scores[i] = self.result
        return scores

    def _run_threads(self) -> None:
        others = (
            [self.pool.submit(self._run, i) for i in range(1, self.threads)] if self.pool else []
        )
        self._run(0)
        for other in others:
            other.result()

    def _run(self, thread: int) -> None:
        table = self.program.table
        self.interpreter(
            table.ctypes.data, len(table), self.arena.ctypes.data, self.program.weights.ctypes.data,
            thread, self.threads, self.state.ctypes.data,
        )  # fmt: skip


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
