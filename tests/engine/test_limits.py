"""What the engine makes of options is limited too: index tables, padded tables, constants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tinycnn.engine import lower, plan, planner
from tinycnn.engine.ops import Net
from tinycnn.errors import BackendError
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Sequential


@pytest.mark.parametrize(
    "layer",
    [nn.UpSampling2D(4), nn.Resizing(64, 64), nn.Permute((2, 1, 3)), nn.PReLU((1,)),
     nn.LayerNormalization((1, 2, 3), scale=False, center=False), nn.Cropping2D(0)],
)  # fmt: skip
def test_tables_of_many_layers(layer, monkeypatch):
    """Each is small enough for itself; ten are made, and not a thousand."""
    graph = Sequential([layer, *[nn.Permute((2, 1, 3)), nn.Permute((2, 1, 3))] * 20], (16, 16, 2))
    weights = {n: np.ones(s, np.float32) for n, s in graph.weight_shapes.items()}
    lower.lower_graph(graph, weights)
    monkeypatch.setattr(lower, "MAX_CONSTANTS", 20_000)
    with pytest.raises(BackendError, match="take over"):
        lower.lower_graph(graph, weights)


def test_tables_of_paddings(monkeypatch):
    graph = Sequential([nn.ZeroPadding2D(1) for _ in range(10)], (16, 16, 2))
    net = lower.lower_graph(graph, {})
    monkeypatch.setattr(planner, "MAX_CONSTANTS", 20_000)
    with pytest.raises(BackendError, match="constants take over"):
        plan.plan(net)


def test_shared_weights_count_once(monkeypatch):
    dense = nn.Dense(50)
    graph = Sequential([dense] * 20, (50,))
    weights = {n: np.ones(s, np.float32) for n, s in graph.weight_shapes.items()}
    monkeypatch.setattr(lower, "MAX_CONSTANTS", 20_000)
    lower.lower_graph(graph, weights)


def test_two_operations_with_one_name():
    """The place of the smaller one would be overrun by the larger one."""
    graph = Sequential([nn.Activation("tanh"), nn.UpSampling2D(4)], (4, 4, 1))
    first, second = lower.lower_graph(graph, {}).ops
    with pytest.raises(BackendError, match="two operations write"):
        plan.plan(Net((4, 4, 1), (first, replace(second, output=first.output)), first.output))
    with pytest.raises(BackendError, match="two operations write 'input'"):
        plan.plan(Net((4, 4, 1), (replace(first, output="input"),), "input"))
