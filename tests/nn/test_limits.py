"""What `forward` makes on the way is what `working_shapes` says, or less: limits rest on it."""

from __future__ import annotations

import tracemalloc
from math import prod

import numpy as np
import pytest

from tinycnn.nn import layers as nn
from tinycnn.nn.activations import ACTIVATIONS
from tinycnn.nn.graph import Sequential
from tinycnn.nn.layers.resampling import KERNELS, resampling, taps
from tinycnn.nn.limits import MAX_EDGES, duration, most_live

SHAPE = (60, 64, 16)
SLACK = 96 << 10  # bytes: NumPy's buffers, and Python's objects
RESIZED = ("nearest", "area", *KERNELS)

LAYERS = [
    nn.Conv2D(24, 3), nn.Conv2D(24, 1, padding="same", activation="mish"), nn.Conv2D(4, 1),
    nn.Conv2D(16, 3, 2, groups=4, padding="same"), nn.Conv2D(4, 1, activation="glu"),
    nn.DepthwiseConv2D(3), nn.DepthwiseConv2D(3, depth_multiplier=3, activation="relu6"),
    nn.SeparableConv2D(8, 3, depth_multiplier=2), nn.SeparableConv2D(64, 3),
    nn.Conv2DTranspose(16, 3, 2, padding="same"), nn.Conv2DTranspose(4, 5, 1, activation="gelu"),
    nn.Dense(40), nn.Dense(4, activation="softmax"), nn.BatchNormalization(),
    nn.LayerNormalization(), nn.LayerNormalization((1, 2, 3)), nn.LayerNormalization(scale=False),
    nn.Normalization(), nn.Normalization(True, (1, 2, 3)), nn.Normalization(False, (1, 2, 3)),
    nn.Rescaling(2.0, 1.0), nn.ReLU(), nn.ReLU(6.0), nn.ReLU(1.0, 0.1, 0.5), nn.LeakyReLU(),
    nn.ELU(), nn.PReLU((1, 2)), nn.PReLU(), nn.Softmax(), nn.Softmax(1),
    nn.MaxPooling2D(3, 1, "same"), nn.MaxPooling2D(2), nn.AveragePooling2D(3, 1, "same"),
    nn.AveragePooling2D((20, 1), 1), nn.GlobalMaxPooling2D(), nn.GlobalAveragePooling2D(True),
    nn.ZeroPadding2D(9), nn.Cropping2D(3), nn.UpSampling2D(2), nn.UpSampling2D(2, "bilinear"),
    *[nn.Resizing(90, 33, kind) for kind in RESIZED], nn.Resizing(30, 200, "area"),
    nn.Resizing(4000, 1, "lanczos5"), nn.Resizing(1, 1, "area"), nn.Flatten(), nn.Dropout(),
    nn.Permute((3, 1, 2)), *[nn.Activation(name) for name in ACTIVATIONS], nn.Add(), nn.Subtract(),
    nn.Multiply(), nn.Average(), nn.Maximum(), nn.Minimum(), nn.Concatenate(),
]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_working_memory(layer):
    random = np.random.default_rng(0)
    shapes = [SHAPE] * (2 if isinstance(layer, nn.Subtract) else 3) if layer.merges else SHAPE
    count = len(shapes) if layer.merges else 1
    inputs = [random.random((1, *SHAPE), np.float32) for _ in range(count)]
    x = inputs if layer.merges else inputs[0]
    weights = {n: random.random(s, np.float32) for n, s in layer.weight_shapes(shapes).items()}
    expected = layer.forward(x, weights)  # what Python keeps from a first call is no matter
    tracemalloc.start()
    try:
        y = layer.forward(x, weights)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    said = prod(layer.output_shape(shapes)) + sum(map(prod, layer.working_shapes(shapes)))
    assert (y == expected).all()
    assert peak <= 4 * said + SLACK


def test_what_a_layer_makes_on_the_way_counts():
    graph = Sequential([nn.Activation("tanh"), nn.Activation("gelu")], (10, 10, 1))
    working = sum(map(prod, graph.nodes[1].layer.working_shapes((10, 10, 1))))
    assert most_live(graph) == 100 + 100 + working


def dense(size: int, length: int, kind: str) -> np.ndarray:
    """Weights of all source pixels, from their distances."""
    if kind == "area":
        start, source = np.arange(length)[:, None] * (size / length), np.arange(size)
        weights = np.minimum(source + 1, start + size / length) - np.maximum(source, start)
        weights = np.maximum(weights, 0)
    else:
        radius, kernel = KERNELS[kind]
        centres = (np.arange(length) + 0.5) * (size / length) - 0.5
        if kind == "bilinear":
            centres = np.clip(centres, 0, size - 1)
        if kind == "bicubic":
            centres = np.floor(centres) + np.rint(centres % 1 * 1024) / 1024
        distance = np.abs(np.arange(size) - centres[:, None])
        weights = np.where(distance < radius, kernel(distance), 0)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["area", *KERNELS])
def test_the_taps_are_all_weights_that_are_not_zero(kind):
    random = np.random.default_rng(1)
    for _ in range(200):
        size, length = (int(2 ** random.uniform(0, 8)) for _ in range(2))
        first, weights = resampling(size, length, kind)
        assert weights.shape == (length, taps(size, length, kind))
        assert first.min() >= 0
        assert first.max() + weights.shape[1] <= size
        found = np.zeros((length, size))
        np.put_along_axis(found, first[:, None] + np.arange(weights.shape[1]), weights, axis=1)
        assert np.abs(found - dense(size, length, kind)).max() < 1e-7


def test_inputs_of_all_layers_are_limited():
    from tinycnn.errors import GraphError
    from tinycnn.nn.graph import INPUT, Graph, Node

    add = nn.Add(name="add")
    Graph((2, 2, 1), (Node("add", add, (INPUT,) * MAX_EDGES),))
    with pytest.raises(GraphError, match="8001 inputs together; at most 8000"):
        Graph((2, 2, 1), (Node("add", add, (INPUT,) * (MAX_EDGES + 1)),))


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(1e9, "1 seconds"), (119e9, "119 seconds"), (120e9, "2 minutes"), (1 << 40, "18 minutes"),
     (7200e9, "2 hours"), (36e15, "10,000 hours")],
)  # fmt: skip
def test_durations(nanoseconds, text):
    assert duration(int(nanoseconds)) == text
