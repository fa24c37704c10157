"""A failing network made smaller for as long as it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Graph = dict[str, Any]  # as `Graph.to_json` gives it
PLAINEST = {"activation": "linear", "padding": "valid", "interpolation": "nearest"}


def shrink(graph: Graph, fails: Callable[[Graph], bool], most: int = 600) -> Graph:
    """The smallest network that ``fails``, by ``most`` tries of one change after the other."""
    tries, found = 0, True
    while found and tries < most:
        found = False
        for candidate in smaller(graph):
            tries += 1
            if fails(candidate):
                graph, found = candidate, True
                break
            if tries >= most:
                break
    return graph


def smaller(graph: Graph) -> Iterator[Graph]:
    """Networks with one thing less, valid or not; what takes most away comes first."""
    nodes = graph["nodes"]
    for end in range(1, len(nodes)):
        yield graph | {"nodes": nodes[:end]}
    for i in reversed(range(len(nodes))):
        for source in dict.fromkeys(nodes[i]["inputs"]):
            yield graph | {"nodes": without(nodes, i, source)}
    for i, node in enumerate(nodes):
        for k in range(len(node["inputs"]) if len(node["inputs"]) > 1 else 0):
            fewer = node["inputs"][:k] + node["inputs"][k + 1 :]
            yield with_node(graph, i, node | {"inputs": fewer})
    for shape in less(graph["input_shape"]):
        yield graph | {"input_shape": shape}
    for i, node in enumerate(nodes):
        for config in simpler(node["config"]):
            yield with_node(graph, i, node | {"config": config})


def without(nodes: list[Any], i: int, source: str) -> list[Any]:
    """The nodes but one, whose readers read ``source`` instead."""
    gone = nodes[i]["name"]
    return [
        node | {"inputs": [source if name == gone else name for name in node["inputs"]]}
        for node in [*nodes[:i], *nodes[i + 1 :]]
    ]


def with_node(graph: Graph, i: int, node: Any) -> Graph:
    """The network with another node at place ``i``."""
    return graph | {"nodes": [*graph["nodes"][:i], node, *graph["nodes"][i + 1 :]]}


def simpler(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The configuration of a layer with one option changed to a plainer value."""
    for key, value in config.items():
        if key == "name":
            continue
        if key in PLAINEST and value != PLAINEST[key]:
            yield config | {key: PLAINEST[key]}
        for plainer in less(value):
            yield config | {key: plainer}


def less(value: Any) -> Iterator[Any]:
    """Smaller ints, also within tuples; False for True."""
    if value is True:
        yield False
    elif isinstance(value, int):
        yield from sorted({n for n in (0, 1, value // 2, value - 1) if 0 <= n < value})
    elif isinstance(value, list | tuple):
        for i, each in enumerate(value):
            for plainer in less(each):
                yield [*value[:i], plainer, *value[i + 1 :]]


def told(graph: Graph) -> str:
    """One line for each layer: class, options that are not the class's own, inputs."""
    from tinycnn.nn.graph import Graph as Network

    lines = [f"input {tuple(graph['input_shape'])}"]
    for node in Network.from_json(graph).nodes:
        options = ", ".join(f"{k}={v!r}" for k, v in node.layer.config().items() if k != "name")
        shared = "" if node.layer.name == node.name else f" = {node.layer.name}"
        kind = type(node.layer).__name__
        lines.append(f"{node.name}{shared}: {kind}({options}) <- {', '.join(node.inputs)}")
    return "\n".join(lines)
