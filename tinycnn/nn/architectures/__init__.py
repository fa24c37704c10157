"""Networks by name, with the published parameter counts, for weights-only files and benchmarks.

Layers are named as in ``keras.applications`` wherever Keras has the network, so that weights that
Keras saved find their place by name. A builder takes the input's shape and the number of classes;
what else it takes are its options: keywords with defaults.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from tinycnn.errors import UsageError
from tinycnn.nn.architectures.densenet import densenet121, densenet169, densenet201
from tinycnn.nn.architectures.mobilenet import mobilenet
from tinycnn.nn.architectures.mobilenet_v2 import mobilenet_v2
from tinycnn.nn.architectures.plain import conv2, conv3, conv4, mlp
from tinycnn.nn.architectures.resnet import resnet50
from tinycnn.nn.architectures.self_design import mobilenet_self_design_a, mobilenet_self_design_b
from tinycnn.nn.architectures.shoulder import five_layer_cnn, one_layer_cnn, three_layer_cnn
from tinycnn.nn.architectures.squeezenet import squeezenet, squeezenet_notop
from tinycnn.nn.architectures.vgg import vgg16
from tinycnn.nn.graph import Graph
from tinycnn.nn.types import Shape

Builder = Callable[..., Graph]  # (input_shape, classes, *, options) -> graph

# Networks of keras.applications; published for 224x224x3 and 1000 classes.
KERAS: dict[str, Builder] = {
    "mobilenet_v2": mobilenet_v2,
    "mobilenet": mobilenet,
    "densenet121": densenet121,
    "densenet169": densenet169,
    "densenet201": densenet201,
    "resnet50": resnet50,
    "vgg16": vgg16,
}
ARCHITECTURES: dict[str, Builder] = {
    **KERAS,
    "squeezenet": squeezenet,
    "squeezenet_notop": squeezenet_notop,
    "mobilenet_self_design_a": mobilenet_self_design_a,
    "mobilenet_self_design_b": mobilenet_self_design_b,
    "cnn1": one_layer_cnn,
    "cnn3": three_layer_cnn,
    "cnn5": five_layer_cnn,
    "conv2": conv2,
    "conv3": conv3,
    "conv4": conv4,
    "mlp": mlp,
}


def build(
    spec: str,
    input_shape: Shape | None = None,
    classes: int | None = None,
    alpha: float = 1.0,
    **options: Any,
) -> Graph:
    """Build a network for images of ``input_shape`` (H, W, C); None: the builder's own.

    ``spec`` is a name, or a name with options: ``"mobilenet:head=conv"``,
    ``"cnn5:dense=128-64-32,dropout=0.5"``; in Python they may be keywords as well.
    One class ends in a sigmoid, more in a softmax. UsageError for what does not exist.
    """
    if alpha != 1.0:
        options["alpha"] = alpha
    name, options = find(spec, options)
    own_shape, own_classes = own_size(name)
    shape = own_shape if input_shape is None else tuple(input_shape)
    if len(shape) != 3:
        raise UsageError(f"{name} takes images (height, width, channels), not {shape}")
    return ARCHITECTURES[name](shape, own_classes if classes is None else classes, **options)


def find(spec: str, options: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """Take ``"name:option=value,..."`` apart, checked: the name, and its options with ``options``.

    Tuples of integers are written 128-64.
    """
    name, _, text = spec.partition(":")
    if name not in ARCHITECTURES:
        raise UsageError(f"no architecture {name!r}; there are {', '.join(ARCHITECTURES)}")
    pairs = [part.partition("=") for part in text.split(",") if part]
    given = {key.strip(): value.strip() for key, _, value in pairs} | dict(options or {})
    known = {
        key: parameter.default
        for key, parameter in inspect.signature(ARCHITECTURES[name]).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    for key in given:
        if key not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise UsageError(f"{name} has no option {key!r}; {has}")
    return name, {key: _typed(name, key, value, known[key]) for key, value in given.items()}


def own_size(name: str) -> tuple[Shape, int]:
    """Input shape and number of classes that a network has if nothing else is said."""
    shape, classes, *_ = inspect.signature(ARCHITECTURES[name]).parameters.values()
    return shape.default, classes.default


def _typed(name: str, key: str, value: Any, default: Any) -> Any:
    """Read an option's text as what its default is."""
    try:
        if isinstance(default, tuple):
            return tuple(map(int, value.split("-") if isinstance(value, str) and value else value))
        value = type(default)(value)
    except (TypeError, ValueError):
        value = math.nan
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{name}: {key} must be like {_spell(default)}") from None
    return value


def _spell(default: Any) -> str:
    return "-".join(map(str, default)) if isinstance(default, tuple) else str(default)


__all__ = [
    *("ARCHITECTURES", "KERAS", "build", "find", "own_size"),
    *sorted(f.__name__ for f in ARCHITECTURES.values()),
]
