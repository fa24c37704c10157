"""Operations that move values or reduce pictures, as layers: reshape, concat, mean, slices, resize.

As in `keras_op_makers`: first what is worked on, then options by Keras's names; None where no
layer does the same. Axes count the batch, which is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from tinycnn.nn import layers as nn
from tinycnn.nn.layers.base import Layer

from .keras_layers import Converted
from .keras_op_makers import Made, Operand, chain, of_layer

FLOATS = frozenset({"float16", "bfloat16", "float32", "float64", "half", "float", "double"})
GRAY = (0.2989, 0.5870, 0.1140)  # of red, green and blue, as in tf.image.rgb_to_grayscale
MAX_MATRIX = 1 << 16  # of channels by channels
MAX_REPEATS = 64


def _axes(axis: Any, rank: int) -> tuple[int, ...]:
    """Spell axes as positive numbers, in order; ``rank`` counts the batch."""
    axes = axis if isinstance(axis, Sequence) and not isinstance(axis, str) else [axis]
    if any(type(a) is not int or not -rank <= a < rank for a in axes):
        raise ValueError(f"axis {axis} does not exist")
    return tuple(sorted({a % rank for a in axes}))


def _reduce(layer: Callable[..., Layer], sums: bool = False) -> Callable[..., Made]:
    """Reduce rows and columns of a picture."""

    def make(x: Any, axis: Any = None, keepdims: bool = False, initial: None = None) -> Made:
        if not isinstance(x, Operand) or len(x.shape) != 3 or axis is None:
            return None
        if _axes(axis, 4) != (1, 2) or initial is not None:
            return None
        scale = [nn.Rescaling(float(x.shape[0] * x.shape[1]))] if sums else []
        return chain(layer(keepdims=bool(keepdims)), *scale)

    return make


def _to_shape(x: Operand, shape: Sequence[int]) -> Converted:
    return chain(nn.Reshape(tuple(shape)))


def _reshape(x: Any, shape: Any) -> Made:
    """Reshape; the first number is the batch's and must stand for it whatever it is."""
    if not isinstance(x, Operand) or not isinstance(shape, list) or len(shape) < 2:
        return None
    batch, *rest = shape
    if batch not in (-1, None) or any(type(d) is not int for d in rest):
        return None
    if prod(rest) != prod(x.shape) or min(rest) < 1:
        return None
    return _to_shape(x, rest)


def _expand_dims(x: Any, axis: Any) -> Made:
    (at,) = _axes(axis, len(x.shape) + 2)
    return _to_shape(x, (*x.shape[: at - 1], 1, *x.shape[at - 1 :])) if at else None


def _squeeze(x: Any, axis: Any = None) -> Made:
    rank = len(x.shape) + 1
    axes = _axes(axis, rank) if axis not in (None, []) else ()
    axes = axes or tuple(i for i in range(1, rank) if x.shape[i - 1] == 1)
    if any(a == 0 or x.shape[a - 1] != 1 for a in axes):
        return None
    rest = [d for i, d in enumerate(x.shape, 1) if i not in axes]
    return _to_shape(x, rest) if rest else None


def _transpose(x: Any, axes: Any, conjugate: bool = False) -> Made:
    if not isinstance(axes, list) or axes[:1] != [0] or conjugate:
        return None
    return of_layer("Permute", x, dims=axes[1:])


def _concatenate(xs: Any, axis: Any = -1) -> Made:
    if not isinstance(xs, list):
        return None
    if len(xs) == 1:
        return chain(nn.Identity())
    return chain(nn.Concatenate(*_axes(axis, len(xs[0].shape) + 1)))


def _stack(xs: Any, axis: Any = 0) -> Made:
    """One behind the other along the first axis, then a new axis for which is which."""
    if not isinstance(xs, list) or len(xs) < 2:
        return None
    shape = xs[0].shape
    (at,) = _axes(axis, len(shape) + 2)
    if not at:
        return None
    order = [i + 2 for i in range(len(shape))]
    order.insert(at - 1, 1)
    return chain(nn.Concatenate(1), nn.Reshape((len(xs), *shape)), nn.Permute(tuple(order)))


def _cast(x: Any, dtype: Any) -> Made:
    """Between floating types a cast is nothing here; to integers it would round."""
    return chain(nn.Identity()) if dtype in FLOATS else None


def _pad(x: Any, pad_width: Any, mode: Any = "constant", constant_values: Any = 0) -> Made:
    if str(mode).lower() != "constant" or constant_values != 0 or len(x.shape) != 3:
        return None
    batch, rows, columns, channels = pad_width
    if any(n != 0 for n in (*batch, *channels)):
        return None
    return of_layer("ZeroPadding2D", x, padding=[rows, columns])


def _resize(
    x: Any, size: Any, preserve_aspect_ratio: bool = False, half_pixel_centers: bool = True,
    **options: Any,
) -> Made:  # fmt: skip
    if preserve_aspect_ratio or not half_pixel_centers:
        return None
    height, width = size
    return of_layer("Resizing", x, height=height, width=width, **options)


def _pool(class_name: str) -> Callable[..., Made]:
    def make(
        x: Any, pool_size: Any, strides: Any = None, padding: Any = "valid", data_format: Any = None
    ) -> Made:
        if data_format not in (None, "NHWC", "channels_last"):
            return None
        window, steps = (_pair(v) for v in (pool_size, pool_size if strides is None else strides))
        return of_layer(
            class_name, x, pool_size=window, strides=steps, padding=str(padding).lower()
        )

    return make


def _pair(value: Any) -> Any:
    """Spell TensorFlow's [1, h, w, 1] as [h, w]."""
    if isinstance(value, list) and len(value) == 4 and value[0] == value[3] == 1:
        return value[1:3]
    return value * 2 if isinstance(value, list) and len(value) == 1 else value


def _mixed(x: Any, matrix: Any) -> Made:
    """Make each channel a weighted sum of the old ones, (C, new): a 1x1 convolution."""
    matrix = np.asarray(matrix, np.float32)
    if len(x.shape) != 3 or not 1 <= matrix.size <= MAX_MATRIX:
        return None
    conv = nn.Conv2D(matrix.shape[1], 1, use_bias=False)
    return Converted((conv,), {"kernel": matrix[None, None]})


def _picked(x: Any, channels: Any) -> Made:
    """Make a picture of channels of the old one, by number."""
    old, new = x.shape[-1], len(channels)
    if not 1 <= old * new <= MAX_MATRIX:
        return None
    matrix = np.zeros((old, new), np.float32)
    matrix[channels, np.arange(new)] = 1
    return _mixed(x, matrix)


def _get_item(x: Any, key: Any) -> Made:
    """``x[..., ::-1]``, ``x[..., 0]``, ``x[:, 1:-1, 1:]``: channels, or a part of the picture."""
    if not isinstance(x, Operand) or not isinstance(key, list) or len(x.shape) != 3:
        return None
    parts = [_part(item) for item in key]
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (5 - len(parts))
    parts += [slice(None)] * (4 - len(parts))
    if len(parts) != 4 or parts[0] != slice(None) or Ellipsis in parts:
        return None
    rows, columns, channel = parts[1:]
    if (rows, columns) == (slice(None), slice(None)):
        if isinstance(channel, slice):
            return _picked(x, np.arange(x.shape[2])[channel])
        made = _picked(x, [channel])
        return made and Converted((*made.layers, nn.Reshape(x.shape[:2])), made.constants)
    sides = [_cut(part, n) for part, n in zip((rows, columns), x.shape, strict=False)]
    if channel != slice(None) or None in sides:
        return None
    return of_layer("Cropping2D", x, cropping=sides)


def _part(item: Any) -> Any:
    """Read one part of an index in Keras's JSON."""
    if isinstance(item, Mapping):
        kind = item.get("class_name")
        if kind == "__ellipsis__":
            return Ellipsis
        item = item.get("config") if kind == "__slice__" else item
        if isinstance(item, Mapping) and {"start", "stop", "step"} <= set(item):
            numbers = [item[k] for k in ("start", "stop", "step")]
            if all(n is None or type(n) is int for n in numbers):
                return slice(*numbers)
    if type(item) is not int:
        raise ValueError(f"{str(item)[:40]} is no index")
    return item


def _cut(part: Any, size: int) -> list[int] | None:
    """Cells cut off on both sides; None if the part is no run of cells."""
    if not isinstance(part, slice) or part.step not in (None, 1):
        return None
    start, stop, _ = part.indices(size)
    return [start, size - stop] if start < stop else None


def _repeat(x: Any, repeats: Any, axis: Any = None) -> Made:
    """Every channel several times, side by side."""
    if (
        type(repeats) is not int
        or not 1 <= repeats <= MAX_REPEATS
        or axis not in (-1, len(x.shape))
    ):
        return None
    return _picked(x, np.repeat(np.arange(x.shape[-1]), repeats))


def _tile(x: Any, repeats: Any) -> Made:
    """All channels several times, one group behind the other."""
    if not isinstance(repeats, list) or repeats[:-1] != [1] * len(x.shape) or not repeats[-1:]:
        return None
    count = repeats[-1]
    if type(count) is not int or not 1 <= count <= MAX_REPEATS:
        return None
    return _picked(x, np.tile(np.arange(x.shape[-1]), count))


def _to_gray(x: Any, data_format: Any = None) -> Made:
    if data_format not in (None, "channels_last") or x.shape[-1:] != (3,):
        return None
    return _mixed(x, np.reshape(GRAY, (3, 1)))


def _to_rgb(x: Any) -> Made:
    return _mixed(x, np.ones((1, 3))) if x.shape[-1:] == (1,) else None


SHAPES: Mapping[str, Callable[..., Made]] = {
    "mean": _reduce(nn.GlobalAveragePooling2D),
    "max": _reduce(nn.GlobalMaxPooling2D),
    "sum": _reduce(nn.GlobalAveragePooling2D, sums=True),
    "reshape": _reshape,
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
    "transpose": _transpose,
    "concatenate": _concatenate,
    "stack": _stack,
    "cast": _cast,
    "identity": lambda x: chain(nn.Identity()),
    "stop_gradient": lambda x: chain(nn.Identity()),
    "pad": _pad,
    "resize": _resize,
    "average_pool": _pool("AveragePooling2D"),
    "max_pool": _pool("MaxPooling2D"),
    "get_item": _get_item,
    "repeat": _repeat,
    "tile": _tile,
    "rgb_to_grayscale": _to_gray,
    "grayscale_to_rgb": _to_rgb,
}
