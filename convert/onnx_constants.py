"""What an ONNX graph computes from constants alone, worked out at conversion.

PyTorch writes a flatten as Shape, Gather, Unsqueeze, Concat and Reshape; weights come through
Transpose or Cast. Every result's size is checked before it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from .onnx_call import Call, whole
from .onnx_file import TYPES, Tensor

MAX_FOLDED = 1 << 26  # values of one result; a weight that is transposed is one

NumPy = Callable[..., Any]
ELEMENTWISE: dict[int, dict[str, NumPy]] = {  # by the number of inputs; 0: any number of them
    1: {
        **{"Neg": np.negative, "Sqrt": np.sqrt, "Floor": np.floor, "Ceil": np.ceil},
        **{"Abs": np.abs, "Exp": np.exp, "Reciprocal": np.reciprocal, "Not": np.logical_not},
    },
    2: {
        **{"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Pow": np.power},
        **{"Equal": np.equal, "Less": np.less, "Greater": np.greater},
        **{"And": np.logical_and, "Or": np.logical_or},
    },
    3: {"Where": np.where},
    0: {"Min": np.minimum, "Max": np.maximum},
}
Fold = Callable[[Call], Any]


def fold(call: Call) -> Tensor | None:
    """Return the result of a node whose inputs are all constants; None if it is not known here."""
    if call.node.op not in FOLDS:
        return None
    result = np.asarray(FOLDS[call.node.op](call))
    call.finish()
    return result


def _check(call: Call, shape: Sequence[int]) -> None:
    if any(d < 0 for d in shape) or prod(shape) > MAX_FOLDED or len(shape) > 8:
        call.fail(f"makes a constant of shape {list(shape)}, which is no shape or too large")


def _data(call: Call) -> Tensor:
    return call.constant(0, "data")


def _elementwise(function: NumPy, count: int) -> Fold:
    """Value by value, of exactly ``count`` inputs, or of any number, two and two."""

    def folded(call: Call) -> Any:
        arrays = [call.constant(i, f"input {i + 1}") for i in range(count or len(call.every()))]
        _check(call, np.broadcast_shapes(*(a.shape for a in arrays)))
        with np.errstate(all="ignore"):
            return function(*arrays) if count else reduce(function, arrays)

    return folded


def _constant(call: Call) -> Any:
    """Constant: in one of several attributes."""
    for name, dtype in (("value_float", np.float32), ("value_int", np.int64)):
        if name in call.node.attributes:
            return np.asarray(call.option(name, None, (int, float)), dtype)
    for name, dtype in (("value_floats", np.float32), ("value_ints", np.int64)):
        if name in call.node.attributes:
            return np.asarray(call.option(name, None, list), dtype)
    value = call.option("value", None, np.ndarray)
    if value is None:
        kinds = ", ".join(sorted(map(repr, call.node.attributes))[:4]) or "nothing"
        call.fail(f"holds {kinds}, and no numbers that can be read")
    return value


def _filled(call: Call) -> Any:
    shape = whole(call.constant(0, "shape"))
    _check(call, shape)
    value = call.option("value", None, np.ndarray)
    if value is not None and value.size != 1:
        call.fail(f"its value has {value.size} numbers, not one")
    return np.full(shape, np.float32(0) if value is None else value.ravel()[0])


def _cast(call: Call) -> Any:
    call.ignore("saturate", "round_mode")  # of types with 8 bits, which are refused
    to = call.integer("to", 1)
    if to not in TYPES:
        call.fail(f"element type {to} cannot be converted")
    with np.errstate(all="ignore"):
        return _data(call).astype(TYPES[to])


def _gather(call: Call) -> Any:
    axis, data, indices = call.integer("axis", 0), _data(call), call.constant(1, "indices")
    if not -data.ndim <= axis < data.ndim or indices.dtype.kind not in "iu":
        call.fail(f"axis {axis} of {data.shape} by {indices.dtype} is no choice of entries")
    rest = prod(data.shape) // max(data.shape[axis], 1)
    _check(call, (rest, indices.size))
    return np.take(data, indices.astype(np.int64), axis)


def _slice(call: Call) -> Any:
    data = _data(call)
    begin, end = call.axes(1, "starts") or [], call.axes(2, "ends") or []
    axes, steps = call.axes(3), call.axes(4, "steps")
    cuts = [slice(None)] * data.ndim
    for axis, a, b, step in zip(
        axes or range(len(begin)), begin, end, steps or [1] * len(begin), strict=True
    ):
        cuts[axis] = slice(a, None if step < 0 and b < -data.shape[axis] else b, step)
    return data[tuple(cuts)]


def _reshape(call: Call) -> Any:
    data, target = _data(call), call.axes(1, "shape") or []
    if not call.integer("allowzero", 0):
        target = [data.shape[i] if d == 0 else d for i, d in enumerate(target)]
    return data.reshape(target)


def _squeeze(call: Call) -> Any:
    axes = call.axes(1)
    return np.squeeze(_data(call), None if axes is None else tuple(axes))


def _expand(call: Call) -> Any:
    data = _data(call)
    shape = np.broadcast_shapes(data.shape, tuple(whole(call.constant(1, "shape"))))
    _check(call, shape)
    return np.broadcast_to(data, shape)


def _range(call: Call) -> Any:
    call.ignore("stash_type")  # how precisely floats of 16 bits are counted up
    arrays = [call.constant(i, name) for i, name in enumerate(("start", "limit", "delta"))]
    if any(a.size != 1 for a in arrays):
        call.fail("its start, limit and delta are not one number each")
    start, stop, step = (a.reshape(-1)[0].item() for a in arrays)
    _check(call, [max(int((stop - start) / step), 0)])
    return np.arange(start, stop, step).astype(arrays[0].dtype)


def _divide(call: Call) -> Any:
    """Whole numbers are cut off towards 0."""
    a, b = call.constant(0, "dividend"), call.constant(1, "divisor")
    _check(call, np.broadcast_shapes(a.shape, b.shape))
    if a.dtype.kind not in "iu":
        with np.errstate(all="ignore"):
            return np.divide(a, b).astype(a.dtype)
    if not np.all(b):
        call.fail("divides by zero")
    return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)


def _joined(call: Call) -> Any:
    arrays = [call.constant(i, f"input {i + 1}") for i in range(len(call.every()))]
    _check(call, [sum(a.size for a in arrays)])
    return np.concatenate(arrays, call.integer("axis", 0))


def _product(call: Call) -> Any:
    data, axes = _data(call), call.axes(1)
    keep, nothing = call.integer("keepdims", 1), call.integer("noop_with_empty_axes", 0)
    if not axes:
        return data if nothing else np.prod(data, keepdims=bool(keep))
    return np.prod(data, axis=tuple(axes), keepdims=bool(keep))


def _shape(call: Call) -> Any:
    full = _data(call).shape
    start, end = call.integer("start", 0), call.integer("end", len(full))
    return np.asarray(full[start:end], np.int64)


FOLDS: dict[str, Fold] = {
    **{
        op: _elementwise(function, count)
        for count, functions in ELEMENTWISE.items()
        for op, function in functions.items()
    },
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Identity": _data,
    "Cast": _cast,
    "Shape": _shape,
    "Size": lambda call: np.asarray(_data(call).size, np.int64),
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _joined,
    "Squeeze": _squeeze,
    "Unsqueeze": lambda call: np.expand_dims(_data(call), tuple(call.axes(1) or ())),
    "Reshape": _reshape,
    "Transpose": lambda call: _data(call).transpose(call.integers("perm")),
    "Expand": _expand,
    "Range": _range,
    "Div": _divide,
    "ReduceProd": _product,
}
