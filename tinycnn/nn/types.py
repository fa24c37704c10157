"""Types that every part shares, and whether a value that was read has one of them.

Shapes are written without the batch: an image is ``(H, W, C)``. Arrays carry it: ``(N, H, W, C)``.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Shape = tuple[int, ...]
Pair = tuple[int, int]
Weights = Mapping[str, Array]

MAX_FLOAT = 3.4028234e38  # float32


def tupled(value: Any) -> Any:
    """Turn lists, as JSON gives them, into tuples, at every depth."""
    return tuple(tupled(v) for v in value) if isinstance(value, list | tuple) else value


def has_type(value: Any, hint: Any) -> bool:
    """Whether ``value`` is what the annotation ``hint`` says; True is no int.

    A float is a number that float32 can hold: no NaN, no infinity.
    """
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and -MAX_FLOAT <= value <= MAX_FLOAT  # NaN is not
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(hint, type):
        return isinstance(value, hint)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(has_type(value, a) for a in args)
    if origin is typing.Literal:
        return isinstance(value, str) and value in args
    if origin is not tuple or not isinstance(value, tuple):
        return origin is None and isinstance(value, hint)
    kinds = args[:1] * len(value) if args[1:] == (...,) else args
    return len(kinds) == len(value) and all(map(has_type, value, kinds))
