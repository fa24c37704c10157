"""A Keras configuration to our graph: nested models flattened, shared layers shared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from tinycnn.errors import ConversionError, GraphError
from tinycnn.nn.graph import INPUT, MAX_NODES, Graph, Input, Tensor, from_tensors
from tinycnn.nn.layers import Permute, ZeroPadding2D
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.types import Array, Shape

from .channels_first import TO_FIRST, TO_LAST, Adapted, adapt, starts_channels_first
from .dialect import Dialect
from .keras_config import Call, LayerConfig, ModelConfig, Ref
from .keras_layers import convert_layer, reason
from .keras_ops import convert_operation, is_operation
from .keras_training import is_training, refuse_training
from .theano import pad_explicitly

Path = tuple[str, ...]
MAX_WORK = 1 << 23  # characters of options that are read again, since a layer is called again
EACH = 64  # what a layer or an output of a model costs in each call, in such characters


@dataclass(frozen=True)
class Leaf:
    """One layer of the file that is no model, and what it became."""

    path: Path  # names of the models around it, then its own
    config: LayerConfig
    layers: tuple[Layer, ...]
    constants: Mapping[str, Array]
    expected: Mapping[str, Shape]  # our weights, in Keras's order
    adapted: Adapted
    padding: ZeroPadding2D | None = None  # what goes before

    @property
    def out_first(self) -> bool:
        """Whether Keras had the channels first here, and Keras 1 the kernel's filters."""
        return self.config.config.get("data_format") == "channels_first"


# Sees each call of a layer: its path, the layer, what it is called on, and how to convert it.
Watch = Callable[[Path, LayerConfig, list[Tensor], Callable[[], Tensor]], Tensor]


def as_it_is(
    path: Path, layer: LayerConfig, inputs: list[Tensor], make: Callable[[], Tensor]
) -> Tensor:
    """Convert a call of a layer, and leave its errors to whoever converts the network."""
    return make()


def build_graph(
    model: ModelConfig, input_shape: Shape | None, dialect: Dialect, watch: Watch = as_it_is
) -> tuple[Graph, dict[Path, Leaf]]:
    """Convert every layer and wire them; ``input_shape`` settles what the file leaves open.

    ``watch`` makes each layer's output, most often by calling the function that it is given.
    """
    builder = _Builder(model, dialect)
    builder.watch = watch
    turned = starts_channels_first(model, dialect.keras2)
    inputs = Input(_settle(model, input_shape, turned))
    if turned:
        builder.turned.add(inputs)
    outputs = [builder.laid(t, turned=False) for t in builder.run(model, (), [inputs])]
    if len(outputs) != 1:
        raise ConversionError(f"the model has {len(outputs)} outputs; one can be converted")
    try:
        return from_tensors(inputs, outputs[0]), builder.leaves
    except GraphError as error:
        raise ConversionError(f"the network as a whole: {error}") from None


def leaves_of(model: ModelConfig, path: Path = ()) -> Iterator[tuple[Path, LayerConfig]]:
    """Yield all layers that are no models, in the file's order, with their paths."""
    for layer in model.layers.values():
        if layer.model:
            yield from leaves_of(layer.model, (*path, layer.name))
        elif layer.class_name != "InputLayer":
            yield (*path, layer.name), layer


def _settle(model: ModelConfig, given: Shape | None, turned: bool) -> Shape:
    """Agree on the input's shape between the file and the command line."""
    if len(model.inputs) != 1:
        raise ConversionError(f"the model has {len(model.inputs)} inputs; one can be converted")
    stored = model.input_shape
    if stored and turned:
        stored = (*stored[1:], stored[0])
    if stored is None or None in stored:
        if given is None:
            raise ConversionError(
                f"the file leaves the input's size open ({stored}); give --input HEIGHTxWIDTHxC"
            )
        stored = given if stored is None or len(stored) != len(given) else stored
    shape = tuple(g if s is None else s for s, g in zip(stored, given or stored, strict=True))
    if given is not None and shape != given:
        raise ConversionError(f"the file's input is {stored}, not {given}; leave --input away")
    return tuple(int(d or 0) for d in shape)


class _Builder:
    """Keeps what was made of each layer, so that a second call shares it.

    ``turned``: the values that are (C, H, W) in Keras and (H, W, C) here.
    """

    def __init__(self, model: ModelConfig, dialect: Dialect) -> None:
        self.dialect = dialect
        self.watch: Watch = as_it_is
        self.turned: set[Tensor] = set()
        self.permuted: dict[Tensor, Tensor] = {}
        self.leaves: dict[Path, Leaf] = {}
        self.calls = self.work = 0
        self.training = False  # whether the models around are called as in training
        paths = [path for path, _ in leaves_of(model)]
        counts = Counter(path[-1] for path in paths)
        self.names = {p: p[-1] if counts[p[-1]] == 1 else "/".join(p) for p in paths}
        self.names.update({p: f"{n}_layer" for p, n in self.names.items() if n == INPUT})

    def run(self, model: ModelConfig, path: Path, inputs: list[Tensor]) -> list[Tensor]:
        """Wire one model behind ``inputs``; return its outputs."""
        if len(inputs) != len(model.inputs):
            raise ConversionError(
                f"model {model.name!r} is called with {len(inputs)} inputs and has "
                f"{len(model.inputs)}"
            )
        self._count(EACH * (len(model.layers) + len(model.outputs)))
        values = dict(zip(model.inputs, inputs, strict=True))
        first = _first_calls(model)
        for name, number in _order(model, first):
            layer = model.layers[name]
            if layer.class_name != "InputLayer":
                outputs = self._call(layer, layer.calls[number - first[name]], path, values)
                values |= {Ref(name, number, i): out for i, out in enumerate(outputs)}
        if missing := [ref for ref in model.outputs if ref not in values]:
            raise ConversionError(f"model {model.name!r}: its output {missing[0].layer!r} is open")
        return [values[ref] for ref in model.outputs]

    def _call(
        self, layer: LayerConfig, call: Call, path: Path, values: Mapping[Ref, Tensor]
    ) -> list[Tensor]:
        self.calls += 1
        if self.calls > MAX_NODES:
            raise ConversionError(f"the model has more than {MAX_NODES} layers")
        if missing := [ref for ref in call.inputs if ref not in values]:
            raise ConversionError(
                f"layer {layer.name!r}: its input {missing[0].layer!r} is missing"
            )
        inputs = [values[ref] for ref in call.inputs]
        path, before = (*path, layer.name), self.training
        self.training = self.dialect.keras2 and is_training(call, before)
        try:
            if layer.model:
                return self.run(layer.model, path, inputs)
            return [self.watch(path, layer, inputs, lambda: self._leaf(layer, call, path, inputs))]
        finally:
            self.training = before

    def _count(self, work: int) -> None:
        """Limit what a small file can ask for by calling one large thing a thousand times."""
        self.work += work
        if self.work > MAX_WORK:
            raise ConversionError("it calls large layers or models too often")

    def _leaf(self, layer: LayerConfig, call: Call, path: Path, inputs: list[Tensor]) -> Tensor:
        with _named(f"layer {'/'.join(path)!r} ({layer.class_name})"):
            if not inputs:
                raise ConversionError("has no input")
            if self.training:
                refuse_training(layer)
            if path in self.leaves:
                self._count(len(repr(layer.config)))
            made = self._convert(layer, call, path, inputs)
            leaf = self.leaves.setdefault(path, made)
            if (leaf.layers, leaf.padding) != (made.layers, made.padding):
                raise ConversionError("is called twice, with inputs of different shapes or options")
            first, *rest = leaf.layers
            inputs = [self.laid(t, leaf.adapted.turned) for t in inputs]
            if leaf.padding:
                inputs = [leaf.padding(t) for t in inputs]
            value = first(inputs if first.merges or len(inputs) > 1 else inputs[0])
            for each in rest:
                value = each(value)
            if leaf.adapted.gives and len(value.shape) == 3:
                self.turned.add(value)
            return value

    def laid(self, value: Tensor, turned: bool) -> Tensor:
        """Return a picture with its axes as asked for, through a Permute if they are otherwise."""
        if len(value.shape) != 3 or (value in self.turned) == turned:
            return value
        if value not in self.permuted:
            dims, undone = (TO_LAST, TO_FIRST) if turned else (TO_FIRST, TO_LAST)
            before = value.layer
            made = (
                value.inputs[0]
                if isinstance(before, Permute) and before.dims == undone
                else Permute(dims)(value)
            )
            self.permuted[value] = made
            if turned:
                self.turned.add(made)
        return self.permuted[value]

    def _convert(self, layer: LayerConfig, call: Call, path: Path, inputs: list[Tensor]) -> Leaf:
        name, keras2 = self.names[path], self.dialect.keras2
        shapes = [t.shape for t in inputs]
        adapted = adapt(layer, call, [t in self.turned for t in inputs], shapes, keras2)
        shapes = [self.laid(t, adapted.turned).shape for t in inputs]
        padding = None
        if is_operation(layer, keras2):
            converted = convert_operation(layer, call, name, shapes)
        else:
            _check_call(call)
            padded, padding = pad_explicitly(adapted.layer, self.dialect)
            converted = convert_layer(padded, name, shapes[0], keras2)
        if padding:
            shapes = [padding.output_shape(shape) for shape in shapes]
        first = converted.layers[0]
        expected = first.weight_shapes(shapes if first.merges else shapes[0])
        return Leaf(path, layer, converted.layers, converted.constants, expected, adapted, padding)


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Put a layer's name, as the file has it, before what is wrong with it."""
    try:
        yield
    except (GraphError, ConversionError) as error:
        why = reason(error) if isinstance(error, GraphError) else str(error)
        raise ConversionError(f"{where}: {' '.join(why.split())}") from None  # on one line


def _check_call(call: Call) -> None:
    """Refuse arguments other than tensors, the training flag and empty masks."""
    extra = [a for a in call.arguments if a is not None and not _is_tensors(a)]
    named = {
        k: v
        for k, v in call.keywords.items()
        if k != "training" and v is not None and not _is_tensors(v)
    }
    if extra or named:
        raise ConversionError(
            f"is called with {str(extra or named)[:80]}, which cannot be converted"
        )


def _is_tensors(value: Any) -> bool:
    """Whether this is a tensor, or a list of them."""
    if isinstance(value, tuple):
        return bool(value) and all(map(_is_tensors, value))
    return isinstance(value, Ref)


def _first_calls(model: ModelConfig) -> dict[str, int]:
    """The number that the first call of each layer has.

    Mostly 0. Keras 2 counts the making of a nested model as its call 0, which is in no list.
    """
    named = {
        (ref.layer, ref.call)
        for layer in model.layers.values()
        for call in layer.calls
        for ref in call.inputs
    } | {(ref.layer, ref.call) for ref in model.outputs}
    return {
        name: int(
            layer.model is not None and (name, 0) not in named and (name, len(layer.calls)) in named
        )
        for name, layer in model.layers.items()
    }


def _order(model: ModelConfig, first: Mapping[str, int]) -> list[tuple[str, int]]:
    """All calls of the model's layers, each after those that it needs."""
    needs: dict[tuple[str, int], set[Any]] = {
        (layer.name, number): {(ref.layer, ref.call) for ref in call.inputs}
        for layer in model.layers.values()
        for number, call in enumerate(layer.calls, first[layer.name])
    }
    try:
        return [item for item in TopologicalSorter(needs).static_order() if item in needs]
    except CycleError:
        raise ConversionError(f"model {model.name!r}: its layers run in a circle") from None
