"""A generated network as a model of Keras 3's, with the same weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.differential.case import Case
from tests.differential.tolerance import OTHERS, difference
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import INPUT, Graph, Node
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.layers.convolution import Window

# Names that no layer of Keras 3's can have; its sparsemax is wrong (issue 23425); behind a glu it
# builds layers for twice the channels.
NO_ACTIVATIONS = {"hard_sigmoid_keras2", "gelu_tanh", "threshold", "sparsemax", "glu"}
METHODS = {"nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"}


def representable(graph: Graph) -> Graph:
    """The network without what Keras lacks or refuses; GraphError if nothing sound is left."""
    return changed(graph, _possible)


def changed(graph: Graph, change: Callable[[Layer], Layer]) -> Graph:
    """The network with every layer changed; a shared one stays shared."""
    layers = {node.layer.name: node.layer for node in graph.nodes}
    layers = {name: change(layer) for name, layer in layers.items()}
    nodes = (Node(n.name, layers[n.layer.name], n.inputs) for n in graph.nodes)
    return Graph(graph.input_shape, tuple(nodes))


def _possible(layer: Layer) -> Layer:
    if getattr(layer, "activation", "linear") in NO_ACTIVATIONS:
        layer = dataclasses.replace(layer, activation="tanh")
    if isinstance(layer, nn.Resizing | nn.UpSampling2D) and layer.interpolation not in METHODS:
        layer = dataclasses.replace(layer, interpolation="bilinear")
    if isinstance(layer, nn.ReLU):
        layer = dataclasses.replace(layer, threshold=abs(layer.threshold))
    if not isinstance(layer, Window):
        return layer
    (_, sh, dh), (_, sw, dw) = layer.geometry()
    options: dict[str, Any] = {}
    if max(sh, sw) > 1 and max(dh, dw) > 1:
        options["dilation_rate"] = 1
    if isinstance(layer, nn.DepthwiseConv2D | nn.SeparableConv2D) and sh != sw:
        options["strides"] = max(sh, sw)  # TensorFlow's has one
    if isinstance(layer, nn.Conv2DTranspose) and layer.padding == "same":
        options["output_padding"] = None  # TensorFlow refuses some shapes that Keras gives to these
    return dataclasses.replace(layer, **options)


def model_of(graph: Graph, weights: dict[str, Any], every_output: bool = False) -> Any:
    """The network in Keras; with ``every_output``, the outputs of all its nodes."""
    import keras

    values, made = {INPUT: keras.Input(graph.input_shape)}, dict[str, Any]()
    for node in graph.nodes:
        name = node.layer.name
        if name not in made:
            made[name] = _layer(node.layer, weights)
        values[node.name] = made[name](graph.arguments(node, values))
    for node in graph.nodes:
        if found := graph.node_weights(node, weights):
            _set(made[node.layer.name], node.layer, found)
    outputs = [values[n.name] for n in graph.nodes] if every_output else values[graph.output]
    return keras.Model(values[INPUT], outputs)


def _layer(layer: Layer, weights: dict[str, Any]) -> Any:
    import keras

    options = layer.config()
    if isinstance(layer, nn.Normalization):  # its weights are told, or adapted to data
        for name in ("mean", "variance"):
            options[name] = weights[f"{layer.name}/{name}"]
    if isinstance(layer, nn.Rescaling):
        options |= {k: list(v) for k, v in options.items() if isinstance(v, tuple)}
    if isinstance(layer, nn.Conv2DTranspose) and options["output_padding"] is None:
        del options["output_padding"]
    return getattr(keras.layers, type(layer).__name__)(**options)


def _set(made: Any, layer: Layer, found: dict[str, Any]) -> None:
    if not isinstance(layer, nn.Normalization):
        made.set_weights(list(found.values()))


def check(case: Case) -> str:
    """What differs between Keras and the reference, and where first; "" if nothing."""
    got = model_of(case.graph, case.weights).predict(case.x, verbose=0)
    wrong = difference(case, np.asarray(got), OTHERS)
    return f"Keras: {wrong}; {first_difference(case)}" if wrong else ""


def first_difference(case: Case) -> str:
    """The first layer whose output in Keras is not the reference's."""
    values: dict[str, Any] = {}
    case.graph.forward(case.x, case.weights, values.__setitem__)
    got = model_of(case.graph, case.weights, every_output=True)(case.x, training=False)
    for node, ours in zip(case.graph.nodes, got, strict=True):
        part = dataclasses.replace(
            case, graph=case.graph.until(node.name), expected=values[node.name]
        )
        if wrong := difference(part, np.asarray(ours), OTHERS):
            return f"first at {node.name}, {node.layer}: {wrong}"
    return "no layer differs by itself"
