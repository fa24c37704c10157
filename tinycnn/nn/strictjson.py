"""JSON from strangers: what `json.loads` lets through, refused."""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_DEPTH = 64


def loads(text: str | bytes, max_bytes: int = 16 << 20) -> Any:
    """Parse JSON; ValueError for duplicate keys, NaN, infinity, depth or size beyond the limits."""
    if len(text) > max_bytes:
        raise ValueError(f"JSON of {len(text)} bytes; at most {max_bytes} are read")
    if isinstance(text, bytes):
        text = text.decode("utf-8")  # UnicodeDecodeError is a ValueError
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite
        )
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    _check_depth(value)
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


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise ValueError(f"JSON is nested deeper than {MAX_DEPTH}")
