"""The order of a functional model's layers in Keras, in which files without names store them.

By depth, the longest way to the output, and within one depth as a search from the output meets
them. Source: ``map_graph`` in keras/src/ops/function.py, the same since Keras 1. A sequential model
is a chain, whose order this is, too.
"""

from __future__ import annotations

from tinycnn.nn.graph import Graph, Node


def keras_order(graph: Graph) -> list[Node]:
    """Return the nodes as ``model.layers`` has their layers, if Keras had built the network."""
    depths, met = _depths(graph), _met(graph)
    known = [node for node in graph.nodes if node.name in met]
    return sorted(known, key=lambda node: (-depths[node.name], met[node.name]))


def _depths(graph: Graph) -> dict[str, int]:
    """Length of the longest way from each node to the output."""
    depths: dict[str, int] = {}
    for node in reversed(graph.nodes):
        depth = depths.setdefault(node.name, 0)
        for source in node.inputs:
            depths[source] = max(depths.get(source, 0), depth + 1)
    return depths


def _met(graph: Graph) -> dict[str, int]:
    """Number of each node in a search that goes from the output up, first inputs first."""
    nodes = {node.name: node for node in graph.nodes}
    met: dict[str, int] = {}
    todo = [graph.output]
    while todo:
        name = todo.pop()
        if name in nodes and name not in met:
            met[name] = len(met)
            todo += reversed(nodes[name].inputs)
    return met
