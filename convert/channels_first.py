"""Models whose pictures are (channels, height, width), turned to ours: (height, width, channels).

Every symbolic value that is such a picture is kept *turned*: where Keras has (C, H, W), our graph
has (H, W, C). `adapt` says of each layer whether it works on turned pictures, and how it is
configured then. What cares about the order of values in memory (Flatten, Reshape, Dense on a
picture, ...) gets them as Keras had them, through a Permute that `keras_graph` puts in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tinycnn.errors import ConversionError
from tinycnn.nn.types import Shape

from .keras_activations import plain
from .keras_config import Call, LayerConfig, ModelConfig
from .keras_layers import ALIASES, AUGMENTATIONS
from .keras_ops import is_elementwise, is_operation

TO_LAST = (2, 3, 1)  # Permute's dims that make (H, W, C) of (C, H, W)
TO_FIRST = (3, 1, 2)
OURS = {1: 3, 2: 1, 3: 2}  # Keras's axis of (N, C, H, W) -> the same one of (N, H, W, C)

# Each value by itself: their pictures may lie in any order.
NEUTRAL = frozenset(
    {
        *("ReLU", "LeakyReLU", "ELU", "Identity", "Dropout", "SpatialDropout2D", "AlphaDropout"),
        *("GaussianDropout", "GaussianNoise", "ActivityRegularization", *AUGMENTATIONS),
        *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"),
    }
)
NORMALIZATIONS = ("BatchNormalization", "LayerNormalization", "Normalization")
ALONG_AN_AXIS = frozenset({"softmax", "softmax_v2", "log_softmax", "sparsemax", "glu"})


@dataclass(frozen=True)
class Adapted:
    """A layer's configuration for channels-last data.

    ``turned``: whether it takes its pictures turned. ``gives``: whether its result is turned.
    ``order``: weight -> the transposition of the file's array.
    """

    layer: LayerConfig
    turned: bool = False
    gives: bool = False
    order: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def starts_channels_first(model: ModelConfig, keras2: bool) -> bool:
    """Whether the input is (C, H, W): by the first layer in the file that cares."""
    layers = list(_leaves(model))
    if not any(_is_first(layer, keras2) for layer in layers):
        return False
    for layer in layers:
        if _kind(layer) in NORMALIZATIONS:
            if (axis := _axis(layer)) is not None:
                return axis == 1
            continue  # along all of them, which says nothing
        if not _is_neutral(layer, layer.calls[:1], keras2) and _kind(layer) != "InputLayer":
            return _is_first(layer, keras2)
    return True


def adapt(
    layer: LayerConfig, call: Call, turned: Sequence[bool], shapes: Sequence[Shape], keras2: bool
) -> Adapted:
    """Decide how ``layer`` works on values of ``shapes``, some of them ``turned`` pictures."""
    if _is_first(layer, keras2):
        return _spatial(layer, shapes)
    if not all(turned):
        return Adapted(layer)
    if _is_neutral(layer, [call], keras2):
        return Adapted(layer, turned=True, gives=True)
    if is_operation(layer, keras2):
        return Adapted(layer)
    return _along_axis(layer) or Adapted(layer)


def _spatial(layer: LayerConfig, shapes: Sequence[Shape]) -> Adapted:
    """What says ``channels_first``: the same with ``channels_last``."""
    if layer.class_name == "Flatten" and len(shapes[0]) == 2:
        raise ConversionError(
            f"layer {layer.name!r} (Flatten): channels_first of {shapes[0]}, which is no picture"
        )
    if _by_axis(layer.config.get("activation")):
        raise ConversionError(
            f"layer {layer.name!r} ({layer.class_name}): with channels_first its activation runs "
            "along the columns of the picture, which cannot be converted"
        )
    config = {**layer.config, "data_format": "channels_last"}
    gives = layer.class_name != "Flatten"  # Keras's own goes through (H, W, C), too
    return Adapted(replace(layer, config=config), turned=True, gives=gives)


def _along_axis(layer: LayerConfig) -> Adapted | None:
    """What names an axis: the same axis where it lies now."""
    kind, axis = _kind(layer), _axis(layer)
    if kind in NORMALIZATIONS:
        return _with(layer, axis=-1) if axis == 1 else None
    if kind in ("Softmax", "Concatenate"):
        return _with(layer, axis=OURS[axis]) if axis in OURS else None
    if kind == "PReLU":
        shared = plain(layer.config.get("shared_axes")) or []
        if isinstance(shared, list) and all(type(a) is int and a in OURS for a in shared):
            axes = sorted(OURS[a] for a in shared)
            return replace(_with(layer, shared_axes=axes), order={"alpha": (1, 2, 0)})
    if kind == "Permute" and layer.config.get("dims") == list(TO_LAST):
        identity = replace(layer, class_name="Identity", config={"name": layer.name})
        return Adapted(identity, turned=True)
    return None


def _with(layer: LayerConfig, **options: Any) -> Adapted:
    changed = replace(layer, config={**layer.config, **options})
    return Adapted(changed, turned=True, gives=True)


def _axis(layer: LayerConfig) -> int | None:
    """Return the one axis of (N, C, H, W), counted from 0; None if it is none or several."""
    axis = plain(layer.config.get("axis", -1))
    if isinstance(axis, list) and len(axis) == 1:
        axis = axis[0]
    if type(axis) is not int:
        return None
    return axis + 4 if axis < 0 else axis


def _is_first(layer: LayerConfig, keras2: bool) -> bool:
    return layer.config.get("data_format") == "channels_first" and not is_operation(layer, keras2)


def _is_neutral(layer: LayerConfig, calls: Sequence[Call], keras2: bool) -> bool:
    kind = _kind(layer)
    if is_operation(layer, keras2):
        return all(is_elementwise(layer, call) for call in calls)
    if kind == "Activation":
        return not _by_axis(layer.config.get("activation"))
    if kind == "Rescaling":
        options = (plain(layer.config.get(key)) for key in ("scale", "offset"))
        return not any(isinstance(value, list) for value in options)
    return kind in NEUTRAL


def _by_axis(activation: Any) -> bool:
    """Whether an activation looks at more than one value; of a dictionary we only know a few."""
    if isinstance(activation, Mapping):
        return activation.get("class_name") not in ("ReLU", "LeakyReLU", "ELU", "function")
    return isinstance(activation, str) and activation in ALONG_AN_AXIS


def _kind(layer: LayerConfig) -> str:
    return ALIASES.get(layer.class_name, layer.class_name)


def _leaves(model: ModelConfig) -> list[LayerConfig]:
    found: list[LayerConfig] = []
    for layer in model.layers.values():
        found += _leaves(layer.model) if layer.model else [layer]
    return found
