"""The parity check of a conversion names the layer that is wrong, whatever differs behind it."""

import numpy as np
import pytest
from tinycnn.convert import parity

from tinycnn.benchmarks.networks import random_weights
from tinycnn.engine import session
from tinycnn.errors import ConversionError
from tinycnn.nn import layers as nn
from tinycnn.nn.architectures import build
from tinycnn.nn.graph import Input, Sequential, from_tensors
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing


def branching():
    x = Input((8, 8, 1))
    a = nn.Conv2D(3, 3, padding="same", name="a")(x)
    b = nn.ReLU(name="b")(nn.Conv2D(3, 1, name="b_conv")(x))
    y = nn.Flatten(name="flat")(nn.Add(name="sum")([a, b]))
    return from_tensors(x, nn.Dense(2, name="end")(y))


def after(graph, name):
    """Layers that `name` reaches, itself among them."""
    found = {name}
    for node in graph.nodes:
        if found & set(node.inputs):
            found.add(node.name)
    return found


@pytest.mark.parametrize("name", [node.name for node in branching().nodes])
def test_every_layer_is_found(name):
    graph = branching()
    wrong = after(graph, name)
    assert parity.first_that_differs(graph, lambda part: part.output in wrong).name == name


def test_it_asks_about_few_parts_of_a_deep_network():
    graph, asked = build("densenet121", (64, 64, 1), 2), []
    wrong = after(graph, "conv4_block3_1_relu")

    def differs(part):
        asked.append(part.output)
        return part.output in wrong

    assert parity.first_that_differs(graph, differs).name == "conv4_block3_1_relu"
    assert len(asked) == len(set(asked)) < 14


def test_a_part_holds_what_it_needs_and_no_more():
    part = parity.part_until(branching(), "b")
    assert [node.name for node in part.nodes] == ["b_conv", "b"]
    assert part.output_shape == (8, 8, 3)


def test_a_wrong_backend_is_refused_with_the_layer(monkeypatch):
    graph = branching()
    random = np.random.default_rng(3)
    weights = {
        name: random.normal(size=shape).astype(np.float32)
        for name, shape in graph.weight_shapes.items()
    }
    made = session._start

    def broken(model, backend, threads, program):
        kind, runner = made(model, backend, threads, program)
        if "sum" not in model.graph.shapes:
            return kind, runner
        honest = runner.run

        class Wrong:
            def run(self, batch):
                return honest(batch) * 1.01

        return kind, Wrong()

    model = Model(graph, weights, Preprocessing("grayscale"))
    assert [d.backend for d in parity.check_parity(model)]
    monkeypatch.setattr(session, "_start", broken)
    with pytest.raises(ConversionError, match=r"differs by 1.0e-02 .* at layer 'sum' \(Add\)"):
        list(parity.check_parity(model))


@pytest.mark.parametrize(
    "end",
    [
        [nn.Dense(3, activation="softmax", name="end")],
        [nn.Dense(3, name="end"), nn.Activation("softmax")],
        [nn.Dense(1, activation="sigmoid", name="end")],
    ],
)
def test_scores_are_also_compared_before_their_activation(end):
    graph = Sequential([nn.Flatten(), *end], (4, 4, 1))
    weights = random_weights(graph, np.random.default_rng(1))
    model = Model(graph, weights, Preprocessing("grayscale"))
    (part,) = parity.without_scores(model)
    x = np.random.default_rng(2).random((1, 4, 4, 1), np.float32)
    expected = x.reshape(1, -1) @ weights["end/kernel"] + weights["end/bias"]
    np.testing.assert_allclose(part.forward(x), expected, rtol=1e-5)


def test_what_ends_in_no_probabilities_is_compared_as_it_is():
    graph = branching()
    model = Model(
        graph, random_weights(graph, np.random.default_rng(1)), Preprocessing("grayscale")
    )
    assert list(parity.without_scores(model)) == []
