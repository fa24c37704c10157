"""How large a network may be: far above any for a small computer, far below trouble.

A model file of 300 bytes can ask for any amount of memory. So every size that follows from one is
checked here, before anything of that size is allocated.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from tinycnn.errors import GraphError
from tinycnn.nn.types import Shape

if TYPE_CHECKING:
    from tinycnn.nn.graph import Graph

MAX_NODES = 4_000  # NASNetLarge has 1,041
MAX_EDGES = 8_000  # inputs of all layers together; NASNetLarge has some 1,500
MAX_NAME = 512
MAX_RANK = 8
MAX_DIMENSION = 1 << 24  # a flattened picture of 224 x 224 x 32 has 1.6 million
MAX_INPUT = 1 << 23  # values: 2896 x 2896, or 1672 x 1672 x 3
MAX_ELEMENTS = 1 << 26  # of one tensor: 256 MiB in float32
MAX_LIVE = 1 << 29  # of all that is needed at one time: VGG19 on 1000 x 1000 takes 0.8 of it
MAX_TOTAL = 1 << 32  # of all tensors, one after the other
MAX_PARAMETERS = 1 << 29
MAX_STEPS = 1 << 40  # nanoseconds, 18 minutes; VGG19 on 1000 x 1000 pixels has 4e11 at most


def check_name(name: str) -> None:
    """GraphError unless ``name`` can name a layer, in messages too."""
    # ":" is for the values that the engine adds between layers.
    if not 0 < len(name) <= MAX_NAME or ":" in name or not name.isprintable():
        raise GraphError(f"layer {name[:MAX_NAME]!r}: not a name for a layer")


def check_shape(name: str, shape: Shape) -> Shape:
    """Return ``shape``; GraphError if it is empty or too large."""
    if not 1 <= len(shape) <= MAX_RANK:
        raise GraphError(f"layer {name!r}: {len(shape)} dimensions; 1 to {MAX_RANK} are possible")
    if any(type(d) is not int or not 1 <= d <= MAX_DIMENSION for d in shape):
        raise GraphError(f"layer {name!r}: shape {shape} is empty or too large")
    if prod(shape) > MAX_ELEMENTS:
        raise GraphError(f"layer {name!r}: shape {shape} has over {MAX_ELEMENTS} elements")
    return shape


def check_edges(graph: Graph) -> None:
    """GraphError if layers have more inputs than any network: each is work for the engine."""
    edges = sum(len(node.inputs) for node in graph.nodes)
    if edges > MAX_EDGES:
        raise GraphError(f"its layers have {edges} inputs together; at most {MAX_EDGES}")


def check_sizes(graph: Graph) -> None:
    """GraphError if the network, whose shapes are sound one by one, is too large as a whole."""
    shapes = graph.shapes  # each is checked on the way
    if prod(graph.input_shape) > MAX_INPUT:
        raise GraphError(f"input {graph.input_shape} has over {MAX_INPUT} values")
    for node in graph.nodes:
        for shape in node.layer.working_shapes(graph.arguments(node, shapes)):
            check_shape(node.name, shape)
    for what, size, limit in (
        ("parameters", graph.parameters, MAX_PARAMETERS),
        ("values", sum(map(prod, shapes.values())), MAX_TOTAL),
        ("values at one time", most_live(graph), MAX_LIVE),
    ):
        if size > limit:
            raise GraphError(f"the network needs {size:.2e} {what}; at most {limit:.2e}")
    if graph.steps > MAX_STEPS:
        # As it is with the most general kernels, which nearly all of such networks need.
        raise GraphError(
            f"the network may take {duration(graph.steps)} for one image; "
            f"at most {duration(MAX_STEPS)} are accepted"
        )


def most_live(graph: Graph) -> int:
    """Largest number of values that `Graph.forward` needs at one time."""
    live = most = prod(graph.input_shape)
    for node in graph.nodes:
        live += prod(graph.shapes[node.name])
        working = node.layer.working_shapes(graph.arguments(node, graph.shapes))
        most = max(most, live + sum(map(prod, working)))
        live -= sum(prod(graph.shapes[name]) for name in graph.done_after[node.name])
    return most


def duration(nanoseconds: int) -> str:
    """Spell a long time in hours, minutes or seconds."""
    seconds = nanoseconds / 1e9
    sizes = {"hours": 3600, "minutes": 60, "seconds": 1}
    unit = next((name for name, size in sizes.items() if seconds >= 2 * size), "seconds")
    return f"{seconds / sizes[unit]:,.0f} {unit}"
