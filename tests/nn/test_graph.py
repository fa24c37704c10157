"""Networks written in Keras's two ways: names, order, sharing, errors, JSON."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from tests.nn.models import every_layer, weights_for
from tinycnn.errors import GraphError
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Graph, Input, Node, Sequential, from_tensors


def names(graph: Graph) -> list[str]:
    return [node.name for node in graph.nodes]


def test_names_as_in_keras():
    stack = [
        nn.Conv2D(2, 1), nn.DepthwiseConv2D(1), nn.SeparableConv2D(2, 1), nn.Conv2DTranspose(2, 1),
        nn.BatchNormalization(), nn.LayerNormalization(), nn.ReLU(), nn.LeakyReLU(), nn.PReLU(),
        nn.ELU(), nn.ZeroPadding2D(), nn.UpSampling2D(), nn.MaxPooling2D(), nn.Conv2D(2, 1),
        nn.SpatialDropout2D(), nn.GlobalAveragePooling2D(), nn.Dense(2), nn.Dense(2),
    ]  # fmt: skip
    assert names(Sequential(stack, (8, 8, 1))) == [
        "conv2d", "depthwise_conv2d", "separable_conv2d", "conv2d_transpose",
        "batch_normalization", "layer_normalization", "re_lu", "leaky_re_lu", "p_re_lu",
        "elu", "zero_padding2d", "up_sampling2d", "max_pooling2d", "conv2d_1",
        "spatial_dropout2d", "global_average_pooling2d", "dense", "dense_1",
    ]  # fmt: skip


def test_given_names_stay():
    stack = [nn.Dense(1), nn.Dense(1, name="dense"), nn.Dense(1, name="own"), nn.Dense(1)]
    assert names(Sequential(stack, (3,))) == ["dense_1", "dense", "own", "dense_2"]


def test_one_layer_object_called_twice_shares_weights():
    inputs, dense = Input((4,)), nn.Dense(4)
    x = nn.Dense(4)(dense(dense(inputs)))
    graph = from_tensors(inputs, x)
    assert [node.layer.name for node in graph.nodes] == ["dense", "dense", "dense_1"]
    assert names(graph) == ["dense", "dense_2", "dense_1"]  # the layer comes first to its name
    assert list(graph.weight_shapes) == [
        "dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias",
    ]  # fmt: skip
    assert graph.parameters == 2 * 20
    weights = weights_for(graph)
    x = np.ones((1, 4), np.float32)
    for name in ("dense", "dense", "dense_1"):
        x = x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]
    np.testing.assert_allclose(graph.forward(np.ones((1, 4), np.float32), weights), x, rtol=1e-6)


def test_order_is_topological():
    inputs = Input((4, 4, 2))
    left, right = nn.ReLU(name="left")(inputs), nn.ELU(name="right")(inputs)
    end = nn.Add(name="end")([nn.Softmax(name="after")(right), left])
    assert names(from_tensors(inputs, end)) == ["right", "after", "left", "end"]


def test_a_deep_network_needs_no_deep_stack():
    graph = Sequential([nn.ReLU() for _ in range(3000)], (1,))
    assert len(graph.nodes) == 3000
    assert graph.forward(np.ones((1, 1), np.float32), {}) == 1


def test_values_are_dropped_when_nobody_needs_them():
    """Also those that nobody ever reads, which only a model file can hold."""
    nodes = tuple(Node(f"n{i}", nn.ReLU(name=f"n{i}"), ("input",)) for i in range(3))
    graph = Graph((2,), nodes)
    assert graph.done_after == {"n0": ["n0"], "n1": ["n1"], "n2": ["input"]}
    assert graph.forward(np.array([[-1, 2]], np.float32), {}).tolist() == [[0, 2]]


@pytest.mark.parametrize("make", [every_layer, None])
def test_json_round_trip(make):
    graph = make().graph if make else Sequential([nn.Flatten(), nn.Dense(2)], (2, 2, 1))
    text = json.dumps(graph.to_json())
    again = Graph.from_json(json.loads(text))
    assert again == graph
    assert json.dumps(again.to_json()) == text
    assert again.shapes == graph.shapes


def test_every_class_is_in_the_round_trip():
    assert {type(node.layer).__name__ for node in every_layer().graph.nodes} == set(nn.LAYERS)


@pytest.mark.parametrize("node", every_layer().graph.nodes, ids=lambda node: node.name)
def test_config_round_trip(node):
    config = json.loads(json.dumps(node.layer.config()))
    again = type(node.layer).from_config(config)
    assert again == node.layer
    assert hash(again) == hash(node.layer)  # frozen, no lists inside
    assert dataclasses.replace(again, name="b").name == "b"


def test_sizes():
    graph = Sequential([nn.Conv2D(4, 3), nn.BatchNormalization(), nn.Flatten(), nn.Dense(2)],
                       (5, 6, 2))  # fmt: skip
    assert graph.output_shape == (2,)
    assert graph.shapes["conv2d"] == (3, 4, 4)
    assert graph.parameters == 9 * 2 * 4 + 4 + 4 * 4 + 48 * 2 + 2
    assert graph.macs == 3 * 4 * 9 * 2 * 4 + 48 * 2


def test_keep_sees_every_layer():
    graph, seen = Sequential([nn.ReLU(), nn.Flatten(), nn.Softmax()], (2, 1, 1)), {}
    result = graph.forward(np.zeros((3, 2, 1, 1), np.float32), {}, seen.__setitem__)
    assert {name: value.shape for name, value in seen.items()} == {
        "re_lu": (3, 2, 1, 1), "flatten": (3, 2), "softmax": (3, 2),
    }  # fmt: skip
    assert (result == 0.5).all()


A = nn.Conv2D(2, 3, name="a")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sequential([A, nn.Dense(2), A], (5, 5, 1)), "'a_1' shares weight 'a/kernel'"),
        (lambda: Sequential([nn.Conv2D(2, 9, name="big")], (5, 5, 1)), "Conv2D 'big': the window"),
        (lambda: Sequential([nn.Flatten(), nn.Conv2D(2, 1, name="c")], (5, 5, 1)), "'c': exp"),
        (lambda: Sequential([A, nn.Dense(1, name="a")], (5, 5, 1)), "'a.*another configuration"),
        (lambda: Sequential([nn.Flatten(name="input")], (5, 5, 1)), "input"),
        (lambda: Sequential([nn.Flatten(name="a:b")], (5, 5, 1)), "not a name"),
        (lambda: Sequential([], (5, 5, 1)), "1 to 4000 layers, not 0"),
        (lambda: Sequential([nn.Flatten()], (5, 0, 1)), "empty or too large"),
        (lambda: from_tensors(Input((2,)), nn.ReLU()(Input((2,)))), "another input"),
        (lambda: nn.Add(name="s")([Input((2, 2, 1))]), "'s': needs two"),
        (lambda: nn.Add(name="s")([Input((2, 3, 1)), Input((3, 2, 1))]), "'s'.*fit together"),
        (lambda: nn.Add(name="s")([Input((2, 1)), Input((3, 2, 1))]), "'s'.*rank"),
        (lambda: nn.Subtract()([Input((2,))] * 3), "two inputs, not 3"),
        (lambda: nn.Concatenate(name="s")([Input((5, 5)), Input((5, 5, 3))]), "'s'.*differ"),
        (lambda: nn.Concatenate(name="s")([]), "'s': needs inputs"),
        (lambda: nn.Add(name="s")(Input((2,))), "'s': takes a list"),
        (lambda: nn.ReLU(name="r")([Input((2,))]), "'r': takes one tensor"),
    ],
)  # fmt: skip
def test_errors_name_the_layer(make, message):
    with pytest.raises(GraphError, match=message):
        make()


def test_wrong_input_and_weights():
    graph = Sequential([nn.Dense(2)], (3,))
    weights = weights_for(graph)
    with pytest.raises(GraphError, match=r"takes \(N, 3\), not \(1, 4\)"):
        graph.forward(np.zeros((1, 4), np.float32), weights)
    for change, message in (
        ({"dense/kernel": np.zeros((2, 3))}, r"'dense/kernel' must be \(3, 2\), not \(2, 3\)"),
        ({"x/kernel": np.zeros(1)}, "'x/kernel' belongs to no layer"),
    ):
        with pytest.raises(GraphError, match=message):
            graph.check_weights({**weights, **change})
    with pytest.raises(GraphError, match=r"'dense/bias' of shape \(2,\) is missing"):
        graph.check_weights({"dense/kernel": weights["dense/kernel"]})
