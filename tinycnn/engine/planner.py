"""What operations are written to: addresses of values and constants, and the rows so far."""

from __future__ import annotations

import mmap
from array import array
from collections import deque
from collections.abc import Mapping
from functools import singledispatch
from typing import Any

import numpy as np
import numpy.typing as npt

from tinycnn.engine import work
from tinycnn.engine.arena import ALIGNMENT, MAX_CONSTANTS, MAX_ROWS, MAX_TABLES, aligned
from tinycnn.engine.kernels import instructions
from tinycnn.engine.kernels.family import Family
from tinycnn.engine.kernels.instructions import ATTACHED, WIDTH, encode
from tinycnn.engine.layout import Layout
from tinycnn.engine.ops import Op
from tinycnn.engine.packing import Packed
from tinycnn.errors import BackendError
from tinycnn.lightclass import dataclass
from tinycnn.nn.mapped import forget

HUGE = 4 << 20  # bytes; from here on, pages of 2 MB: fewer to look up and to fetch


class Constants:
    """Arrays behind one another in one block, each at a cache line; equal ones once.

    They are counted as they come, and written when all are known: what is too large is refused
    before anything is allocated, and at no time are there two of one.
    """

    def __init__(self) -> None:
        self.known: dict[object, int] = {}
        self.sizes: dict[int, int] = {}  # bytes of each, by its offset
        self.waiting: deque[tuple[int, npt.NDArray[Any] | Packed]] = deque()
        self.size = self.made = 0

    def add(self, value: npt.NDArray[Any] | Packed) -> int:
        """Byte offset that ``value`` will have in the block."""
        # An id is unique among the living, and what waits here lives.
        key = value.key if isinstance(value, Packed) else id(value)
        if key in self.known:
            return self.known[key]
        size = value.nbytes if isinstance(value, np.ndarray) else 4 * value.size
        offset = self.known[key] = self.size
        self.sizes[offset] = size
        self.waiting.append((offset, value))
        self.size += aligned(size)
        if isinstance(value, Packed) and value.made:
            self.made += aligned(size)
        self._check()
        return offset

    def _check(self) -> None:
        if self.size > MAX_CONSTANTS:
            raise BackendError(f"constants take over {MAX_CONSTANTS >> 20} MB; use numpy")
        if self.made > MAX_TABLES:
            raise BackendError(
                f"tables made of layers' options take over {MAX_TABLES >> 20} MB; use numpy"
            )

    def packed(self) -> npt.NDArray[np.uint8]:
        """The block with everything in it; nothing can be added any more."""
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        block = mmap.mmap(-1, max(self.size, ALIGNMENT), flags=flags)
        if self.size >= HUGE and hasattr(mmap, "MADV_HUGEPAGE"):  # as NumPy does for its own
            block.madvise(mmap.MADV_HUGEPAGE)
        self.known.clear()
        while self.waiting:
            offset, value = self.waiting.popleft()
            if isinstance(value, np.ndarray):
                target = np.frombuffer(block, np.uint8, value.nbytes, offset)
                target[:] = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
            else:
                value.write(np.frombuffer(block, np.float32, value.size, offset))
                _forget_weights(value)
        return np.frombuffer(block, np.uint8)


def _forget_weights(packed: Packed) -> None:
    """Hand back the pages of the model file that were packed."""
    for value in vars(packed).values():
        if isinstance(value, np.ndarray):
            forget(value)


# Each thread has scratch memory of its own: they fall into as many pieces as there are threads.
FOR_EACH_THREAD = (
    instructions.INVERTED_RESIDUAL, instructions.RESAMPLE, instructions.WINOGRAD_OUTPUT
)  # fmt: skip
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
        self.rows = array("q")  # one behind the other: as lists they would take four times as much
        self.sources: list[str] = []
        self.operands: list[dict[str, str]] = []  # of each row: field -> value
        self.known: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        self.constants = Constants()

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.rows) // WIDTH

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

        ``pieces``: how threads share it; 1 where sharing costs more than it saves. Those that take
        long fall into more: between two of them a run can be stopped.
        """
        for name, value in fields.items():
            if isinstance(value, np.ndarray | Packed):
                fields[name] = self.constants.add(value)
        defaults = {"x": op.inputs[0], "y": op.output}
        for name, value in defaults.items():
            if name in layout._fields and name not in fields:
                fields[name] = self.pixel(value)
        if len(self.rows) >= MAX_ROWS * WIDTH:
            raise BackendError(f"the network takes over {MAX_ROWS} instructions; use numpy")
        least = work.pieces(op)
        if least > 1 and pieces != ATTACHED and layout not in FOR_EACH_THREAD:
            pieces = max(pieces or self.threads, least)
        self.rows.extend(encode(layout, pieces, **fields))
        self.sources.append(op.output)
        values = {f: v.value for f, v in fields.items() if isinstance(v, Address)}
        # Many rows of an operation have the same ones: a dictionary each would be 20 MB of 100,000.
        self.operands.append(self.known.setdefault(tuple(values.items()), values))


@singledispatch
def emit(op: Op, to: Planner) -> None:
    """Append the instructions of one operation."""
    raise BackendError(f"{op.output}: {type(op).__name__} has no instruction")
