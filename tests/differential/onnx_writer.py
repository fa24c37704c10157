"""A generated network as an ONNX file, channels first, written byte by byte (`onnx_files`)."""

from __future__ import annotations

import dataclasses

from tests.convert import onnx_files
from tests.differential import onnx_layers, onnx_windows  # noqa: F401 - each registers layers
from tests.differential.case import Case
from tests.differential.keras_model import changed
from tests.differential.onnx_nodes import ACTIVATIONS, Nodes, channels_last, emit
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import INPUT, Graph
from tinycnn.nn.layers.base import Layer

OPSET = 20


def in_onnx(graph: Graph) -> Graph:
    """The network with layers that ONNX, or its converter, lacks put right."""
    return changed(graph, _possible)


def _possible(layer: Layer) -> Layer:
    if getattr(layer, "activation", "linear") not in ACTIVATIONS:
        layer = dataclasses.replace(layer, activation="tanh")
    if isinstance(layer, nn.Resizing):
        layer = dataclasses.replace(layer, interpolation="bilinear")
    if isinstance(layer, nn.UpSampling2D) and layer.interpolation != "nearest":
        layer = dataclasses.replace(layer, interpolation="bilinear")
    if isinstance(layer, nn.LayerNormalization | nn.Normalization):
        layer = dataclasses.replace(layer, axis=-1)
    if isinstance(layer, nn.ReLU) and (layer.threshold or layer.negative_slope):
        layer = nn.ReLU(name=layer.name)
    return layer


def write(case: Case) -> tuple[bytes, set[str]]:
    """The file, and the operators in it; UnfitError if ONNX cannot say it."""
    graph, to, values = case.graph, Nodes(), {INPUT: INPUT}
    for node in graph.until(graph.output).nodes:
        weights = graph.node_weights(node, case.weights)
        sources = [values[name] for name in node.inputs]
        shapes = [graph.shapes[name] for name in node.inputs]
        values[node.name] = emit(node.layer, to, sources, shapes, weights)
    last = channels_last(to, values[graph.output], graph.output_shape)
    to.node("Flatten", last, "y")  # a row for each image: what a converted network gives
    # Rows and columns stay open: one or three of them could be taken for channels.
    inputs = ((INPUT, ("n", graph.input_shape[2], "h", "w")),)
    return onnx_files.model(to.nodes, to.tensors, OPSET, inputs=inputs), to.used
