"""Activations as layers, and the mix-in of layers that end in one."""

from __future__ import annotations

from dataclasses import field

import numpy as np

from tinycnn.lightclass import dataclass
from tinycnn.nn.activations import ACTIVATIONS, activated_shape, elu, leaky_relu, softmax
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.types import Array, Shape, Weights

CLIPPING = ("relu", "relu6", "hard_tanh")  # one call of NumPy each
MOST_COPIES = 6  # of its argument that an activation makes on the way, itself among them


@dataclass(frozen=True)
class Activated(Layer):
    """A layer that ends in an activation of Keras's, by name."""

    activation: str = field(default="linear", kw_only=True)

    def __post_init__(self) -> None:
        """Refuse an activation that does not exist."""
        super().__post_init__()
        if self.activation not in ACTIVATIONS:
            self.fail(f"no activation {self.activation!r}; there are {sorted(ACTIVATIONS)}")

    def activated(self, shape: Shape) -> Shape:
        """Shape after the activation."""
        if self.activation == "glu" and shape[-1] % 2:
            self.fail(f"glu halves the channels, and {shape[-1]} is odd")
        return activated_shape(self.activation, shape)

    def activation_shapes(self, shape: Shape) -> list[Shape]:
        """What the activation makes on the way to ``shape``, its argument among it."""
        if self.activation == "linear":
            return []
        wide = (*shape[:-1], 2 * shape[-1]) if self.activation == "glu" else shape
        return [wide] * (2 if self.activation in CLIPPING else MOST_COPIES)

    def activate(self, x: Array) -> Array:
        """Apply the activation."""
        return ACTIVATIONS[self.activation](x).astype(x.dtype, copy=False)


@dataclass(frozen=True)
class Activation(Activated):
    """An activation by its name."""

    activation: str = "linear"

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return self.activated(shape)

    def working_shapes(self, shape: Shape) -> list[Shape]:  # noqa: D102
        return self.activation_shapes(self.output_shape(shape))

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        return self.activate(x)


@dataclass(frozen=True)
class ReLU(Layer):
    """X above ``threshold``, up to ``max_value``; below, negative_slope * (x - threshold)."""

    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return shape

    def working_shapes(self, shape: Shape) -> list[Shape]:  # noqa: D102
        return [shape] * 3

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        t, slope = np.float32(self.threshold), np.float32(self.negative_slope)
        y = np.where(x >= t, x, slope * (x - t))
        return y if self.max_value is None else np.minimum(y, np.float32(self.max_value))


@dataclass(frozen=True)
class LeakyReLU(Layer):
    """X for x >= 0, else negative_slope * x (Keras 2 calls it alpha)."""

    negative_slope: float = 0.3

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return shape

    def working_shapes(self, shape: Shape) -> list[Shape]:  # noqa: D102
        return [shape] * 2

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        return leaky_relu(x, self.negative_slope)


@dataclass(frozen=True)
class ELU(Layer):
    """X for x > 0, else alpha (e^x - 1)."""

    alpha: float = 1.0

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return shape

    def working_shapes(self, shape: Shape) -> list[Shape]:  # noqa: D102
        return [shape] * 3

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        return elu(x, self.alpha)


@dataclass(frozen=True)
class PReLU(Layer):
    """X for x >= 0, else alpha * x with a learnt alpha; ``shared_axes`` count from 1 as in Keras.

    Weights: alpha, the input's shape with 1 along the shared axes.
    """

    shared_axes: tuple[int, ...] = ()

    def weight_shapes(self, shape: Shape) -> dict[str, Shape]:  # noqa: D102
        if any(not 1 <= a <= len(shape) for a in self.shared_axes):
            self.fail(f"shared_axes {self.shared_axes} do not exist in {shape}")
        return {"alpha": tuple(1 if i + 1 in self.shared_axes else d for i, d in enumerate(shape))}

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return shape

    def working_shapes(self, shape: Shape) -> list[Shape]:  # noqa: D102
        return [shape] * 2

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        return np.where(x >= 0, x, weights["alpha"] * x)


@dataclass(frozen=True)
class Softmax(Layer):
    """e^x / sum e^x along ``axis``; the batch is axis 0, as in Keras."""

    axis: int = -1

    def dimension(self, shape: Shape) -> int:
        """Which of ``shape``'s dimensions the sum runs along."""
        axis = self.axis - 1 if self.axis > 0 else self.axis + len(shape)
        if self.axis == 0 or not 0 <= axis < len(shape):
            self.fail(f"axis {self.axis} does not exist in {shape}")
        return axis

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        self.dimension(shape)
        return shape

    def working_shapes(self, shape: Shape) -> list[Shape]:  # noqa: D102
        return [shape] * 2

    def forward(self, x: Array, weights: Weights) -> Array:  # noqa: D102
        return softmax(x, self.dimension(x.shape[1:]) + 1)
