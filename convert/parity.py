"""The parity check of a conversion: every backend against the reference, on image-like inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinycnn.errors import ConversionError, TinycnnError
from tinycnn.nn.graph import INPUT, Graph, Node
from tinycnn.nn.layers import Activation
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.selftest import image_like
from tinycnn.nn.types import Array, Weights

SEEDS = range(2, 5)  # the self-test has seed 1
TOLERANCE = 1e-4  # relative to the largest score


@dataclass(frozen=True)
class Difference:
    """Largest difference of one backend to the reference, relative to the largest score."""

    backend: str
    largest: float
    reason: str = ""  # why it could not run here

    def __str__(self) -> str:
        """Spell it for people."""
        return f"{self.backend}: {self.reason or f'largest difference {self.largest:.1e}'}"


def check_parity(model: Model) -> Iterator[Difference]:
    """Run each backend but the reference; ConversionError where one computes something else.

    A backend that is not installed is worth a line only if no other one proves anything.
    """
    from tinycnn.engine import libraries
    from tinycnn.engine.session import available_backends

    compiled = {name: why for name, why in available_backends().items() if name != "numpy"}
    if all(compiled.values()):
        reasons = "; ".join(f"{name}: {why}" for name, why in compiled.items())
        yield Difference("compiled backends", 0.0, f"none can run here ({reasons})")
        return
    inputs = [image_like(model.input_shape, seed, model.preprocessing) for seed in SEEDS]
    # Scores near 0 or 1 hide what differs before their activation: there it is looked at, too.
    parts = [(part, [part.forward(x) for x in inputs]) for part in (model, *without_scores(model))]
    if not all(np.isfinite(expected).all() for _, expected in parts):
        raise ConversionError("the model gives NaN or infinity for an image-like input")
    for backend, missing in compiled.items():
        if missing:
            if backend == "native" and not libraries.is_absent():  # there, and it cannot be used
                yield Difference(backend, 0.0, f"cannot run here ({missing})")
            continue
        yield Difference(
            backend, max(_largest(part, backend, inputs, expected) for part, expected in parts)
        )


def without_scores(model: Model) -> Iterator[Model]:
    """Give the model without the softmax or sigmoid that makes its scores, if it ends in one."""
    graph, last = model.graph, model.graph.nodes[-1]
    if getattr(last.layer, "activation", None) not in ("softmax", "sigmoid"):
        return
    if isinstance(last.layer, Activation):
        if last.inputs[0] == INPUT:
            return
        part = part_until(graph, last.inputs[0])
    else:
        layer: Any = last.layer  # one that has an activation
        linear = replace(last, layer=replace(layer, activation="linear"))
        part = Graph(graph.input_shape, (*graph.nodes[:-1], linear))
    weights = {name: model.weights[name] for name in part.weight_shapes}
    yield Model(part, weights, model.preprocessing)


def _largest(
    model: Model, backend: str, inputs: Sequence[Array], expected: Sequence[Array]
) -> float:
    """Largest difference of a backend; ConversionError names the layer if it is too large."""
    from tinycnn.engine.session import Session

    try:  # without its self-test, which would name no layer
        session = Session(replace(model, self_test=None), backend=backend)
        found = [session.predict(x) for x in inputs]
    except TinycnnError as error:
        raise ConversionError(f"backend {backend}: {error}") from error
    differences = [relative(*pair) for pair in zip(found, expected, strict=True)]
    worst = int(np.argmax(differences))  # the first NaN, if there is one
    if (largest := differences[worst]) <= TOLERANCE:
        return largest
    x = inputs[worst]
    layer = first_that_differs(model.graph, lambda part: _differs(part, model.weights, x, backend))
    raise ConversionError(
        f"backend {backend} differs by {largest:.1e} from the reference, first at "
        f"layer {layer.name!r} ({type(layer.layer).__name__}); nothing was written: "
        "please report it"
    )


def relative(found: Array, expected: Array) -> float:
    """Largest difference relative to the largest expected value; NaN if one is not finite."""
    if not np.isfinite(found).all() or not np.isfinite(expected).all():
        return float("nan")
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-6))


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


def _differs(part: Graph, weights: Weights, x: Array, backend: str) -> bool:
    from tinycnn.engine.session import Session

    model = Model(part, {name: weights[name] for name in part.weight_shapes}, _any_picture(part))
    difference = relative(Session(model, backend=backend).predict(x), model.forward(x))
    return not difference <= TOLERANCE


def _any_picture(part: Graph) -> Preprocessing:
    """Any preprocessing that fits: the input is prepared already."""
    return Preprocessing("grayscale" if part.input_shape[-1] == 1 else "rgb")
