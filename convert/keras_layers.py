"""Keras's layer classes as ours: one rule for each, and nothing dropped in silence.

Every option in a layer's configuration is either taken over, or known to change nothing at
inference, or has the one value under which it changes nothing. Anything else is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from tinycnn.errors import ConversionError, GraphError
from tinycnn.nn import layers as nn
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.types import Array, Shape

from .keras_activations import parse_activation, plain
from .keras_config import LayerConfig
from .keras_pictures import centre_crop, random_crop, resizing
from .keras_refusals import refusal

INERT = re.compile(
    r"name|trainable|batch_input_shape|batch_shape|input_shape|input_dtype|sparse|ragged|autocast"
    r"|build_config|lora_alpha|\w*(initializer|regularizer|constraint)"
)
# Option -> the values under which it changes nothing; None always is one.
HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "data_format": ("channels_last",),
    "quantization_config": (),
    "lora_rank": (),
}
DTYPES = frozenset(
    {"float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16"}
)  # all computed in float32 here


@dataclass(frozen=True)
class Converted:
    """The layers, most often one, that do what one of Keras's does; weights from its options."""

    layers: tuple[Layer, ...]
    constants: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """How one class is converted.

    ``rename``: Keras's option -> our field, where they differ. ``harmless``: see `HARMLESS`.
    ``ignore``: options that change nothing at inference; None for all of them.
    ``derive``: makes fields of options that stand for something else here.
    ``expand``: makes several layers of the one, by the options and the input's shape.
    """

    layer: type[Layer]
    rename: Mapping[str, str] = field(default_factory=dict)
    harmless: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    ignore: frozenset[str] | None = frozenset()
    derive: Callable[[Mapping[str, Any], Shape], Mapping[str, Any]] | None = None
    constants: Callable[[Mapping[str, Any], Shape], Mapping[str, Array]] | None = None
    expand: Callable[[Layer, Mapping[str, Any], Shape, bool], tuple[Layer, ...]] | None = None


def convert_layer(layer: LayerConfig, name: str, shape: Shape, keras2: bool) -> Converted:
    """Make our layer, called ``name``, for a (first) input of ``shape``; ConversionError if not."""
    rule = RULES.get(layer.class_name)
    if rule is None:
        raise ConversionError(refusal(layer))
    config = {key: plain(value) for key, value in layer.config.items()}
    try:
        options = _options(rule, config, shape)
        tail = _activation(options, name, keras2)
        made = rule.layer.from_config({**options, "name": name})
        constants = rule.constants(config, shape) if rule.constants else {}
        layers = rule.expand(made, config, shape, keras2) if rule.expand else (made,)
    except (TypeError, ValueError, LookupError) as error:  # numbers that are none, or missing
        raise ConversionError(f"its configuration cannot be read: {error}") from None
    return Converted((*layers, *tail), constants)


def reason(error: GraphError) -> str:
    """Return a layer's complaint without its name, which the file's own name replaces."""
    _, colon, rest = str(error).partition(": ")
    return rest if colon else str(error)


def _options(rule: Rule, config: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """Sort the configuration into what is taken over and what changes nothing; else refuse."""
    known = {f.name for f in fields(rule.layer)} - {"name"}
    derived = rule.derive(config, shape) if rule.derive else {}
    harmless = {**HARMLESS, **rule.harmless}
    result = {}
    for key, value in config.items():
        if key == "dtype":
            _check_dtype(value)
        elif key in harmless:
            if value is not None and value not in harmless[key]:
                raise ConversionError(f"the option {key} = {value!r} cannot be converted")
        elif (target := rule.rename.get(key, key)) in known:
            result[target] = value
        elif rule.ignore is not None and key not in rule.ignore and not INERT.fullmatch(key):
            raise ConversionError(f"the option {key!r} is not known here, and may matter")
    return {**result, **derived}


def _activation(options: dict[str, Any], name: str, keras2: bool) -> tuple[Layer, ...]:
    """Spell the activation as ours; one that is a layer of its own follows as that."""
    if "activation" not in options:
        return ()
    found = parse_activation(options["activation"], keras2)
    if isinstance(found, str):
        options["activation"] = found
        return ()
    options["activation"] = "linear"
    return (replace(found, name=f"{name}_activation"),)


def _check_dtype(value: Any) -> None:
    if isinstance(value, dict):  # a dtype policy; a map of them says what holds for which layer
        config = value.get("config")
        config = config if isinstance(config, dict) else {}
        if "Quantized" in str(value.get("class_name")):
            raise ConversionError(
                "is quantized, and its weights are integers; convert the model as it was before "
                "quantize()"
            )
        parts = config.get("policy_map")
        for part in (
            config.get("default_policy"),
            *(parts if isinstance(parts, dict) else {}).values(),
        ):
            _check_dtype(part)
        value = config.get("name") if parts is None else None
    if value is not None and not (isinstance(value, str) and value in DTYPES):
        raise ConversionError(f"its type {value!r} is not one of {sorted(DTYPES)}")


def _on_channels(config: Mapping[str, Any], shape: Shape) -> Mapping[str, Any]:
    """Refuse an axis that is not the last: ours always works on the channels."""
    axis = config.get("axis", -1)
    axes = axis if isinstance(axis, list) else [axis]
    if axes not in ([-1], [len(shape)]):
        raise ConversionError(f"axis {axis} is not the channels' (the last of {shape})")
    return {}


def _channels_or_more(config: Mapping[str, Any], shape: Shape) -> Mapping[str, Any]:
    """The last few axes, which the layer checks; no axis is one mean for all values."""
    axis = config.get("axis", -1)
    if isinstance(axis, list) and len(axis) > 1:
        return {"axis": tuple(axis)}
    return {"axis": -1, **({} if axis in (None, []) else _on_channels(config, shape))}


def _given_statistics(config: Mapping[str, Any], shape: Shape) -> Mapping[str, Array]:
    """Return mean and variance where they stand in the configuration instead of in weights."""
    if config.get("mean") is None:
        return {}
    axis = _channels_or_more(config, shape)["axis"]
    axes = len(axis) if isinstance(axis, tuple) else 1
    result = {}
    for key in ("mean", "variance"):
        value = np.asarray(config[key], np.float32)
        while value.ndim > axes and len(value) == 1:
            value = value[0]
        result[key] = np.broadcast_to(value, shape[len(shape) - axes :]).copy()
    return result


def _shared_axes(config: Mapping[str, Any], shape: Shape) -> Mapping[str, Any]:
    return {"shared_axes": config.get("shared_axes") or ()}


def _single_axis(config: Mapping[str, Any], shape: Shape) -> Mapping[str, Any]:
    axis = config.get("axis", -1)
    return {"axis": axis[0] if isinstance(axis, list) and len(axis) == 1 else axis}


def _rules() -> dict[str, Rule]:
    window = {"ignore": frozenset({"filters"}), "harmless": {"groups": (1,)}}
    square = frozenset({"crop_to_aspect_ratio", "pad_to_aspect_ratio", "fill_mode", "fill_value"})
    statistics = frozenset({"axis", "momentum", "fused", "synchronized", "renorm_momentum"})
    rules = {
        name: Rule(nn.LAYERS[name])
        for name in (
            *("Conv2D", "Dense", "Activation", "ReLU", "ELU"),
            *("MaxPooling2D", "AveragePooling2D", "GlobalMaxPooling2D", "GlobalAveragePooling2D"),
            *("ZeroPadding2D", "Cropping2D", "UpSampling2D", "Flatten", "Reshape", "Permute"),
            *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"),
            *("Rescaling", "Identity"),
        )
    }
    rules |= {
        name: Rule(nn.LAYERS[name], ignore=None)  # they do nothing at inference
        for name in (
            *("Dropout", "SpatialDropout2D", "AlphaDropout", "GaussianDropout", "GaussianNoise"),
            "ActivityRegularization",
        )
    }
    rules |= {name: Rule(nn.Identity, ignore=None) for name in AUGMENTATIONS}
    rules |= {
        "DepthwiseConv2D": Rule(nn.DepthwiseConv2D, **window),  # type: ignore[arg-type]
        "SeparableConv2D": Rule(nn.SeparableConv2D, harmless={"groups": (1,)}),
        "Conv2DTranspose": Rule(nn.Conv2DTranspose, harmless={"groups": (1,)}),
        "LeakyReLU": Rule(nn.LeakyReLU, rename={"alpha": "negative_slope"}),
        "PReLU": Rule(nn.PReLU, derive=_shared_axes),
        "Softmax": Rule(nn.Softmax, derive=_single_axis),
        "CenterCrop": Rule(nn.Resizing, expand=centre_crop),
        "RandomCrop": Rule(nn.Resizing, ignore=frozenset({"seed", "rng_type"}), expand=random_crop),
        "BatchNormalization": Rule(
            nn.BatchNormalization, ignore=statistics, derive=_on_channels,
            harmless={
                "renorm": (False,), "renorm_clipping": ({},), "virtual_batch_size": (),
                "adjustment": (),
            },
        ),
        "LayerNormalization": Rule(nn.LayerNormalization, harmless={"rms_scaling": (False,)}),
        "Normalization": Rule(
            nn.Normalization, ignore=frozenset({"axis", "mean", "variance"}),
            derive=_channels_or_more, constants=_given_statistics,
        ),
        "Resizing": Rule(
            nn.Resizing, ignore=square, harmless={"antialias": (False,)}, expand=resizing,
        ),
    }  # fmt: skip
    return rules | {alias: rules[name] for alias, name in ALIASES.items()}


ALIASES = {
    "Convolution2D": "Conv2D",
    "Convolution2DTranspose": "Conv2DTranspose",
    "SeparableConvolution2D": "SeparableConv2D",
    "MaxPool2D": "MaxPooling2D",
    "AvgPool2D": "AveragePooling2D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
}
# They change pictures in training only. RandomCrop is none of them: see `keras_pictures`.
AUGMENTATIONS = (
    *("RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast"),
    *("RandomBrightness", "RandomHeight", "RandomWidth", "RandomShear", "RandomPerspective"),
    *("RandomHue", "RandomSaturation", "RandomSharpness", "RandomColorJitter", "RandomErasing"),
    *("RandomColorDegeneration", "RandomPosterization", "RandomGrayscale", "RandomInvert"),
    *("RandomGaussianBlur", "RandomElasticTransform", "RandAugment", "AugMix", "MixUp", "CutMix"),
)
RULES: Mapping[str, Rule] = _rules()
