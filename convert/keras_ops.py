"""Arithmetic between tensors, as functional models write it: ``x + y``, ``x / 127.5 - 1``.

tf.keras 2 stores these as `TFOpLambda` with a TensorFlow name; Keras 3 stores its own operations.
"""

from __future__ import annotations

from typing import Any

from tinycnn.errors import ConversionError
from tinycnn.nn import layers as nn
from tinycnn.nn.layers.base import Layer

from .keras_config import Call, LayerConfig, Ref

TENSORFLOW = frozenset({"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod"})

MERGES: dict[str, type[Layer]] = {
    "add": nn.Add,
    "subtract": nn.Subtract,
    "multiply": nn.Multiply,
    "maximum": nn.Maximum,
    "minimum": nn.Minimum,
}
# TensorFlow's function, or Keras 3's class, without its module -> what it does
OPERATIONS = {
    **{"add": "add", "__operators__.add": "add", "Add": "add"},
    **{"subtract": "subtract", "__operators__.sub": "subtract", "Subtract": "subtract"},
    **{"multiply": "multiply", "__operators__.mul": "multiply", "Multiply": "multiply"},
    **{"divide": "divide", "truediv": "divide", "__operators__.truediv": "divide"},
    **{"Divide": "divide", "TrueDivide": "divide"},
    **{"maximum": "maximum", "Maximum": "maximum", "minimum": "minimum", "Minimum": "minimum"},
    **{"nn.relu": "relu", "Relu": "relu", "nn.relu6": "relu6", "Relu6": "relu6"},
    **{"nn.sigmoid": "sigmoid", "sigmoid": "sigmoid", "Sigmoid": "sigmoid"},
    **{"nn.silu": "silu", "nn.swish": "silu", "Silu": "silu", "tanh": "tanh", "Tanh": "tanh"},
}
ACTIVATIONS = frozenset({"relu", "relu6", "sigmoid", "silu", "tanh"})


def is_operation(layer: LayerConfig) -> bool:
    """Whether this entry is a bare operation and not a layer."""
    return layer.class_name in TENSORFLOW or layer.module.startswith(("keras.src.ops", "keras.ops"))


def convert_operation(layer: LayerConfig, call: Call, name: str) -> Layer | None:
    """Make a layer that does what this call of an operation does; None if none does."""
    function = layer.config.get("function", "") if layer.class_name in TENSORFLOW else ""
    what = OPERATIONS.get(str(function).removeprefix("math.") or layer.class_name)
    if what is None or any(v is not None for k, v in call.keywords.items() if k not in ("x", "y")):
        return None
    arguments = [*call.arguments, *(v for v in call.keywords.values() if v is not None)]
    tensors = [isinstance(a, Ref) for a in arguments]
    if what in ACTIVATIONS and tensors == [True]:
        return nn.Activation(what, name=name)
    if tensors == [True, True] and what in MERGES:
        return MERGES[what](name=name)
    if sorted(tensors) == [False, True]:
        return _with_number(what, arguments[tensors.index(False)], tensors[0], name, layer)
    return None


def _with_number(
    what: str, number: Any, tensor_first: bool, name: str, layer: LayerConfig
) -> Layer | None:
    """Arithmetic of a tensor and one number is a rescaling."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    if what == "divide" and number == 0:
        raise ConversionError(f"layer {layer.name!r}: divides by zero")
    scale, offset = {
        ("add", True): (1.0, number),
        ("add", False): (1.0, number),
        ("subtract", True): (1.0, -number),
        ("subtract", False): (-1.0, number),
        ("multiply", True): (number, 0.0),
        ("multiply", False): (number, 0.0),
        ("divide", True): (1.0 / number if number else 1.0, 0.0),
    }.get((what, tensor_first), (None, None))
    return None if scale is None else nn.Rescaling(float(scale), float(offset or 0.0), name=name)
