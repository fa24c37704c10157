"""ONNX's changes of shape: most of them are notes on a value, few become a layer."""

from __future__ import annotations

from math import prod

import numpy as np

from tinycnn.nn.layers.pooling import GlobalPooling2D
from tinycnn.nn.types import Shape

from .onnx_call import Call, Result, rule
from .onnx_file import FLOATS
from .onnx_values import Value, reshaped


@rule("Identity", "Dropout")
def nothing(call: Call) -> Value:
    """What does nothing at inference."""
    if call.node.op == "Identity":
        return call.value()
    call.ignore("ratio", "seed")
    _, training = call.argument(1), call.argument(2)  # how many are dropped, and whether
    if isinstance(training, Value) or (training is not None and np.any(training)):
        call.fail("drops values at inference too")
    if len(call.node.outputs) > 1 and call.node.outputs[1] in call.readers:
        call.fail("its mask is read by others")
    return call.value()


@rule("Cast", "CastLike")
def cast(call: Call) -> Value:
    """To a floating type; all are float32 here."""
    call.ignore("saturate", "round_mode")  # of types with 8 bits, which are refused
    if call.node.op == "Cast":
        floating = call.integer("to", 1) in FLOATS
    else:
        like = call.argument(1)
        floating = isinstance(like, Value) or (like is not None and like.dtype.kind == "f")
    if not floating:
        call.fail("makes whole numbers of what depends on the image")
    return call.value()


@rule("Transpose")
def transpose(call: Call) -> Value:
    """A note, no layer."""
    value = call.value()
    return value.transposed(call.integers("perm", list(range(len(value.axes), -1, -1))) or [])


@rule("Shape")
def shape(call: Call) -> Result:
    """(1, ...): known from the file, since the network is read for one image."""
    full = (1, *call.value().shape)
    start, end = call.integer("start", 0), call.integer("end", len(full))
    return np.asarray(full[start:end], np.int64)


@rule("Size")
def size(call: Call) -> Result:
    """Number of values of one image."""
    return np.asarray(prod(call.value().shape), np.int64)


@rule("Flatten")
def flatten(call: Call) -> Value:
    """All axes of an image in one."""
    value, axis = call.value(), call.integer("axis", 1)
    rank = len(value.axes) + 1
    if not -rank <= axis <= rank:
        call.fail(f"axis {axis} does not exist in {('N', *value.shape)}")
    before = value.shape[: max((axis % rank if axis != rank else rank) - 1, 0)]
    if prod(before) != 1:
        call.fail(f"axis {axis} mixes {('N', *value.shape)} with the batch")
    return _reshaped(call, value, (prod(value.shape),))


@rule("Reshape")
def reshape(call: Call) -> Value:
    """To a shape that is known from the file; 0 keeps a dimension, -1 is what remains."""
    value, target = call.value(), call.axes(1, "shape") or []
    full = (1, *value.shape)
    if not call.integer("allowzero", 0):
        if any(d == 0 and i >= len(full) for i, d in enumerate(target)):
            call.fail(f"{target}: keeps a dimension that {full} does not have")
        target = [full[i] if d == 0 else d for i, d in enumerate(target)]
    known = prod(d for d in target if d != -1)
    if target.count(-1) > 1 or known < 1 or any(d < -1 for d in target):
        call.fail(f"{target} is not a shape")
    result = [prod(full) // known if d == -1 else d for d in target]
    if prod(result) != prod(full) or result[0] != 1:
        call.fail(f"{full} cannot become {target}: the batch, of one image, must stay in front")
    return _reshaped(call, value, tuple(result[1:]))


@rule("Squeeze", "Unsqueeze")
def ones(call: Call) -> Value:
    """Dimensions of 1 come or go."""
    value, axes = call.value(), call.axes(1)
    full = [1, *value.shape]
    if call.node.op == "Unsqueeze":
        rank = len(full) + len(axes or [])
        new = {a % rank for a in axes or [] if -rank <= a < rank}
        if not axes or len(new) != len(axes) or 0 in new:
            call.fail(f"axes {axes} do not fit {full}")
        left = iter(full)
        return _reshaped(call, value, tuple(1 if i in new else next(left) for i in range(rank))[1:])
    drop = {i for i in range(1, len(full)) if full[i] == 1} if axes is None else {
        a % len(full) for a in axes
    }  # fmt: skip
    if 0 in drop or any(full[i] != 1 for i in drop):
        call.fail(f"axes {axes} of {full} are not 1, or are the batch")
    return _reshaped(call, value, tuple(d for i, d in enumerate(full) if i and i not in drop))


def _reshaped(call: Call, value: Value, target: Shape) -> Value:
    if not target:
        call.fail("nothing but the batch would be left; a classifier keeps a row of scores")
    result = reshaped(value, target, call.place)
    layer = value.tensor.layer
    if len(target) != 1 or not isinstance(layer, GlobalPooling2D) or not call.only_reader():
        return result
    if result.tensor.inputs[:1] == (value.tensor,):  # its option, instead of a layer behind it
        pooled = type(layer)(name=layer.name)(value.tensor.inputs[0])
        return result.on(pooled)
    return result
