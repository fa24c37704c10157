"""Alternatives or independent labels: by the layers that make the scores."""

import pytest

from tinycnn.nn import layers as nn
from tinycnn.nn.endings import activation_of, are_independent, last_layer
from tinycnn.nn.graph import Input, Sequential, from_tensors

SHAPE = (4, 4, 2)


def heads(merge, *activations):
    """Several heads of two scores each on one image."""
    inputs = Input(SHAPE)
    x = nn.Flatten()(inputs)
    scores = [nn.Dense(2, activation=a)(x) for a in activations]
    return from_tensors(inputs, merge(scores))


@pytest.mark.parametrize(
    ("tail", "independent"),
    [
        ([nn.Flatten(), nn.Dense(3, activation="sigmoid")], True),
        ([nn.Flatten(), nn.Dense(3), nn.Activation("sigmoid")], True),
        ([nn.Flatten(), nn.Dense(3, activation="hard_sigmoid"), nn.Dropout(0.5)], True),
        ([nn.Conv2D(3, 4, activation="sigmoid"), nn.Flatten(), nn.Reshape((3,))], True),
        ([nn.Conv2D(3, 1, activation="sigmoid"), nn.GlobalMaxPooling2D()], True),
        ([nn.Flatten(), nn.Dense(1, activation="sigmoid")], False),  # one score has an opposite
        ([nn.Flatten(), nn.Dense(3, activation="softmax")], False),
        ([nn.Flatten(), nn.Dense(3), nn.Softmax()], False),
        ([nn.Flatten(), nn.Dense(3)], False),
        ([nn.Flatten(), nn.Dense(3, activation="sigmoid"), nn.Rescaling(2.0)], False),
        ([nn.Flatten(), nn.Dense(3, activation="sigmoid"), nn.Activation("softmax")], False),
        ([nn.Flatten()], False),
    ],
)
def test_chains(tail, independent):
    assert are_independent(Sequential(tail, SHAPE)) == independent


@pytest.mark.parametrize(
    ("merge", "activations", "independent"),
    [
        (nn.Concatenate(), ("sigmoid", "sigmoid"), True),
        (nn.Average(), ("sigmoid", "sigmoid", "sigmoid"), True),
        (nn.Multiply(), ("sigmoid", "hard_sigmoid"), True),
        (nn.Concatenate(), ("sigmoid", "softmax"), False),
        (nn.Average(), ("softmax", "softmax"), False),
        (nn.Add(), ("sigmoid", "sigmoid"), False),  # up to 2
    ],
)
def test_several_heads(merge, activations, independent):
    assert are_independent(heads(merge, *activations)) == independent


def test_the_layer_that_computes_the_scores():
    layers = [nn.Flatten(), nn.Dense(4, name="d"), nn.Reshape((2, 2)), nn.Flatten(), nn.Dropout()]
    node = last_layer(Sequential(layers, SHAPE))
    assert (node.name, activation_of(node)) == ("d", "linear")
    assert activation_of(last_layer(Sequential([nn.Flatten(), nn.ReLU()], SHAPE))) == ""
