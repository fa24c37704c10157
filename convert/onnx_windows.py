"""ONNX's convolutions as ours: kernels turned over, paddings said in Keras's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Tensor
from tinycnn.nn.layers.base import MAX_OPTION, Layer
from tinycnn.nn.layers.convolution import same_padding, window_length
from tinycnn.nn.types import Array, Pair, Shape

from .onnx_call import Call, rule
from .onnx_values import CHANNELS_FIRST, Value, scattered


@dataclass(frozen=True)
class Window:
    """Kernel, strides and dilation by (rows, columns), and the cells added on each side."""

    kernel: Pair
    strides: Pair
    dilation: Pair
    pads: tuple[Pair, Pair]  # ((top, bottom), (left, right))

    def sizes(self) -> list[tuple[int, int, int, Pair]]:
        """(kernel, stride, dilation, (before, after)) for rows and for columns."""
        return list(zip(self.kernel, self.strides, self.dilation, self.pads, strict=True))

    def is_same(self, shape: Shape) -> bool:
        """Whether this is Keras's padding 'same' for pictures of ``shape`` (H, W, C)."""
        pairs = zip(shape, self.sizes(), strict=False)
        return all(same_padding(n, k, s, d) == pads for n, (k, s, d, pads) in pairs)

    def lengths(self, shape: Shape) -> list[int]:
        """Number of windows along rows and columns."""
        return [
            window_length(n + sum(pads), k, s, "valid", d)
            for n, (k, s, d, pads) in zip(shape, self.sizes(), strict=False)
        ]


def window(call: Call, shape: Shape, kernel: Pair) -> Window:
    """Read a node's geometry for pictures of ``shape`` (H, W, C)."""
    given = call.integers("kernel_shape")
    if given is not None and tuple(given) != kernel:
        call.fail(f"kernel_shape {given} is not the weight's {kernel}")
    strides = pair_of(call, "strides", 1)
    dilation = pair_of(call, "dilations", 1)
    auto, pads = call.text("auto_pad", "NOTSET"), call.integers("pads", [0, 0, 0, 0])
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        sides = [
            same_padding(n, k, s, d)
            for n, k, s, d in zip(shape, kernel, strides, dilation, strict=False)
        ]
        if auto == "SAME_LOWER":
            sides = [(after, before) for before, after in sides]
        return Window(kernel, strides, dilation, (sides[0], sides[1]))
    if auto not in ("NOTSET", "", "VALID"):
        call.fail(f"auto_pad {auto!r} is none of ONNX's")
    if pads is None or len(pads) != 4 or not all(0 <= p <= MAX_OPTION for p in pads):
        call.fail(f"pads {pads} are not four numbers from 0 on")
    top, left, bottom, right = (0, 0, 0, 0) if auto == "VALID" else pads
    return Window(kernel, strides, dilation, ((top, bottom), (left, right)))


def pair_of(call: Call, name: str, default: int | None) -> Pair:
    """Read two numbers from 1 on; ``default`` None: the node must have them."""
    found = call.integers(name, None if default is None else [default, default])
    if found is None or len(found) != 2 or not all(1 <= v <= MAX_OPTION for v in found):
        call.fail(f"{name} {found} are not two numbers from 1 on")
    return found[0], found[1]


def padded(call: Call, tensor: Tensor, pads: tuple[Pair, Pair]) -> Tensor:
    """Put zeros around a picture, if any."""
    return call.place(nn.ZeroPadding2D(pads), tensor, {}) if any(map(any, pads)) else tensor


@rule("Conv")
def convolution(call: Call) -> Value:
    """Conv: weight (filters, C / group, kh, kw), bias (filters,)."""
    value = call.picture(CHANNELS_FIRST)
    kernel, groups = call.weight(1, "weight", 4), call.integer("group", 1)
    filters, each = kernel.shape[:2]
    if min(kernel.shape) < 1 or each * groups != value.channels or filters % max(groups, 1):
        call.fail(
            f"weight {kernel.shape} in {groups} groups does not fit {value.channels} channels"
        )
    if groups == 1:
        kernel = scattered(kernel, value, axis=1)
    else:
        value = call.sorted(value)
    shape = value.tensor.shape
    geometry = window(call, shape, (kernel.shape[2], kernel.shape[3]))
    same = geometry.is_same(shape)
    tensor = value.tensor if same else padded(call, value.tensor, geometry.pads)
    options: dict[str, Any] = {
        "padding": "same" if same else "valid",
        "dilation_rate": geometry.dilation,
    }
    bias = _bias(call, 2, filters)
    return value_of(call, tensor, _layer(kernel, groups, geometry, options, bias))


def _layer(
    kernel: Array, groups: int, geometry: Window, options: dict[str, Any], bias: dict[str, Array]
) -> tuple[Layer, dict[str, Array]]:
    """Our layer and its weights; one channel in each group makes it a depthwise one."""
    filters, each, rows, columns = kernel.shape
    options = {**options, "use_bias": bool(bias)}
    if groups == 1 or each > 1:
        layer: Layer = nn.Conv2D(
            filters, geometry.kernel, geometry.strides, groups=groups, **options
        )
        return layer, {"kernel": kernel.transpose(2, 3, 1, 0), **bias}
    layer = nn.DepthwiseConv2D(
        geometry.kernel, geometry.strides, depth_multiplier=filters // groups, **options
    )
    turned = kernel.reshape(groups, -1, rows, columns).transpose(2, 3, 0, 1)
    return layer, {"depthwise_kernel": turned, **bias}


def value_of(call: Call, tensor: Tensor, made: tuple[Layer, dict[str, Array]]) -> Value:
    """Put a layer behind a picture; the result is one again."""
    return Value(call.place(made[0], tensor, made[1]), CHANNELS_FIRST)


def _bias(call: Call, index: int, filters: int) -> dict[str, Array]:
    if call.argument(index) is None:
        return {}
    bias = call.weight(index, "bias", 1)
    if len(bias) != filters:
        call.fail(f"its bias has {len(bias)} values for {filters} filters")
    return {"bias": bias}


@rule("ConvTranspose")
def transposed_convolution(call: Call) -> Value:
    """ConvTranspose: weight (C, filters, kh, kw); what ``pads`` cut off is cropped here."""
    value = call.sorted(call.picture(CHANNELS_FIRST))
    kernel = call.weight(1, "weight", 4)
    if call.integer("group", 1) != 1 or call.integers("output_shape") is not None:
        call.fail("groups or an output_shape cannot be converted")
    if call.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or min(kernel.shape) < 1:
        call.fail("its auto_pad or its empty weight cannot be converted")
    geometry = window(call, value.tensor.shape, (kernel.shape[2], kernel.shape[3]))
    extra = call.integers("output_padding", [0, 0])
    bias = _bias(call, 2, kernel.shape[1])
    layer = nn.Conv2DTranspose(
        kernel.shape[1], geometry.kernel, geometry.strides, dilation_rate=geometry.dilation,
        output_padding=tuple(extra or ()), use_bias=bool(bias),  # type: ignore[arg-type]
    )  # fmt: skip
    weights = {"kernel": kernel.transpose(2, 3, 1, 0), **bias}
    tensor = call.place(layer, value.tensor, weights)
    if any(map(any, geometry.pads)):
        tensor = call.place(nn.Cropping2D(geometry.pads), tensor, {})
    return Value(tensor, CHANNELS_FIRST)
