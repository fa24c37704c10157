"""Layers that look at images through windows, or change their rows and columns, in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.differential.onnx_nodes import Nodes, Weights, activate, emit
from tinycnn.nn import layers as nn
from tinycnn.nn.layers.pooling import GlobalPooling2D, Pooling2D
from tinycnn.nn.types import Shape


def window(layer: Any, size: Any, shape: Shape) -> dict[str, Any]:
    """Options of all windows."""
    (top, bottom), (left, right) = layer.pads(shape)
    return {"kernel_shape": list(size), "strides": list(layer.strides),
            "pads": [top, left, bottom, right]}  # fmt: skip


def conv(to: Nodes, layer: Any, x: str, shape: Shape, kernel: Any, bias: Any, **more: Any) -> str:
    """A convolution with its weight as ONNX has it."""
    inputs = [x, to.constant(kernel), *([] if bias is None else [to.constant(bias)])]
    options = window(layer, layer.kernel_area(), shape) if layer else {}
    dilations = {"dilations": list(layer.dilation_rate)} if layer else {}
    return to.node("Conv", ",".join(inputs), **options, **dilations, **more)


@emit.register
def _(layer: nn.Conv2D, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    kernel = weights["kernel"].transpose(3, 2, 0, 1)
    y = conv(to, layer, xs[0], shapes[0], kernel, weights.get("bias"), group=layer.groups)
    return activate(to, y, layer.activation, 3)


def depthwise(to: Nodes, layer: Any, x: str, shape: Shape, kernel: Any, bias: Any) -> str:
    """One group for each channel."""
    height, width, channels, multiplier = kernel.shape
    turned = kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    return conv(to, layer, x, shape, turned, bias, group=channels)


@emit.register
def _(layer: nn.DepthwiseConv2D, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    kernel, bias = weights["depthwise_kernel"], weights.get("bias")
    y = depthwise(to, layer, xs[0], shapes[0], kernel, bias)
    return activate(to, y, layer.activation, 3)


@emit.register
def _(layer: nn.SeparableConv2D, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    y = depthwise(to, layer, xs[0], shapes[0], weights["depthwise_kernel"], None)
    kernel = weights["pointwise_kernel"].transpose(3, 2, 0, 1)
    y = conv(to, None, y, shapes[0], kernel, weights.get("bias"))
    return activate(to, y, layer.activation, 3)


@emit.register
def _(layer: nn.Conv2DTranspose, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    begin, end, extra = [], [], []
    for size, length, cut, (k, s, d) in zip(
        shapes[0], layer.lengths(shapes[0]), layer.cuts(shapes[0]), layer.geometry(), strict=False
    ):
        whole = (size - 1) * s + (k - 1) * d + 1
        begin.append(cut)
        end.append(max(whole - cut - length, 0))
        extra.append(max(length + cut - whole, 0))
    inputs = [xs[0], to.constant(weights["kernel"].transpose(3, 2, 0, 1))]
    inputs += [to.constant(weights["bias"])] if layer.use_bias else []
    y = to.node("ConvTranspose", ",".join(inputs), strides=list(layer.strides),
                dilations=list(layer.dilation_rate), pads=begin + end,
                output_padding=extra)  # fmt: skip
    return activate(to, y, layer.activation, 3)


@emit.register
def _(layer: Pooling2D, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    op = "MaxPool" if isinstance(layer, nn.MaxPooling2D) else "AveragePool"
    return to.node(op, xs[0], **window(layer, layer.pool_size, shapes[0]))


@emit.register
def _(layer: GlobalPooling2D, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    is_max = isinstance(layer, nn.GlobalMaxPooling2D)
    if layer.keepdims:
        return to.node("GlobalMaxPool" if is_max else "GlobalAveragePool", xs[0])
    inputs = f"{xs[0]},{to.constant(np.array([2, 3]))}"
    return to.node("ReduceMax" if is_max else "ReduceMean", inputs, keepdims=0)


@emit.register
def _(layer: nn.ZeroPadding2D, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    (top, bottom), (left, right) = layer.sides
    pads = to.constant(np.array([0, 0, top, left, 0, 0, bottom, right]))
    return to.node("Pad", f"{xs[0]},{pads}")


@emit.register
def _(layer: nn.Cropping2D, to: Nodes, xs: Any, shapes: Any, weights: Weights) -> str:
    (top, bottom), (left, right) = layer.sides
    height, width, _ = shapes[0]
    ranges = [top, left], [height - bottom, width - right], [2, 3]
    return to.node("Slice", ",".join([xs[0], *(to.constant(np.array(r)) for r in ranges)]))


@emit.register
def _(layer: nn.UpSampling2D | nn.Resizing, to: Nodes, xs: Any, shapes: Any, weights: Any) -> str:
    height, width, channels = layer.output_shape(shapes[0])
    sizes = to.constant(np.array([1, channels, height, width]))
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
               "nearest_mode": "floor"}  # fmt: skip
    linear = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    options = nearest if layer.interpolation == "nearest" else linear
    empty = to.constant(np.zeros(0, np.float32))
    return to.node("Resize", f"{xs[0]},{empty},{empty},{sizes}", **options)
