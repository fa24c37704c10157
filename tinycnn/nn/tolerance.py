"""How far from the exact result a right program may be: what float32 can do for a network.

A fixed share of the largest output is wrong both ways: how much one rounding on the way changes the
scores differs between networks by a factor of 10,000. So a network is computed once in float64, and
a few times in float32 with every number on the way changed at random by what the rounding of a sum
or of a function may change it (stochastic arithmetic: Vignes 1993), `MULTIPLE` times as much. What
that changes in the result, a right program may change. docs/decisions/015-tolerance.md has the
measurements behind the constants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import inf, isfinite, nan, sqrt
from typing import Any, NamedTuple

import numpy as np

from tinycnn.lightclass import dataclass
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Graph, Node
from tinycnn.nn.roundings import MEANS, MOVING, PRODUCTS, added_in_turn, counts, roundings
from tinycnn.nn.selftest import difference
from tinycnn.nn.types import Array, Weights

RUNS = 6  # in one alone, a network with one score may by chance show nearly nothing
MULTIPLE = 4.0
OWN = 4.0  # times the reference's own error
FLOOR = 4.0  # roundings of the largest value, and of the last sum's operands
SMALL = 0.1  # a change of logits for which a tangent stands for the curve of a score
CURVES = ("softmax", "sigmoid")
PASSED = (*PRODUCTS, *MEANS, *MOVING, nn.Activation, nn.Softmax)

Compute = Callable[[Node, Any, Weights], Array]
Pick = Callable[[Array], Any]


class Arithmetic(NamedTuple):
    """A type of numbers: largest relative error of a rounding, largest absolute one near 0, and of
    how many numbers a sum shows in its error; a half-precision sum is one in float32, rounded once.
    """

    unit: float
    smallest: float
    longest: float = inf
    shortest: int = 0

    def terms(self, count: int) -> float:
        """Of how many numbers the rounding shows in a sum of ``count``."""
        return max(min(count, self.longest), self.shortest)


FLOAT32 = Arithmetic(2.0**-24, 2.0**-126)
ARITHMETIC = {
    "float32": FLOAT32,
    "float16": Arithmetic(2.0**-11, 2.0**-25, longest=4, shortest=1),
    "bfloat16": Arithmetic(2.0**-8, 2.0**-126, longest=4, shortest=1),
}
HALVES = frozenset({"float16", "bfloat16"})


@dataclass(frozen=True, eq=False)
class Exact:
    """What float64 gives at one place, and by how much any value of a right program may differ.

    ``allowed`` is absolute; NaN where float32 gives no number.
    """

    value: Array
    allowed: float

    def admits(self, found: Any) -> bool:
        """Whether ``found`` is as near as allowed."""
        return difference(found, self.value) <= self.allowed  # nothing is <= NaN


def measure(
    graph: Graph, weights: Weights, x: Array, watched: Mapping[str, Pick], runs: int = RUNS
) -> dict[str, Exact]:
    """Find what is right at the nodes ``watched`` for x (N, H, W, C) float32, and what is allowed.

    ``watched``: node name -> what of its output is compared, as a function of the output. Takes a
    pass in float64, and 1 + ``runs`` in float32.
    """
    floors = _Floors(graph, watched)
    right = _pass(graph, weights, x.astype(np.float64), watched, floors.compute)
    own = _pass(graph, weights, x, watched)
    coarse = partial(rounded, Noise(), counts(graph))
    others = [_pass(graph, weights, x, watched, coarse) for _ in range(runs)]
    return {
        name: Exact(value, _allowed(value, own[name], [o[name] for o in others], floors.of(name)))
        for name, value in right.items()
    }


def of_layer(
    node: Node,
    arguments: Any,
    weights: Weights,
    kind: str,
    stored: str = "float32",
    runs: int = RUNS,
) -> Exact:
    """Find what is right for one call of a layer, computed in the type ``kind``, as `measure` does.

    ``stored``: the type that the weights were rounded to.
    """
    arithmetic = ARITHMETIC.get(kind, FLOAT32)
    of_weights, merges = max(arithmetic, ARITHMETIC[stored]), node.layer.merges
    count = roundings(node.layer, _shapes(arguments))
    exact = [a.astype(np.float64) for a in arguments] if merges else arguments.astype(np.float64)
    with np.errstate(all="ignore"):
        value = node.layer.forward(exact, weights)
        own = node.layer.forward(arguments, weights)
        coarse = partial(rounded, Noise(), {node.name: count})
        others = [coarse(node, arguments, weights, arithmetic, of_weights) for _ in range(runs)]
    nothing = arithmetic.smallest * sqrt(max(count, 1))
    floor = arithmetic.unit * float(np.abs(value).max()) + nothing
    return Exact(value, _allowed(value, own, others, FLOOR * floor))


def _allowed(value: Array, own: Array, others: list[Array], floor: float) -> float:
    """Infinity in a run is no error, but the end of what float32 holds; in the reference it is."""
    changed = [difference(other, value) for other in others]
    allowed = max([OWN * difference(own, value), *filter(isfinite, changed)]) + floor
    return allowed if isfinite(allowed) else nan


def _pass(
    graph: Graph,
    weights: Weights,
    x: Array,
    watched: Mapping[str, Pick],
    compute: Compute | None = None,
) -> dict[str, Any]:
    kept: dict[str, Any] = {}

    def keep(name: str, value: Array) -> None:
        if name in watched:
            kept[name] = np.array(watched[name](value))

    graph.forward(x, weights, keep, compute)
    return kept


def _shapes(arguments: Any) -> Any:
    return [a.shape[1:] for a in arguments] if isinstance(arguments, list) else arguments.shape[1:]


def rounded(
    noise: Noise,
    counted: Mapping[str, int],
    node: Node,
    arguments: Any,
    weights: Weights,
    arithmetic: Arithmetic = FLOAT32,
    of_weights: Arithmetic = FLOAT32,
) -> Array:
    """Compute a node with inputs, weights and output changed, `MULTIPLE` times as by rounding.

    The error of a sum of n products, in whatever order, is some sqrt(n) units of the products
    (Higham and Mary 2019), and where none is negative, of the sum: inputs and output are changed by
    so much. A weight is changed by one rounding, since batch normalisation becomes part of it:
    that error is the same for all pixels, and no mean lessens it. ``counted``: node -> how many
    numbers are added up for its result (`counts`).
    """
    layer = node.layer
    inside, result = (
        MULTIPLE * arithmetic.unit * sqrt(arithmetic.terms(count))
        for count in (roundings(layer, _shapes(arguments)), counted[node.name])
    )
    if not inside:
        return layer.forward(arguments, weights)
    own = {name: _other_weight(noise, of_weights, w) for name, w in weights.items()}
    changed = partial(noise.multiplied, inside)
    given = [changed(a) for a in arguments] if layer.merges else changed(arguments)
    value = layer.forward(given, own)
    if isinstance(layer, MEANS):  # which take one input
        value = value + np.float32(OWN) * (added_in_turn(layer, given) - value)  # type: ignore[arg-type]
    return noise.multiplied(result, value)


def _other_weight(noise: Noise, arithmetic: Arithmetic, value: Array) -> Array:
    """Change weights as one rounding does, `MULTIPLE` times as much: half-precision has a step."""
    changed = noise.multiplied(MULTIPLE * arithmetic.unit, value)
    if arithmetic.smallest > FLOAT32.smallest:
        step = np.full_like(changed, MULTIPLE * arithmetic.smallest)
        changed += noise.multiplied(1.0, step) - step
    return changed


class Noise:
    """Random numbers, even in [-1, 1), the same ones for ever.

    They repeat after `PERIOD`, from another place for each array: to draw every number anew takes
    twice the time of the layers.
    """

    PERIOD = 262_139  # a prime: no row or channel meets its own number again

    def __init__(self) -> None:
        self.random = np.random.default_rng(1)
        numbers = 2 * self.random.random(self.PERIOD, np.float32) - 1
        self.numbers = np.concatenate([numbers, numbers])

    def multiplied(self, amplitude: float, value: Array) -> Array:
        """Multiply each number by one of its own, from 1 - ``amplitude`` to 1 + ``amplitude``."""
        start, period = int(self.random.integers(self.PERIOD)), min(self.PERIOD, value.size)
        factors = self.numbers[start : start + period] * np.float32(amplitude) + np.float32(1)
        flat, result = value.reshape(-1), np.empty(value.size, np.float32)
        for i in range(0, value.size, period):
            part = flat[i : i + period]
            np.multiply(part, factors[: len(part)], out=result[i : i + period])
        return result.reshape(value.shape)


class _Floors:
    """What is allowed in any case: some roundings of the values, and of the last sum's operands."""

    def __init__(self, graph: Graph, watched: Mapping[str, Pick]) -> None:
        self.sums = {name: last_sum(graph, name) for name in watched}
        self.operands: dict[str, float] = {}
        self.values: dict[str, tuple[float, float]] = {}  # the largest |y|, and |y (1 - y)|

    def compute(self, node: Node, arguments: Any, weights: Weights) -> Array:
        """Compute a node as usual, and see how large what it adds up is."""
        value = node.layer.forward(arguments, weights)
        if node.name in self.sums:
            steepest = float(np.abs(value * (1 - value)).max())
            self.values[node.name] = float(np.abs(value).max()), steepest
        if any(node.name == name for name, _ in self.sums.values()):
            linear: Any = replace(node.layer, activation="linear")  # type: ignore[call-arg]
            sizes = {name: np.abs(weight) for name, weight in weights.items()}
            self.operands[node.name] = float(linear.forward(np.abs(arguments), sizes).max())
        return value

    def of(self, name: str) -> float:
        """Give the floor of what is allowed at a node that is watched."""
        (source, curved), (largest, steepest) = self.sums[name], self.values[name]
        in_sum = FLOOR * FLOAT32.unit * self.operands.get(source, 0.0)
        # A change d of a logit changes p by p (1 - p) d, of all logits by twice that, if small.
        slope = min(2 * steepest, 0.5) if in_sum < SMALL else 0.5
        own = FLOOR * (FLOAT32.unit * largest + FLOAT32.smallest)
        return own + in_sum * (slope if curved else 1.0)


def last_sum(graph: Graph, name: str) -> tuple[str, bool]:
    """Find the last matrix product before a node's output, and whether a score's curve follows it.

    ("", False) if something else than means, a softmax or sigmoid, and moves lies between.
    """
    nodes, curved = {node.name: node for node in graph.nodes}, False
    while name in nodes:
        layer: Any = nodes[name].layer
        kind = (
            "softmax" if isinstance(layer, nn.Softmax) else getattr(layer, "activation", "linear")
        )
        if layer.merges or not isinstance(layer, PASSED) or kind not in (*CURVES, "linear", "relu"):
            break
        curved = curved or kind in CURVES
        if isinstance(layer, PRODUCTS):
            return name, curved
        (name,) = nodes[name].inputs
    return "", False
