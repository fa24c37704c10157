"""Random image classifiers as people build them, well scaled or not, with weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from tinycnn.errors import GraphError
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Graph, Input, Tensor, from_tensors
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.selftest import image_like

ACTIVATIONS = ("silu", "gelu", "elu", "selu", "tanh", "sigmoid", "hard_silu", "mish", "softplus",
               "leaky_relu", "relu6", "hard_shrink", "soft_shrink", "softsign")  # fmt: skip
SCALINGS = ((1 / 255, 0.0), (1 / 127.5, -1.0), (1.0, 0.0))  # unscaled images are left out by some
CHANNELS = (4, 8, 16, 16, 24, 32, 48)
MOST_MACS = 3e7
SEEDS = range(2, 5)  # of the images, as in the parity check


class Case(NamedTuple):
    """A network, its weights, what it is run on, and the cache that the engine plans for."""

    graph: Graph
    weights: dict[str, Any]
    inputs: list[Any]
    cache: int | None = None


def classifier(seed: int) -> Case:
    """The classifier of a seed."""
    random = np.random.default_rng([15, seed])
    graph = _small_enough(random)
    scale, offset = pick(random, *SCALINGS)
    mode: Any = "grayscale" if graph.input_shape[2] == 1 else "rgb"
    preprocessing = Preprocessing(mode, scale=scale, offset=offset)
    inputs = [image_like(graph.input_shape, seed, preprocessing) for seed in SEEDS]
    return Case(graph, weights_for(random, graph), inputs)


def pick(random: Generator, *values: Any) -> Any:
    return values[random.integers(len(values))]


def _small_enough(random: Generator) -> Graph:
    while True:
        try:
            graph = _draw(random)
        except GraphError:  # a window larger than what it looks at
            continue
        if graph.macs < MOST_MACS:
            return graph


def _draw(random: Generator) -> Graph:
    height = int(pick(random, 12, 16, 24, 32, 40))
    x = inputs = Input((height, height + int(pick(random, 0, 0, 5)), int(pick(random, 1, 3))))
    if random.random() < 0.3:
        x = nn.Rescaling(1 / 127.5, -1)(x)
    x = conv(random, x, int(pick(random, 8, 16, 32)), int(pick(random, 1, 2)))
    for _ in range(random.integers(1, 9)):
        x = pick(random, *BLOCKS)(random, x)
        if x.shape[2] > 96:
            x = nn.Conv2D(32, 1)(x)
        if min(x.shape[:2]) > 20 and random.random() < 0.4:
            x = nn.MaxPooling2D(2)(x)
    return from_tensors(inputs, head(random, x))


def activated(random: Generator, x: Tensor) -> Tensor:
    name = pick(random, *ACTIVATIONS) if random.random() < 0.4 else "relu"
    return nn.Activation(name)(x)


def normalised(random: Generator, x: Tensor) -> Tensor:
    chance = random.random()
    if chance < 0.6:
        return nn.BatchNormalization(epsilon=pick(random, 1e-3, 1.001e-5))(x)
    return nn.LayerNormalization()(x) if chance < 0.65 else x


def conv(random: Generator, x: Tensor, filters: int, stride: int = 1) -> Tensor:
    size, chance = pick(random, 1, 3, 3, 3, 5, (7, 1)), random.random()
    if chance < 0.7:
        padding: Any = pick(random, "same", "same", "valid") if min(x.shape[:2]) > 8 else "same"
        bias = bool(random.integers(2))
        x = nn.Conv2D(filters, size, stride, padding=padding, use_bias=bias)(x)
    elif chance < 0.8:
        x = nn.SeparableConv2D(filters, 3, stride, padding="same")(x)
    else:
        x = nn.Conv2D(filters, 1)(nn.DepthwiseConv2D(3, stride, padding="same")(x))
    return activated(random, normalised(random, x))


def plain(random: Generator, x: Tensor) -> Tensor:
    stride = int(pick(random, 1, 1, 2)) if min(x.shape[:2]) > 4 else 1
    return conv(random, x, int(pick(random, *CHANNELS)), stride)


def residual(random: Generator, x: Tensor) -> Tensor:
    y = activated(random, normalised(random, nn.Conv2D(x.shape[2], 3, padding="same")(x)))
    y = normalised(random, nn.Conv2D(x.shape[2], 3, padding="same")(y))
    return activated(random, nn.Add()([y, x]))


def inverted_residual(random: Generator, x: Tensor) -> Tensor:
    y = nn.BatchNormalization()(nn.Conv2D(4 * x.shape[2], 1, use_bias=False)(x))
    y = nn.DepthwiseConv2D(3, padding="same", use_bias=False)(nn.ReLU(6.0)(y))
    y = nn.Conv2D(x.shape[2], 1, use_bias=False)(nn.ReLU(6.0)(nn.BatchNormalization()(y)))
    return nn.Add()([x, nn.BatchNormalization()(y)])


def branches(random: Generator, x: Tensor) -> Tensor:
    y = nn.Conv2D(16, 3, padding="same")(activated(random, normalised(random, x)))
    return nn.Concatenate()([x, y, nn.Conv2D(8, 1)(x)])


def gate(random: Generator, x: Tensor) -> Tensor:
    y = nn.Conv2D(max(1, x.shape[2] // 4), 1, activation="relu")(nn.GlobalAveragePooling2D(True)(x))
    y = nn.Conv2D(x.shape[2], 1, activation=pick(random, "sigmoid", "hard_sigmoid"))(y)
    return nn.Multiply()([x, y])


def resized(random: Generator, x: Tensor) -> Tensor:
    if min(x.shape[:2]) >= 4:
        return pick(random, nn.MaxPooling2D, nn.AveragePooling2D)(2)(x)
    return nn.UpSampling2D(2, pick(random, "nearest", "bilinear"))(x)


BLOCKS = (*[plain] * 4, *[residual] * 2, *[inverted_residual] * 2, branches, gate, resized)


def head(random: Generator, x: Tensor) -> Tensor:
    """One score or several, behind a mean or all pixels; one score is the hardest to judge."""
    chance = random.random()
    if chance < 0.65:
        x = (nn.GlobalAveragePooling2D if chance < 0.55 else nn.GlobalMaxPooling2D)()(x)
    else:
        x = nn.Flatten()(nn.AveragePooling2D(2)(x) if min(x.shape[:2]) > 6 else x)
    if random.random() < 0.3:
        x = nn.Dense(int(pick(random, 10, 64)), activation="relu")(x)
    classes = int(pick(random, 1, 1, 1, 2, 3, 10))
    scores = "sigmoid" if classes == 1 else pick(random, "softmax", "softmax", "sigmoid")
    return nn.Dense(classes, activation="linear" if random.random() < 0.15 else scores)(x)


def weights_for(random: Generator, graph: Graph) -> dict[str, Any]:
    """By He et al. 2015, or scaled worse; biases from small to ten times what they are added to."""
    scale = float(np.exp(random.normal(0, 0.3))) if random.random() < 0.5 else 1.0
    bias, spread = pick(random, 0.01, 0.1, 0.1, 1.0, 10.0), pick(random, 0.2, 0.4, 0.9)
    weights = {}
    for name, shape in graph.weight_shapes.items():
        kind = name.rpartition("/")[2]
        if kind in ("gamma", "moving_variance"):
            value: Any = np.exp(random.normal(0, spread, shape))
        elif kind.endswith("kernel"):
            fan_in = np.prod(shape[:2] if kind == "depthwise_kernel" else shape[:-1])
            value = random.normal(0, scale * (2 / fan_in) ** 0.5, shape)
        else:
            value = random.normal(0, bias, shape)
        weights[name] = np.asarray(value, np.float32)
    return weights
