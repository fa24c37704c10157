"""The parity check of a conversion names the layer that is wrong, whatever differs behind it."""

import numpy as np
import pytest
from tinycnn.convert import parity, parts

from tinycnn.benchmarks.networks import random_weights
from tinycnn.engine import session
from tinycnn.errors import ConversionError
from tinycnn.nn import layers as nn
from tinycnn.nn.architectures import build
from tinycnn.nn.graph import Input, Sequential, from_tensors
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.selftest import image_like


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
    assert parts.first_that_differs(graph, lambda part: part.output in wrong).name == name


def test_it_asks_about_few_parts_of_a_deep_network():
    graph, asked = build("densenet121", (64, 64, 1), 2), []
    wrong = after(graph, "conv4_block3_1_relu")

    def differs(part):
        asked.append(part.output)
        return part.output in wrong

    assert parts.first_that_differs(graph, differs).name == "conv4_block3_1_relu"
    assert len(asked) == len(set(asked)) < 14


def test_a_part_holds_what_it_needs_and_no_more():
    part = parts.part_until(branching(), "b")
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
            long = False

            def run(self, batch, watch=None):
                return honest(batch) * 1.01

        return kind, Wrong()

    model = Model(graph, weights, Preprocessing("grayscale"))
    assert [d.backend for d in parity.check_parity(model)]
    monkeypatch.setattr(session, "_start", broken)
    words = r"differs by .* where rounding explains .* at layer 'sum' \(Add\).*please report it"
    with pytest.raises(ConversionError, match=words):
        list(parity.check_parity(model))


@pytest.mark.parametrize(
    "end",
    [
        [nn.Dense(3, activation="softmax", name="end")],
        [nn.Dense(3, name="end"), nn.Activation("softmax")],
        [nn.Dense(3, name="end"), nn.Softmax()],
        [nn.Dense(3, activation="softmax", name="end"), nn.Reshape((1, 3)), nn.Flatten()],
        [nn.Dense(1, activation="sigmoid", name="end")],
    ],
)
def test_scores_are_also_compared_before_their_activation(end):
    graph = Sequential([nn.Flatten(), *end], (4, 4, 1))
    weights = random_weights(graph, np.random.default_rng(1))
    x = np.random.default_rng(2).random((1, 4, 4, 1), np.float32)
    scores, logits, *_ = parity.compared(graph, weights, [x])
    assert scores.graph == graph
    expected = x.reshape(1, -1) @ weights["end/kernel"] + weights["end/bias"]
    np.testing.assert_allclose(logits.right[0].value, expected[0], rtol=1e-5)
    np.testing.assert_array_equal(logits.graph.forward(x, weights), expected)


def test_what_ends_in_no_probabilities_is_compared_as_it_is():
    graph = branching()
    model = Model(
        graph, random_weights(graph, np.random.default_rng(1)), Preprocessing("grayscale")
    )
    assert parts.split_scores(graph) == (graph, None)
    scores, *_ = parity.compared(graph, model.weights, [image(model)])
    assert scores.graph.output == "end"


def image(model):
    return image_like(model.input_shape, 1, model.preprocessing)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Softmax()],  # of the input
        [nn.Flatten(), nn.Dropout(0.5)],
        [nn.Dense(2, activation="softmax", name="logits")],  # the name is taken
    ],
)
def test_what_cannot_be_split_stays_whole(layers):
    graph = Sequential(layers, (1, 1, 2))
    assert parts.split_scores(graph) == (graph, None)


def test_a_layer_that_another_node_shares_stays_whole():
    x, shared = Input((1, 1, 2)), nn.Dense(2, activation="softmax", name="shared")
    graph = from_tensors(x, shared(shared(x)))
    assert parts.split_scores(graph) == (graph, None)


def test_what_the_scores_do_not_show_is_found_on_the_way(monkeypatch):
    """What a ReLU hides changes no score, and the kernel is wrong all the same."""
    layers = [nn.Conv2D(3, 3, name="a"), nn.Rescaling(1.0, -1e4), nn.ReLU(), nn.Flatten()]
    graph = Sequential([*layers, nn.Dense(2, name="end")], (8, 8, 1))
    weights = random_weights(graph, np.random.default_rng(1))
    model, predict = Model(graph, weights, Preprocessing("grayscale")), session.Session.predict

    def wrong(self, x):
        y = predict(self, x)
        return y * np.float32(1.001) if self.model.graph.output == "a" else y

    assert list(parity.check_parity(model))
    monkeypatch.setattr(session.Session, "predict", wrong)
    with pytest.raises(ConversionError, match=r"first at layer 'a' \(Conv2D\)"):
        list(parity.check_parity(model))


def test_many_values_are_compared_by_some_of_every_row_and_channel():
    value = np.zeros((1, 112, 112, 96), np.float32)
    for place in (np.s_[:, 57], np.s_[:, :, 3], np.s_[..., 95], np.s_[0, 111]):
        wrong = value.copy()
        wrong[place] = 1
        assert parity.spread(wrong).any()
    assert len(parity.spread(value)) == parity.VALUES


def one_logit(size):
    """A score whose logit is a millionth of the summands it is the difference of."""
    graph = Sequential([nn.GlobalAveragePooling2D(), nn.Dense(1, name="end")], (32, 32, 1))
    kernel = np.array([[size]], np.float32)
    model = Model(graph, {"end/kernel": kernel, "end/bias": np.zeros(1, np.float32)},
                  Preprocessing("grayscale", scale=1 / 255))  # fmt: skip
    mean = image_like(model.input_shape, 2, model.preprocessing).mean(dtype=np.float64)
    model.weights["end/bias"][0] = -float(kernel[0, 0]) * mean * (1 - 1e-6)
    return model


def test_a_logit_near_zero_is_no_reason_to_refuse():
    lines = list(parity.check_parity(one_logit(3.0)))
    assert [line.backend for line in lines if not line.reason] == ["numba"]
    assert lines[0].largest <= lines[0].allowed < 1e-4


def test_scores_that_rounding_changes_are_told():
    x = Input((8, 8, 1))
    y = nn.GlobalAveragePooling2D()(x)
    graph = from_tensors(x, nn.Dense(1, activation="sigmoid", name="end")(y))
    weights = {"end/kernel": np.full((1, 1), 1e6, np.float32), "end/bias": np.zeros(1, np.float32)}
    model = Model(graph, weights, Preprocessing("grayscale", scale=1 / 255))
    mean = image(model).mean(dtype=np.float64)
    weights["end/bias"][0] = -1e6 * mean
    (scores, *_) = parity.compared(graph, model.weights, [image(model)])
    (line,) = parity.caveat(scores)
    assert str(line).startswith("float32: rounding alone may change this network's scores by 0.")
    model = one_logit(3.0)
    (scores, *_) = parity.compared(model.graph, model.weights, [image(model)])
    assert list(parity.caveat(scores)) == []
