"""A network with weights, an input, and what the reference makes of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.differential import generator
from tests.differential.builder import KB, UnfitError, note_exact
from tests.differential.draw import array
from tests.engine import cases
from tinycnn.errors import GraphError
from tinycnn.nn import layers as nn
from tinycnn.nn import modelfile
from tinycnn.nn.graph import INPUT, Graph, Node

LARGEST = 1e4  # of a value anywhere in a network: beyond, exponentials and products overflow
ATTEMPTS = 50


@dataclass(frozen=True)
class Case:
    """``cache``: bytes of second-level cache that the engine plans for."""

    graph: Graph
    weights: dict[str, Any]
    x: Any
    expected: Any
    cache: int


def from_seed(seed: int, size: str, change: Callable[[Graph], Graph] | None = None) -> Case:
    """The case of a seed: the first attempt whose values stay of sane size.

    ``change``: puts the network right for others who shall compute it; GraphError if it cannot.
    """
    for attempt in range(ATTEMPTS):
        try:
            made = generator.build(seed, size, attempt)
            graph = change(made.graph()) if change else made.graph()
            return from_graph(graph, seed, size, made.cache)
        except (UnfitError, GraphError):
            continue
    raise AssertionError(f"seed {seed}: no network in {ATTEMPTS} attempts")


def from_graph(graph: Graph, seed: int, size: str, cache: int = 256 * KB) -> Case:
    """A network with the weights and the input of a seed."""
    images = 2 if size == "tiny" else 1
    x = array(f"{seed} input", (images, *graph.input_shape), -2.0, 2.0)
    weights, expected = filled(graph, x, seed)
    return Case(graph, weights, x, expected, cache)


def named(name: str, seed: int) -> Case:
    """A case of the table of layers, `tests.engine.cases`."""
    graph, weights, x = cases.network(cases.CASES[name], seed)
    return Case(graph, weights, x, graph.forward(x, weights), 256 * KB)


def from_file(path: Path, seed: int) -> Case:
    """The network of a model file, or of one to convert, on random images."""
    if path.suffix == ".safetensors":
        model: Any = modelfile.load(path)
    else:
        from tinycnn.convert import keras

        model = keras.read(path)
    x = array(f"{seed} input", (2, *model.graph.input_shape), -2.0, 2.0)
    weights = dict(model.weights)
    return Case(model.graph, weights, x, model.graph.forward(x, weights), 1024 * KB)


def filled(graph: Graph, x: Any, seed: int) -> tuple[dict[str, Any], Any]:
    """Weights for which values keep their size from layer to layer, and the reference's result.

    By powers of two, so that a last digit that differs between machines changes nothing.
    """
    values, weights, exact = {INPUT: x}, dict[str, Any](), {INPUT}
    for node in graph.nodes:
        note_exact(node, exact)
        arguments = graph.arguments(node, values)
        if node.layer.weight_shapes(graph.arguments(node, graph.shapes)):
            for name, value in fresh(graph, node, arguments, seed).items():
                weights.setdefault(name, value)  # a shared layer has some already
        with np.errstate(all="ignore"):
            value = node.layer.forward(arguments, graph.node_weights(node, weights))
        if not np.abs(value).max() < LARGEST:  # NaN is not
            raise UnfitError(f"{node.name} is too large")
        values[node.name] = value
        for name in graph.done_after[node.name]:
            del values[name]
    return weights, values[graph.output]


def fresh(graph: Graph, node: Node, x: Any, seed: int) -> dict[str, Any]:
    """Random weights of one layer for an input ``x``."""
    scale = two_to(math.sqrt(float(np.square(x, dtype=np.float64).mean())))
    result = {}
    for short, shape in node.layer.weight_shapes(graph.shapes[node.inputs[0]]).items():
        name = f"{node.layer.name}/{short}"
        value = array(f"{seed} {name}", shape)
        if short == "pointwise_kernel":
            value = value * np.float32(math.sqrt(3 / shape[2]))
        elif "kernel" in short:
            value = value * np.float32(math.sqrt(3 / fan_in(node, shape)) / scale)
        elif "variance" in short:
            value = (value * np.float32(0.5) + 1) * np.float32(scale * scale)
        elif "mean" in short:
            value = value * np.float32(scale)
        elif short == "gamma":
            value = value + np.copysign(np.float32(0.3), value)
        result[name] = value
    return result


def fan_in(node: Node, shape: tuple[int, ...]) -> int:
    """How many products make one output of a layer with a kernel of this shape."""
    if isinstance(node.layer, nn.Conv2DTranspose):
        return max(1, math.prod(shape[:2]) * shape[3] // math.prod(node.layer.strides))
    if isinstance(node.layer, nn.DepthwiseConv2D | nn.SeparableConv2D):
        return math.prod(shape[:2])
    return math.prod(shape[:-1])


def two_to(value: float) -> float:
    """The power of two nearest to a size; 1 for nothing."""
    return 2.0 ** min(max(round(math.log2(value)), -10), 10) if value > 0 else 1.0
