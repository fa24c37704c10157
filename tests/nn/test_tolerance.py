"""The tolerance: what rounding explains is admitted whatever the order, what it does not is not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.cases import CASES, network
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import INPUT, Graph, Node, Sequential
from tinycnn.nn.roundings import added_in_turn, counts, roundings
from tinycnn.nn.tolerance import Exact, last_sum, measure, of_layer


def at_output(graph: Graph, weights, x) -> Exact:
    return measure(graph, weights, x, {graph.output: np.asarray})[graph.output]


def constant_map(layer: nn.Layer, side: int):
    return Sequential([layer], (side, side, 3)), np.full((1, side, side, 3), 0.7, np.float32)


@pytest.mark.parametrize("name", CASES)
def test_the_reference_is_admitted_and_a_thousandth_is_not(name):
    for seed in range(4):
        graph, weights, x = network(CASES[name], seed)
        right, found = at_output(graph, weights, x), graph.forward(x, weights)
        assert right.admits(found)
        largest = max(np.abs(right.value).max(), 1e-3)
        assert right.allowed < 2e-4 * largest
        assert not right.admits(found + 1e-3 * largest)
        assert not right.admits(found[:1])
        assert not right.admits(np.full_like(found, np.nan))


@pytest.mark.parametrize(
    ("layer", "side"),
    [(nn.GlobalAveragePooling2D(), 112), (nn.GlobalAveragePooling2D(True), 40),
     (nn.AveragePooling2D(40), 80)],
)  # fmt: skip
def test_equal_values_added_in_turn(layer, side):
    """A black border, say. NumPy adds one channel in pairs, the kernels one after the other."""
    graph, x = constant_map(layer, side)
    for channels in (1, 3):
        graph = Sequential([layer], (side, side, channels))
        right, found = (
            at_output(graph, {}, x[..., :channels]),
            added_in_turn(layer, x[..., :channels]),
        )
        assert found.shape == right.value.shape
        assert right.admits(found)
        assert not right.admits(found * np.float32(1.01))


def orders(count: int):
    random = np.random.default_rng(2)
    return (random.permutation(count) for _ in range(200))


@pytest.mark.parametrize("count", [8, 300, 4000])
@pytest.mark.parametrize("near", [0.0, 1e-6, 1.0])
def test_one_logit_in_any_order(count, near):
    """A score that is 0, or a millionth of its summands, or as large as they are."""
    random = np.random.default_rng(count)
    x, kernel = random.random((1, 1, 1, count), np.float32), random.normal(size=(count, 1))
    kernel = kernel.astype(np.float32)
    summands = x.ravel().astype(np.float64) * kernel.ravel()
    bias = np.float32([near * np.abs(summands).sum() - summands.sum()])
    graph = Sequential([nn.Dense(1, name="end"), nn.Flatten()], (1, 1, count))
    right = at_output(graph, {"end/kernel": kernel, "end/bias": bias}, x)
    for order in orders(count):
        products = x.ravel()[order] * kernel.ravel()[order]
        assert right.admits(np.cumsum(products, dtype=np.float32)[-1:] + bias)
    kernel[3] *= -1
    assert not right.admits(graph.forward(x, {"end/kernel": kernel, "end/bias": bias}))


@pytest.mark.parametrize("layers", [[], [nn.Dropout(0.5)], [nn.Rescaling(1.0)]])
def test_a_bias_that_is_larger_than_the_sum(layers):
    """Batch normalisation becomes a bias; each product is added to it, and rounded by its size."""
    random, count = np.random.default_rng(3), 3000
    stack = [nn.Dense(20, use_bias=False, name="sum"), *layers, nn.BatchNormalization(name="norm")]
    graph = Sequential([*stack, nn.Flatten()], (1, 1, count))
    x, kernel = random.random((1, 1, 1, count), np.float32), random.normal(size=(count, 20))
    beta = np.linspace(1e4, 3e4, 20).astype(np.float32)
    weights = {"sum/kernel": kernel.astype(np.float32) * np.float32(0.01), "norm/beta": beta}
    for name in ("norm/gamma", "norm/moving_variance"):
        weights[name] = np.ones(20, np.float32)
    weights["norm/moving_mean"] = np.zeros(20, np.float32)
    scale = np.float32(1 / np.sqrt(1 + 1e-3))
    products = x.reshape(-1, 1) * (weights["sum/kernel"] * scale)
    found = np.cumsum(np.concatenate([[beta], products]), axis=0, dtype=np.float32)[-1]
    right = at_output(graph, weights, x)
    assert right.admits(found)
    assert not right.admits(found * np.float32(1.0001))


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_a_jump_may_be_passed(size):
    """What stands a rounding below 0.5 is 0 after hard_shrink; one above, it is itself."""
    layers = [nn.Rescaling(0.5 / size), nn.Activation("hard_shrink")]
    graph = Sequential(layers, (1, 1, 1))
    x = np.full((1, 1, 1, 1), size * (1 + 1e-7), np.float32)
    right = at_output(graph, {}, x)
    assert right.admits([[[[0.0]]]])
    assert right.admits([[[[0.5]]]])
    x *= np.float32(1.001)
    assert not at_output(graph, {}, x).admits([[[[0.0]]]])


def test_what_is_no_number_is_not_admitted():
    graph = Sequential([nn.Activation("exponential")], (1, 1, 1))
    right = at_output(graph, {}, np.full((1, 1, 1, 1), 100, np.float32))  # 2.7e43 in float64
    assert np.isnan(right.allowed)
    assert not right.admits(right.value)


def test_numbers_at_the_end_of_float32():
    """A run that overflows is no reason to refuse what does not."""
    graph = Sequential([nn.Rescaling(1.0)], (1, 1, 1))
    right = at_output(graph, {}, np.full((1, 1, 1, 1), np.finfo(np.float32).max, np.float32))
    assert right.admits(right.value)


CONV = nn.Conv2D(8, 3, padding="same", name="layer")
NORM = nn.BatchNormalization(name="layer")
LAYERS = (CONV, nn.Dense(1, name="layer"), NORM, nn.MaxPooling2D(), nn.Activation("gelu"))


@pytest.mark.parametrize("kind", ["float16", "float32"])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("scale", [1.0, 1e-7])
def test_half_precision(layer, kind, scale):
    """Inputs, weights and result rounded to the type are admitted, what is 2 % off is not."""
    random, node = np.random.default_rng(4), Node("layer", layer, (INPUT,))
    x = (scale * random.normal(size=(2, 6, 6, 16))).astype(np.float16).astype(np.float32)
    weights = {name: random.random(shape, np.float32)
               for name, shape in layer.weight_shapes(x.shape[1:]).items()}  # fmt: skip
    weights = {name: w * np.float32(scale if "b" in name else 1) for name, w in weights.items()}
    right = of_layer(node, x, weights, kind)
    rounded = {name: w.astype(kind).astype(np.float32) for name, w in weights.items()}
    found = layer.forward(x, rounded).astype(kind)
    assert right.admits(found)
    if scale == 1:
        assert not right.admits(found * 1.02)
    whole = {name: w.astype(np.float16).astype(np.float32) for name, w in weights.items()}
    assert of_layer(node, x, weights, kind, stored="float16").admits(layer.forward(x, whole))


@pytest.mark.parametrize(
    ("layer", "shape", "count"),
    [
        (nn.Conv2D(8, 5), (9, 9, 3), 75),
        (nn.Conv2D(8, 3, groups=2), (9, 9, 4), 18),
        (nn.Conv2D(16, 3, activation="glu"), (9, 9, 8), 72),
        (nn.Conv2D(16, 3), (9, 9, 16), 16 * 144),  # perhaps Winograd
        (nn.DepthwiseConv2D(3), (9, 9, 16), 9),
        (nn.Dense(5), (100,), 100),
        (nn.GlobalAveragePooling2D(), (7, 7, 3), 49),
        (nn.AveragePooling2D(3), (7, 7, 3), 9),
        (nn.LayerNormalization(), (7, 7, 3), 12),
        (nn.Softmax(), (10,), 40),
        (nn.Activation("softmax"), (10,), 40),
        (nn.Activation("tanh"), (10,), 4),
        (nn.Activation("relu"), (10,), 0),
        (nn.Resizing(3, 4), (9, 4, 1), 8),
        (nn.UpSampling2D(), (9, 4, 1), 0),
        (nn.MaxPooling2D(), (4, 4, 1), 0),
        (nn.Dropout(0.5), (4, 4, 1), 0),
        (nn.BatchNormalization(), (4, 4, 1), 4),
    ],
)
def test_roundings(layer, shape, count):
    assert roundings(layer, shape) == count


def test_a_factor_for_each_channel_counts_the_sum_before_it():
    layers = [nn.Conv2D(4, 5, name="a"), nn.Dropout(0.1, name="b"), nn.Rescaling(2.0, name="c"),
              nn.BatchNormalization(name="d"), nn.Activation("relu", name="e"),
              nn.BatchNormalization(name="f"), nn.Conv2D(4, 5, activation="relu", name="g"),
              nn.BatchNormalization(name="h")]  # fmt: skip
    found = counts(Sequential(layers, (20, 20, 3)))
    assert found == {"a": 75, "b": 0, "c": 75, "d": 75, "e": 0, "f": 4, "g": 100, "h": 4}


def test_the_last_sum():
    def of(*layers: nn.Layer) -> tuple[str, bool]:
        graph = Sequential(layers, (8, 8, 3))
        return last_sum(graph, graph.output)

    conv, dense = nn.Conv2D(4, 3, name="conv"), nn.Dense(2, name="dense", activation="softmax")
    assert of(conv, nn.GlobalAveragePooling2D(), dense) == ("dense", True)
    assert of(conv, nn.GlobalAveragePooling2D(), nn.Softmax()) == ("conv", True)
    assert of(conv, nn.Flatten(), nn.Activation("sigmoid")) == ("conv", True)
    assert of(conv, nn.Flatten()) == ("conv", False)
    assert of(conv, nn.BatchNormalization()) == ("", False)
    assert of(conv, nn.Activation("exponential")) == ("", False)
    assert of(nn.Flatten()) == ("", False)


def test_scores_that_are_0_and_1_stay_so():
    """What rounding changes in a logit of 1,000 changes nothing in its probability."""
    graph = Sequential([nn.Dense(2, activation="softmax", name="end"), nn.Flatten()], (1, 1, 1))
    weights = {"end/kernel": np.float32([[1e3, -1e3]]), "end/bias": np.zeros(2, np.float32)}
    assert at_output(graph, weights, np.ones((1, 1, 1, 1), np.float32)).allowed < 1e-6
    weights["end/kernel"] *= np.float32(1e-3)
    assert at_output(graph, weights, np.ones((1, 1, 1, 1), np.float32)).allowed < 1e-6
