"""Where ONNX's axes lie in our arrays: transposes become bookkeeping instead of layers.

ONNX puts channels first, (N, C, H, W); our pictures are (N, H, W, C). A value of the file is
therefore kept as one of our tensors and a note of which of its dimensions each of ONNX's axes is.
A Transpose changes the note, a Reshape that only adds or drops ones is a view, and what a
channels-first Flatten scrambles is noted as an order of channels, which the weights behind it take
over. Only where none of this will do is anything really moved (`arranged`, `sorted_channels`).

The file's network is read for a batch of one image, whose axis stays the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

from tinycnn.errors import ConversionError
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Tensor
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.types import Array, Shape

Order = npt.NDArray[np.int64]
MAX_ORDER = 1 << 22  # channels whose order is noted
MAX_KERNEL = 1 << 24  # values of a kernel that picks channels
Place = Callable[[Layer, Tensor, dict[str, Array]], Tensor]  # puts a layer, with its weights

CHANNELS_FIRST = (2, 0, 1)  # of a picture: ONNX's C, H, W are our dimensions 2, 0, 1
CHANNELS_LAST = (0, 1, 2)


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of ONNX's: ``tensor`` (ours, without the batch) and how it is to be read.

    ``axes[i]``: our dimension that is ONNX's axis i + 1.
    ``order[i]``: which of our channels (last dimension) is ONNX's i-th; None: all in place.
    """

    tensor: Tensor
    axes: tuple[int, ...]
    order: Order | None = None

    @property
    def shape(self) -> Shape:
        """Shape by ONNX's axes, without the batch."""
        return tuple(self.tensor.shape[a] for a in self.axes)

    @property
    def channels(self) -> int:
        """Length of our last dimension."""
        return self.tensor.shape[-1]

    def on(self, tensor: Tensor) -> Value:
        """Return another tensor that is to be read in the same way."""
        return replace(self, tensor=tensor)

    def dimension(self, axis: int) -> int:
        """Our dimension for ONNX's ``axis``, which counts the batch and may be negative."""
        rank = len(self.axes) + 1
        if not -rank <= axis < rank or axis % rank == 0:
            raise ConversionError(f"axis {axis} is not one of {self.shape} beside the batch's")
        return self.axes[axis % rank - 1]

    def transposed(self, permutation: Sequence[int]) -> Value:
        """Return what a Transpose makes of this; the batch stays in front."""
        if sorted(permutation) != list(range(len(self.axes) + 1)) or permutation[0] != 0:
            raise ConversionError(f"perm {list(permutation)} moves the batch or does not fit")
        return replace(self, axes=tuple(self.axes[p - 1] for p in permutation[1:]))


def in_place(tensor: Tensor, order: Order | None = None) -> Value:
    """Return a value whose axes are in our order."""
    return Value(tensor, tuple(range(len(tensor.shape))), order)


def compose(order: Order | None) -> Order | None:
    """Drop an order that changes nothing."""
    return None if order is None or (order == np.arange(len(order))).all() else order


def scattered(values: Array, value: Value, axis: int = 0) -> Array:
    """Put constants, one for each of ONNX's channels along ``axis``, into our channels' order."""
    if value.order is None:
        return values
    back = np.argsort(value.order)  # taking is faster than putting, and leaves it contiguous
    return np.take(values, back, axis)


def sorted_channels(value: Value, place: Place) -> Value:
    """Really bring the channels into ONNX's order, by a product with a matrix of 0 and 1."""
    return value if value.order is None else selected(value, np.arange(len(value.order)), place)


def selected(value: Value, wanted: Order, place: Place) -> Value:
    """Pick channels by ONNX's numbers: a layer whose kernel holds 0 and 1, and nothing if all."""
    order = wanted if value.order is None else value.order[wanted]
    if len(order) == value.channels and compose(order) is None:
        return replace(value, order=None)
    if value.channels * len(order) > MAX_KERNEL:
        raise ConversionError(f"picking {len(order)} of {value.channels} channels is too large")
    kernel = np.zeros((value.channels, len(order)), np.float32)
    kernel[order, np.arange(len(order))] = 1
    layer: Layer = nn.Dense(len(order), use_bias=False)
    if len(value.tensor.shape) == 3:
        layer, kernel = nn.Conv2D(len(order), 1, use_bias=False), kernel[None, None]
    return Value(place(layer, value.tensor, {"kernel": kernel}), value.axes)


def arranged(value: Value, axes: tuple[int, ...], place: Place) -> Value:
    """Lay a value out so that ``axes`` are its axes: a view where dimensions of 1 allow it."""
    if value.axes == axes:
        return value
    if len(axes) != len(value.axes):
        raise ConversionError(f"{value.shape} has not {len(axes)} dimensions beside the batch")
    shape = [0] * len(axes)
    for axis, size in zip(axes, value.shape, strict=True):
        shape[axis] = size
    nothing_moves = _solid(value.axes, value.shape) == _solid(axes, value.shape)
    if nothing_moves and (value.order is None or shape[-1] == value.channels):
        return Value(_viewed(value.tensor, tuple(shape), place), axes, value.order)
    value = sorted_channels(value, place)
    places = {axis: i for i, axis in enumerate(axes)}
    dims = tuple(value.axes[places[d]] + 1 for d in range(len(axes)))
    return Value(place(nn.Permute(dims), value.tensor, {}), axes)


def reshaped(value: Value, target: Shape, place: Place) -> Value:
    """Return what a Reshape to ``target`` (without the batch) makes of this."""
    if prod(target) != prod(value.shape):
        raise ConversionError(f"{value.shape} cannot become {target}")
    if value.shape == target:
        return value
    solid = [d for d in target if d > 1]
    if [d for d in value.shape if d > 1] == solid:
        return _ones(value, target, place)
    if len(solid) == 1:
        return _ones(_flat(value, place), target, place)
    return (
        _merged(value, target, place)
        or _split(value, target, place)
        or _as_stored(value, target, place)
    )


def _solid(axes: Sequence[int], shape: Shape) -> list[int]:
    """ONNX's axes longer than 1, in the order in which they lie in memory."""
    return [i for _, i in sorted((a, i) for i, a in enumerate(axes)) if shape[i] > 1]


def _viewed(tensor: Tensor, shape: Shape, place: Place) -> Tensor:
    """Reshape; back to what it was before a reshape is nothing at all."""
    while isinstance(tensor.layer, nn.Reshape | nn.Flatten):
        tensor = tensor.inputs[0]
    if tensor.shape == shape:
        return tensor
    layer = nn.Flatten() if len(shape) == 1 else nn.Reshape(shape)
    return place(layer, tensor, {})


def _ones(value: Value, target: Shape, place: Place) -> Value:
    """Only dimensions of 1 come or go: of the usual layouts, one in which nothing moves."""
    rank = len(target)
    names = [i for i, d in enumerate(value.shape) if d > 1]  # of the long axes, by ONNX's order
    wanted = [names.index(i) for i in _solid(value.axes, value.shape)]
    long = [i for i, d in enumerate(target) if d > 1]
    best: tuple[bool, tuple[int, ...]] | None = None
    for axes in ((rank - 1, *range(rank - 1)), tuple(range(rank))):
        if [long.index(i) for i in _solid(axes, target)] != wanted:
            continue
        last = target[axes.index(rank - 1)] == value.channels
        if best is None or (last and not best[0]):
            best = last, axes
    if best is None or (value.order is not None and not best[0]):
        return _as_stored(value, target, place)
    shape = tuple(target[best[1].index(d)] for d in range(rank))
    return Value(_viewed(value.tensor, shape, place), best[1], value.order)


def _flat(value: Value, place: Place) -> Value:
    """All values in one row; their order is what ONNX's axes make of it."""
    if prod(value.tensor.shape) > MAX_ORDER:
        raise ConversionError(f"{value.shape} is too large to be flattened")
    places = np.arange(prod(value.tensor.shape)).reshape(value.tensor.shape)
    if value.order is not None:
        places = places[..., value.order]
    order = compose(places.transpose(value.axes).ravel())
    return in_place(_viewed(value.tensor, (places.size,), place), order)


def _merged(value: Value, target: Shape, place: Place) -> Value | None:
    """Leading axes that lie in our last dimensions become one: the end of a channel shuffle."""
    count = len(value.axes) - len(target) + 1
    trailing = set(range(len(target) - 1, len(value.axes)))
    if count < 2 or value.order is not None or set(value.axes[:count]) != trailing:
        return None
    if value.axes[count:] != tuple(range(len(target) - 1)) or target[1:] != value.shape[count:]:
        return None
    sizes = value.tensor.shape[len(target) - 1 :]
    places = np.arange(prod(sizes)).reshape(sizes)
    order = places.transpose([a - len(target) + 1 for a in value.axes[:count]]).ravel()
    shape = (*value.tensor.shape[: len(target) - 1], target[0])
    axes = (len(target) - 1, *range(len(target) - 1))
    return Value(_viewed(value.tensor, shape, place), axes, compose(order))


def _split(value: Value, target: Shape, place: Place) -> Value | None:
    """Channels (first for ONNX, last for us) in groups: the beginning of a channel shuffle."""
    rest = value.shape[1:]
    more = len(target) - len(rest)
    if value.axes != (len(rest), *range(len(rest))) or more < 2 or target[more:] != rest:
        return None
    value = sorted_channels(value, place)
    tensor = _viewed(value.tensor, (*rest, *target[:more]), place)
    return Value(tensor, (*range(len(rest), len(target)), *range(len(rest))))


def _as_stored(value: Value, target: Shape, place: Place) -> Value:
    """Bring everything into ONNX's order, then read it as ``target``."""
    first = sorted_channels(arranged(value, tuple(range(len(value.axes))), place), place)
    return in_place(_viewed(first.tensor, target, place))
