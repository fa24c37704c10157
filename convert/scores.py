"""Probabilities for networks that end in raw scores (logits), as most of PyTorch's do.

A verdict compares probabilities. What ends in a product of matrices, a sum or a mean gives none, so
a softmax, or for a single score a sigmoid, is put behind it, and the command says so. A file of
weights does not tell what was behind them: there the option, or else ours, is what the network ends
in.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from tinycnn.errors import ConversionError
from tinycnn.nn import layers as nn
from tinycnn.nn.endings import activation_of, last_layer
from tinycnn.nn.graph import Graph, Node

Choice = Literal["softmax", "sigmoid", "none"]

OPEN = (
    *(nn.Conv2D, nn.DepthwiseConv2D, nn.Dense, nn.BatchNormalization, nn.Rescaling, nn.Add),
    *(nn.GlobalAveragePooling2D, nn.GlobalMaxPooling2D, nn.AveragePooling2D, nn.Activation),
)


def ends_in_logits(graph: Graph) -> bool:
    """Whether the last layer that computes anything leaves any real number possible."""
    node = last_layer(graph)
    return isinstance(node.layer, OPEN) and activation_of(node) in ("", "linear", "log_softmax")


def ended_in(graph: Graph, choice: Choice | None) -> Graph:
    """Return one of our architectures with the activation that is asked for at its end."""
    last = last_layer(graph)
    if choice is None or activation_of(last) not in ("softmax", "sigmoid"):
        return graph
    _check(graph, choice)
    layer = replace(last.layer, activation="linear" if choice == "none" else choice)  # type: ignore[call-arg]
    nodes = (replace(node, layer=layer) if node is last else node for node in graph.nodes)
    return Graph(graph.input_shape, tuple(nodes))


def _check(graph: Graph, choice: Choice) -> None:
    if choice == "softmax" and graph.output_shape[-1:] == (1,):
        raise ConversionError("--activation softmax: of a single score it is always 1")


def with_probabilities(graph: Graph, choice: Choice | None) -> tuple[Graph, str]:
    """Put an activation behind the output if asked, or if it gives logits; and say what."""
    found = choice
    if choice is None:
        found = "none"
        if ends_in_logits(graph):
            found = "sigmoid" if graph.output_shape == (1,) else "softmax"
    if found in (None, "none") or found == activation_of(last_layer(graph)):
        return graph, ""
    if not ends_in_logits(graph):
        raise ConversionError(f"--activation {found}: the network ends in probabilities already")
    _check(graph, found)
    names = {node.name for node in graph.nodes} | {node.layer.name for node in graph.nodes}
    name = next(n for i in range(len(names) + 1) if (n := f"{found}{i or ''}") not in names)
    node = Node(name, nn.Activation(found, name=name), (graph.output,))
    said = "" if choice else (
        f"assumed: the network ends in raw scores, so a {found} is put behind it; "
        "--activation none leaves that away"
    )  # fmt: skip
    return Graph(graph.input_shape, (*graph.nodes, node)), said
