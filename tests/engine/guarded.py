"""Programs run with arena, weights and table between unmapped pages: a byte beyond is a SIGSEGV.

Run it in a process of its own (see `tests.differential.worker`).
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

from tinycnn.engine import native
from tinycnn.engine.arena import ALIGNMENT, Lifetime, aligned
from tinycnn.engine.ops import Net
from tinycnn.engine.plan import plan
from tinycnn.engine.program import Execution, Program

PAGE = mmap.PAGESIZE
NONE, READ = 0, 1  # mprotect's PROT_NONE and PROT_READ
POISON = 0xFF  # NaN everywhere: what is not written must not be read
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def protect(memory: Any, rights: int) -> None:
    """Take rights from an array of whole pages."""
    if _libc.mprotect(memory.ctypes.data, memory.nbytes, rights):
        raise OSError(ctypes.get_errno(), "mprotect")


def pages(size: int) -> int:
    """Bytes rounded up to whole pages."""
    return -(-size // PAGE) * PAGE


def mapped(size: int) -> Any:
    """So many bytes of fresh pages, which are unmapped with the last view of them."""
    return np.frombuffer(mmap.mmap(-1, pages(size)), np.uint8)


def between_pages(size: int, at_end: bool) -> Any:
    """``size`` bytes, aligned, that end (or begin) at an unmapped page; one lies on either side."""
    memory = mapped(2 * PAGE + pages(size))
    protect(memory[:PAGE], NONE)
    protect(memory[-PAGE:], NONE)
    start = len(memory) - PAGE - aligned(size) if at_end else PAGE
    return memory[start : start + size]


def read_only(array: Any, at_end: bool) -> Any:
    """A copy of an array between unmapped pages, which nobody can write to."""
    copy = between_pages(array.nbytes, at_end)
    copy[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    first = copy.ctypes.data // PAGE * PAGE
    size = pages(copy.ctypes.data + copy.nbytes - first)
    if _libc.mprotect(first, size, READ):
        raise OSError(ctypes.get_errno(), "mprotect")
    return copy.view(array.dtype).reshape(array.shape)


def guarded(program: Program, at_end: bool) -> Program:
    """The program with table and weights between unmapped pages."""
    table, weights = (read_only(a, at_end) for a in (program.table, program.weights))
    return replace(program, table=table, weights=weights)


def execution(program: Program, threads: int, backend: str, at_end: bool) -> Execution:
    """Ready to run, with arena and state between unmapped pages, too."""
    with mock.patch(
        "tinycnn.engine.program.aligned_bytes", lambda size: between_pages(size, at_end)
    ):
        made = Execution(guarded(program, at_end), native.load(backend), threads)
    made.arena[:] = POISON
    return made


GAP = 4 * ALIGNMENT


def plan_apart(net: Net, threads: int) -> tuple[Program, Any]:
    """A program whose buffers lie each by itself, and which bytes of its arena are in none."""
    free = np.ones(0, bool)

    def place(lifetimes: Mapping[str, Lifetime]) -> tuple[dict[str, int], int]:
        nonlocal free
        offsets, end = {}, GAP
        for name, lifetime in lifetimes.items():
            offsets[name] = end
            end += aligned(lifetime.size) + GAP
        free = np.ones(end, bool)
        for name, lifetime in lifetimes.items():
            free[offsets[name] : offsets[name] + aligned(lifetime.size)] = False
        return offsets, end

    with mock.patch("tinycnn.engine.plan.place", place):
        return plan(net, threads), free
