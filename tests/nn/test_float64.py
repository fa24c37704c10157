"""Every layer computes in the type of its input: float32 as before, float64 for comparison."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.cases import CASES, network
from tests.nn.models import every_layer
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Graph, Sequential


def types(graph: Graph, weights, x) -> set[np.dtype]:
    found = set()
    graph.forward(x, weights, lambda name, value: found.add(value.dtype))
    return found


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    for seed in range(3):
        graph, weights, x = network(CASES[name], seed)
        assert types(graph, weights, x) == {np.dtype(np.float32)}
        assert types(graph, weights, x.astype(np.float64)) == {np.dtype(np.float64)}
        exact, plain = (graph.forward(v, weights) for v in (x.astype(np.float64), x))
        np.testing.assert_allclose(plain, exact, rtol=0, atol=1e-5 * max(np.abs(exact).max(), 1e-3))


def test_every_class_of_layer():
    model = every_layer()
    x = np.ones((1, *model.input_shape))
    assert types(model.graph, model.weights, x) == {np.dtype(np.float64)}


def test_batch_normalisation_is_not_rounded():
    """In float64 the factor is that of the formula, not its float32."""
    graph = Sequential([nn.BatchNormalization(center=False, scale=False, epsilon=0.0)], (1, 1, 1))
    name = graph.nodes[0].name
    weights = {f"{name}/moving_mean": np.zeros(1, np.float32),
               f"{name}/moving_variance": np.full(1, 3, np.float32)}  # fmt: skip
    assert graph.forward(np.ones((1, 1, 1, 1)), weights).item() == 1 / np.sqrt(3.0)


@pytest.mark.parametrize("kind", [np.float16, np.int32, np.uint8])
def test_other_types_become_float32(kind):
    graph = Sequential([nn.Flatten()], (1, 2, 1))
    assert graph.forward(np.ones((1, 1, 2, 1), kind), {}).dtype == np.float32


def test_a_computation_of_ones_own_takes_the_place_of_the_layers():
    model, seen = every_layer(), []

    def compute(node, arguments, weights):
        seen.append((node.name, set(weights)))
        return node.layer.forward(arguments, weights)

    x = np.ones((1, *model.input_shape), np.float32)
    result = model.graph.forward(x, model.weights, None, compute)
    assert [name for name, _ in seen] == [node.name for node in model.graph.nodes]
    assert dict(seen)["batch_normalization"] == {"gamma", "beta", "moving_mean", "moving_variance"}
    assert np.array_equal(result, model.forward(x))
