"""The self-test: what is damaged is named, NaN never passes, the input never changes."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest

from tests.nn.models import every_layer, small
from tinycnn.engine import session
from tinycnn.errors import SelfTestError
from tinycnn.nn import layers as nn
from tinycnn.nn import tolerance
from tinycnn.nn.graph import Sequential
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.selftest import PROBES, SAMPLES, image_like, mersenne_twister, record, replay


def chain() -> Model:
    """Six layers, each of them probed."""
    stack = [nn.Conv2D(3, 3, activation="relu") for _ in range(5)]
    graph = Sequential([*stack, nn.GlobalAveragePooling2D(), nn.Dense(2)], (16, 16, 1))
    random = np.random.default_rng(0)
    weights = {
        name: (random.random(shape) * 0.3 + 0.05).astype(np.float32)
        for name, shape in graph.weight_shapes.items()
    }
    preprocessing = Preprocessing("grayscale", scale=1 / 255)
    return Model(graph, weights, preprocessing, self_test=record(graph, weights, preprocessing))


def play(model: Model, predict=None) -> float:
    assert model.self_test is not None
    return replay(model, predict)


@pytest.mark.parametrize("make", [small, every_layer, chain])
def test_a_sound_model_passes(make):
    model = make()
    assert play(model) == play(model, model.forward) < 1e-6
    assert 0 < model.self_test.allowed < 1e-4 * max(map(abs, model.self_test.expected))
    assert all(len(values) == SAMPLES for values in model.self_test.probes.values())
    assert len(model.self_test.probes) <= PROBES


@pytest.mark.parametrize("layer", ["conv2d", "conv2d_2", "conv2d_4"])
@pytest.mark.parametrize("predict", [False, True])
def test_a_damaged_weight_is_named_by_its_layer(layer, predict):
    model = chain()
    model.weights[f"{layer}/kernel"][1, 1, 0, :] += 0.1
    with pytest.raises(SelfTestError, match=f"layer '{layer}' is the first.*convert it again"):
        play(model, model.forward if predict else None)


def test_a_damaged_last_layer():
    model = chain()
    model.weights["dense/bias"][0] += 0.1
    with pytest.raises(SelfTestError, match="the output differs"):
        play(model)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_never_passes(value):
    model = chain()
    with pytest.raises(SelfTestError, match="backend"):
        play(model, lambda x: np.full((1, 2), value, np.float32))
    expected = (value, *model.self_test.expected[1:])
    broken = dataclasses.replace(model.self_test, expected=expected)
    with pytest.raises(SelfTestError, match="output"):
        play(dataclasses.replace(model, self_test=broken))
    model.weights["conv2d_1/bias"][0] = value
    with pytest.raises(SelfTestError, match="conv2d_1"):
        play(model)
    model.weights["conv2d_1/bias"][0] = np.nan  # (relu turns -inf into an honest 0)
    with pytest.raises(SelfTestError, match="NaN or infinity"):
        record(model.graph, model.weights, model.preprocessing)


def test_nan_and_infinity_that_hide_again():
    """An infinite activation that a sigmoid squashes to 1 is found by the probes."""
    graph = Sequential([nn.Activation("exponential"), nn.GlobalMaxPooling2D(),
                        nn.Activation("sigmoid")], (8, 8, 1))  # fmt: skip
    with pytest.raises(SelfTestError, match=r"layer 'activation' gives NaN or infinity"):
        record(graph, {}, Preprocessing("grayscale"))


@pytest.mark.parametrize("expected", [(), (0.5,), (0.5, 0.5, 0.5)])
def test_outputs_of_another_size(expected):
    model = chain()
    test = dataclasses.replace(model.self_test, expected=expected)
    with pytest.raises(SelfTestError):
        play(dataclasses.replace(model, self_test=test))


@pytest.mark.parametrize("old", [False, True])
def test_a_wrong_backend_is_named_as_such(old):
    model = as_old(chain()) if old else chain()
    with pytest.raises(SelfTestError, match=r"backend differs by .* from the reference.*report it"):
        play(model, lambda x: model.forward(x) * 1.001)


def test_a_session_replays_it(monkeypatch):
    model = chain()
    monkeypatch.setattr(session._Reference, "run", lambda self, x: model.forward(x) + 1)
    with pytest.raises(SelfTestError, match="backend"):
        session.Session(model, "numpy")


def test_small_differences_pass():
    model = chain()
    assert 0 < play(model, lambda x: model.forward(x) * np.float32(1.000001)) < 1e-5


def as_old(model: Model) -> Model:
    """With the self-test of a version that knew no tolerance: the float32 reference's output."""
    x = model.test_input
    expected = tuple(map(float, model.forward(x).ravel()))
    test = dataclasses.replace(model.self_test, expected=expected, allowed=None)
    return dataclasses.replace(model, self_test=test)


def cancelling() -> Model:
    """One score near 0, the difference of two sums that are 100,000 times as large."""
    graph = Sequential([nn.GlobalAveragePooling2D(), nn.Dense(1)], (8, 8, 3))
    preprocessing = Preprocessing("rgb", scale=1 / 255)
    kernel = np.array([[1e3], [-1e3], [10]], np.float32)
    means = image_like((8, 8, 3), 1, preprocessing).mean(axis=(1, 2), dtype=np.float64)
    weights = {"dense/kernel": kernel, "dense/bias": -(means @ kernel)[0].astype(np.float32)}
    return Model(graph, weights, preprocessing, self_test=record(graph, weights, preprocessing))


@pytest.mark.parametrize("old", [False, True])
def test_what_rounding_explains_passes_and_nothing_else(old):
    """The score differs by half its size, and no program can do better; by a thousandth of the
    summands it would be wrong."""
    model = as_old(cancelling()) if old else cancelling()
    (score,) = model.self_test.expected
    assert abs(score) < 1e-3
    assert play(model, lambda x: np.float32([[score + 4e-5]])) > 1e-2
    with pytest.raises(SelfTestError, match="the backend differs"):
        play(model, lambda x: np.float32([[score + 1]]))


@pytest.mark.parametrize("allowed", [1e9, 1.0, 0.0])
def test_a_file_cannot_allow_what_rounding_does_not_explain(allowed):
    model = chain()
    test = dataclasses.replace(model.self_test, allowed=allowed)
    hostile = dataclasses.replace(model, self_test=test)
    assert play(hostile) < 1e-6
    with pytest.raises(SelfTestError, match="the backend differs"):
        play(hostile, lambda x: model.forward(x) + 0.5 * max(map(abs, test.expected)))
    wrong = dataclasses.replace(test, expected=tuple(2 * v for v in test.expected))
    with pytest.raises(SelfTestError, match="the output differs"):
        play(dataclasses.replace(model, self_test=wrong))


def test_a_usual_start_computes_no_reference(monkeypatch):
    model = chain()
    monkeypatch.setattr(tolerance, "measure", None)
    assert play(model, lambda x: model.forward(x)) < 1e-6
    assert play(as_old(model), lambda x: model.forward(x)) == 0


GOLDEN = {
    ((32, 32, 1), 1): "grayscale",
    ((9, 17, 3), 1): "rgb",
    ((1, 1, 1), 4_294_967_295): "grayscale",
}


def test_the_input_is_the_same_for_ever():
    """Grey levels are whole numbers, so their hash is that of every machine."""
    digest = hashlib.sha256()
    for (shape, seed), mode in GOLDEN.items():
        pixels = image_like(shape, seed, Preprocessing(mode))
        assert pixels.shape == (1, *shape)
        assert pixels.dtype == np.float32
        assert 0 <= pixels.min() <= pixels.max() <= 255
        digest.update(pixels.astype(np.uint8).tobytes())
    assert digest.hexdigest()[:16] == "1b699d3c356c73d9"


def test_the_input_looks_like_a_picture():
    pixels = image_like((64, 64, 1), 1, Preprocessing("grayscale"))[0, :, :, 0]
    assert pixels.std() > 20
    assert np.abs(np.diff(pixels, axis=0)).mean() < pixels.std() / 2  # neighbours are alike


@pytest.mark.parametrize("seed", [0, 1, 2, 12345, (1 << 32) - 1])
def test_numbers_are_those_that_numpy_froze(seed):
    numbers, frozen = mersenne_twister(seed), np.random.RandomState(seed)
    assert [numbers() for _ in range(2000)] == list(frozen.random_sample(2000))
