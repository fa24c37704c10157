"""Activations as Keras writes them: names, functions and layers, to ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinycnn.errors import ConversionError
from tinycnn.nn import layers as nn
from tinycnn.nn.activations import ACTIVATIONS
from tinycnn.nn.layers.base import Layer

ALIASES = {
    "swish": "silu",
    "hard_swish": "hard_silu",
    "softmax_v2": "softmax",  # TensorFlow's own name for tf.nn.softmax
    "relu_v2": "relu",
}
# A function that a user registered may do anything; under these names it always did the same.
UNAMBIGUOUS = frozenset({"relu", "relu6", "swish", "silu", "mish"})
# Of activations that are layers: what they may say, and what changes nothing.
OPTIONS = {
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "LeakyReLU": ("negative_slope", "alpha"),
    "ELU": ("alpha",),
    "Softmax": ("axis",),
}
PASSED_OVER = frozenset({"name", "trainable", "dtype", "batch_input_shape"})
# Ours alone: these names never mean a function of Keras's.
PRIVATE = frozenset({"hard_sigmoid_keras2", "gelu_tanh"})


def parse_activation(value: Any, keras2: bool) -> str | Layer:
    """Return our name for an activation, or the layer that does the same."""
    if value is None:
        return "linear"
    if isinstance(value, str):
        return _by_name(value, keras2)
    if not isinstance(value, Mapping):
        raise ConversionError(f"the activation {str(value)[:60]} is none of Keras's")
    kind, config = value.get("class_name"), value.get("config")
    if kind == "function" and isinstance(config, str):
        if config not in UNAMBIGUOUS:
            raise ConversionError(f"the activation {config!r} is a function outside of Keras")
        return _by_name(config, keras2)
    return _by_layer(kind, config, keras2)


def _by_name(name: str, keras2: bool) -> str:
    name = ALIASES.get(name, name)
    if name == "hard_sigmoid" and keras2:
        return "hard_sigmoid_keras2"
    if name == "sparsemax":
        raise ConversionError(
            "Keras up to 3.15 computed sparsemax wrongly (keras issue 23425), "
            "so that the file does not tell what it was trained with"
        )
    if name not in ACTIVATIONS or name in PRIVATE:
        raise ConversionError(f"the activation {name!r} is none of {sorted(ACTIVATIONS)}")
    return name


def _by_layer(kind: Any, config: Any, keras2: bool) -> str | Layer:
    """An activation layer that was given where Keras expects a function."""
    if not isinstance(config, Mapping):
        config = {}
    if kind == "Activation":
        return parse_activation(config.get("activation"), keras2)
    options = {key: plain(v) for key, v in config.items() if key not in PASSED_OVER}
    if unknown := sorted(set(options) - set(OPTIONS.get(str(kind), options))):
        raise ConversionError(
            f"the activation's option {unknown[0]!r} is not known, and may matter"
        )
    slope = options.get("negative_slope", options.get("alpha"))
    if kind == "ReLU":
        names = ("max_value", "negative_slope", "threshold")
        return nn.ReLU(**{n: options[n] for n in names if n in options})
    if kind == "LeakyReLU":
        return nn.LeakyReLU(0.3 if slope is None else slope)
    if kind == "ELU":
        return nn.ELU(options.get("alpha", 1.0))
    if kind == "Softmax" and options.get("axis", -1) == -1:
        return "softmax"
    raise ConversionError(f"the activation is a layer of class {kind!r}, which cannot be converted")


def plain(value: Any) -> Any:
    """Unwrap a NumPy array or tensor in a configuration to numbers and lists."""
    if not isinstance(value, Mapping):
        return value
    config = value.get("config")
    if value.get("class_name") in ("__numpy__", "__tensor__") and isinstance(config, Mapping):
        return config.get("value")
    return value["value"] if value.get("type") == "ndarray" and "value" in value else value
