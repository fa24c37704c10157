"""ONNX's changes of shape: most of them are notes on a value, few become a layer."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tinycnn.nn import layers as nn
from tinycnn.nn.layers.pooling import GlobalPooling2D
from tinycnn.nn.limits import MAX_ELEMENTS
from tinycnn.nn.types import Shape

from .onnx_call import Call, Result, rule
from .onnx_file import FLOATS
from .onnx_values import CHANNELS_FIRST, Value, reshaped


@rule("Identity", "Dropout")
def nothing(call: Call) -> Value:
    """What does nothing at inference."""
    call.ignore("ratio", "seed", "is_test")
    training = call.argument(2)
    if isinstance(training, Value) or (training is not None and np.any(training)):
        call.fail("drops values at inference too")
    if len(call.node.outputs) > 1 and call.node.outputs[1] in call.readers:
        call.fail("its mask is read by others")
    return call.value()


@rule("Cast", "CastLike")
def cast(call: Call) -> Value:
    """To a floating type; all are float32 here."""
    call.ignore("saturate", "round_mode")
    if call.node.op == "Cast" and call.integer("to", 1) not in FLOATS:
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


@rule("Resize", "Upsample")
def resize(call: Call) -> Value:
    """Nearest neighbours at whole factors, and half-pixel bilinear: what Keras does as well."""
    value = call.picture(CHANNELS_FIRST)
    old = call.node.op == "Upsample" or call.opset < 11
    rows, columns = _target(call, value, old)
    mode = call.text("mode", "nearest")
    where = call.text("coordinate_transformation_mode", "half_pixel")
    rounding = call.text("nearest_mode", "round_prefer_floor")
    call.ignore("cubic_coeff_a", "exclude_outside", "extrapolation_value")
    call.ignore("keep_aspect_ratio_policy")
    height, width, _ = value.tensor.shape
    if min(rows, columns) < 1 or rows * columns > MAX_ELEMENTS:
        call.fail(f"{rows} x {columns} is not a size")
    if call.integer("antialias", 0) or call.axes(9):
        call.fail("antialias or axes cannot be converted")
    whole = rows % height == 0 and columns % width == 0
    if (
        mode == "nearest"
        and whole
        and (old or where == "half_pixel" or (where, rounding) == ("asymmetric", "floor"))
    ):
        up = nn.UpSampling2D((rows // height, columns // width))
        return value.on(call.place(up, value.tensor, {}))
    if mode == "linear" and not old and where in ("half_pixel", "pytorch_half_pixel"):
        return value.on(call.place(nn.Resizing(rows, columns), value.tensor, {}))
    return call.fail(
        f"{mode}, {where}, {rounding}: {height}x{width} cannot become {rows}x{columns}"
    )


def _target(call: Call, value: Value, old: bool) -> tuple[int, int]:
    """Rows and columns that sizes or scales (of N, C, H, W) ask for."""
    height, width, _ = value.tensor.shape
    sizes = call.argument(3)
    if isinstance(sizes, np.ndarray) and sizes.size == 4:
        return int(sizes.ravel()[2]), int(sizes.ravel()[3])
    found: Any = call.option("scales", None, list)
    if found is None:
        found = call.constant(1 if old else 2, "scales")
    scales = np.asarray(found, np.float64).ravel()
    if (
        scales.size != 4
        or not np.all((scales > 0) & (scales < 1024))
        or tuple(scales[:2]) != (1, 1)
    ):
        call.fail(f"scales {scales.tolist()[:8]} are not (1, 1, rows, columns)")
    return int(height * scales[2]), int(width * scales[3])
