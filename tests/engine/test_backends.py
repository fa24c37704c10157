"""Every backend equals the reference within 1e-5 of the largest output, in generated cases."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tests.engine import guarded
from tests.engine.cases import CASES, network, random_weights
from tinycnn.engine import caches, native
from tinycnn.engine.lower import lower_graph
from tinycnn.engine.ops import Conv, InvertedResidual, Pool, Winograd
from tinycnn.engine.plan import plan
from tinycnn.engine.program import Execution
from tinycnn.engine.rewrites import REWRITES, rewrite
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Graph, Input, Node, Sequential, from_tensors

SEEDS = range(12)
BACKEND = os.environ.get("TINYCNN_TEST_BACKEND", "numba")  # or "native", as on the emulated Pi


def run(graph: Graph, weights, x, threads=1, without=()):
    net = rewrite(lower_graph(graph, weights), without)
    execution = Execution(plan(net, threads), native.load(BACKEND), threads)
    execution.arena[:] = guarded.POISON
    return execution.run(x)


def assert_close(got, expected, tolerance=1e-5):
    assert got.shape == expected.shape
    assert np.isfinite(expected).all()
    largest = max(np.abs(expected).max(), 1e-3)
    np.testing.assert_allclose(got / largest, expected / largest, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    for seed in SEEDS:
        graph, weights, x = network(CASES[name], seed)
        assert_close(run(graph, weights, x), graph.forward(x, weights))


@pytest.mark.parametrize(
    ("case", "operation"), [("Winograd", Winograd), ("InvertedResidual", InvertedResidual)]
)
def test_cases_are_what_they_say(case, operation, monkeypatch):
    monkeypatch.setattr(caches, "second_level", lambda: caches.MOST)  # a smaller one fuses less
    for seed in SEEDS:
        graph, weights, _ = network(CASES[case], seed)
        assert any(isinstance(op, operation) for op in rewrite(lower_graph(graph, weights)).ops)


@pytest.mark.parametrize("name", CASES)
def test_threads_give_the_same_bits(name):
    for seed in range(3):
        graph, weights, x = network(CASES[name], seed)
        assert (run(graph, weights, x, 1) == run(graph, weights, x, 3)).all()


def every_rewrite() -> Graph:
    """Padding, batch-norm, activations, dropout, residuals: each rewrite has something to do."""
    x = inputs = Input((33, 31, 3))
    x = nn.Rescaling(1 / 2, -1)(x)
    x = nn.BatchNormalization()(x)
    x = nn.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = nn.Conv2D(8, 3, 2, use_bias=False)(x)
    x = nn.BatchNormalization()(x)
    short = x = nn.ReLU(6.0)(x)
    x = nn.ZeroPadding2D(1)(x)
    x = nn.DepthwiseConv2D(3)(x)
    x = nn.BatchNormalization(scale=False)(x)
    x = nn.Activation("relu")(nn.Dropout(0.2)(x))
    x = nn.Conv2DTranspose(8, 3, padding="same")(x)
    x = nn.BatchNormalization()(x)
    short = x = nn.Activation("relu")(nn.Add()([x, short]))
    x = nn.ReLU()(nn.Conv2D(512, 1)(x))  # large enough to be fused
    x = nn.ReLU()(nn.DepthwiseConv2D(3, padding="same")(x))
    x = nn.Add()([nn.Conv2D(8, 1)(x), short])
    x = nn.AveragePooling2D(2)(nn.Conv2D(9, 1)(x))
    x = nn.Flatten()(nn.MaxPooling2D(4)(x))
    x = nn.Dense(7)(x)
    x = nn.Activation("relu")(nn.BatchNormalization()(x))
    return from_tensors(inputs, nn.Dense(2, activation="softmax")(nn.Dropout(0.5)(x)))


@pytest.mark.parametrize("without", [(), *((name,) for name in REWRITES), tuple(REWRITES)])
def test_rewrites_leave_results_alone(without):
    graph = every_rewrite()
    random = np.random.default_rng(1)
    weights = random_weights(graph, random)
    x = random.standard_normal((2, *graph.input_shape)).astype(np.float32)
    assert_close(run(graph, weights, x, without=without), graph.forward(x, weights))


def test_what_leads_nowhere_is_left_out():
    """A merged operation takes its maker's place, which can be before a branch without an end."""
    x = inputs = Input((40, 40, 3))
    x = nn.Conv2D(8, 3, padding="same", name="stem")(x)
    y = nn.ReLU(name="relu")(nn.BatchNormalization(name="norm")(x))
    end = nn.Dense(2, name="end")(nn.Flatten(name="flat")(y))
    whole = from_tensors(inputs, end)
    dead = [nn.Conv2D(256, 1, name="a"), nn.DepthwiseConv2D(3, padding="same", name="b"),
            nn.Conv2D(8, 1, name="c")]  # fmt: skip
    sources = ("stem", "a", "b")
    branch = [Node(n.name, n, (source,)) for n, source in zip(dead, sources, strict=True)]
    for place in range(1, len(whole.nodes)):
        graph = Graph(whole.input_shape, (*whole.nodes[:place], *branch, *whole.nodes[place:]))
        random = np.random.default_rng(place)
        weights = random_weights(graph, random)
        x = random.standard_normal((2, *graph.input_shape)).astype(np.float32)
        assert_close(run(graph, weights, x), graph.forward(x, weights))
        names = {op.output.partition(":")[0] for op in lower_graph(graph, weights).ops}
        assert not names & {"a", "b", "c"}


SAME_LENGTH = ("pool_first", "use_winograd")  # fewer multiplications, as many operations


@pytest.mark.parametrize("name", [name for name in REWRITES if name not in SAME_LENGTH])
def test_every_rewrite_shortens_the_program(name):
    graph = every_rewrite()
    net = lower_graph(graph, random_weights(graph, np.random.default_rng(1)))
    assert len(rewrite(net).ops) < len(rewrite(net, (name,)).ops)


@pytest.mark.parametrize(
    ("activation", "kind", "strides", "swapped"),
    [
        ("linear", nn.AveragePooling2D, 2, True),
        ("relu", nn.AveragePooling2D, 2, False),
        ("linear", nn.MaxPooling2D, 2, False),
        ("linear", nn.AveragePooling2D, 1, False),
    ],
)
def test_only_means_of_linear_convolutions_come_first(activation, kind, strides, swapped):
    layers = [nn.Conv2D(24, 1, activation=activation), kind(2, strides)]
    graph = Sequential(layers, (12, 10, 17))
    net = rewrite(lower_graph(graph, random_weights(graph, np.random.default_rng(1))))
    assert [type(op) for op in net.ops] == ([Pool, Conv] if swapped else [Conv, Pool])


def test_nan_reaches_the_result():
    graph = Sequential(
        [nn.Conv2D(4, 3, activation="relu6"), nn.MaxPooling2D(), nn.Activation("hard_tanh"),
         nn.ReLU(), nn.GlobalMaxPooling2D(), nn.Dense(3)], (8, 8, 2),
    )  # fmt: skip
    weights = random_weights(graph, np.random.default_rng(0))
    x = np.ones((1, 8, 8, 2), np.float32)
    x[0, 4, 4, 0] = np.nan
    assert np.isnan(run(graph, weights, x)).any()
    assert np.isnan(graph.forward(x, weights)).any()


def test_read_only_and_strided_inputs():
    from tinycnn.engine.session import Session
    from tinycnn.nn.model import Model
    from tinycnn.nn.preprocessing import Preprocessing

    graph = Sequential([nn.Conv2D(4, 3), nn.Flatten(), nn.Dense(2)], (6, 6, 1))
    weights = random_weights(graph, np.random.default_rng(0))
    for value in weights.values():
        value.flags.writeable = False
    x = np.random.default_rng(1).standard_normal((4, 6, 6, 2)).astype(np.float32)[::2, ..., :1]
    x.flags.writeable = False
    model = Model(graph, weights, Preprocessing("grayscale"))
    results = [Session(model, backend).predict(x) for backend in (BACKEND, "numpy")]
    assert_close(*results)


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_written_outside_of_its_buffer(name):
    for seed in range(6):
        graph, weights, x = network(CASES[name], seed)
        for threads in (1, 2):
            program, free = guarded.plan_apart(rewrite(lower_graph(graph, weights)), threads)
            execution = Execution(program, native.load(BACKEND), threads)
            execution.arena[:] = guarded.POISON
            constants = execution.program.weights.copy()
            execution.run(x)
            assert (execution.arena[free] == guarded.POISON).all()
            assert (execution.program.weights == constants).all()
