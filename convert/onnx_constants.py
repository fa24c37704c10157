"""What an ONNX graph computes from constants alone, worked out at conversion.

PyTorch writes a flatten as Shape, Gather, Unsqueeze, Concat and Reshape; weights come through
Transpose or Cast. Every result's size is checked before it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from .onnx_call import Call, whole
from .onnx_file import TYPES, Tensor

MAX_FOLDED = 1 << 26  # values of one result; a weight that is transposed is one

NumPy = Callable[..., Any]
ELEMENTWISE: dict[str, NumPy] = {
    **{"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Min": np.minimum},
    **{"Max": np.maximum, "Pow": np.power, "Equal": np.equal, "Where": np.where},
    **{"Neg": np.negative, "Sqrt": np.sqrt, "Floor": np.floor, "Ceil": np.ceil, "Abs": np.abs},
    **{"Exp": np.exp, "Reciprocal": np.reciprocal, "Not": np.logical_not, "Less": np.less},
    **{"Greater": np.greater, "And": np.logical_and, "Or": np.logical_or},
}
Fold = Callable[[Call, Sequence[Tensor]], Any]


def fold(call: Call, arrays: Sequence[Tensor]) -> Tensor | None:
    """Return the result of a node whose inputs are all constants; None if it is not known here."""
    op = call.node.op
    if op in ELEMENTWISE:
        _check(call, np.broadcast_shapes(*(a.shape for a in arrays)))
        with np.errstate(all="ignore"):
            return np.asarray(ELEMENTWISE[op](*arrays))
    return np.asarray(FOLDS[op](call, arrays)) if op in FOLDS else None


def _check(call: Call, shape: Sequence[int]) -> None:
    if any(d < 0 for d in shape) or prod(shape) > MAX_FOLDED or len(shape) > 8:
        call.fail(f"makes a constant of shape {list(shape)}, which is no shape or too large")


def constant(call: Call, arrays: Sequence[Tensor]) -> Tensor:
    """Constant: in one of several attributes."""
    for name, dtype in (("value_float", np.float32), ("value_int", np.int64)):
        if name in call.node.attributes:
            return np.asarray(call.option(name, None, (int, float)), dtype)
    for name, dtype in (("value_floats", np.float32), ("value_ints", np.int64)):
        if name in call.node.attributes:
            return np.asarray(call.option(name, None, list), dtype)
    return np.asarray(call.option("value", None, np.ndarray) if call.node.attributes else ())


def _filled(call: Call, arrays: Sequence[Tensor]) -> Any:
    shape = whole(arrays[0])
    _check(call, shape)
    value = call.option("value", None, np.ndarray)
    return np.full(shape, np.float32(0) if value is None else value.ravel()[0])


def _cast(call: Call, arrays: Sequence[Tensor]) -> Any:
    call.ignore("saturate", "round_mode")
    to = call.integer("to", 1)
    if to not in TYPES:
        call.fail(f"element type {to} cannot be converted")
    with np.errstate(all="ignore"):
        return arrays[0].astype(TYPES[to])


def _gather(call: Call, arrays: Sequence[Tensor]) -> Any:
    axis = call.integer("axis", 0)
    rest = prod(arrays[0].shape) // max(arrays[0].shape[axis], 1)
    _check(call, (rest, arrays[1].size))
    return np.take(arrays[0], arrays[1].astype(np.int64), axis)


def _slice(call: Call, arrays: Sequence[Tensor]) -> Any:
    begin, end = call.axes(1, "starts"), call.axes(2, "ends")
    axes, steps = call.axes(3), call.axes(4, "steps")
    begin, end = begin or [], end or []
    cuts = [slice(None)] * arrays[0].ndim
    for axis, a, b, step in zip(
        axes or range(len(begin)), begin, end, steps or [1] * len(begin), strict=True
    ):
        cuts[axis] = slice(a, None if step < 0 and b < -arrays[0].shape[axis] else b, step)
    return arrays[0][tuple(cuts)]


def _reshape(call: Call, arrays: Sequence[Tensor]) -> Any:
    target = call.axes(1, "shape") or []
    if not call.integer("allowzero", 0):
        target = [arrays[0].shape[i] if d == 0 else d for i, d in enumerate(target)]
    return arrays[0].reshape(target)


def _squeeze(call: Call, arrays: Sequence[Tensor]) -> Any:
    axes = call.axes(1)
    return np.squeeze(arrays[0], None if axes is None else tuple(axes))


def _expand(call: Call, arrays: Sequence[Tensor]) -> Any:
    shape = np.broadcast_shapes(arrays[0].shape, tuple(whole(arrays[1])))
    _check(call, shape)
    return np.broadcast_to(arrays[0], shape)


def _range(call: Call, arrays: Sequence[Tensor]) -> Any:
    start, stop, step = (a.reshape(-1)[0].item() for a in arrays)
    _check(call, [max(int((stop - start) / step), 0)])
    return np.arange(start, stop, step).astype(arrays[0].dtype)


def _divide(call: Call, arrays: Sequence[Tensor]) -> Any:
    """Whole numbers are cut off towards 0."""
    a, b = arrays
    if a.dtype.kind not in "iu":
        return np.divide(a, b).astype(a.dtype)
    if not np.all(b):
        call.fail("divides by zero")
    return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)


def _joined(call: Call, arrays: Sequence[Tensor]) -> Any:
    _check(call, [sum(a.size for a in arrays)])
    return np.concatenate(arrays, call.integer("axis", 0))


def _product(call: Call, arrays: Sequence[Tensor]) -> Any:
    axes = call.axes(1)
    keep = bool(call.integer("keepdims", 1))
    return np.prod(arrays[0], axis=None if axes is None else tuple(axes), keepdims=keep)


def _shape(call: Call, arrays: Sequence[Tensor]) -> Any:
    full = arrays[0].shape
    start, end = call.integer("start", 0), call.integer("end", len(full))
    return np.asarray(full[start:end], np.int64)


FOLDS: dict[str, Fold] = {
    "Constant": constant,
    "ConstantOfShape": _filled,
    "Identity": lambda call, arrays: arrays[0],
    "Cast": _cast,
    "Shape": _shape,
    "Size": lambda call, arrays: np.asarray(arrays[0].size, np.int64),
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _joined,
    "Squeeze": _squeeze,
    "Unsqueeze": lambda call, arrays: np.expand_dims(arrays[0], tuple(call.axes(1) or ())),
    "Reshape": _reshape,
    "Transpose": lambda call, arrays: arrays[0].transpose(call.integers("perm")),
    "Expand": _expand,
    "Range": _range,
    "Div": _divide,
    "ReduceProd": _product,
}
