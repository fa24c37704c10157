"""Convolutions: sums over shifted pictures, one matrix product for each tap of the kernel."""

from __future__ import annotations

from dataclasses import field
from math import prod
from typing import Literal

import numpy as np

from tinycnn.lightclass import dataclass
from tinycnn.nn.layers.activation import Activated
from tinycnn.nn.layers.base import pair
from tinycnn.nn.layers.products import CALL, product, product_steps
from tinycnn.nn.types import Array, Pair, Shape, Weights

Padding = Literal["valid", "same"]


def window_length(size: int, kernel: int, stride: int, padding: str, dilation: int = 1) -> int:
    """Number of windows along one axis, by Keras's rule."""
    span = (kernel - 1) * dilation + 1
    return -(-size // stride) if padding == "same" else (size - span) // stride + 1


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> Pair:
    """Zeros (before, after) one axis for padding 'same': what is odd goes to the bottom/right."""
    span = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + span - size, 0)
    return total // 2, total - total // 2


@dataclass(frozen=True)
class Window(Activated):
    """What convolutions share: the window's geometry."""

    padding: Padding = field(default="valid", kw_only=True)
    dilation_rate: int | Pair = field(default=(1, 1), kw_only=True)
    use_bias: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        """Spell sizes as pairs."""
        for name in ("kernel_size", "strides", "dilation_rate"):
            self.set(**{name: pair(getattr(self, name))})
        super().__post_init__()
        self.need_positive("kernel_size", "strides", "dilation_rate")

    def geometry(self) -> list[tuple[int, int, int]]:
        """(kernel, stride, dilation) for rows and for columns."""
        # kernel_size and strides are the subclasses' fields, so that they come in Keras's order.
        names = ("kernel_size", "strides", "dilation_rate")
        return list(zip(*(getattr(self, name) for name in names), strict=True))

    def window_shape(self, shape: Shape) -> Pair:
        """Height and width of the output."""
        self.need_rank(shape)
        rows, columns = (
            window_length(size, k, s, self.padding, d)
            for size, (k, s, d) in zip(shape, self.geometry(), strict=False)
        )
        if rows < 1 or columns < 1:
            self.fail(f"the window {self.kernel_area()} is larger than the input {shape}")
        return rows, columns

    def pads(self, shape: Shape) -> tuple[Pair, Pair]:
        """Zeros ((top, bottom), (left, right)) around an input (H, W, C)."""
        if self.padding == "valid":
            return (0, 0), (0, 0)
        rows, columns = (
            same_padding(size, k, s, d)
            for size, (k, s, d) in zip(shape, self.geometry(), strict=False)
        )
        return rows, columns

    def working_shapes(self, shape: Shape) -> list[Shape]:
        """Return the padded input, what one tap adds, and what the activation makes."""
        (top, bottom), (left, right) = self.pads(shape)
        padded = (shape[0] + top + bottom, shape[1] + left + right, *shape[2:])
        result = self.output_shape(shape)
        return [padded, result, *self.activation_shapes(result)]

    def taps(self, x: Array) -> list[tuple[int, int, Array]]:
        """(ky, kx, the part of x (N, Ho, Wo, C) that this tap of the kernel sees)."""
        rows, columns = self.window_shape(x.shape[1:])
        (kh, sh, dh), (kw, sw, dw) = self.geometry()
        x = np.pad(x, ((0, 0), *self.pads(x.shape[1:]), (0, 0)))
        return [
            (
                ky,
                kx,
                x[
                    :,
                    ky * dh : ky * dh + (rows - 1) * sh + 1 : sh,
                    kx * dw : kx * dw + (columns - 1) * sw + 1 : sw,
                ],
            )
            for ky in range(kh)
            for kx in range(kw)
        ]

    def kernel_area(self) -> Pair:
        """(kh, kw)."""
        (kh, _, _), (kw, _, _) = self.geometry()
        return kh, kw

    def bias_shape(self, channels: int) -> dict[str, Shape]:
        """The bias, if there is one."""
        return {"bias": (channels,)} if self.use_bias else {}

    def finish(self, y: Array, weights: Weights) -> Array:
        """Add the bias to ``y`` itself, apply the activation."""
        if self.use_bias:
            y += weights["bias"]
        return self.activate(y)


@dataclass(frozen=True)
class Conv2D(Window):
    """2-D convolution: x (N, H, W, C) -> (N, Ho, Wo, filters).

    Weights: kernel (kh, kw, C / groups, filters), bias (filters,).
    """

    filters: int
    kernel_size: int | Pair
    strides: int | Pair = (1, 1)
    groups: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse groups that do not come out even."""
        super().__post_init__()
        self.need_positive("filters", "groups")
        if self.filters % self.groups:
            self.fail(f"{self.filters} filters do not fall into {self.groups} groups")

    def weight_shapes(self, shape: Shape) -> dict[str, Shape]:  # noqa: D102
        self.need_rank(shape)
        if shape[2] % self.groups:
            self.fail(f"{shape[2]} input channels do not fall into {self.groups} groups")
        kernel = (*self.kernel_area(), shape[2] // self.groups, self.filters)
        return {"kernel": kernel, **self.bias_shape(self.filters)}

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        self.weight_shapes(shape)
        return self.activated((*self.window_shape(shape), self.filters))

    def macs(self, shape: Shape) -> int:  # noqa: D102
        return prod(self.window_shape(shape)) * prod(self.weight_shapes(shape)["kernel"])

    def steps(self, shape: Shape) -> int:  # noqa: D102
        pixels, products = prod(self.window_shape(shape)), prod(self.kernel_area()) * self.groups
        channels, filters = shape[2] // self.groups, self.filters // self.groups
        return products * product_steps(pixels, channels, filters)

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        kernel, groups = weights["kernel"], self.groups
        y = np.zeros((len(x), *self.window_shape(x.shape[1:]), self.filters), x.dtype)
        channels, filters = x.shape[3] // groups, self.filters // groups
        for ky, kx, tap in self.taps(x):
            for g in range(groups):
                i, o = (
                    slice(g * channels, (g + 1) * channels),
                    slice(g * filters, (g + 1) * filters),
                )
                y[..., o] += product(tap[..., i], kernel[ky, kx, :, o])
        return self.finish(y, weights)


@dataclass(frozen=True)
class DepthwiseConv2D(Window):
    """Every channel with kernels of its own: (N, H, W, C) -> (N, Ho, Wo, C * depth_multiplier).

    Weights: depthwise_kernel (kh, kw, C, depth_multiplier), bias (C * depth_multiplier,).
    """

    kernel_size: int | Pair
    strides: int | Pair = (1, 1)
    depth_multiplier: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse a multiplier below 1."""
        super().__post_init__()
        self.need_positive("depth_multiplier")

    def weight_shapes(self, shape: Shape) -> dict[str, Shape]:  # noqa: D102
        self.need_rank(shape)
        kernel = (*self.kernel_area(), shape[2], self.depth_multiplier)
        return {"depthwise_kernel": kernel, **self.bias_shape(shape[2] * self.depth_multiplier)}

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return self.activated((*self.window_shape(shape), shape[2] * self.depth_multiplier))

    def macs(self, shape: Shape) -> int:  # noqa: D102
        return prod(self.window_shape(shape)) * prod(self.weight_shapes(shape)["depthwise_kernel"])

    def steps(self, shape: Shape) -> int:  # noqa: D102
        return depthwise_steps(self.window_shape(shape), self.weight_shapes(shape))

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        return self.finish(self.depthwise(x, weights["depthwise_kernel"]), weights)

    def depthwise(self, x: Array, kernel: Array) -> Array:
        """Convolve without bias and activation."""
        y = np.zeros((len(x), *self.window_shape(x.shape[1:]), *kernel.shape[2:]), x.dtype)
        for ky, kx, tap in self.taps(x):
            y += tap[..., None] * kernel[ky, kx]
        return y.reshape(*y.shape[:3], -1)


def depthwise_steps(window: Pair, weights: dict[str, Shape]) -> int:
    """Nanoseconds of a depthwise convolution, at most; the engine works on 16 channels at once."""
    kernel = weights["depthwise_kernel"]
    return prod(kernel[:2]) * (prod(window) * 2 * (prod(kernel[2:]) + 4) + CALL)


@dataclass(frozen=True)
class SeparableConv2D(Window):
    """A depthwise convolution, then a 1x1 one: (N, H, W, C) -> (N, Ho, Wo, filters).

    Weights: depthwise_kernel (kh, kw, C, depth_multiplier),
    pointwise_kernel (1, 1, C * depth_multiplier, filters), bias (filters,).
    """

    filters: int
    kernel_size: int | Pair
    strides: int | Pair = (1, 1)
    depth_multiplier: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse sizes below 1."""
        super().__post_init__()
        self.need_positive("filters", "depth_multiplier")

    def weight_shapes(self, shape: Shape) -> dict[str, Shape]:  # noqa: D102
        self.need_rank(shape)
        inner = shape[2] * self.depth_multiplier
        return {
            "depthwise_kernel": (*self.kernel_area(), shape[2], self.depth_multiplier),
            "pointwise_kernel": (1, 1, inner, self.filters),
            **self.bias_shape(self.filters),
        }

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return self.activated((*self.window_shape(shape), self.filters))

    def macs(self, shape: Shape) -> int:  # noqa: D102
        shapes = self.weight_shapes(shape)
        each = prod(shapes["depthwise_kernel"]) + prod(shapes["pointwise_kernel"])
        return prod(self.window_shape(shape)) * each

    def steps(self, shape: Shape) -> int:  # noqa: D102
        weights, window = self.weight_shapes(shape), self.window_shape(shape)
        _, _, inner, filters = weights["pointwise_kernel"]
        depthwise = depthwise_steps(window, weights)
        return depthwise + product_steps(prod(window), inner, filters)

    def working_shapes(self, shape: Shape) -> list[Shape]:  # noqa: D102
        inner = (*self.window_shape(shape), shape[2] * self.depth_multiplier)
        return [*super().working_shapes(shape), inner, inner]

    def depthwise_layer(self) -> DepthwiseConv2D:
        """Return the first half as a layer of its own."""
        return DepthwiseConv2D(
            self.kernel_size, self.strides, padding=self.padding, use_bias=False,
            depth_multiplier=self.depth_multiplier, dilation_rate=self.dilation_rate,
        )  # fmt: skip

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        y = self.depthwise_layer().depthwise(x, weights["depthwise_kernel"])
        return self.finish(product(y, weights["pointwise_kernel"][0, 0]), weights)


@dataclass(frozen=True)
class Conv2DTranspose(Window):
    """Transposed convolution: every input pixel adds its kernel to (N, Ho, Wo, filters).

    Weights: kernel (kh, kw, filters, C), bias (filters,).
    """

    filters: int
    kernel_size: int | Pair
    strides: int | Pair = (1, 1)
    output_padding: int | Pair | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Spell output_padding as a pair."""
        self.set(output_padding=pair(self.output_padding))
        super().__post_init__()
        self.need_positive("filters")

    def weight_shapes(self, shape: Shape) -> dict[str, Shape]:  # noqa: D102
        self.need_rank(shape)
        kernel = (*self.kernel_area(), self.filters, shape[2])
        return {"kernel": kernel, **self.bias_shape(self.filters)}

    def lengths(self, shape: Shape) -> Pair:
        """Height and width of the output, by Keras's rule."""
        self.need_rank(shape)
        extra = self.output_padding or (None, None)
        assert not isinstance(extra, int)
        rows, columns = (
            self._length(size, *g, e)
            for size, g, e in zip(shape, self.geometry(), extra, strict=False)
        )
        if rows < 1 or columns < 1:
            self.fail(f"the output for the input {shape} would be empty")
        return rows, columns

    def _length(self, size: int, k: int, s: int, d: int, extra: int | None) -> int:
        span = (k - 1) * d + 1
        if extra is None:
            return size * s if self.padding == "same" else size * s + max(span - s, 0)
        if not 0 <= extra < s:
            self.fail(f"output_padding {extra} must lie in [0, stride {s})")
        cut = 2 * (span // 2) if self.padding == "same" else 0
        return (size - 1) * s + span - cut + extra

    def cuts(self, shape: Shape) -> Pair:
        """Rows and columns that padding 'same' cuts off before the output begins."""
        rows, columns = (
            max((size - 1) * s + (k - 1) * d + 1 - length, 0) // 2 if self.padding == "same" else 0
            for size, length, (k, s, d) in zip(
                shape, self.lengths(shape), self.geometry(), strict=False
            )
        )
        return rows, columns

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return self.activated((*self.lengths(shape), self.filters))

    def macs(self, shape: Shape) -> int:  # noqa: D102
        return shape[0] * shape[1] * prod(self.weight_shapes(shape)["kernel"])

    def whole(self, shape: Shape) -> Shape:
        """Shape of the output before padding 'same' cuts it."""
        rows, columns = (
            max((size - 1) * s + (k - 1) * d + 1, cut + length)
            for size, cut, length, (k, s, d) in zip(
                shape, self.cuts(shape), self.lengths(shape), self.geometry(), strict=False
            )
        )
        return rows, columns, self.filters

    def working_shapes(self, shape: Shape) -> list[Shape]:
        """Return the whole output, what one tap adds, and what the activation makes."""
        made = self.activation_shapes(self.output_shape(shape))
        return [self.whole(shape), (*shape[:2], self.filters), *made]

    def steps(self, shape: Shape) -> int:
        """Nanoseconds at most, of what adds to the input's pixels, or asks for the output's."""
        area = prod(self.kernel_area())
        asked = prod(self.lengths(shape)) * prod(min(k, s) for k, s, _ in self.geometry())
        return area * product_steps(prod(shape[:2]), shape[2], self.filters) + 2 * asked

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        _, height, width, _ = x.shape
        (kh, sh, dh), (kw, sw, dw) = self.geometry()
        (rows, columns), (top, left) = self.lengths(x.shape[1:]), self.cuts(x.shape[1:])
        full = np.zeros((len(x), *self.whole(x.shape[1:])), x.dtype)
        for ky in range(kh):
            for kx in range(kw):
                r = slice(ky * dh, ky * dh + (height - 1) * sh + 1, sh)
                c = slice(kx * dw, kx * dw + (width - 1) * sw + 1, sw)
                full[:, r, c] += product(x, weights["kernel"][ky, kx].T)
        return self.finish(full[:, top : top + rows, left : left + columns], weights)
