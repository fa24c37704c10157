"""What a network's scores are, by the layers that make them: alternatives or independent."""

from __future__ import annotations

from collections.abc import Iterator

from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Graph, Node

SHAPES = (nn.Flatten, nn.Reshape, nn.Identity, nn.Permute)  # Identity: dropout and its kin as well
# What makes of probabilities, each by itself, probabilities again.
KEEPING = (
    *(nn.GlobalAveragePooling2D, nn.GlobalMaxPooling2D, nn.AveragePooling2D, nn.MaxPooling2D),
    *(nn.Average, nn.Maximum, nn.Minimum, nn.Multiply, nn.Concatenate),
)
INDEPENDENT = frozenset({"sigmoid", "hard_sigmoid", "hard_sigmoid_keras2"})


def last_layer(graph: Graph) -> Node:
    """Return the node that computes the scores; what lies behind it only moves them."""
    nodes = {node.name: node for node in graph.nodes}
    node = graph.nodes[-1]
    while isinstance(node.layer, SHAPES) and node.inputs[0] in nodes:
        node = nodes[node.inputs[0]]
    return node


def activation_of(node: Node) -> str:
    """Return the activation in which a layer ends; "" for a layer that has none."""
    if isinstance(node.layer, nn.Softmax):
        return "softmax"
    return str(getattr(node.layer, "activation", ""))


def are_independent(graph: Graph) -> bool:
    """Whether each of several scores is a probability by itself: one label says nothing of another.

    So are sigmoids, also the mean or the product of some, or several side by side.
    """
    return graph.output_shape[-1] > 1 and all(
        activation_of(node) in INDEPENDENT for node in _makers(graph)
    )


def _makers(graph: Graph) -> Iterator[Node]:
    """Yield the nodes that make the scores, above what keeps probabilities what they are."""
    nodes = {node.name: node for node in graph.nodes}
    todo, seen = [graph.output], set[str]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        node = nodes.get(name)
        if node is None:  # the image itself
            yield Node(name, nn.Identity(), ())
        elif isinstance(node.layer, (*SHAPES, *KEEPING)):
            todo += node.inputs
        else:
            yield node
