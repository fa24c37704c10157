"""What operations are written to: addresses of values and constants, and the rows so far."""

from __future__ import annotations

import mmap
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from functools import singledispatch
from typing import Any

import numpy as np
import numpy.typing as npt

from tinycnn.engine.arena import ALIGNMENT, MAX_CONSTANTS, aligned
from tinycnn.engine.kernels.family import Family
from tinycnn.engine.kernels.instructions import encode
from tinycnn.engine.layout import Layout
from tinycnn.engine.ops import Op
from tinycnn.engine.packing import Packed
from tinycnn.errors import BackendError
from tinycnn.lightclass import dataclass

LEAST_BLOCK = 1 << 20  # bytes
HUGE = 4 << 20  # from here on, pages of 2 MB: fewer to look up and to fetch


class Constants:
    """Arrays behind one another in one block, each at a cache line; the same array once.

    The block grows by moving pages to other addresses (mremap), without copying, and each constant
    is written to it as it comes: at no time are there two of one.
    """

    def __init__(self) -> None:
        self.block = mmap.mmap(-1, LEAST_BLOCK, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.known: dict[int, tuple[weakref.ref[Any], int]] = {}
        self.sizes: dict[int, int] = {}  # bytes of each, by its offset
        self.size = 0

    def add(self, value: npt.NDArray[Any] | Packed) -> int:
        """Byte offset of ``value`` in the block."""
        known = self.known.get(id(value))
        if known and known[0]() is value:  # an id is unique only among the living
            return known[1]
        offset = self.size
        self.known[id(value)] = weakref.ref(value), offset
        self.sizes[offset] = value.nbytes if isinstance(value, np.ndarray) else 4 * value.size
        if isinstance(value, np.ndarray):
            self._grow(value.nbytes)
            flat = np.ascontiguousarray(value).reshape(-1)
            self._view(offset, flat.nbytes)[:] = flat.view(np.uint8)
        else:
            self._grow(4 * value.size)
            value.write(self._view(offset, 4 * value.size).view(np.float32))
        return offset

    def _grow(self, size: int) -> None:
        self.size += aligned(size)
        if self.size > MAX_CONSTANTS:
            raise BackendError(f"constants take over {MAX_CONSTANTS >> 20} MB; use numpy")
        if self.size > len(self.block):  # what is not written to is only an address
            self._resize(2 * self.size)
            if self.size >= HUGE and hasattr(mmap, "MADV_HUGEPAGE"):  # as NumPy does for its own
                self.block.madvise(mmap.MADV_HUGEPAGE)

    def _resize(self, size: int) -> None:
        """Grow the block, once nobody looks at it any more.

        Views are gone when `add` returns, unless a profiler's thread (Dask's workers have one) has
        just taken hold of its frame. It lets go within milliseconds.
        """
        for _ in range(100):
            with suppress(BufferError):
                self.block.resize(size)
                return
            time.sleep(0.01)
        raise BackendError("cannot grow the block of constants: somebody keeps a view of it")

    def _view(self, offset: int, size: int) -> npt.NDArray[np.uint8]:
        return np.frombuffer(self.block, np.uint8, size, offset)

    def packed(self) -> npt.NDArray[np.uint8]:
        """The block; nothing can be added any more."""
        return self._view(0, max(self.size, ALIGNMENT))


LEAST_WORK = 50_000  # a microsecond or so of one thread: to share it costs as much


@dataclass(frozen=True)
class Place:
    """A value's memory: the buffer that holds it, and where in it (in floats) it begins."""

    root: str
    offset: int = 0


class Address(int):
    """A byte offset into the arena that knows the value it belongs to, also after an addition."""

    value: str

    @classmethod
    def of(cls, value: str, offset: int) -> Address:
        """Make one."""
        address = cls(offset)
        address.value = value
        return address

    def __add__(self, other: int) -> Address:
        return Address.of(self.value, int(self) + other)


class Planner:
    """One `emit` after the other appends its instructions here."""

    def __init__(
        self, family: Family, threads: int, layouts: Mapping[str, Layout],
        places: Mapping[str, Place], offsets: Mapping[str, int],
    ) -> None:  # fmt: skip
        self.family, self.threads = family, threads
        self.layouts, self.places, self.offsets = layouts, places, offsets
        self.several = 2 * threads if threads > 1 else 1  # pieces: so the faster thread does more
        self.rows: list[list[int]] = []
        self.sources: list[str] = []
        self.operands: list[dict[str, str]] = []  # of each row: field -> value
        self.constants = Constants()

    def address(self, value: str) -> Address:
        """Byte offset of a value's first float, or of an operation's scratch, in the arena."""
        place = self.places.get(value, Place(value))
        return Address.of(value, self.offsets[place.root] + 4 * place.offset)

    def pixel(self, value: str, up: int = 0, left: int = 0) -> Address:
        """Byte offset of a picture's first pixel, or of one in its ring."""
        layout = self.layouts[value]
        return self.address(value) + 4 * (layout.start - up * layout.row - left * layout.pixel)

    def pieces(self, work: int) -> int:
        """How many pieces are worth it for so much ``work``, in multiply-adds or values moved."""
        return 1 if work < LEAST_WORK else self.several

    def add(self, op: Op, layout: Any, pieces: int = 0, **fields: Any) -> None:
        """Append an instruction; arrays become addresses, x and y default to the operation's.

        ``pieces``: how threads share it; 1 where sharing costs more than it saves.
        """
        for name, value in fields.items():
            if isinstance(value, np.ndarray | Packed):
                fields[name] = self.constants.add(value)
        defaults = {"x": op.inputs[0], "y": op.output}
        for name, value in defaults.items():
            if name in layout._fields and name not in fields:
                fields[name] = self.pixel(value)
        self.rows.append(encode(layout, pieces, **fields))
        self.sources.append(op.output)
        self.operands.append({f: v.value for f, v in fields.items() if isinstance(v, Address)})


@singledispatch
def emit(op: Op, to: Planner) -> None:
    """Append the instructions of one operation."""
    raise BackendError(f"{op.output}: {type(op).__name__} has no instruction")
