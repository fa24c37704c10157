"""What TensorFlow's and Keras's arithmetic is in layers: one function for each operation.

A maker's first argument is what the operation works on, its others are called as in Keras. Tensors
are `Operand`s. It returns None where no layer does the same; an argument that it does not know is
a TypeError. Axes count the batch, which is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinycnn.errors import ConversionError
from tinycnn.nn import layers as nn
from tinycnn.nn.activations import ACTIVATIONS
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.types import Shape

from .keras_config import LayerConfig
from .keras_layers import Converted, convert_layer

Made = Converted | None


@dataclass(frozen=True)
class Operand:
    """A tensor of this shape, without the batch."""

    shape: Shape


def chain(*layers: Layer) -> Converted:
    """Layers one behind the other."""
    return Converted(layers)


def of_layer(class_name: str, x: Any, **options: Any) -> Made:
    """Convert as the layer of Keras 3 that does the same would be."""
    if not isinstance(x, Operand):
        return None
    given = {k: v for k, v in options.items() if v is not None}
    config = LayerConfig("", class_name, "", given, ())
    return convert_layer(config, "", x.shape, keras2=False)


def _floats(value: Any, shape: Shape) -> float | tuple[float, ...] | None:
    """Read a constant that is one number, or one for each channel; None if it is neither."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or array.size not in (1, shape[-1] if shape else 1):
        return None
    if array.size > 1 and array.shape[-1] != array.size:  # along another axis
        return None
    numbers = tuple(float(v) for v in array.ravel())
    return numbers[0] if len(numbers) == 1 else numbers


def _merge(layer: type[Layer], of_constant: Callable[..., Made]) -> Callable[..., Made]:
    """Of two tensors, a layer that merges; of a tensor and constants, ``of_constant``."""

    def make(x: Any, y: Any) -> Made:
        if isinstance(x, Operand) and isinstance(y, Operand):
            return chain(layer())
        tensor, constant = (x, y) if isinstance(x, Operand) else (y, x)
        if not isinstance(tensor, Operand):
            return None
        number = _floats(constant, tensor.shape)
        return None if number is None else of_constant(number, isinstance(x, Operand))

    return make


def _scaled(number: Any, scale: Callable[[Any], Any], offset: Callable[[Any], Any]) -> Converted:
    """Make a Rescaling by functions of a number, or of one for each channel."""
    if isinstance(number, tuple):
        return chain(nn.Rescaling(tuple(map(scale, number)), tuple(map(offset, number))))
    return chain(nn.Rescaling(scale(number), offset(number)))


def _plus(number: Any, _: bool) -> Made:
    return _scaled(number, lambda n: 1.0, lambda n: n)


def _minus(number: Any, tensor_first: bool) -> Made:
    sign = 1.0 if tensor_first else -1.0
    return _scaled(number, lambda n: sign, lambda n: -sign * n)


def _times(number: Any, _: bool) -> Made:
    return _scaled(number, lambda n: n, lambda n: 0.0)


def _divided(number: Any, tensor_first: bool) -> Made:
    if not tensor_first:
        return None
    if not np.all(number):
        raise ConversionError("divides by zero")
    return _scaled(number, lambda n: 1.0 / n, lambda n: 0.0)


def _at_least(number: Any, _: bool) -> Made:
    if number == 0:
        return chain(nn.ReLU())
    (down,), (up,) = _minus(number, True).layers, _plus(number, True).layers  # type: ignore[union-attr]
    return chain(down, nn.ReLU(), up)


def _at_most(number: Any, _: bool) -> Made:
    (turned,) = _minus(number, False).layers  # type: ignore[union-attr]
    return chain(turned, nn.ReLU(), turned)


def _divide(x: Any, y: Any) -> Made:
    """Quotient by a constant; there is no layer for that of two tensors."""
    both = isinstance(x, Operand) and isinstance(y, Operand)
    return None if both else _merge(nn.Multiply, _divided)(x, y)


def _clip(x: Any, x_min: Any, x_max: Any) -> Made:
    low, high = (_floats(v, ()) for v in (x_min, x_max))
    if not isinstance(low, float) or not isinstance(high, float) or not low < high:
        return None
    if low == 0:
        return chain(nn.ReLU(high))
    if (low, high) == (-1, 1):
        return chain(nn.Activation("hard_tanh"))
    return chain(nn.Rescaling(1.0, -low), nn.ReLU(high - low), nn.Rescaling(1.0, low))


def _activation(name: str) -> Callable[..., Made]:
    return lambda x: chain(nn.Activation(name))


def _bias_add(x: Any, bias: Any, data_format: str | None = None) -> Made:
    if data_format not in (None, "NHWC", "N...C", "channels_last"):
        return None
    return _merge(nn.Add, _plus)(x, bias)


def _gelu(x: Any, approximate: bool = True) -> Made:
    return chain(nn.Activation("gelu_tanh" if approximate else "gelu"))


def _softmax(x: Any, axis: Any = -1) -> Made:
    return of_layer("Softmax", x, axis=axis)


def _elu(x: Any, negative_slope: Any = 1.0) -> Made:
    return of_layer("ELU", x, alpha=negative_slope)


def _add_n(xs: Any) -> Made:
    return chain(nn.Add()) if isinstance(xs, list) and len(xs) > 1 else None


SIMPLE = frozenset(
    {
        *("relu", "relu6", "selu", "exponential", "sigmoid", "hard_sigmoid", "silu", "hard_silu"),
        *("tanh", "hard_tanh", "tanh_shrink", "softplus", "softsign", "log_sigmoid", "mish"),
        *("sparse_plus", "sparse_sigmoid"),
    }
)
assert set(ACTIVATIONS) >= SIMPLE
ARITHMETIC: Mapping[str, Callable[..., Made]] = {
    **{name: _activation(name) for name in SIMPLE},
    "add": _merge(nn.Add, _plus),
    "subtract": _merge(nn.Subtract, _minus),
    "multiply": _merge(nn.Multiply, _times),
    "maximum": _merge(nn.Maximum, _at_least),
    "minimum": _merge(nn.Minimum, _at_most),
    "true_divide": _divide,
    "negative": lambda x: chain(nn.Rescaling(-1.0)),
    "add_n": _add_n,
    "bias_add": _bias_add,
    "clip": _clip,
    "gelu": _gelu,
    "gelu_of_tensorflow": lambda x, approximate=False: _gelu(x, approximate),
    "softmax": _softmax,
    "leaky_relu": lambda x, negative_slope=0.2: of_layer(
        "LeakyReLU", x, negative_slope=negative_slope
    ),
    "elu": _elu,
}
