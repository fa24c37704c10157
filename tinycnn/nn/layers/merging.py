"""Layers of several inputs: element-wise with NumPy's broadcasting, and concatenation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import ClassVar

import numpy as np

from tinycnn.lightclass import dataclass
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.types import Array, Shape, Weights


@dataclass(frozen=True)
class Merge(Layer):
    """An element-wise function of two or more inputs; dimensions of 1 are broadcast."""

    merges: ClassVar[bool] = True

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:  # noqa: D102
        if len(shapes) < 2:
            self.fail("needs two inputs or more")
        if len({len(shape) for shape in shapes}) > 1:
            self.fail(f"inputs {list(shapes)} differ in rank")
        try:
            return np.broadcast_shapes(*shapes)
        except ValueError:
            self.fail(f"inputs {list(shapes)} do not fit together")

    def working_shapes(self, shapes: Sequence[Shape]) -> list[Shape]:
        """Return what the first inputs became while the next one is added."""
        return [self.output_shape(shapes)]


@dataclass(frozen=True)
class Add(Merge):
    """Sum of the inputs."""

    def forward(self, xs: Sequence[Array], weights: Weights) -> Array:  # noqa: D102
        return reduce(np.add, xs)


@dataclass(frozen=True)
class Subtract(Merge):
    """First input minus the second."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:  # noqa: D102
        if len(shapes) != 2:
            self.fail(f"needs two inputs, not {len(shapes)}")
        return super().output_shape(shapes)

    def forward(self, xs: Sequence[Array], weights: Weights) -> Array:  # noqa: D102
        return xs[0] - xs[1]


@dataclass(frozen=True)
class Multiply(Merge):
    """Product of the inputs."""

    def forward(self, xs: Sequence[Array], weights: Weights) -> Array:  # noqa: D102
        return reduce(np.multiply, xs)


@dataclass(frozen=True)
class Average(Merge):
    """Mean of the inputs."""

    def forward(self, xs: Sequence[Array], weights: Weights) -> Array:  # noqa: D102
        return reduce(np.add, xs) / np.float32(len(xs))


@dataclass(frozen=True)
class Maximum(Merge):
    """Largest of the inputs. NaN stays NaN."""

    def forward(self, xs: Sequence[Array], weights: Weights) -> Array:  # noqa: D102
        return reduce(np.maximum, xs)


@dataclass(frozen=True)
class Minimum(Merge):
    """Smallest of the inputs. NaN stays NaN."""

    def forward(self, xs: Sequence[Array], weights: Weights) -> Array:  # noqa: D102
        return reduce(np.minimum, xs)


@dataclass(frozen=True)
class Concatenate(Layer):
    """Inputs one behind the other along ``axis``; the batch is axis 0, as in Keras."""

    axis: int = -1

    merges: ClassVar[bool] = True

    def dimension(self, shape: Shape) -> int:
        """Which of ``shape``'s dimensions grows."""
        axis = self.axis - 1 if self.axis > 0 else self.axis + len(shape)
        if self.axis == 0 or not 0 <= axis < len(shape):
            self.fail(f"axis {self.axis} does not exist in {shape}")
        return axis

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:  # noqa: D102
        if not shapes:
            self.fail("needs inputs")
        axis = self.dimension(shapes[0])
        ranks, others = (
            {len(s) for s in shapes},
            {(*s[:axis], *s[axis + 1 :]) for s in shapes},
        )
        if len(ranks) > 1 or len(others) > 1:
            self.fail(f"inputs {list(shapes)} differ outside axis {self.axis}")
        return (*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])

    def forward(self, xs: Sequence[Array], weights: Weights) -> Array:  # noqa: D102
        return np.concatenate(xs, axis=self.dimension(xs[0].shape[1:]) + 1)
