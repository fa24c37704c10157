"""Protocol buffers read as data: the wire format of one message, field by field.

Source: protobuf.dev/programming-guides/encoding. Nothing is copied: bytes come as views of the
file, so that weights of any size cost nothing here. Meaning is given to them by `onnx_file`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from tinycnn.errors import ConversionError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
LONGEST_VARINT = 10  # bytes: 64 bits, 7 in each
MAX_FIELDS = 1 << 18  # of one message; each becomes a view, and two bytes are enough for one
WIDTHS = {FIXED64: 8, FIXED32: 4}

Field = tuple[int, int, Any]  # number, kind, and an int (VARINT) or a memoryview


def fields(data: memoryview) -> Iterator[Field]:
    """Yield the fields of one message in the order of the file; ConversionError if damaged."""
    at, end, count = 0, len(data), 0
    while at < end:
        count += 1
        if count > MAX_FIELDS:
            raise ConversionError(f"more than {MAX_FIELDS} fields in one message")
        key, at = varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = varint(data, at)
            yield number, kind, value
            continue
        length = WIDTHS.get(kind)
        if kind == BYTES:
            length, at = varint(data, at)
        if length is None or number == 0:
            raise ConversionError(f"damaged: field {number} of kind {kind} is none of protobuf's")
        if length > end - at:
            raise ConversionError(f"damaged or cut off: {length} bytes declared, {end - at} left")
        yield number, kind, data[at : at + length]
        at += length


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the unsigned number that begins at ``at``, and where the next field begins."""
    result = 0
    for position, byte in enumerate(data[at : at + LONGEST_VARINT]):
        result |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return result & 0xFFFF_FFFF_FFFF_FFFF, at + position + 1
    raise ConversionError("damaged or cut off: a number without an end")


def signed(value: int) -> int:
    """Return an int64 from the 64 bits that the wire carries."""
    return value - (1 << 64) if value >= 1 << 63 else value


def integers(kind: int, value: Any) -> Iterator[int]:
    """Yield one int64, or many that are packed into one field: up to one for each byte."""
    if kind == VARINT:
        yield signed(value)
        return
    at, end = 0, len(value)
    while at < end:
        number, at = varint(value, at)
        yield signed(number)


def real(kind: int, value: Any) -> float:
    """One float32."""
    if kind != FIXED32:
        raise ConversionError("damaged: a field that should be a float is none")
    return float(struct.unpack("<f", value)[0])


def text(kind: int, value: Any) -> str:
    """Text in UTF-8."""
    try:
        return str(message(kind, value), "utf-8")
    except UnicodeDecodeError:
        raise ConversionError("damaged: a text that is not UTF-8") from None


def message(kind: int, value: Any) -> memoryview:
    """Bytes, which may be a message of their own."""
    if kind != BYTES:
        raise ConversionError("damaged: a field that should be bytes is a number")
    assert isinstance(value, memoryview)
    return value
