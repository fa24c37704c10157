"""Probabilities for networks that end in raw scores (logits), as most of PyTorch's do.

A verdict compares probabilities. What ends in a product of matrices, a sum or a mean gives none, so
a softmax, or for a single score a sigmoid, is put behind it, and the command says so.
"""

from __future__ import annotations

from typing import Literal

from tinycnn.errors import ConversionError
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Graph, Node

Choice = Literal["softmax", "sigmoid", "none"]

SHAPES = (nn.Flatten, nn.Reshape, nn.Identity)  # Identity: dropout and its kin as well
OPEN = (
    *(nn.Conv2D, nn.DepthwiseConv2D, nn.Dense, nn.BatchNormalization, nn.Rescaling, nn.Add),
    *(nn.GlobalAveragePooling2D, nn.GlobalMaxPooling2D, nn.AveragePooling2D, nn.Activation),
)


def ends_in_logits(graph: Graph) -> bool:
    """Whether the last layer that computes anything leaves any real number possible."""
    nodes = {node.name: node for node in graph.nodes}
    node = graph.nodes[-1]
    while isinstance(node.layer, SHAPES) and node.inputs[0] in nodes:
        node = nodes[node.inputs[0]]
    activation = getattr(node.layer, "activation", "linear")
    return isinstance(node.layer, OPEN) and activation in ("linear", "log_softmax")


def with_probabilities(graph: Graph, choice: Choice | None) -> tuple[Graph, str]:
    """Put an activation behind the output if asked, or if it gives logits; and say what."""
    found = choice
    if choice is None:
        found = "none"
        if ends_in_logits(graph):
            found = "sigmoid" if graph.output_shape == (1,) else "softmax"
    if found in (None, "none"):
        return graph, ""
    if not ends_in_logits(graph):
        raise ConversionError(f"--activation {found}: the network ends in probabilities already")
    names = {node.name for node in graph.nodes} | {node.layer.name for node in graph.nodes}
    name = next(n for i in range(len(names) + 1) if (n := f"{found}{i or ''}") not in names)
    node = Node(name, nn.Activation(found, name=name), (graph.output,))
    said = "" if choice else (
        f"assumed: the network ends in raw scores, so a {found} is put behind it; "
        "--activation none leaves that away"
    )  # fmt: skip
    return Graph(graph.input_shape, (*graph.nodes, node)), said
