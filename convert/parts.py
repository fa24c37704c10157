"""Parts of a network: what ends at one layer, what its scores are made of, which layer differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tinycnn.nn.graph import INPUT, Graph, Node
from tinycnn.nn.layers import Activation, Softmax
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.roundings import MOVING

LOGITS = "logits"


def split_scores(graph: Graph) -> tuple[Graph, str | None]:
    """Make a final softmax or sigmoid a node of its own: (graph, name of the node before it).

    The same graph and None where there is no such activation, or nothing before it; where another
    node shares its layer, that cannot be split.
    """
    node = _last_but_moves(graph)
    kind = _kind(node.layer) if node else ""
    if node is None or kind not in ("softmax", "sigmoid"):
        return graph, None
    if isinstance(node.layer, Activation | Softmax):
        return graph, None if node.inputs[0] == INPUT else node.inputs[0]
    layers = [other.layer.name for other in graph.nodes]
    if LOGITS in graph.shapes or layers.count(node.layer.name) > 1:
        return graph, None
    layer: Any = node.layer  # one that has an activation
    linear = Node(LOGITS, replace(layer, activation="linear"), node.inputs)
    scores = Node(node.name, Activation(kind, name=f"{LOGITS} {kind}"), (LOGITS,))
    place = graph.nodes.index(node)
    nodes = (*graph.nodes[:place], linear, scores, *graph.nodes[place + 1 :])
    return Graph(graph.input_shape, nodes), LOGITS


def _last_but_moves(graph: Graph) -> Node | None:
    nodes, name = {node.name: node for node in graph.nodes}, graph.output
    while name != INPUT:
        if not isinstance(nodes[name].layer, MOVING) or nodes[name].layer.merges:
            return nodes[name]
        (name,) = nodes[name].inputs
    return None


def _kind(layer: Layer) -> str:
    return "softmax" if isinstance(layer, Softmax) else getattr(layer, "activation", "")


def first_that_differs(graph: Graph, differs: Callable[[Graph], bool]) -> Node:
    """Find a layer whose output differs though none of its inputs does.

    ``differs`` is asked about parts of the graph that end at one layer; the whole is known to.
    Bisection, then upwards: log2 of the layers' number questions, and one for each input.
    """
    nodes = {node.name: node for node in graph.nodes}
    known: dict[str, bool] = {INPUT: False, graph.output: True}

    def at(name: str) -> bool:
        if name not in known:
            known[name] = differs(part_until(graph, name))
        return known[name]

    right, wrong = -1, len(graph.nodes) - 1
    while wrong - right > 1:
        middle = (right + wrong) // 2
        right, wrong = (right, middle) if at(graph.nodes[middle].name) else (middle, wrong)
    name = graph.nodes[wrong].name
    while (before := next((i for i in nodes[name].inputs if at(i)), None)) is not None:
        name = before
    return nodes[name]


def part_until(graph: Graph, name: str) -> Graph:
    """Cut out the part of a network that ends at the layer ``name``: what it needs, and no more."""
    wanted, nodes = {name}, []
    for node in reversed(graph.nodes):
        if node.name in wanted:
            wanted.update(node.inputs)
            nodes.append(node)
    return Graph(graph.input_shape, tuple(reversed(nodes)))
