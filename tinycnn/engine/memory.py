"""What the planner says of a program's memory, for `verify`: buffers, operands, constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tinycnn.lightclass import dataclass

FLOAT = 4  # bytes


@dataclass(frozen=True)
class Buffer:
    """A part of the arena, in use from row ``first`` to row ``last``; offset and size in bytes.

    ``cell``: how many floats lie together, 16 where feature maps are channel-blocked.
    """

    name: str
    offset: int
    size: int
    cell: int
    first: int
    last: int

    @property
    def cells(self) -> int:
        """How many cells the buffer has."""
        return -(-self.size // (FLOAT * self.cell))


@dataclass(frozen=True)
class Operand:
    """A value as a row's operand: bytes ``begin`` to ``end`` of the arena, inside ``buffer``.

    Of the blocks of a channel-blocked feature map the last begins at ``tail``, and ``lanes`` of its
    16 channels exist; elsewhere ``tail`` is the end. ``scratch``: no value, but working memory.
    """

    value: str
    buffer: str
    begin: int
    end: int
    tail: int
    lanes: int
    scratch: bool = False


@dataclass(frozen=True, eq=False)
class Memory:
    """All of it. ``operands``: for each row, by field. ``constants``: offset -> bytes."""

    buffers: Mapping[str, Buffer]
    operands: Sequence[Mapping[str, Operand]]
    constants: Mapping[int, int]
    input: Operand
    output: Operand
