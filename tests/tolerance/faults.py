"""Planted faults: one wrong weight, one wrong row of pixels, two channels that changed places.

A fault is planted into the float32 reference, as a wrong kernel would have it; the compiled
backends differ from it by rounding alone. What it does to the exact result tells its kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from tinycnn.convert.parity import Part, spread
from tinycnn.convert.parts import split_scores

from tests.tolerance.networks import Case
from tinycnn.nn.graph import Graph, Node
from tinycnn.nn.selftest import difference
from tinycnn.nn.tolerance import MULTIPLE

KINDS = ("weight", "row", "channels")
EACH = 3  # faults of a kind in a network
NONE = "without effect"  # a value that a ReLU makes 0, or that a maximum leaves out
BELOW = "below rounding"  # it changes all that is compared by less than float32's rounding does
FOUND, MISSED = "found", "missed"


class Fault(NamedTuple):
    """Wrong weights, or a computation that is wrong at one node."""

    weights: dict[str, Any]
    compute: Callable[[Node, Any, Any], Any] | None


def plant(kind: str, case: Case, random: Generator) -> Fault | None:
    """A fault at a random place; None if the network has no such place."""
    if kind == "weight":
        return Fault(_other_weight(case.weights, random), None) if case.weights else None
    axis = 0 if kind == "row" else 2
    shapes = case.graph.shapes
    maps = [node.name for node in case.graph.nodes if len(shapes[node.name]) == 3]
    names = [name for name in maps if shapes[name][axis] > 1]
    if not names:
        return None
    name = names[random.integers(len(names))]
    a, b = random.choice(shapes[name][axis], 2, replace=False)
    change = _wrong_row(int(a), bool(random.integers(2))) if axis == 0 else _swapped(int(a), int(b))

    def compute(node: Node, arguments: Any, weights: Any) -> Any:
        value = node.layer.forward(arguments, weights)
        return change(value.copy()) if node.name == name else value

    return Fault(case.weights, compute)


def _other_weight(weights: dict[str, Any], random: Generator) -> dict[str, Any]:
    """One weight becomes its neighbour, as if packed in a wrong order; a lone one changes sign."""
    name = sorted(weights)[random.integers(len(weights))]
    value = weights[name].copy()
    place = int(random.integers(value.size))
    value.flat[place] = value.flat[place - 1] if value.size > 1 else -value.flat[place]
    return {**weights, name: value}


def _wrong_row(row: int, zero: bool) -> Callable[[Any], Any]:
    def change(value: Any) -> Any:
        value[:, row] = 0 if zero else value[:, row - 1]
        return value

    return change


def _swapped(a: int, b: int) -> Callable[[Any], Any]:
    def change(value: Any) -> Any:
        value[..., [a, b]] = value[..., [b, a]]
        return value

    return change


def judge(case: Case, parts: list[Part], fault: Fault) -> str:
    """Which kind of fault it is, and whether the parity check finds it."""
    graph, _ = split_scores(case.graph)
    effect, found = 0.0, False
    for i, x in enumerate(case.inputs):
        exact, wrong = (_run(graph, parts, fault, x.astype(t)) for t in (np.float64, np.float32))
        for part, of_exact, of_wrong in zip(parts, exact, wrong, strict=True):
            right = part.right[i].value
            changed = difference(of_exact, right)
            # Another order of float64's sums is no effect.
            if changed > 1e-13 * np.abs(right).max():
                effect = max(effect, changed / part.allowed)
            found |= not difference(of_wrong, right) <= part.allowed
    if found:
        return FOUND
    return NONE if not effect else BELOW if effect <= 1 / MULTIPLE else MISSED


def _run(graph: Graph, parts: list[Part], fault: Fault, x: Any) -> list[Any]:
    values = {part.graph.output: None for part in parts}

    def keep(name: str, value: Any) -> None:
        if name in values:
            values[name] = spread(value)

    graph.forward(x, fault.weights, keep, fault.compute)
    return list(values.values())
