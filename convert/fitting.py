"""Which of our architectures a file of weights alone belongs to: a hint, by names and shapes."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from tinycnn.errors import TinycnnError
from tinycnn.nn.architectures import ARCHITECTURES, build
from tinycnn.nn.graph import Graph
from tinycnn.nn.types import Shape

from . import keras

ALPHAS = (1.0, 0.25, 0.35, 0.5, 0.75, 1.3, 1.4)
SIZES = (224, 32, 64, 96, 128, 160, 192, 320)  # only networks with Flatten depend on it
MAX_CLASSES = 6  # numbers of classes that are tried


def fitting(opened: keras.Opened) -> tuple[str, ...]:
    """Options of ``tinycnn convert`` under which the file's weights fit, for each architecture."""
    shapes = [a.shape for group in opened.root.walk() for a in group.arrays.values() if a.ndim]
    total = sum(map(prod, shapes))
    found = []
    for name in ARCHITECTURES:
        fits = (options for options, graph in _candidates(name, shapes)
                if graph.parameters == total and _matches(opened, graph))  # fmt: skip
        if (options := next(fits, None)) is not None:
            found.append(options)
    return tuple(found)


def _candidates(name: str, shapes: list[Shape]) -> Iterator[tuple[str, Graph]]:
    """Networks of one architecture that the file's shapes make possible."""
    channels = {s[2] for s in shapes if len(s) == 4 and s[2] in (1, 3)} or {1, 3}
    ends = {s[-1] for s in shapes if len(s) == 2} or {s[-1] for s in shapes if len(s) == 4}
    for classes in sorted(ends)[:MAX_CLASSES]:
        for alpha in ALPHAS:
            for channel in sorted(channels):
                for size in SIZES:
                    try:
                        graph = build(name, (size, size, channel), classes, alpha)
                    except TinycnnError:
                        break  # this alpha, or none but 1, is not for this network
                    yield _options(name, graph, classes, alpha), graph
                    if not any(type(node.layer).__name__ == "Flatten" for node in graph.nodes):
                        break


def _options(name: str, graph: Graph, classes: int, alpha: float) -> str:
    size = "x".join(map(str, graph.input_shape))
    width = f" --alpha {alpha:g}" if alpha != 1 else ""
    return f"--architecture {name}{width} --input {size} --classes {classes}"


def _matches(opened: keras.Opened, graph: Graph) -> bool:
    try:
        keras.weights_alone(opened, graph)
    except TinycnnError:
        return False
    return True
