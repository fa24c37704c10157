"""A Keras model's configuration, in any dialect since Keras 2, as plain records.

Three dialects say which layer feeds which: a Sequential's order; Keras 2's lists
``[[["conv", 0, 0, {}]]]``; and Keras 3's ``{"args": [...], "kwargs": {...}}`` with tensors inside
that carry ``keras_history``. All become `Call`s here; nested models become nested `ModelConfig`s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tinycnn.errors import ConversionError

MODELS = frozenset({"Sequential", "Functional", "Model", "Pipeline"})
CHAINS = frozenset({"Sequential", "Pipeline"})  # of layers, each called once
MAX_LAYERS = 10_000
MAX_NESTING = 16
MAX_CLASS = 200  # characters of a class's name

Json = dict[str, Any]


@dataclass(frozen=True)
class Ref:
    """The value that call number ``call`` of a layer gave (its output number ``output``)."""

    layer: str
    call: int = 0
    output: int = 0


@dataclass(frozen=True)
class Call:
    """One use of a layer: what stands in its parentheses. Lists that hold tensors are tuples."""

    arguments: tuple[Any, ...]  # Ref, a tuple of such, or a constant
    keywords: Json

    @property
    def inputs(self) -> tuple[Ref, ...]:
        """The tensors among the arguments, in order."""
        return tuple(_tensors((*self.arguments, *self.keywords.values())))


@dataclass(frozen=True)
class LayerConfig:
    """One layer as the file describes it; ``model`` if it is a whole model."""

    name: str
    class_name: str
    module: str
    config: Json
    calls: tuple[Call, ...]
    model: ModelConfig | None = None


@dataclass(frozen=True)
class ModelConfig:
    """Layers by name, in the file's order, and which values are the model's in- and outputs."""

    name: str
    layers: dict[str, LayerConfig]
    inputs: tuple[Ref, ...]
    outputs: tuple[Ref, ...]
    input_shape: tuple[int | None, ...] | None  # without the batch; None if not in the file


def parse_model(data: Any, place: str = "the model", depth: int = 0) -> ModelConfig:
    """Read the JSON of a Sequential or functional model; ConversionError for anything else."""
    if depth > MAX_NESTING:
        raise ConversionError(f"{place}: models are nested deeper than {MAX_NESTING}")
    kind, config = _want(data, "class_name", str, place), data.get("config")
    if kind not in MODELS:
        raise ConversionError(
            f"{place} is of class {kind!r}, whose layers stand in Python code and not in the file; "
            "only Sequential and functional models can be converted"
        )
    if isinstance(config, list):  # Keras before 2.2.3 wrote a Sequential as a bare list
        config = {"name": "sequential", "layers": config}
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        raise ConversionError(f"{place}: its configuration has no list of layers")
    if not 1 <= len(config["layers"]) <= MAX_LAYERS:
        raise ConversionError(f"{place}: {len(config['layers'])} layers")
    layers: dict[str, LayerConfig] = {}
    for entry in config["layers"]:
        layer = _parse_layer(entry, place, depth)
        if layer.name in layers:
            raise ConversionError(f"{place}: two layers are called {layer.name!r}")
        layers[layer.name] = layer
    name = config.get("name")
    return (_sequential if kind in CHAINS else _functional)(
        name if isinstance(name, str) else kind.lower(), layers, config, place
    )


def _parse_layer(entry: Any, place: str, depth: int) -> LayerConfig:
    class_name = _want(entry, "class_name", str, place)
    if not class_name.isprintable() or len(class_name) > MAX_CLASS:
        raise ConversionError(f"{place}: a layer whose class cannot be printed")
    config = _want(entry, "config", (dict, list), f"{place}: a {class_name}")
    if isinstance(config, list):
        config = {"layers": config}
    name = entry.get("name", config.get("name"))
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ConversionError(f"{place}: a {class_name} without a name")
    where = f"layer {name!r}"
    nodes = entry.get("inbound_nodes") or []
    if not isinstance(nodes, list):
        raise ConversionError(f"{where}: inbound_nodes is not a list")
    calls = tuple(_parse_call(node, where) for node in nodes)
    model = parse_model(entry, f"model {name!r}", depth + 1) if class_name in MODELS else None
    module = entry.get("module")
    return LayerConfig(
        name, class_name, module if isinstance(module, str) else "", config, calls, model
    )


def _sequential(name: str, layers: dict[str, LayerConfig], config: Json, _: str) -> ModelConfig:
    """Chain the layers: each is called once, with what the one before gave."""
    first = next(iter(layers.values()))
    shape = _batch_shape(first.config) or _batch_shape({"shape": config.get("build_input_shape")})
    if shape is None and first.model:
        shape = first.model.input_shape
    chained, previous = {}, Ref("")  # the empty name stands for the input
    for layer in layers.values():
        if layer.class_name == "InputLayer":
            continue
        chained[layer.name] = LayerConfig(
            layer.name, layer.class_name, layer.module, layer.config,
            (Call((previous,), {}),), layer.model,
        )  # fmt: skip
        previous = Ref(layer.name)
    return ModelConfig(name, chained, (Ref(""),), (previous,), shape)


def _functional(name: str, layers: dict[str, LayerConfig], config: Json, place: str) -> ModelConfig:
    inputs = tuple(_refs(config.get("input_layers"), place))
    outputs = tuple(_refs(config.get("output_layers"), place))
    for ref in (*inputs, *outputs):
        if ref.layer not in layers:
            raise ConversionError(f"{place}: names {ref.layer!r}, which is none of its layers")
    shape = _batch_shape(layers[inputs[0].layer].config) if inputs else None
    return ModelConfig(name, layers, inputs, outputs, shape)


def _batch_shape(config: Json) -> tuple[int | None, ...] | None:
    """Shape without the batch; the key's name depends on Keras's version."""
    for key in ("batch_shape", "batch_input_shape", "shape"):
        shape = config.get(key)
        if isinstance(shape, list) and len(shape) > 1:
            if not all(d is None or type(d) is int for d in shape):
                raise ConversionError(f"the input shape {shape} is not one")
            return tuple(shape[1:])
    return None


def _refs(value: Any, place: str) -> Iterator[Ref]:
    """Read ``["a", 0, 0]``, ``[["a", 0, 0], ["b", 0, 0]]`` or a dictionary of such."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        raise ConversionError(f"{place}: its in- or outputs are not listed")
    for item in [value] if _is_ref(value) else value:
        if not _is_ref(item):
            raise ConversionError(f"{place}: {repr(item)[:60]} names no tensor")
        yield Ref(*item[:3])


def _is_ref(item: Any) -> bool:
    """Whether this is Keras 2's spelling of a tensor: [name, call, output] or with keywords."""
    return (
        isinstance(item, list)
        and 3 <= len(item) <= 4
        and isinstance(item[0], str)
        and all(type(i) is int and 0 <= i <= MAX_LAYERS for i in item[1:3])
    )


def _tensors(value: Any) -> Iterator[Ref]:
    """Yield the tensors in an argument."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _tensors(item)


def _parse_call(node: Any, where: str) -> Call:
    if isinstance(node, dict):  # Keras 3
        arguments, keywords = node.get("args"), node.get("kwargs") or {}
        if not isinstance(arguments, list) or not isinstance(keywords, dict):
            raise ConversionError(f"{where}: a call without arguments")
        return Call(
            tuple(_keras3(a, where) for a in arguments),
            {k: _keras3(v, where) for k, v in keywords.items()},
        )
    if _is_ref(node) or _is_constant(node):  # tf.keras 2 writes calls with one tensor flat
        items, flat = [node], True
    elif isinstance(node, list) and all(_is_ref(n) or _is_constant(n) for n in node):
        items, flat = node, False
    else:
        raise ConversionError(f"{where}: a call whose inputs cannot be read")
    first = tuple(_keras2_item(item) for item in items)
    keywords = {}
    for item in items:
        keywords |= item[3] if len(item) == 4 and isinstance(item[3], dict) else {}
    return Call(first if flat else (first,), {k: _keras2(v) for k, v in keywords.items()})


def _is_constant(item: Any) -> bool:
    """Whether this is how tf.keras 2 writes a number where a tensor could stand."""
    return isinstance(item, list) and 3 <= len(item) <= 4 and item[:2] == ["_CONSTANT_VALUE", -1]


def _keras2_item(item: list[Any]) -> Any:
    return item[2] if _is_constant(item) else Ref(*item[:3])


def _keras2(value: Any) -> Any:
    """Read a keyword argument of Keras 2: a tensor, a list with some in it, or a constant."""
    if _is_ref(value):
        return Ref(*value[:3])
    items = [_keras2(v) for v in value] if isinstance(value, list) else []
    return tuple(items) if any(True for _ in _tensors(tuple(items))) else value


def _keras3(value: Any, where: str) -> Any:
    """Read one argument of Keras 3: tensors become `Ref`, lists with some in it tuples."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        config = value.get("config")
        history = config.get("keras_history") if isinstance(config, dict) else None
        if not isinstance(history, list) or not _is_ref(history):
            raise ConversionError(f"{where}: a tensor without its history")
        return Ref(*history[:3])
    if isinstance(value, list) or _is_tuple(value):
        items = [_keras3(v, where) for v in (value if isinstance(value, list) else value["items"])]
        return tuple(items) if any(True for _ in _tensors(tuple(items))) else items
    return value


def _is_tuple(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("class_name") == "__tuple__"
        and isinstance(value.get("items"), list)
    )


def _want(data: Any, key: str, kind: Any, place: str) -> Any:
    value = data.get(key) if isinstance(data, dict) else None
    if not isinstance(value, kind):
        raise ConversionError(f"{place}: its configuration has no {key!r}")
    return value


def snake_case(name: str) -> str:
    """Spell a class as Keras 3 names its group: Conv2D -> conv2d, PReLU -> p_re_lu."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
