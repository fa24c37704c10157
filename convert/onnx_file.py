"""ONNX files read as data: nodes, attributes and tensors, checked and counted.

Source: onnx/onnx.proto of the ONNX project, IR versions 3 to 14. Tensors are views of the file's
bytes. What lies in other files is never opened, and a subgraph (If, Loop) is never entered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from tinycnn.errors import ConversionError

from .protobuf import BYTES, fields, integers, message, real, signed, text

Tensor = npt.NDArray[Any]

MAX_NODES = 20_000  # before constants are folded; torch writes 5 for one flatten
MAX_TENSORS = 40_000
MAX_LINKS = 1 << 18  # inputs and outputs of all nodes; a DenseNet without folding has 5,000
MAX_LIST = 4096  # inputs, outputs and attributes of one node, numbers in one attribute
MAX_NAME = 2048
MAX_RANK = 8
MAX_VARINTS = 1 << 24  # each becomes an object of Python's for a moment
MAX_TOTAL = 2 << 30  # bytes of all tensors as float32
MAX_OPSET, MIN_OPSET = 28, 7  # below 7, arithmetic broadcasts by other rules

# TensorProto.DataType -> how raw_data holds it
TYPES: Mapping[int, str] = {
    **{1: "<f4", 2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8"},
    **{9: "?", 10: "<f2", 11: "<f8", 12: "<u4", 13: "<u8"},
}
FLOATS = frozenset({1, 10, 11})
EXTERNAL = (
    "its weights lie in another file, which is never opened; write one file: "
    "torch.onnx.export(..., external_data=False), or onnx.save(onnx.load(FILE), NEW_FILE)"
)


@dataclass(frozen=True)
class Node:
    """One operation: its type, attributes by name, and the names of what it reads and makes."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Spell it for error messages."""
        return f"node {(self.name or ', '.join(self.outputs))[:200]!r} ({printable(self.op)})"


def printable(text: str) -> str:
    """Spell a name of the file's for a message of one line."""
    return "".join(c if c.isprintable() else "?" for c in text[:60])


@dataclass(frozen=True)
class Value:
    """An input or output of the graph: its name, element type and dimensions (None: open)."""

    name: str
    kind: int = 0
    shape: tuple[int | None, ...] | None = None


@dataclass(frozen=True)
class Model:
    """What an ONNX file holds."""

    opset: int
    producer: str
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


def parse(data: bytes) -> Model:
    """Read a whole file; ConversionError says what is damaged or refused."""
    if len(data) > MAX_TOTAL:
        raise ConversionError(f"{len(data)} bytes; at most {MAX_TOTAL} are read")
    graphs, producer, opset, ir_version = [], ["", ""], 0, 0
    for number, kind, value in fields(memoryview(data)):
        if number == 1:
            ir_version = _integer(kind, value)
        elif number in (2, 3):
            producer[number - 2] = _name(kind, value)
        elif number == 7:
            graphs.append(message(kind, value))
        elif number == 8:
            opset = max(opset, _opset(message(kind, value)))
    if len(graphs) != 1 or not ir_version:
        raise ConversionError(f"no ONNX model: {len(graphs)} graphs, IR version {ir_version}")
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise ConversionError(f"opset {opset}; {MIN_OPSET} to {MAX_OPSET} are read: export again")
    return _Reader().graph(graphs[0], opset, " ".join(filter(None, producer)))


class _Reader:
    """Counts what was read, so that the limits hold for the whole file."""

    def __init__(self) -> None:
        self.total = self.tensors = self.links = 0

    def graph(self, data: memoryview, opset: int, producer: str) -> Model:
        nodes, tensors = list[Node](), dict[str, Tensor]()
        values: dict[int, list[Value]] = {11: [], 12: []}
        for number, kind, value in fields(data):
            if number == 1:
                nodes.append(self.node(message(kind, value)))
                if len(nodes) > MAX_NODES:
                    raise ConversionError(f"more than {MAX_NODES} nodes")
            elif number == 5:
                name, tensor = self.tensor(message(kind, value))
                if tensors.setdefault(name, tensor) is not tensor:
                    raise ConversionError(f"two tensors are called {name!r}")
            elif number in values:
                values[number].append(_value(message(kind, value)))
            elif number == 15:
                raise ConversionError("holds sparse tensors, which cannot be converted")
        inputs = tuple(v for v in values[11] if v.name not in tensors)
        return Model(opset, producer, tuple(nodes), tensors, inputs, tuple(values[12]))

    def node(self, data: memoryview) -> Node:
        names: dict[int, list[str]] = {n: [] for n in (1, 2, 3, 4, 7)}
        attributes: dict[str, Any] = {}
        for number, kind, value in fields(data):
            if number in names:
                names[number].append(_name(kind, value))
            elif number == 5:
                key, found = self.attribute(message(kind, value))
                if key in attributes:
                    raise ConversionError(f"a node has two attributes {key!r}")
                attributes[key] = found
            _limit("entries of one node", len(attributes) + sum(map(len, names.values())))
        self.links += len(names[1]) + len(names[2])
        _limit("inputs and outputs of nodes", self.links, MAX_LINKS)
        name, op, domain = ("".join(names[n][-1:]) for n in (3, 4, 7))
        if domain not in ("", "ai.onnx"):
            op = f"{domain}.{op}"  # which nothing here knows
        return Node(op, name, tuple(names[1]), tuple(names[2]), attributes)

    def attribute(self, data: memoryview) -> tuple[str, Any]:
        """Name and value; a graph is only noted, so that nothing here is recursive."""
        name, several = "", list[Any]()
        single: Any = None
        for number, kind, value in fields(data):
            if number == 1:
                name = _name(kind, value)
            elif number == 2:
                single = real(kind, value)
            elif number == 3:
                single = _integer(kind, value)
            elif number == 4:
                single = _name(kind, value)
            elif number == 5:
                single = self.tensor(message(kind, value))[1]
            elif number in (6, 10, 11, 14, 15, 22, 23):
                single = Unreadable()
            elif number == 7:
                several += _reals(kind, value)
            elif number == 8:
                several += islice(integers(kind, value), MAX_LIST + 1)
            elif number == 9:
                several.append(_name(kind, value))
            _limit("values of one attribute", len(several))
        return name, several if single is None else single

    def tensor(self, data: memoryview) -> tuple[str, Tensor]:
        """Name and array of one TensorProto, a view of the file where it is stored raw."""
        name, code, shape, raw = "", 0, list[int](), None
        stored: dict[int, list[memoryview | int]] = {4: [], 5: [], 7: [], 10: [], 11: []}
        for number, kind, value in fields(data):
            if number == 1:
                shape += islice(integers(kind, value), MAX_RANK + 1)
            elif number == 2:
                code = _integer(kind, value)
            elif number in stored:
                stored[number].append(value)
            elif number == 8:
                name = _name(kind, value)
            elif number == 9:
                raw = message(kind, value)
            elif number == 13 or (number == 14 and value):
                raise ConversionError(EXTERNAL)
            _limit(f"dimensions of tensor {name!r}", len(shape), MAX_RANK)
        self._count(name, code, shape)
        kind_of = TYPES[code]
        array = _from_fields(stored, code) if raw is None else _from_raw(raw, kind_of, name)
        if array.size != prod(shape):
            raise ConversionError(f"tensor {name!r}: {shape} declared, {array.size} values stored")
        return name, array.reshape(shape)

    def _count(self, name: str, code: int, shape: list[int]) -> None:
        self.tensors += 1
        _limit("tensors", self.tensors, MAX_TENSORS)
        if code not in TYPES:
            raise ConversionError(f"tensor {name!r}: element type {code} cannot be converted")
        if any(d < 0 for d in shape):
            raise ConversionError(f"tensor {name!r}: {shape} is not a shape")
        self.total += prod(shape) * 4
        if self.total > MAX_TOTAL:
            raise ConversionError(f"tensor {name!r}: more than {MAX_TOTAL} bytes are declared")


class Unreadable:
    """An attribute that is a graph, or a list of tensors or graphs."""


def _from_raw(raw: memoryview, dtype: str, name: str) -> Tensor:
    if len(raw) % np.dtype(dtype).itemsize:
        raise ConversionError(f"tensor {name!r}: {len(raw)} bytes are no whole number of values")
    return np.frombuffer(raw, dtype)


def _from_fields(stored: Mapping[int, list[Any]], code: int) -> Tensor:
    """Values in the typed fields: float32 and float64 packed, whole numbers as varints."""
    if code in (1, 11):
        parts = [bytes(p) for p in stored[4 if code == 1 else 10] if isinstance(p, memoryview)]
        return _from_raw(memoryview(b"".join(parts)), TYPES[code], "")
    source = {7: 7, 12: 11, 13: 11}.get(code, 5)
    size = sum(len(p) for p in stored[source] if isinstance(p, memoryview)) + len(stored[source])
    _limit("bytes of one tensor that is not stored raw", size, MAX_VARINTS)
    numbers = (n for p in stored[source] for n in integers(2 * isinstance(p, memoryview), p))
    wide = np.fromiter((n & 0xFFFF_FFFF_FFFF_FFFF for n in numbers), np.uint64)
    if code == 10:  # the bits of each float16
        return wide.astype(np.uint16).view(np.float16)
    return wide.astype(TYPES[code]) if code != 9 else wide != 0


def _value(data: memoryview) -> Value:
    """ValueInfoProto -> TypeProto -> Tensor: element type and shape."""
    name, kind_found, shape = "", 0, None
    for number, kind, value in fields(data):
        if number == 1:
            name = _name(kind, value)
        elif number == 2:
            for _, its_kind, tensor in _only(fields(message(kind, value)), 1):
                for inner, k, v in fields(message(its_kind, tensor)):
                    if inner == 1:
                        kind_found = _integer(k, v)
                    elif inner == 2:
                        shape = tuple(_dimensions(message(k, v)))
    return Value(name, kind_found, shape)


def _dimensions(data: memoryview) -> Iterable[int | None]:
    """Yield the dimensions of a TensorShapeProto; a name, or a number below 1, leaves one open."""
    for count, (_, kind, value) in enumerate(_only(fields(data), 1)):
        _limit("dimensions", count + 1, MAX_RANK)
        found = [_integer(k, v) for _, k, v in _only(fields(message(kind, value)), 1)]
        yield found[-1] if found and found[-1] > 0 else None


def _only(found: Iterable[Any], number: int) -> Iterable[Any]:
    return (each for each in found if each[0] == number)


def _opset(data: memoryview) -> int:
    """Version of ONNX's own operators; 0 if this entry is about another domain's."""
    domain, version = "", 0
    for number, kind, value in fields(data):
        if number == 1:
            domain = _name(kind, value)
        elif number == 2:
            version = _integer(kind, value)
    return version if domain in ("", "ai.onnx") else 0


def _integer(kind: int, value: Any) -> int:
    if kind == BYTES or not isinstance(value, int):
        raise ConversionError("damaged: a field that should be a number is none")
    return signed(value)


def _name(kind: int, value: Any) -> str:
    _limit("bytes of a name", len(message(kind, value)), MAX_NAME)
    return text(kind, value)


def _reals(kind: int, value: Any) -> list[float]:
    if kind != BYTES:
        return [real(kind, value)]
    return [float(v) for v in _from_raw(value, "<f4", "")[: MAX_LIST + 1]]


def _limit(what: str, count: int, limit: int = MAX_LIST) -> None:
    if count > limit:
        raise ConversionError(f"{count} {what}; at most {limit} are read")
