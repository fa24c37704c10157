"""How many roundings lie behind one number of a layer's output: the lengths of its sums."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from tinycnn.nn import layers as nn
from tinycnn.nn.activations import AXIS_WISE
from tinycnn.nn.graph import Graph
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.layers.convolution import Window
from tinycnn.nn.layers.core import Identity
from tinycnn.nn.layers.reshaping import Resampled
from tinycnn.nn.types import Array, Shape

FUNCTION = 4  # roundings within an activation, or within a few operations in a row
WINOGRAD = 16  # sums by F(4x4, 3x3) are as exact as plain ones of so many times as many products
LEAST_CHANNELS = 16  # of which a program may make a Winograd convolution
LONG = 64  # numbers that a mean is of, beyond which it matters how they are added up
PRODUCTS = (Window, nn.Dense)
MEANS = (nn.GlobalAveragePooling2D, nn.AveragePooling2D)
AFFINE = (nn.BatchNormalization, nn.Normalization, nn.Rescaling)
MOVING = (
    *(nn.Flatten, nn.Reshape, nn.Permute, Identity, nn.ZeroPadding2D, nn.Cropping2D),
    *(nn.MaxPooling2D, nn.GlobalMaxPooling2D, nn.Maximum, nn.Minimum, nn.Concatenate),
)
CHOOSING = frozenset({"linear", "relu", "relu6", "hard_tanh"})  # activations that round nothing


def roundings(layer: Layer, shape: Any) -> int:
    """How many numbers are added up for one of the output, about; 0 where none is computed.

    ``shape``: the input's, or a list of them for a layer that merges.
    """
    if isinstance(layer, MOVING):
        return 0
    if isinstance(layer, PRODUCTS):
        return _products(layer, shape)
    if isinstance(layer, MEANS):
        return _cells(layer, shape)
    if isinstance(layer, Resampled):
        return _resampled(layer, shape)
    if isinstance(layer, nn.LayerNormalization):
        return FUNCTION * prod(layer.dimensions(shape))
    if isinstance(layer, nn.Softmax):
        return FUNCTION * int(shape[layer.dimension(shape)])
    if isinstance(layer, nn.Activation):
        return _function(layer.activation, shape)
    return len(shape) if layer.merges else FUNCTION


def counts(graph: Graph) -> dict[str, int]:
    """Give each node's `roundings`, and to a factor for each channel those of the sum before it.

    A program that makes batch normalisation part of a convolution adds the products to its bias,
    which may be larger than they are: every step then rounds by the size of the result.
    """
    nodes, found = {node.name: node for node in graph.nodes}, dict[str, int]()
    for node in graph.nodes:
        layer, before = node.layer, nodes.get(node.inputs[0])
        found[node.name] = roundings(layer, graph.arguments(node, graph.shapes))
        while before and isinstance(before.layer, Identity):
            before = nodes.get(before.inputs[0])
        if before and isinstance(layer, AFFINE) and _is_linear(before.layer):
            found[node.name] = max(found[node.name], found[before.name])
    return found


def _is_linear(layer: Any) -> bool:
    return isinstance(layer, AFFINE) or (
        isinstance(layer, PRODUCTS) and layer.activation == "linear"
    )


def _products(layer: Any, shape: Shape) -> int:
    linear = replace(layer, activation="linear")  # glu halves the channels
    count = -(-linear.macs(shape) // prod(linear.output_shape(shape)))
    return int(max(count * (WINOGRAD if _may_be_winograd(layer, shape) else 1), FUNCTION))


def _may_be_winograd(layer: Any, shape: Shape) -> bool:
    plain = isinstance(layer, nn.Conv2D) and (layer.strides, layer.groups) == ((1, 1), 1)
    return plain and layer.kernel_size == (3, 3) and min(shape[2], layer.filters) >= LEAST_CHANNELS


def _cells(layer: Any, shape: Shape) -> int:
    if isinstance(layer, nn.GlobalAveragePooling2D):
        return shape[0] * shape[1]
    return prod(size for size, _ in layer.geometry())


def _resampled(layer: Any, shape: Shape) -> int:
    if layer.interpolation == "nearest":
        return 0
    rows, columns, _ = layer.output_shape(shape)
    return int(FUNCTION - -shape[0] // rows - -shape[1] // columns)


def _function(name: str, shape: Shape) -> int:
    if name in CHOOSING:
        return 0
    return FUNCTION * (shape[-1] if name in AXIS_WISE else 1)


def added_in_turn(layer: Any, x: Array) -> Array:
    """Give the means of x (N, H, W, C) as a program does that adds one number after the other.

    NumPy adds in pairs where it can. Equal numbers, as of an image's black border, err alike in
    every step: the mean of 3,136 by 0.2 n units instead of sqrt(n).
    """
    if _cells(layer, x.shape[1:]) <= LONG:
        return layer.forward(x, {})
    if isinstance(layer, nn.GlobalAveragePooling2D):
        pixels = x.reshape(len(x), -1, x.shape[3])
        mean = np.cumsum(pixels, axis=1)[:, -1] / np.float32(pixels.shape[1])
        return mean[:, None, None] if layer.keepdims else mean
    ones = np.ones((1, *x.shape[1:3], 1), x.dtype)
    sums, counts = (_window_sums(layer, value) for value in (x, ones))
    return sums / counts


def _window_sums(layer: Any, x: Array) -> Array:
    (kh, sh), (kw, sw) = layer.geometry()
    x = np.pad(x, ((0, 0), *layer.pads(x.shape[1:]), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), axis=(1, 2))[:, ::sh, ::sw]
    flat = windows.reshape(*windows.shape[:4], -1)
    return np.cumsum(flat, axis=-1)[..., -1]
