"""Configurations of Keras 1 (2015 to 2017) in the words of Keras 2.

Only names change here. That kernels lie otherwise in memory is `kernels`' matter, that channels may
come first `channels_first`'s. Source: Keras 1.0.7 to 1.2.2, ``get_config`` of each layer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tinycnn.errors import ConversionError

from .keras_config import MAX_LAYERS, MAX_NESTING, MODELS, Json

FORMATS = {"th": "channels_first", "tf": "channels_last"}
OPTIONS = {
    **{"nb_filter": "filters", "border_mode": "padding", "subsample": "strides"},
    **{"bias": "use_bias", "atrous_rate": "dilation_rate", "output_dim": "units", "p": "rate"},
}
CLASSES = {
    **{"Convolution2D": "Conv2D", "AtrousConvolution2D": "Conv2D"},
    **{"SeparableConvolution2D": "SeparableConv2D"},
}
TRANSLATED = frozenset(
    {
        *CLASSES.values(),
        *("MaxPooling2D", "AveragePooling2D", "GlobalMaxPooling2D", "GlobalAveragePooling2D"),
        *("Dense", "Dropout", "SpatialDropout2D", "BatchNormalization", "PReLU", "Merge"),
        *("ZeroPadding2D", "UpSampling2D", "Cropping2D"),
    }
)
# They have a dim_ordering, and Keras 1 forgot to save it.
UNSAID = frozenset({"ZeroPadding2D", "UpSampling2D", "Cropping2D"})
UNUSED = re.compile(r"init|\w+_init|input_dim|input_length")
MERGES = {
    **{"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum"},
    "concat": "Concatenate",
}
SIDES = ("top_pad", "bottom_pad", "left_pad", "right_pad")


def translate(model: Any) -> Any:
    """Return the JSON of a model as Keras 2 would write it; what is no model comes back as it is.

    ConversionError names a layer that means something which Keras 2 cannot say.
    """
    said = [layer["config"].get("dim_ordering") for layer in _layers(model, 0)]
    formats = {FORMATS.get(str(ordering)) for ordering in said if ordering is not None}
    return _model(model, formats.pop() if len(formats) == 1 else None)


def _layers(model: Any, depth: int) -> Iterator[Json]:
    """Yield all layers at every depth that have a configuration."""
    for entry in _entries(model, depth):
        yield from _layers(entry, depth + 1)
        if isinstance(entry, dict) and isinstance(entry.get("config"), dict):
            yield entry


def _entries(model: Any, depth: int = 0) -> list[Any]:
    """Return the layers of a model; of anything else, none."""
    if not _is_model(model):
        return []
    if depth > MAX_NESTING:
        raise ConversionError(f"models are nested deeper than {MAX_NESTING}")
    config = model.get("config")
    found = config.get("layers") if isinstance(config, dict) else config
    if not isinstance(found, list) or len(found) > MAX_LAYERS:
        return []
    return found


def _is_model(entry: Any) -> bool:
    kind = entry.get("class_name") if isinstance(entry, dict) else None
    return isinstance(kind, str) and kind in MODELS


def _model(model: Any, data_format: str | None) -> Any:
    """Translate a model with all that is in it."""
    entries = _entries(model)
    if not entries:
        return model
    if model["class_name"] == "Sequential":
        entries = list(_spliced(entries))
    layers = [_layer(entry, data_format) for entry in entries]
    config = model["config"] if isinstance(model["config"], dict) else {"name": "sequential"}
    nested = {
        entry.get("name")
        for entry in layers
        if _is_model(entry) and isinstance(entry.get("name"), str)
    }
    return {**model, "config": _renumbered({**config, "layers": layers}, nested)}


def _spliced(entries: list[Any]) -> Iterator[Any]:
    """Put the layers of a Sequential without a name in its place: its weights have none either."""
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("config"), list) and _entries(entry):
            yield from _spliced(_entries(entry))
        else:
            yield entry


def _renumbered(config: Json, nested: set[Any]) -> Json:
    """Count the calls of nested models from 0: in Keras 1 their first was their own making."""

    def counted(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        if len(value) == 3 and isinstance(value[0], str):
            name, call, output = value
            less = name in nested and type(call) is int and call > 0
            return [name, call - 1 if less else call, output]
        return [counted(item) for item in value]

    layers = [
        {**entry, "inbound_nodes": counted(entry["inbound_nodes"])}
        if isinstance(entry, dict) and "inbound_nodes" in entry
        else entry
        for entry in config["layers"]
    ]
    ends: Json = {
        key: counted(config[key]) for key in ("input_layers", "output_layers") if key in config
    }
    return {**config, **ends, "layers": layers}


def _layer(entry: Any, data_format: str | None) -> Any:
    if not isinstance(entry, dict) or not isinstance(entry.get("class_name"), str):
        return entry
    if entry["class_name"] in MODELS:
        return _model(entry, data_format)
    kind = CLASSES.get(entry["class_name"], entry["class_name"])
    if kind not in TRANSLATED or not isinstance(entry.get("config"), dict):
        return entry
    config = {
        OPTIONS.get(key, key): value
        for key, value in entry["config"].items()
        if not UNUSED.fullmatch(key)
    }
    name = entry.get("name", config.get("name"))
    where = f"layer {str(name)[:80]!r} ({entry['class_name']})"
    _say_format(kind, config, data_format, where)
    if "nb_row" in config:
        config["kernel_size"] = [config.pop("nb_row"), config.pop("nb_col", None)]
    if special := SPECIAL.get(kind):
        kind = special(config, where)
    return {**entry, "class_name": kind, "config": config}


def _say_format(kind: str, config: Json, of_others: str | None, where: str) -> None:
    """Write ``data_format`` for ``dim_ordering``; where it was not saved, as all others do."""
    if "dim_ordering" in config:
        ordering = config.pop("dim_ordering")
        if not isinstance(ordering, str) or ordering not in FORMATS:
            raise ConversionError(f"{where}: dim_ordering {str(ordering)[:40]!r} is not th or tf")
        config["data_format"] = FORMATS[ordering]
    elif kind in UNSAID:
        if of_others is None:
            raise ConversionError(
                f"{where}: Keras 1 did not save its dim_ordering, and the other layers do not agree"
            )
        config["data_format"] = of_others


def _batch_normalization(config: Json, where: str) -> str:
    """Only mode 0 uses the means that were learnt."""
    if (mode := config.pop("mode", 0)) != 0:
        raise ConversionError(
            f"{where}: mode {str(mode)[:40]} normalises each batch or image by itself, "
            "which cannot be converted"
        )
    return "BatchNormalization"


def _merge(config: Json, where: str) -> str:
    """Find the class that does what ``mode`` says; a function's code is never looked at."""
    if "layers" in config:
        raise ConversionError(f"{where}: joins several models; only one input can be converted")
    mode, axis = config.get("mode"), config.get("concat_axis", -1)
    if config.get("mode_type", "raw") != "raw" or not isinstance(mode, str) or mode not in MERGES:
        raise ConversionError(f"{where}: the mode {str(mode)[:40]!r} is none of {sorted(MERGES)}")
    name = config.get("name")
    config.clear()
    config.update({"name": name} | ({"axis": axis} if mode == "concat" else {}))
    return MERGES[mode]


def _zero_padding(config: Json, where: str) -> str:
    """Spell out four sides; two numbers mean the same in Keras 2."""
    padding = config.get("padding")
    if isinstance(padding, Mapping):
        if not set(padding) <= set(SIDES):
            raise ConversionError(f"{where}: the padding has keys other than {', '.join(SIDES)}")
        padding = [padding.get(side, 0) for side in SIDES]
    if isinstance(padding, list) and len(padding) == 4:
        config["padding"] = [padding[:2], padding[2:]]
    return "ZeroPadding2D"


SPECIAL: Mapping[str, Callable[[Json, str], str]] = {
    "BatchNormalization": _batch_normalization,
    "Merge": _merge,
    "ZeroPadding2D": _zero_padding,
}
