"""JSON from strangers: what `json.loads` lets through, refused."""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_DEPTH = 64
MAX_INTEGER = 1 << 63  # what NumPy and the kernels can hold


def loads(text: str | bytes, max_bytes: int = 16 << 20, max_values: int = 1 << 20) -> Any:
    """Parse JSON; ValueError for duplicate keys, NaN, infinity, and what is beyond the limits."""
    if len(text) > max_bytes:
        raise ValueError(f"JSON of {len(text)} bytes; at most {max_bytes} are read")
    if isinstance(text, bytes):
        text = text.decode("utf-8")  # UnicodeDecodeError is a ValueError
    if not isinstance(text, str):
        raise TypeError("JSON is text")
    # Before any is made: an empty list of two bytes takes 72. Commas in strings count, too.
    if (values := sum(map(text.count, ",[{"))) > max_values:
        raise ValueError(f"JSON of {values} values; at most {max_values} are read")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_integer,
        )
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    _check_tree(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("JSON has a key twice")
    return result


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"JSON has the value {word}")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"JSON has the number {text[:20]}, too large for a float")
    return value


def _integer(text: str) -> int:
    if len(text) > 20 or not -MAX_INTEGER <= int(text) < MAX_INTEGER:
        raise ValueError(f"JSON has the number {text[:20]}, too large for an integer")
    return int(text)


def _check_tree(value: Any) -> None:
    """Refuse depth, and text that cannot be written out again (half a surrogate pair)."""
    level = [value]
    for _ in range(MAX_DEPTH):
        _check_text(level)
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise ValueError(f"JSON is nested deeper than {MAX_DEPTH}")


def _check_text(level: list[Any]) -> None:
    for item in level:
        for text in item if isinstance(item, dict) else (item,):
            if isinstance(text, str):
                text.encode()  # UnicodeEncodeError is a ValueError
