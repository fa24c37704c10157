"""A network as a list of nodes in topological order, and the two Keras ways to write one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from tinycnn.errors import GraphError
from tinycnn.lightclass import dataclass
from tinycnn.nn.layers import LAYERS
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.limits import MAX_NODES as MAX_NODES
from tinycnn.nn.limits import check_edges, check_name, check_shape, check_sizes
from tinycnn.nn.types import Array, Shape, Weights

INPUT = "input"
VALUE = 10  # nanoseconds to make one value by a function such as e^x


@dataclass(frozen=True, eq=False)
class Tensor:
    """A symbolic value while a network is being written: what layers are called on."""

    shape: Shape
    layer: Layer | None = None  # None: the network's input
    inputs: tuple[Tensor, ...] = ()


def Input(shape: Sequence[int]) -> Tensor:  # noqa: N802 - Keras's name
    """Begin a network whose input has ``shape``, (H, W, C) without the batch."""
    return Tensor(tuple(shape))


@dataclass(frozen=True)
class Node:
    """One call of a layer. Two nodes whose layers have the same name share weights."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """One input, nodes in topological order; the last node is the output.

    Checked when made: names are unique, inputs come from above, shapes fit, sizes are sane.
    """

    input_shape: Shape
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        """Check names, order, shapes and limits; GraphError names the node."""
        if not 1 <= len(self.nodes) <= MAX_NODES:
            raise GraphError(f"a network has 1 to {MAX_NODES} layers, not {len(self.nodes)}")
        check_edges(self)
        seen, layers = {INPUT}, dict[str, Layer]()
        for node in self.nodes:
            for name in (node.name, node.layer.name):
                check_name(name)
            for source in node.inputs:
                if source not in seen:
                    raise GraphError(f"layer {node.name!r}: its input {source!r} is not above it")
            if node.name in seen:
                raise GraphError(f"two layers are called {node.name!r}")
            if layers.setdefault(node.layer.name, node.layer) != node.layer:
                raise GraphError(f"layer {node.name!r} shares weights with another configuration")
            seen.add(node.name)
        check_sizes(self)

    @cached_property
    def done_after(self) -> dict[str, list[str]]:
        """Node -> the values that nothing after it needs, its own among them if nobody reads it."""
        last = {INPUT: self.nodes[0].name} | {node.name: node.name for node in self.nodes}
        last |= {source: node.name for node in self.nodes for source in node.inputs}
        done: dict[str, list[str]] = {node.name: [] for node in self.nodes}
        for value, node_name in last.items():
            if value != self.output:
                done[node_name].append(value)
        return done

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Output shape of every node, and of "input"."""
        shapes = {INPUT: check_shape(INPUT, self.input_shape)}
        for node in self.nodes:
            arguments = self.arguments(node, shapes)
            shapes[node.name] = check_shape(node.name, node.layer.output_shape(arguments))
        return shapes

    @property
    def output(self) -> str:
        """Name of the last node."""
        return self.nodes[-1].name

    @property
    def output_shape(self) -> Shape:
        """Shape of the result for one image."""
        return self.shapes[self.output]

    @cached_property
    def weight_shapes(self) -> dict[str, Shape]:
        """``LAYER/WEIGHT`` -> shape, in the order of the layers."""
        shapes: dict[str, Shape] = {}
        for node in self.nodes:
            wanted = node.layer.weight_shapes(self.arguments(node, self.shapes))
            for weight, shape in wanted.items():
                name = f"{node.layer.name}/{weight}"
                if shapes.setdefault(name, shape) != shape:
                    raise GraphError(
                        f"layer {node.name!r} shares weight {name!r} of shape {shapes[name]}, "
                        f"but its input asks for {shape}"
                    )
        return shapes

    @property
    def parameters(self) -> int:
        """Number of parameters, Keras's "total params"."""
        return sum(map(prod, self.weight_shapes.values()))

    @cached_property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return sum(node.layer.macs(self.arguments(node, self.shapes)) for node in self.nodes)

    @cached_property
    def steps(self) -> int:
        """Nanoseconds that one image takes at most, roughly (see `Layer.steps`)."""
        return sum(self.node_steps.values())

    @cached_property
    def node_steps(self) -> dict[str, int]:
        """Of each node."""
        return {
            node.name: node.layer.steps(self.arguments(node, self.shapes))
            + VALUE * prod(self.shapes[node.name])
            for node in self.nodes
        }

    def forward(
        self,
        x: Array,
        weights: Weights,
        keep: Callable[[str, Array], None] | None = None,
        compute: Callable[[Node, Any, Weights], Array] | None = None,
    ) -> Array:
        """Reference result for x (N, H, W, C); ``keep(name, array)`` sees every layer's output.

        Computed in float64 if x is float64, otherwise in float32. ``compute(node, arguments,
        weights)`` takes the place of the layers' own `forward`.
        Overflow is no error here: infinity and NaN travel on, to be found in the result.
        """
        if x.ndim < 1 or x.shape[1:] != self.input_shape:
            raise GraphError(f"the network takes (N, {self._spell_input()}), not {x.shape}")
        double, run = x.dtype == np.float64, compute or _by_layer
        values: dict[str, Array] = {INPUT: x if double else np.asarray(x, np.float32)}
        for node in self.nodes:
            arguments = self.arguments(node, values)
            own = self.node_weights(node, weights)
            with np.errstate(all="ignore"):
                value = run(node, arguments, own)
            values[node.name] = value
            if keep:
                keep(node.name, value)
            for name in self.done_after[node.name]:
                del values[name]
        return values[self.output]

    def node_weights(self, node: Node, weights: Weights) -> dict[str, Array]:
        """Pick the weights of one node's layer, by their short names, out of a model's."""
        names = node.layer.weight_shapes(self.arguments(node, self.shapes))
        return {name: weights[f"{node.layer.name}/{name}"] for name in names}

    def check_weights(self, weights: Weights) -> None:
        """Raise a GraphError unless ``weights`` are exactly those that the graph asks for."""
        for name, shape in self.weight_shapes.items():
            if name not in weights:
                raise GraphError(f"weight {name!r} of shape {shape} is missing")
            if weights[name].shape != shape:
                raise GraphError(f"weight {name!r} must be {shape}, not {weights[name].shape}")
        if extra := sorted(set(weights) - set(self.weight_shapes)):
            raise GraphError(f"weight {extra[0]!r} belongs to no layer")

    def until(self, name: str) -> Graph:
        """Return the part of the network that the layer ``name`` needs, itself at the end."""
        wanted, nodes = {name}, list[Node]()
        for node in reversed(self.nodes):
            if node.name in wanted:
                wanted.update(node.inputs)
                nodes.append(node)
        return self if len(nodes) == len(self.nodes) else replace(self, nodes=tuple(nodes[::-1]))

    def summary(self) -> str:
        """Return a table of the layers that reads like Keras's, with multiply-adds and bytes."""
        from tinycnn.nn.summary import summarise

        return summarise(self)

    def to_json(self) -> dict[str, Any]:
        """Describe the graph in plain JSON types."""
        return {
            "input_shape": list(self.input_shape),
            "nodes": [
                {
                    "name": node.name,
                    "class": type(node.layer).__name__,
                    "config": node.layer.config(),
                    "inputs": list(node.inputs),
                }
                for node in self.nodes
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Graph:
        """Inverse of `to_json`; anything that is not a sound network is a GraphError."""
        try:
            return cls(tuple(data["input_shape"]), tuple(_node_from_json(n) for n in data["nodes"]))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise GraphError(f"not the description of a network: {error!r}") from None

    def arguments(self, node: Node, values: Mapping[str, Any]) -> Any:
        """What a node's layer takes of ``values``: one, or a list for a layer that merges."""
        if node.layer.merges:
            return [values[source] for source in node.inputs]
        if len(node.inputs) != 1:
            raise GraphError(f"layer {node.name!r} takes one input, not {len(node.inputs)}")
        return values[node.inputs[0]]

    def _spell_input(self) -> str:
        return ", ".join(map(str, self.input_shape))


def from_tensors(inputs: Tensor, outputs: Tensor) -> Graph:
    """Collect the graph between two tensors; unnamed layers are named as Keras does."""
    order: list[Tensor] = []
    seen: set[int] = {id(inputs)}
    stack: list[tuple[Tensor, bool]] = [(outputs, False)]
    while stack:  # depth first without recursion: DenseNet-201 is deep
        tensor, ready = stack.pop()
        if ready:
            order.append(tensor)
        elif id(tensor) not in seen:
            if tensor.layer is None:
                raise GraphError("the output hangs on another input than the one given")
            seen.add(id(tensor))
            stack.append((tensor, True))
            stack.extend((t, False) for t in reversed(tensor.inputs))
    namer = _Namer(t.layer for t in order if t.layer)
    names, nodes = {id(inputs): INPUT}, []
    for tensor in order:
        assert tensor.layer is not None
        layer, name = namer(tensor.layer)
        names[id(tensor)] = name
        nodes.append(Node(name, layer, tuple(names[id(t)] for t in tensor.inputs)))
    return Graph(inputs.shape, tuple(nodes))


def Sequential(layers: Iterable[Layer], input_shape: Sequence[int]) -> Graph:  # noqa: N802
    """Stack layers, as Keras's class of that name."""
    inputs = x = Input(input_shape)
    for layer in layers:
        x = layer(x)
    return from_tensors(inputs, x)


class _Namer:
    """Names layers as Keras does: conv2d, conv2d_1, ...; a second call gets a node name only."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        distinct = {id(layer): layer for layer in layers}
        self.taken = {INPUT, *(layer.name for layer in distinct.values())}
        self.layers: dict[int, Layer] = {}
        for key, layer in distinct.items():  # before the nodes: layers come first to a name
            name = layer.name or self.fresh(_snake(type(layer).__name__))
            self.layers[key] = replace(layer, name=name)
        self.used: set[str] = set()

    def __call__(self, layer: Layer) -> tuple[Layer, str]:
        named = self.layers[id(layer)]
        node = named.name if named.name not in self.used else self.fresh(named.name)
        self.used.add(node)
        return named, node

    def fresh(self, stem: str) -> str:
        name, number = stem, 0
        while name in self.taken:
            number += 1
            name = f"{stem}_{number}"
        self.taken.add(name)
        return name


def _snake(name: str) -> str:
    """Conv2D -> conv2d, MaxPooling2D -> max_pooling2d: Keras's automatic names."""
    import re

    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _by_layer(node: Node, arguments: Any, weights: Weights) -> Array:
    return node.layer.forward(arguments, weights)


def _node_from_json(data: Mapping[str, Any]) -> Node:
    kind = LAYERS.get(data["class"])
    name, inputs = data["name"], data["inputs"]
    if kind is None:
        raise GraphError(f"layer {name!r}: no class {data['class']!r}; there are {sorted(LAYERS)}")
    if not isinstance(name, str) or not all(isinstance(i, str) for i in inputs):
        raise GraphError(f"layer {name!r}: names must be strings")
    return Node(name, kind.from_config(data["config"]), tuple(inputs))
