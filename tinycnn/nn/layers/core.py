"""Dense layers, changes of shape, and the layers that do nothing at inference."""

from __future__ import annotations

from dataclasses import field
from math import prod

from tinycnn.lightclass import dataclass
from tinycnn.nn.layers.activation import Activated
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.layers.products import product, product_steps
from tinycnn.nn.types import Array, Shape, Weights


@dataclass(frozen=True)
class Dense(Activated):
    """A matrix product along the last axis: (N, ..., C) -> (N, ..., units).

    Weights: kernel (C, units), bias (units,).
    """

    units: int
    use_bias: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse zero units."""
        super().__post_init__()
        self.need_positive("units")

    def weight_shapes(self, shape: Shape) -> dict[str, Shape]:  # noqa: D102
        bias = {"bias": (self.units,)} if self.use_bias else {}
        return {"kernel": (shape[-1], self.units), **bias}

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return self.activated((*shape[:-1], self.units))

    def macs(self, shape: Shape) -> int:  # noqa: D102
        return prod(shape) * self.units

    def steps(self, shape: Shape) -> int:  # noqa: D102
        return product_steps(prod(shape[:-1]), shape[-1], self.units)

    def working_shapes(self, shape: Shape) -> list[Shape]:  # noqa: D102
        return self.activation_shapes(self.output_shape(shape))

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        y = product(x, weights["kernel"])
        if self.use_bias:
            y += weights["bias"]
        return self.activate(y)


@dataclass(frozen=True)
class Flatten(Layer):
    """All values of an image in one row: (N, H, W, C) -> (N, H * W * C)."""

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return (prod(shape),)

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        return x.reshape(len(x), -1)


@dataclass(frozen=True)
class Reshape(Layer):
    """The same values in another shape; -1 once, for what remains."""

    target_shape: tuple[int, ...]

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        target, size = self.target_shape, prod(shape)
        known = prod(d for d in target if d != -1)
        if target.count(-1) > 1 or known < 1 or any(d < -1 for d in target):
            self.fail(f"target_shape {target} is not a shape")
        result = tuple(size // known if d == -1 else d for d in target)
        if prod(result) != size:
            self.fail(f"{shape} cannot become {target}")
        return result

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        return x.reshape(len(x), *self.output_shape(x.shape[1:]))


@dataclass(frozen=True)
class Permute(Layer):
    """Dimensions in another order; ``dims`` count from 1, as in Keras."""

    dims: tuple[int, ...]

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        if sorted(self.dims) != list(range(1, len(shape) + 1)):
            self.fail(f"dims {self.dims} do not reorder {shape}")
        return tuple(shape[d - 1] for d in self.dims)

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        return x.transpose(0, *self.dims)


@dataclass(frozen=True)
class Identity(Layer):
    """Does nothing; also what a layer becomes that acts in training only."""

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return shape

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        return x


@dataclass(frozen=True)
class Dropout(Identity):
    """Drops values in training; nothing here."""

    rate: float = 0.5


@dataclass(frozen=True)
class SpatialDropout2D(Identity):
    """Drops channels in training; nothing here."""

    rate: float = 0.5


@dataclass(frozen=True)
class AlphaDropout(Identity):
    """Drops values in training, keeping mean and variance; nothing here."""

    rate: float = 0.5


@dataclass(frozen=True)
class GaussianDropout(Identity):
    """Multiplies by noise in training; nothing here."""

    rate: float = 0.5


@dataclass(frozen=True)
class GaussianNoise(Identity):
    """Adds noise in training; nothing here."""

    stddev: float = 0.0


@dataclass(frozen=True)
class ActivityRegularization(Identity):
    """Adds to the loss in training; nothing here."""

    l1: float = 0.0
    l2: float = 0.0
