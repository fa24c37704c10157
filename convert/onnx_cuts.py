"""ONNX's Pad, Split and Slice: zeros around pictures, and parts of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.nn import layers as nn

from .onnx_call import Call, rule
from .onnx_values import MAX_KERNEL, Value, selected
from .onnx_windows import padded


@rule("Pad")
def padding(call: Call) -> Value:
    """Pad with zeros, rows and columns only; negative numbers cut off."""
    value = call.value()
    pads, rank = call.axes(1, "pads") or [], len(value.axes) + 1
    fill = call.argument(2)
    zero = fill is None or (isinstance(fill, np.ndarray) and not np.any(fill))
    if call.text("mode", "constant") != "constant" or call.number("value", 0.0) or not zero:
        call.fail("only zeros can be put around a picture")
    chosen = call.axes(3)
    axes = list(range(rank)) if chosen is None else chosen
    if len(pads) != 2 * len(axes) or len(set(axes)) != len(axes):
        call.fail(f"pads {pads} do not fit {('N', *value.shape)}")
    sides = {value.dimension(a): (pads[i], pads[i + len(axes)]) for i, a in enumerate(axes)
             if pads[i] or pads[i + len(axes)]}  # fmt: skip
    if not sides:
        return value
    if rank != 4 or 2 in sides:
        call.fail(f"pads {pads}: only rows and columns of pictures can be padded")
    rows, columns = sides.get(0, (0, 0)), sides.get(1, (0, 0))
    more = tuple((max(a, 0), max(b, 0)) for a, b in (rows, columns))
    less = tuple((max(-a, 0), max(-b, 0)) for a, b in (rows, columns))
    tensor = padded(call, value.tensor, (more[0], more[1]))
    if any(map(any, less)):
        tensor = call.place(nn.Cropping2D((less[0], less[1])), tensor, {})
    return value.on(tensor)


@rule("Split", "Slice")
def parts(call: Call) -> Value | list[Any]:
    """Split and Slice: of channels by a kernel of 0 and 1, of rows and columns by cropping."""
    return _split(call) if call.node.op == "Split" else _slice(call)


def _split(call: Call) -> list[Any]:
    value, axis = call.value(), call.integer("axis", 0)
    dimension, count = value.dimension(axis), len(call.node.outputs)
    length = value.tensor.shape[dimension] if value.order is None else len(value.order)
    if (number := call.integer("num_outputs", count)) != count:
        call.fail(f"num_outputs {number}, but it has {count} outputs")
    even = -(-length // count)
    sizes = call.axes(1, "split") or [min(even, length - even * i) for i in range(count)]
    if sum(sizes) != length or min(sizes) < 1 or len(sizes) != count:
        call.fail(f"{length} entries do not fall into parts of {sizes}")
    if dimension == len(value.axes) - 1 and value.channels * length > MAX_KERNEL:
        call.fail(
            f"picking {length} channels in {count} parts is too large"
        )  # all kernels together
    ends = np.cumsum(sizes)
    return [
        cut(call, value, dimension, int(e - s), int(e), 1) for s, e in zip(sizes, ends, strict=True)
    ]


def _slice(call: Call) -> Value:
    value = call.value()
    begin, end = call.axes(1, "starts"), call.axes(2, "ends")
    axes, steps = call.axes(3), call.axes(4, "steps")
    if begin is None or end is None:
        call.fail("has no starts or ends")
    axes = list(range(len(begin))) if axes is None else axes
    steps = [1] * len(begin) if steps is None else steps
    if not len(begin) == len(end) == len(axes) == len(steps):
        call.fail("its starts, ends, axes and steps differ in number")
    for axis, a, b, step in zip(axes, begin, end, steps, strict=True):
        rank = len(value.axes) + 1
        if axis % rank == 0 and a == 0 and b >= 1 and step >= 1:
            continue  # the whole batch of one
        dimension = value.dimension(axis)
        start, stop, _ = slice(a, b, step or 1).indices(value.tensor.shape[dimension])
        if step < 1 or stop <= start:
            call.fail(f"cannot cut [{a}:{b}:{step}] out of axis {axis} of {value.shape}")
        value = cut(call, value, dimension, start, stop, step)
    return value


def cut(call: Call, value: Value, dimension: int, start: int, stop: int, step: int) -> Value:
    """Keep the entries [start:stop:step] of one of our dimensions."""
    shape = value.tensor.shape
    if dimension == len(shape) - 1:
        return selected(value, np.arange(start, stop, step), call.place)
    if len(shape) != 3:
        call.fail(f"cannot cut {shape} along dimension {dimension}")
    tensor = value.tensor
    if (start, stop) != (0, shape[dimension]):
        sides = [(0, 0), (0, 0)]
        sides[dimension] = (start, shape[dimension] - stop)
        tensor = call.place(nn.Cropping2D((sides[0], sides[1])), tensor, {})
    if step > 1:
        strides = (step, 1) if dimension == 0 else (1, step)
        tensor = call.place(nn.MaxPooling2D(1, strides), tensor, {})
    return value.on(tensor)
