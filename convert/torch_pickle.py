"""The part of pickle that ``torch.save`` writes, read by a machine that can call nothing.

A pickle is a program. Python's own reader imports and calls what it names; this one knows the
instructions of protocol 2 that state dicts are made of, and a name means only what the caller's
table says. Everything else is refused. What it builds is a few times as large as the program: what
calls are given, all together, is no longer than a pickle may be, no other instruction copies data,
and nothing here walks what was built, so that references that go round or double cost nothing.

Instructions: Python's ``pickletools``, which documents them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tinycnn.errors import ConversionError

MAX_BYTES = 2 << 20  # of one pickle; that of a DenseNet-201 with its optimizer has 0.6 MB
MAX_DEPTH = 100  # marks in marks
MAX_NAME = 100  # of a message
MAX_KEY = 1 << 32  # as a number: of larger ones, any amount has one hash, and a dict takes ages
Key = str | int | float | bool | None


@dataclass(frozen=True)
class Maker:
    """What a name stands for that a pickle may call: ``make`` of its arguments."""

    make: Callable[..., Any]


@dataclass
class Opaque:
    """What is there and of no use here: an optimizer's numbers, say. It takes any state."""


@dataclass(frozen=True)
class Result:
    """What a pickle describes, and where the next one begins."""

    value: Any
    end: int


def read_pickle(
    data: bytes | memoryview,
    names: Mapping[str, Any],
    persistent: Callable[[Any], Any],
    begin: int = 0,
) -> Result:
    """Run the pickle in ``data`` from ``begin`` on; ConversionError says what is refused.

    ``names``: MODULE.NAME -> what it stands for; a `Maker` can be called, nothing else.
    ``persistent``: storages, which lie outside of the pickle, by their description.
    """
    machine = _Machine(memoryview(data)[begin : begin + MAX_BYTES], names, persistent)
    try:
        value = machine.run()
    except (LookupError, TypeError, ValueError, struct.error) as error:
        where = f"at byte {begin + machine.at}"
        raise ConversionError(
            f"damaged pickle {where}, or longer than {MAX_BYTES} bytes: {str(error)[:MAX_NAME]}"
        ) from None
    return Result(value, begin + machine.at)


class _Machine:
    """A stack, the stacks that marks have put aside, and the memo."""

    def __init__(
        self, data: memoryview, names: Mapping[str, Any], persistent: Callable[[Any], Any]
    ) -> None:
        self.data, self.names, self.persistent = data, names, persistent
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.given = 0  # items in the arguments of all calls

    def run(self) -> Any:
        if self.take(1)[0] != 0x80 or self.take(1)[0] != 2:
            raise ConversionError("not a pickle of protocol 2, which torch.save writes")
        while (code := self.take(1)[0]) != STOP:
            instruction = INSTRUCTIONS.get(code)
            if instruction is None:
                raise ConversionError(
                    f"its pickle has the instruction {code:#04x}, which no state dict needs"
                )
            instruction(self)
        return self.stack.pop()

    def take(self, count: int) -> memoryview:
        """Return the next ``count`` bytes."""
        if count > len(self.data) - self.at:
            raise ValueError("it ends too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> str:
        end = bytes(self.data[self.at : self.at + 300]).find(b"\n")
        if end < 0:
            raise ValueError("a name without an end")
        return str(self.take(end + 1), "utf-8")[:-1]

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"{kind.__name__} expected")
        return self.stack[-1]


def _global(m: _Machine) -> None:
    name = f"{m.line()}.{m.line()}"
    if name not in m.names:
        raise ConversionError(
            f"its pickle asks for {name[:MAX_NAME]!r}; only tensors are read, nothing is called. "
            "Save those alone, in Python: torch.save(model.state_dict(), 'NAME.pth')"
        )
    m.push(m.names[name])


def _reduce(m: _Machine) -> None:
    arguments, maker = m.stack.pop(), m.stack.pop()
    if not isinstance(maker, Maker) or not isinstance(arguments, tuple):
        raise ValueError("it calls what cannot be called")
    m.given += len(arguments) + sum(len(a) for a in arguments if isinstance(a, list | tuple | dict))
    if m.given > MAX_BYTES:
        raise ValueError("it calls with more than there can be")
    m.push(maker.make(*arguments))


def _build(m: _Machine) -> None:
    """Drop the state: what is read here has none that matters (a state dict's versions)."""
    m.stack.pop()
    if not isinstance(m.stack[-1], dict | Opaque):
        raise ValueError("it gives a state to what has none")


def _put(m: _Machine, index: int) -> None:
    m.memo[index] = m.stack[-1]


def _set_items(m: _Machine, items: list[Any]) -> None:
    target = m.top(dict)
    if len(items) % 2:
        raise ValueError("a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        add_entry(target, key, value)


def add_entry(target: dict[Key, Any], key: Any, value: Any) -> None:
    """Put an entry into a dict; ValueError if the key is there, or of a kind that may be costly."""
    if not isinstance(key, Key):
        raise ValueError(f"a key that is a {type(key).__name__}")
    if isinstance(key, int | float) and not abs(key) < MAX_KEY:
        raise ValueError("a key that is a huge number")
    if key in target:
        raise ValueError(f"the key {str(key)[:MAX_NAME]!r} twice")
    target[key] = value


def _append(m: _Machine, items: list[Any]) -> None:
    m.top(list).extend(items)


def _mark(m: _Machine) -> None:
    if len(m.marks) >= MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    m.marks.append(m.stack)
    m.stack = []


def _pop(m: _Machine) -> None:
    m.stack.pop()


def _tuple(m: _Machine, count: int) -> None:
    if len(m.stack) < count:
        raise ValueError("too little for a tuple")
    start = len(m.stack) - count
    m.stack[start:] = [tuple(m.stack[start:])]


def _text(m: _Machine, layout: str, encoding: str) -> None:
    m.push(str(m.take(m.number(layout)), encoding))


STOP = ord(".")
INSTRUCTIONS: dict[int, Callable[[_Machine], None]] = {
    ord(code): instruction
    for code, instruction in {
        "N": lambda m: m.push(None),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "K": lambda m: m.push(m.number("<B")),
        "M": lambda m: m.push(m.number("<H")),
        "J": lambda m: m.push(m.number("<i")),
        "\x8a": lambda m: m.push(int.from_bytes(m.take(m.number("<B")), "little", signed=True)),
        "G": lambda m: m.push(m.number(">d")),
        "X": lambda m: _text(m, "<I", "utf-8"),
        "U": lambda m: _text(m, "<B", "latin-1"),  # Python 2's strings
        "T": lambda m: _text(m, "<I", "latin-1"),
        ")": lambda m: m.push(()),
        "]": lambda m: m.push([]),
        "}": lambda m: m.push({}),
        "(": _mark,
        "0": _pop,
        "t": lambda m: m.push(tuple(m.pop_to_mark())),
        "\x85": lambda m: _tuple(m, 1),
        "\x86": lambda m: _tuple(m, 2),
        "\x87": lambda m: _tuple(m, 3),
        "a": lambda m: _append(m, [m.stack.pop()]),
        "e": lambda m: _append(m, m.pop_to_mark()),
        "s": lambda m: _set_items(m, [m.stack.pop(-2), m.stack.pop()]),
        "u": lambda m: _set_items(m, m.pop_to_mark()),
        "q": lambda m: _put(m, m.number("<B")),
        "r": lambda m: _put(m, m.number("<I")),
        "h": lambda m: m.push(m.memo[m.number("<B")]),
        "j": lambda m: m.push(m.memo[m.number("<I")]),
        "c": _global,
        "R": _reduce,
        "\x81": _reduce,  # a new object of a class: for a `Maker`, the same
        "b": _build,
        "Q": lambda m: m.push(m.persistent(m.stack.pop())),
    }.items()
}
