"""ONNX's poolings as ours, with whatever padding our layers can express."""

from __future__ import annotations

from math import prod
from typing import Any

from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Tensor
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.layers.convolution import same_padding
from tinycnn.nn.types import Shape

from .onnx_call import Call, rule
from .onnx_values import CHANNELS_FIRST, Value
from .onnx_windows import Window, padded, pair_of, window

# Activations that give nothing below 0, and layers that keep it so.
NOT_NEGATIVE = frozenset({"relu", "relu6", "sigmoid", "hard_sigmoid", "softmax", "softplus"})
PASSING = (
    *(nn.MaxPooling2D, nn.AveragePooling2D, nn.ZeroPadding2D, nn.Concatenate, nn.Reshape),
    *(nn.Flatten, nn.Cropping2D, nn.GlobalAveragePooling2D, nn.GlobalMaxPooling2D),
)


@rule("MaxPool", "AveragePool")
def pooling(call: Call) -> Value:
    """MaxPool and AveragePool, with whatever padding our layers can express."""
    value = call.picture(CHANNELS_FIRST)
    call.ignore("storage_order")
    if len(call.node.outputs) > 1 and call.node.outputs[1]:
        call.fail("its second output, the places of the maxima, cannot be converted")
    shape, is_max = value.tensor.shape, call.node.op == "MaxPool"
    geometry = window(call, shape, pair_of(call, "kernel_shape", None))
    if geometry.dilation != (1, 1):
        call.fail(f"dilations {geometry.dilation} cannot be converted")
    counted = not is_max and bool(call.integer("count_include_pad", 0))
    counted = counted and any(map(any, geometry.pads))
    up = bool(call.integer("ceil_mode", 0))
    geometry, beyond = _reaching(geometry, shape) if up else (geometry, False)
    if counted and beyond:
        call.fail("count_include_pad with windows that ceil_mode adds cannot be converted")
    kind = nn.MaxPooling2D if is_max else nn.AveragePooling2D
    return value.on(_pooled(call, kind, value.tensor, geometry, counted))


def _reaching(geometry: Window, shape: Shape) -> tuple[Window, bool]:
    """Pads such that also the last, incomplete windows count (ceil_mode); and if they grew."""
    sides = []
    for n, (k, s, _, (before, after)) in zip(shape, geometry.sizes(), strict=False):
        count = -(-(n + before + after - k) // s) + 1
        if (count - 1) * s >= n + before:  # no window begins outside of the picture
            count -= 1
        sides.append((before, max((count - 1) * s + k - n - before, 0)))
    grown = Window(geometry.kernel, geometry.strides, geometry.dilation, (sides[0], sides[1]))
    pairs = zip(grown.pads, geometry.pads, strict=True)
    return grown, any(new[1] > old[1] for new, old in pairs)


def _pooled(call: Call, kind: Any, tensor: Tensor, geometry: Window, counted: bool) -> Tensor:
    """Pool with pads that are as if absent, or, if ``counted``, zeros."""
    shape, size, strides = tensor.shape, geometry.kernel, geometry.strides
    bare = not any(map(any, geometry.pads))
    if bare or counted or (kind is nn.MaxPooling2D and _not_negative(tensor)):
        if not bare and not counted and geometry.is_same(shape):
            return call.place(kind(size, strides, "same"), tensor, {})
        return call.place(kind(size, strides), padded(call, tensor, geometry.pads), {})
    if geometry.is_same(shape):
        return call.place(kind(size, strides, "same"), tensor, {})
    if 1 not in size:  # a maximum, or a mean, of rows and then of columns is that of both
        (kh, kw), (sh, sw), (rows, columns) = size, strides, geometry.pads
        none = (0, 0)
        tall = Window((kh, 1), (sh, 1), (1, 1), (rows, none))
        wide = Window((1, kw), (1, sw), (1, 1), (none, columns))
        for each in (tall, wide):
            tensor = _pooled(call, kind, tensor, each, counted)
        return tensor
    # Every window of stride 1, then each s-th of them: right where both begin alike.
    dense = Window(size, (1, 1), (1, 1), geometry.pads)
    begin = [same_padding(n, k, 1)[0] for n, k in zip(shape, size, strict=False)]
    counts = [-(-n // s) for n, s in zip(shape, strides, strict=False)]
    if [p[0] for p in dense.pads] != begin or geometry.lengths(shape) != counts:
        call.fail(f"pads {geometry.pads} around {shape} cannot be expressed for this pooling")
    return call.place(
        nn.MaxPooling2D(1, strides), call.place(kind(size, 1, "same"), tensor, {}), {}
    )


def _not_negative(tensor: Tensor) -> bool:
    """Whether zeros around it cannot win a maximum: what it holds is 0 or more."""
    todo, seen = [tensor], set[int]()
    while todo:
        each = todo.pop()
        layer = each.layer
        if isinstance(layer, PASSING):
            todo += [t for t in each.inputs if id(t) not in seen]
            seen.update(map(id, each.inputs))
        elif isinstance(layer, nn.ReLU):
            if layer.negative_slope != 0 or layer.threshold < 0:
                return False
        elif not isinstance(layer, nn.Activation) or layer.activation not in NOT_NEGATIVE:
            return False
    return True


@rule("GlobalAveragePool", "GlobalMaxPool")
def global_pooling(call: Call) -> Value:
    """Mean or maximum of a picture; its rows and columns remain, as dimensions of 1."""
    value = call.picture(CHANNELS_FIRST)
    return value.on(call.place(_whole(call), value.tensor, {}))


def _whole(call: Call, keepdims: bool = True) -> Layer:
    is_max = call.node.op in ("GlobalMaxPool", "ReduceMax")
    return (nn.GlobalMaxPooling2D if is_max else nn.GlobalAveragePooling2D)(keepdims=keepdims)


@rule("ReduceMean", "ReduceMax")
def reduction(call: Call) -> Value:
    """ReduceMean and ReduceMax over rows, columns or both."""
    value, axes = call.value(), call.axes(1)
    keep, nothing = call.integer("keepdims", 1), call.integer("noop_with_empty_axes", 0)
    if not axes:
        if nothing:
            return value
        call.fail("reduces the batch too")
    dims = {value.dimension(a) for a in axes}
    rank = len(value.axes)
    if rank not in (2, 3) or rank - 1 in dims:
        call.fail(f"axes {axes} of {('N', *value.shape)}: only rows and columns can be reduced")
    if rank == 3 and len(dims) == 2 and not keep:
        return Value(call.place(_whole(call, keepdims=False), value.tensor, {}), (0,), value.order)
    reduced = tuple(1 if d in dims else n for d, n in enumerate(value.tensor.shape))
    tensor = _reduced(call, value.tensor, dims)
    if keep:
        return value.on(reshaped_to(call, tensor, reduced))
    left = [d for d in range(rank) if d not in dims]
    axes_left = tuple(left.index(a) for a in value.axes if a not in dims)
    shape = tuple(reduced[d] for d in left)
    return Value(reshaped_to(call, tensor, shape), axes_left, value.order)


def _reduced(call: Call, tensor: Tensor, dims: set[int]) -> Tensor:
    is_max, shape = call.node.op == "ReduceMax", tensor.shape
    if len(shape) == 2:
        tensor = reshaped_to(call, tensor, (shape[0], 1, shape[1]))
    if len(dims) == len(tensor.shape) - 1 or prod(tensor.shape[:2]) == tensor.shape[min(dims)]:
        return call.place(_whole(call), tensor, {})
    size = tuple(n if d in dims else 1 for d, n in enumerate(tensor.shape[:2]))
    kind = nn.MaxPooling2D if is_max else nn.AveragePooling2D
    return call.place(kind((size[0], size[1])), tensor, {})


def reshaped_to(call: Call, tensor: Tensor, shape: Shape) -> Tensor:
    """View a tensor in another shape of ours; behind a global pooling, that is its option."""
    if tensor.shape == shape:
        return tensor
    if isinstance(tensor.layer, nn.Reshape):
        tensor = tensor.inputs[0]
    return tensor if tensor.shape == shape else call.place(nn.Reshape(shape), tensor, {})
