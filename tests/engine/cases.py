"""Generated networks: one table of layers drives the tests of every backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator

from tinycnn.nn import layers as nn
from tinycnn.nn.activations import ACTIVATIONS
from tinycnn.nn.graph import Graph, Input, from_tensors
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.types import Shape

Make = Callable[[Generator], tuple[list[Layer], list[Shape]]]


def random_weights(graph: Graph, random: Generator) -> dict[str, Any]:
    """Weights of sane size; variances positive."""
    weights = {}
    for name, shape in graph.weight_shapes.items():
        scale = 1 / np.sqrt(max(np.prod(shape[:-1]), 1)) if len(shape) > 1 else 0.5
        value = random.standard_normal(shape) * scale
        weights[name] = np.asarray(np.abs(value) + 0.3 if "variance" in name else value, np.float32)
    return weights


def picture(random: Generator, smallest: int = 1, largest: int = 13) -> Shape:
    height, width = random.integers(smallest, largest, 2)
    return int(height), int(width), int(random.choice([1, 2, 3, 5, 8, 16, 17, 33]))


def pick(random: Generator, *values: Any) -> Any:
    return values[random.integers(len(values))]


def window(random: Generator) -> dict[str, Any]:
    size = tuple(int(v) for v in random.integers(1, 5, 2))
    dilated = random.random() < 0.25
    return {
        "kernel_size": size,
        "strides": (1, 1) if dilated else tuple(int(v) for v in random.integers(1, 4, 2)),
        "dilation_rate": tuple(int(v) for v in random.integers(1, 4, 2)) if dilated else (1, 1),
        "padding": pick(random, "valid", "same"),
        "use_bias": bool(random.integers(2)),
        "activation": pick(random, "linear", "relu", "relu6", "tanh"),
    }


def fitting(random: Generator, options: dict[str, Any]) -> Shape:
    """A picture that a valid window fits into."""
    kernel, dilation = options["kernel_size"], options["dilation_rate"]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    height, width = (int(s + random.integers(0, 9)) for s in spans)
    return height, width, picture(random)[2]


def conv(random: Generator) -> Any:
    options = window(random)
    height, width, channels = fitting(random, options)
    groups = pick(random, 1, 1, 1, 2, 3)
    filters = int(random.integers(1, 20)) * groups
    layer = nn.Conv2D(filters, groups=groups, **options)
    return [layer], [(height, width, channels * groups)]


def winograd(random: Generator) -> Any:
    """A 3x3 convolution of stride 1, large enough for Winograd's algorithm."""
    height, width = (int(v) for v in random.integers(11, 30, 2))
    channels, filters = (int(v) for v in random.integers(16, 50, 2))
    layer = nn.Conv2D(
        filters, 3, padding=pick(random, "valid", "same"), activation=pick(random, "relu", "linear")
    )
    return [layer], [(height, width, channels)]


def inverted_residual(random: Generator) -> Any:
    """The depthwise part of a block; `network` puts the rest around it."""
    stride = int(random.integers(1, 3))
    layer = nn.DepthwiseConv2D(3, stride, padding="same", activation=pick(random, "relu", "relu6"))
    height, width = (int(v) for v in random.integers(30, 40, 2))
    return [layer], [(height, width, int(random.choice([1, 8, 16, 24, 40])))]


def depthwise(random: Generator) -> Any:
    options = window(random)
    return [nn.DepthwiseConv2D(depth_multiplier=pick(random, 1, 1, 2, 3), **options)], [
        fitting(random, options)
    ]


def separable(random: Generator) -> Any:
    options = window(random)
    layer = nn.SeparableConv2D(int(random.integers(1, 20)), depth_multiplier=pick(random, 1, 2),
                               **options)  # fmt: skip
    return [layer], [fitting(random, options)]


def transpose(random: Generator) -> Any:
    options = window(random)
    padding = None if random.random() < 0.7 else 0
    if options["padding"] == "same":
        padding = None
    layer = nn.Conv2DTranspose(int(random.integers(1, 20)), output_padding=padding, **options)
    return [layer], [picture(random, 1, 7)]


def pooling(random: Generator) -> Any:
    size = tuple(int(v) for v in random.integers(1, 5, 2))
    kind = pick(random, nn.MaxPooling2D, nn.AveragePooling2D)
    layer = kind(size, pick(random, None, (1, 2), (2, 2), (3, 1)), pick(random, "valid", "same"))
    shape = picture(random)
    return [layer], [(shape[0] + size[0], shape[1] + size[1], shape[2])]


def of_one(*makers: Callable[[Generator, Shape], Layer]) -> Make:
    def make(random: Generator) -> Any:
        shape = picture(random)
        return [pick(random, *makers)(random, shape)], [shape]

    return make


def merging(kind: type[Layer]) -> Make:
    def make(random: Generator) -> Any:
        shape = picture(random)
        other = pick(random, shape, (1, 1, shape[2]), (shape[0], shape[1], 1), (1, shape[1], 1))
        shapes = [shape, other] if random.integers(2) else [other, shape]
        if kind is not nn.Subtract and random.integers(2):
            shapes.append(shape)
        return [kind()], shapes

    return make


def transition(random: Generator) -> Any:
    """As between DenseNet's groups, behind a pooling: blocked, with nothing to fold into."""
    options, picked = window(random), pick(random, nn.MaxPooling2D, nn.AveragePooling2D)
    pool = picked(3, 1, "same")
    norm = nn.BatchNormalization(epsilon=1.001e-5)
    relu = nn.Activation(pick(random, "relu", "relu6", "linear"))
    conv = nn.Conv2D(int(random.integers(1, 40)), 1, use_bias=options["use_bias"])
    size, strides = options["kernel_size"], pick(random, (2, 2), (1, 2), (3, 1), (1, 1))
    mean = nn.AveragePooling2D(size, strides, options["padding"])
    return [pool, norm, relu, conv, mean], [fitting(random, options)]


def one_sided(random: Generator) -> Any:
    """Zeros on some sides only, in front of windows that may be a single row or column."""
    kernel = pick(random, (1, 3), (3, 1), (1, 7), (2, 5))
    sides = tuple(tuple(int(v) for v in random.integers(0, 4, 2)) for _ in range(2))
    first, pad = nn.Conv2D(int(random.integers(1, 40)), 1), nn.ZeroPadding2D(sides)
    last = pick(
        random, nn.Conv2D(5, kernel, padding="same"), nn.DepthwiseConv2D(kernel, padding="same")
    )
    return [first, pad, last], [picture(random)]


def squeeze(random: Generator) -> Any:
    """A pixel of many channels, with zeros around it."""
    pool = pick(random, nn.GlobalAveragePooling2D, nn.GlobalMaxPooling2D)(keepdims=True)
    conv = nn.Conv2D(int(random.integers(1, 40)), 3, padding=pick(random, "same", "valid"))
    first = nn.Conv2D(int(random.integers(1, 70)), 1)
    return [first, pool, nn.ZeroPadding2D(1), conv], [picture(random)]


def concatenation(random: Generator) -> Any:
    shape, axis = picture(random), int(pick(random, -1, 1, 2, 3))
    shapes = []
    for _ in range(random.integers(1, 4)):
        grown = list(shape)
        grown[axis - 1 if axis > 0 else axis] = int(random.integers(1, 9))
        shapes.append(tuple(grown))
    return [nn.Concatenate(axis)], shapes


CASES: dict[str, Make] = {
    "Conv2D": conv,
    "Winograd": winograd,
    "InvertedResidual": inverted_residual,
    "DepthwiseConv2D": depthwise,
    "SeparableConv2D": separable,
    "Conv2DTranspose": transpose,
    "Pooling2D": pooling,
    "transition": transition,
    "one-sided padding": one_sided,
    "squeeze": squeeze,
    "Dense": of_one(
        lambda r, s: nn.Dense(int(r.integers(1, 40)), activation=pick(r, "relu", "softmax")),
        lambda r, s: nn.Dense(2, use_bias=False),
    ),
    "BatchNormalization": of_one(
        lambda r, s: nn.BatchNormalization(
            scale=bool(r.integers(2)), center=bool(r.integers(2)), epsilon=1.001e-5
        )
    ),
    "LayerNormalization": of_one(
        lambda r, s: nn.LayerNormalization(pick(r, -1, 3, (2, 3), (1, 2, 3))),
        lambda r, s: nn.LayerNormalization(scale=False, center=False, epsilon=1e-5),
    ),
    "Normalization": of_one(
        lambda r, s: nn.Normalization(bool(r.integers(2)), pick(r, -1, (2, 3), (1, 2, 3)))
    ),
    "Rescaling": of_one(
        lambda r, s: nn.Rescaling(1 / 127.5, -1),
        lambda r, s: nn.Rescaling(2, tuple(float(v) for v in r.random(s[2]))),
    ),
    "ReLU": of_one(
        lambda r, s: nn.ReLU(),
        lambda r, s: nn.ReLU(6.0),
        lambda r, s: nn.ReLU(1.0, 0.1, 0.5),
        lambda r, s: nn.ReLU(negative_slope=0.2),
        lambda r, s: nn.LeakyReLU(),
        lambda r, s: nn.ELU(0.7),
    ),
    "PReLU": of_one(lambda r, s: nn.PReLU(pick(r, (), (1, 2), (1,), (1, 2, 3)))),
    "Softmax": of_one(lambda r, s: nn.Softmax(int(pick(r, -1, 1, 2, 3)))),
    "GlobalPooling2D": of_one(
        lambda r, s: nn.GlobalMaxPooling2D(bool(r.integers(2))),
        lambda r, s: nn.GlobalAveragePooling2D(bool(r.integers(2))),
    ),
    "ZeroPadding2D": of_one(lambda r, s: nn.ZeroPadding2D(((0, 1), (2, 0)))),
    "Cropping2D": lambda r: (
        [nn.Cropping2D(((1, 0), (0, 2)))],
        [(int(r.integers(2, 9)), int(r.integers(3, 9)), 3)],
    ),
    "UpSampling2D": of_one(
        lambda r, s: nn.UpSampling2D((2, 3)), lambda r, s: nn.UpSampling2D(2, "bilinear")
    ),
    "Resizing": of_one(
        lambda r, s: nn.Resizing(
            int(r.integers(1, 20)),
            int(r.integers(1, 20)),
            pick(r, "nearest", "bilinear", "bicubic", "area", "lanczos3", "mitchellcubic"),
        )
    ),
    "Flatten": of_one(lambda r, s: nn.Flatten(), lambda r, s: nn.Reshape((-1, s[2]))),
    "Permute": of_one(lambda r, s: nn.Permute(tuple(int(v) + 1 for v in r.permutation(3)))),
    "Identity": of_one(lambda r, s: nn.Dropout(0.5), lambda r, s: nn.GaussianNoise(0.1)),
    "Concatenate": concatenation,
    **{
        kind.__name__: merging(kind)
        for kind in (nn.Add, nn.Subtract, nn.Multiply, nn.Average, nn.Maximum, nn.Minimum)
    },
    **{f"activation {name}": of_one(lambda r, s, n=name: nn.Activation(n)) for name in ACTIVATIONS},
}


def network(make: Make, seed: int) -> tuple[Graph, dict[str, Any], np.ndarray]:
    """A graph around a case, a layer or a chain, its weights and an input batch of two.

    Inputs of merging layers come from one picture by 1x1 convolutions and resizing, so that the
    graph has one input as all do.
    """
    random = np.random.default_rng(seed)
    (layer, *others), shapes = make(random)
    if isinstance(layer, nn.Activation) and layer.activation == "glu":
        shapes = [(*shapes[0][:2], 2 * shapes[0][2])]
    if layer.merges:
        inputs = Input((3, 4, 2))
        sources = [nn.Conv2D(s[2], 1)(nn.Resizing(s[0], s[1])(inputs)) for s in shapes]
        outputs = layer(sources)
    elif make is inverted_residual:
        inputs = Input(shapes[0])
        expanded = nn.Conv2D(112, 1, activation=layer.activation)(inputs)
        outputs = nn.Conv2D(shapes[0][2], 1)(layer(expanded))
        outputs = outputs if outputs.shape != inputs.shape else nn.Add()([outputs, inputs])
    else:
        inputs = Input(shapes[0])
        outputs = layer(inputs)
        for other in others:
            outputs = other(outputs)
    graph = from_tensors(inputs, outputs)
    x = random.standard_normal((2, *inputs.shape)).astype(np.float32) * 2
    return graph, random_weights(graph, random), x
