"""The parity check of a conversion: every backend against float64, on image-like inputs.

Compared are the scores, what their softmax or sigmoid is made of (near 0 or 1 scores hide what
differs), and some layers on the way, each as the output of a network that ends there: what is wrong
early may be lost in the scores. How much may differ: `tinycnn.nn.tolerance`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from tinycnn.errors import ConversionError, TinycnnError
from tinycnn.nn.graph import Graph
from tinycnn.nn.model import Model
from tinycnn.nn.selftest import difference, image_like
from tinycnn.nn.tolerance import Exact, measure
from tinycnn.nn.types import Array, Weights

from .parts import first_that_differs, part_until, split_scores

SEEDS = range(2, 5)  # the self-test has seed 1
RUNS = 3  # in float32, of each input; what is allowed is the most of the three
CUTS = 6  # layers on the way
VALUES = 1 << 16  # compared at most of each layer, evenly spread: some of every row and channel
COARSE = 0.01  # of a probability, or of the largest score: more than that deserves a word


@dataclass(frozen=True)
class Difference:
    """Largest difference of one backend's scores to float64, and the most that is allowed.

    ``seconds``: what the reference took, in float64 and to find what is allowed.
    """

    backend: str
    largest: float
    allowed: float = 0.0
    seconds: float | None = None
    reason: str = ""  # instead: why it was not compared

    def __str__(self) -> str:
        """Spell it for people."""
        if self.reason:
            return f"{self.backend}: {self.reason}"
        took = "" if self.seconds is None else f" (float64 reference: {self.seconds:.1f} s)"
        found = f"largest difference {self.largest:.1e}, {self.allowed:.1e} allowed"
        return f"{self.backend}: {found}{took}"


@dataclass(frozen=True)
class Part:
    """A network that ends in what is compared, what is right for each input, what is allowed."""

    graph: Graph
    right: Sequence[Exact]
    allowed: float

    def differences(self, found: Sequence[Array]) -> list[float]:
        """Largest difference for each input."""
        pairs = zip(found, self.right, strict=True)
        return [difference(spread(y), exact.value) for y, exact in pairs]


def check_parity(model: Model) -> Iterator[Difference]:
    """Run each backend but the reference; ConversionError where one computes something else.

    A backend that is not installed is worth a line only if no other one can be compared.
    """
    from tinycnn.engine import libraries
    from tinycnn.engine.session import available_backends

    compiled = {name: why for name, why in available_backends().items() if name != "numpy"}
    if all(compiled.values()):
        reasons = "; ".join(f"{name}: {why}" for name, why in compiled.items())
        yield Difference("compiled backends", 0.0, reason=f"none can run here ({reasons})")
        return
    inputs = [image_like(model.input_shape, seed, model.preprocessing) for seed in SEEDS]
    began = time.monotonic()
    parts = compared(model.graph, model.weights, inputs)
    seconds: float | None = time.monotonic() - began
    for backend, missing in compiled.items():
        if not missing:
            largest, *_ = [_largest(part, model, backend, inputs) for part in parts]
            yield Difference(backend, largest, parts[0].allowed, seconds)
            seconds = None
        elif backend == "native" and not libraries.is_absent():  # there, and it cannot be used
            yield Difference(backend, 0.0, reason=f"cannot run here ({missing})")
    yield from caveat(parts[0])


def compared(whole: Graph, weights: Weights, inputs: Sequence[Array]) -> list[Part]:
    """Find what is compared: the scores, the logits, and some layers on the way."""
    graph, logits = split_scores(whole)
    before = [node.name for node in graph.nodes[:-1]]
    cuts = {before[i] for i in np.linspace(0, len(before) - 1, CUTS).astype(int)} if before else ()
    names = dict.fromkeys([graph.output, *([logits] if logits else []), *sorted(cuts)])
    watched = dict.fromkeys(names, spread)
    found = [measure(graph, weights, x, watched, RUNS) for x in inputs]
    parts = []
    for name in names:
        ends = whole if name == graph.output else part_until(graph, name)
        right = [each[name] for each in found]
        allowed = float(np.max([exact.allowed for exact in right]))  # NaN, if one is
        if not isfinite(allowed) and name in (graph.output, logits):
            raise ConversionError("the model gives NaN or infinity for an image-like input")
        if isfinite(allowed):  # what a sigmoid makes of infinity may be right
            parts.append(Part(ends, right, allowed))
    return parts


def spread(value: Array) -> Array:
    """Pick values of a layer's output: all, or as many as are compared."""
    flat = value.ravel()
    return flat[np.linspace(0, flat.size - 1, min(flat.size, VALUES)).astype(int)]


def caveat(scores: Part) -> Iterator[Difference]:
    """Say so if float32 cannot compute the scores as exactly as someone expects who reads them."""
    _, logits = split_scores(scores.graph)
    largest = max(float(np.abs(exact.value).max()) for exact in scores.right)
    if scores.allowed > COARSE * (1.0 if logits else largest):
        text = (
            f"rounding alone may change this network's scores by {scores.allowed:.2g} (the largest "
            f"is {largest:.2g}), in any program: its weights amplify errors, or cancel each other"
        )
        yield Difference("float32", 0.0, reason=text)


def _largest(part: Part, whole: Model, backend: str, inputs: Sequence[Array]) -> float:
    """Largest difference of a backend; ConversionError names the layer if it is too large."""
    from tinycnn.engine.session import Session

    try:  # without its self-test, which would name no layer
        session = Session(_model(part.graph, whole), backend=backend)
        found = [session.predict(x) for x in inputs]
    except TinycnnError as error:
        raise ConversionError(f"backend {backend}: {error}") from error
    differences = part.differences(found)
    worst = int(np.argmax(differences))
    if (largest := differences[worst]) <= part.allowed:
        return largest
    x = inputs[worst]
    layer = first_that_differs(part.graph, lambda end: _differs(end, whole, x, backend))
    what = (
        f"differs by {largest:.1e} from the reference, where rounding explains {part.allowed:.1e}"
    )
    raise ConversionError(
        f"backend {backend} {what if isfinite(largest) else 'gives NaN or infinity'}, "
        f"first at layer {layer.name!r} ({type(layer.layer).__name__}); "
        "nothing was written. The fault is not the file's: please report it"
    )


def _differs(part: Graph, whole: Model, x: Array, backend: str) -> bool:
    from tinycnn.engine.session import Session

    right = measure(part, whole.weights, x, {part.output: spread}, RUNS)[part.output]
    return not right.admits(spread(Session(_model(part, whole), backend=backend).predict(x)))


def _model(part: Graph, whole: Model) -> Model:
    weights = {name: whole.weights[name] for name in part.weight_shapes}
    return Model(part, weights, whole.preprocessing)
