"""The network as the engine sees it: a few kinds of operation on named values.

`lower` makes these from layers, `rewrites` improve them, `plan` turns each into instructions.
Shapes are of one image, without the batch; all arrays are float32.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinycnn.lightclass import dataclass
from tinycnn.nn.types import Array, Pair, Shape

Pads = tuple[Pair, Pair]
NO_PADS: Pads = ((0, 0), (0, 0))


class Clip(NamedTuple):
    """The activation that a kernel applies to what it stores: min(max(y, low), high)."""

    low: float = -np.inf
    high: float = np.inf


LINEAR, RELU, RELU6 = Clip(), Clip(0.0), Clip(0.0, 6.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """One operation: reads values, writes one. ``output`` is also its name in messages."""

    inputs: tuple[str, ...]
    output: str
    shape: Shape


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Op):
    """What weights multiply: the channels of the result can be scaled, and clipped, for free.

    The kernel is a view of the model file. What it is to be multiplied by, ``scale`` (filters,),
    is remembered until it is packed: no copy is made before.
    """

    kernel: Array
    bias: Array
    clip: Clip = LINEAR
    scale: Array | None = None

    def scaled(self, scale: Array, shift: Array) -> tuple[Array, Array]:
        """(scale, bias) of the same operation followed by ``y * scale + shift``."""
        bias = (self.bias * scale.astype(np.float64) + shift).astype(np.float32)
        return scale if self.scale is None else self.scale * scale, bias

    @property
    def weights(self) -> Array:
        """The kernel, multiplied by the scale."""
        return self.kernel if self.scale is None else self.kernel * self.filters_last(self.scale)

    def filters_last(self, scale: Array) -> Array:
        """``scale`` (filters,) in a shape that multiplies the kernel."""
        return scale


@dataclass(frozen=True, eq=False, kw_only=True)
class Windowed(Linear):
    """Linear operations on windows of a picture ``source``, before its padding."""

    source: Shape
    strides: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pads: Pads = NO_PADS


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Windowed):
    """Convolution; kernel (kh, kw, C / groups, F). A second input is added before the clip."""

    groups: int = 1

    @property
    def reach(self) -> Pads:
        """How far the windows look beyond the picture."""
        return self.pads


@dataclass(frozen=True, eq=False, kw_only=True)
class Winograd(Conv):
    """A 3x3 convolution of stride 1 in tiles of 4x4 outputs, which may overhang below and right."""

    @property
    def tiles(self) -> Pair:
        """Rows and columns of tiles."""
        return -(-self.shape[0] // 4), -(-self.shape[1] // 4)

    @property
    def reach(self) -> Pads:
        """How far the tiles look beyond the picture."""
        (top, bottom), (left, right) = self.pads
        down, across = (4 * t - n for t, n in zip(self.tiles, self.shape, strict=False))
        return (top, bottom + down), (left, right + across)


@dataclass(frozen=True, eq=False, kw_only=True)
class Depthwise(Windowed):
    """Depthwise convolution; kernel (kh, kw, C, multiplier)."""

    def filters_last(self, scale: Array) -> Array:  # noqa: D102
        channels, multiplier = self.kernel.shape[2:]
        return np.broadcast_to(scale, (channels * multiplier,)).reshape(channels, multiplier)


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvTranspose(Windowed):
    """Transposed convolution; kernel (kh, kw, F, C); ``pads[i][0]`` is what is cut off first."""

    def filters_last(self, scale: Array) -> Array:  # noqa: D102
        return np.broadcast_to(scale, self.kernel.shape[2:3])[:, None]


@dataclass(frozen=True, eq=False, kw_only=True)
class InvertedResidual(Op):
    """A 1x1 convolution, a depthwise 3x3 one and a 1x1 one; a second input is added to the last.

    The first two clip alike, the last does not.
    """

    source: Shape
    expand: Conv
    depthwise: Depthwise
    project: Conv

    @property
    def expanded(self) -> int:
        """Channels between expansion and projection."""
        return self.expand.shape[2]


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(Linear):
    """Matrix product along the last axis; kernel (C, F)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Affine(Op):
    """``x * scale + shift`` along the channels, each (C,) or (1,) for all, then the clip."""

    scale: Array
    shift: Array
    clip: Clip = LINEAR


@dataclass(frozen=True, eq=False, kw_only=True)
class Elementwise(Op):
    """A function of one value at a time: ``kind`` of `kernels.elementwise`, up to 3 parameters."""

    kind: str
    parameters: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class PRelu(Op):
    """``x`` where x >= 0, else alpha * x; alpha is 1 along dimensions that share it."""

    alpha: Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Binary(Op):
    """``kind`` of two inputs: add, subtract, multiply, maximum, minimum; 1 is broadcast."""

    kind: str
    shapes: tuple[Shape, Shape]
    clip: Clip = LINEAR


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Op):
    """Maximum or mean of windows; cells outside do not count."""

    kind: str
    source: Shape
    window: Pair
    strides: Pair
    pads: Pads


@dataclass(frozen=True, eq=False, kw_only=True)
class GlobalPool(Op):
    """Maximum or mean over rows and columns."""

    kind: str
    source: Shape


@dataclass(frozen=True, eq=False, kw_only=True)
class AxisWise(Op):
    """softmax, log_softmax, sparsemax or glu along one dimension."""

    kind: str
    source: Shape
    dimension: int = -1


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerNorm(Op):
    """Mean 0 and variance 1 over the trailing ``length`` values, then gamma and beta, if any."""

    length: int
    gamma: Array | None
    beta: Array | None
    epsilon: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Pad(Op):
    """Zeros around a picture; usually absorbed into what follows."""

    source: Shape
    pads: Pads


@dataclass(frozen=True, eq=False, kw_only=True)
class Crop(Op):
    """A part of a picture; ``start``: its first row and column."""

    source: Shape
    start: Pair


@dataclass(frozen=True, eq=False, kw_only=True)
class Permute(Op):
    """Dimensions in another order: dimension i of the result is ``order[i]`` of the source."""

    source: Shape
    order: tuple[int, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Resample(Op):
    """Rows, then columns, as weighted sums of a few others (see `nn.layers.resampling`)."""

    source: Shape
    interpolation: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(Op):
    """Inputs one behind the other along ``dimension``."""

    shapes: tuple[Shape, ...]
    dimension: int


@dataclass(frozen=True, eq=False, kw_only=True)
class View(Op):
    """The same values under another shape: costs nothing."""


@dataclass(frozen=True, eq=False)
class Net:
    """Operations in order, each after those that it reads; ``output`` names the result."""

    input_shape: Shape
    ops: tuple[Op, ...]
    output: str

    @property
    def output_shape(self) -> Shape:
        """Shape of the result."""
        return next(op.shape for op in self.ops if op.output == self.output)

    def readers(self) -> dict[str, list[Op]]:
        """Which operations read a value."""
        readers: dict[str, list[Op]] = {}
        for op in self.ops:
            for name in op.inputs:
                readers.setdefault(name, []).append(op)
        return readers
