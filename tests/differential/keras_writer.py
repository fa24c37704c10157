"""A generated network as a file of Keras 2's or 3's, written with h5py alone."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from tests.convert.keras_files import write_h5
from tests.differential.case import Case
from tests.differential.keras_model import changed, representable
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import INPUT, Graph
from tinycnn.nn.layers.base import Layer

KERAS2, KERAS3 = "2.15.0", "3.5.0"
RENAMED = {nn.LeakyReLU: {"negative_slope": "alpha"}}  # as Keras 2 had them


def in_keras2(graph: Graph) -> Graph:
    """The network as Keras 2 could have made it: it knew the older hard_sigmoid alone."""
    return changed(representable(graph), _older)


def _older(layer: Layer) -> Layer:
    if getattr(layer, "activation", "") != "hard_sigmoid":
        return layer
    return dataclasses.replace(layer, activation="hard_sigmoid_keras2")


def write(case: Case, path: Path, version: str) -> None:
    """Write a `.h5` with the configuration in the dialect of a version."""
    weights = {
        node.layer.name: _stored(node.layer, case.graph.node_weights(node, case.weights))
        for node in case.graph.nodes
    }
    write_h5(path, config(case.graph, version == KERAS3), weights, version)


def _stored(layer: Layer, found: dict[str, Any]) -> dict[str, Any]:
    count = {"count": np.int64(0)} if isinstance(layer, nn.Normalization) else {}
    return {f"{key}:0": value for key, value in (found | count).items()}


def config(graph: Graph, keras3: bool) -> dict[str, Any]:
    """The model's configuration; a layer that is shared has several inbound nodes."""
    calls, places = Counter[str](), {INPUT: (INPUT, 0)}
    listed: dict[str, dict[str, Any]] = {INPUT: _input(graph)}
    for node in graph.nodes:
        name = node.layer.name
        places[node.name] = name, calls[name]
        calls[name] += 1
        entry = listed.setdefault(name, _entry(node.layer, keras3))
        sources = [places[source] for source in node.inputs]
        shapes = [graph.shapes[source] for source in node.inputs]
        entry["inbound_nodes"].append(
            _call3(sources, shapes, node.layer.merges) if keras3 else _call2(sources)
        )
    output = [*places[graph.output], 0]
    return {
        "class_name": "Functional",
        "config": {
            "name": "generated", "layers": list(listed.values()),
            "input_layers": [[INPUT, 0, 0]], "output_layers": [output],
        },
    }  # fmt: skip


def _input(graph: Graph) -> dict[str, Any]:
    shape = [None, *graph.input_shape]
    return {"class_name": "InputLayer", "name": INPUT, "inbound_nodes": [],
            "config": {"name": INPUT, "batch_input_shape": shape, "dtype": "float32"}}  # fmt: skip


def _entry(layer: Layer, keras3: bool) -> dict[str, Any]:
    names = {} if keras3 else RENAMED.get(type(layer), {})
    options = {names.get(key, key): value for key, value in layer.config().items()}
    if options.get("activation") == "hard_sigmoid_keras2":
        options["activation"] = "hard_sigmoid"
    return {"class_name": type(layer).__name__, "name": layer.name, "inbound_nodes": [],
            "config": options | {"trainable": True, "dtype": "float32"}}  # fmt: skip


def _call2(sources: list[tuple[str, int]]) -> list[Any]:
    return [[name, call, 0, {}] for name, call in sources]


def _call3(
    sources: list[tuple[str, int]], shapes: list[tuple[int, ...]], merges: bool
) -> dict[str, Any]:
    tensors = [
        {"class_name": "__keras_tensor__",
         "config": {"shape": [None, *shape], "dtype": "float32", "keras_history": [*source, 0]}}
        for source, shape in zip(sources, shapes, strict=True)
    ]  # fmt: skip
    return {"args": [tensors] if merges else tensors, "kwargs": {}}
