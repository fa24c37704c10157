"""Every activation that Keras names, in NumPy: float32 in, float32 out, any shape.

The element-wise ones take ``x`` alone; those of `AXIS_WISE` look along the last axis.
Parameters stand at Keras's defaults. Two names are ours: Keras 2 and 3 mean different things by
"hard_sigmoid", so Keras 2's is "hard_sigmoid_keras2" here; "gelu_tanh" is gelu(approximate=True).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tinycnn.nn.types import Array, Shape

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
PORTION = 1 << 20  # values at a time where one takes long: 50 ms of error functions


def linear(x: Array) -> Array:
    """Return x."""
    return x


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.maximum(x, np.float32(0))


def relu6(x: Array) -> Array:
    """min(max(x, 0), 6)."""
    return np.clip(x, np.float32(0), np.float32(6))


def leaky_relu(x: Array, negative_slope: float = 0.2) -> Array:
    """X for x >= 0, else negative_slope * x."""
    return np.where(x >= 0, x, np.float32(negative_slope) * x)


def elu(x: Array, alpha: float = 1.0) -> Array:
    """X for x > 0, else alpha (e^x - 1)."""
    return np.where(x > 0, x, np.float32(alpha) * np.expm1(np.minimum(x, 0)))


def celu(x: Array, alpha: float = 1.0) -> Array:
    """max(x, 0) + min(0, alpha (e^(x / alpha) - 1))."""
    a = np.float32(alpha)
    return np.maximum(x, 0) + a * np.expm1(np.minimum(x, 0) / a)


def selu(x: Array) -> Array:
    """Scaled elu (Klambauer et al. 2017)."""
    return np.float32(SELU_SCALE) * elu(x, SELU_ALPHA)


def exponential(x: Array) -> Array:
    """e^x."""
    with np.errstate(over="ignore"):
        return np.exp(x)


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), without overflow on either side."""
    z = np.exp(-np.abs(x))
    return np.where(x >= 0, np.float32(1), z) / (1 + z)


def hard_sigmoid(x: Array) -> Array:
    """relu6(x + 3) / 6: Keras 3."""
    return relu6(x + np.float32(3)) / np.float32(6)


def hard_sigmoid_keras2(x: Array) -> Array:
    """0.2 x + 0.5 clipped to [0, 1]: Keras 1 and 2."""
    return np.clip(np.float32(0.2) * x + np.float32(0.5), np.float32(0), np.float32(1))


def silu(x: Array) -> Array:
    """X sigmoid(x), also called swish."""
    return x * sigmoid(x)


def hard_silu(x: Array) -> Array:
    """X hard_sigmoid(x), also called hard swish."""
    return x * hard_sigmoid(x)


def tanh(x: Array) -> Array:
    """Hyperbolic tangent."""
    return np.tanh(x)


def hard_tanh(x: Array) -> Array:
    """X clipped to [-1, 1]."""
    return np.clip(x, np.float32(-1), np.float32(1))


def tanh_shrink(x: Array) -> Array:
    """X - tanh(x)."""
    return x - np.tanh(x)


def hard_shrink(x: Array, threshold: float = 0.5) -> Array:
    """X where |x| > threshold, else 0."""
    return np.where(np.abs(x) > threshold, x, np.float32(0))


def soft_shrink(x: Array, threshold: float = 0.5) -> Array:
    """X moved towards 0 by threshold, 0 within it."""
    return np.sign(x) * np.maximum(np.abs(x) - np.float32(threshold), 0)


def threshold(x: Array, threshold: float = 0.0, default: float = 0.0) -> Array:
    """X where x > threshold, else default."""
    return np.where(x > threshold, x, np.float32(default))


def softplus(x: Array) -> Array:
    """log(1 + e^x)."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def softsign(x: Array) -> Array:
    """X / (1 + |x|)."""
    return x / (1 + np.abs(x))


def log_sigmoid(x: Array) -> Array:
    """log(sigmoid(x))."""
    return -softplus(-x)


def mish(x: Array) -> Array:
    """X tanh(softplus(x)) (Misra 2019)."""
    return x * np.tanh(softplus(x))


def gelu(x: Array) -> Array:
    """X times the normal distribution function of x (Hendrycks and Gimpel 2016)."""
    z = x / np.float32(math.sqrt(2))
    erf = np.empty_like(z, order="C")
    flat = erf.reshape(-1)
    for first in range(0, z.size, PORTION):  # between them Python looks if it was interrupted
        part = z.flat[first : first + PORTION]
        # One value after the other: an array of Python objects would take ten times the memory.
        flat[first : first + PORTION] = np.fromiter(map(math.erf, part), x.dtype, part.size)
    return 0.5 * x * (1 + erf)


def gelu_tanh(x: Array) -> Array:
    """Gelu by its tanh approximation: Keras's gelu(approximate=True)."""
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
    return 0.5 * x * (1 + np.tanh(inner))


def squareplus(x: Array, b: float = 4.0) -> Array:
    """(x + sqrt(x^2 + b)) / 2."""
    return (x + np.sqrt(x * x + np.float32(b))) / 2


def sparse_plus(x: Array) -> Array:
    """0 below -1, (x + 1)^2 / 4 up to 1, x above."""
    middle = np.square(x + 1) / 4
    return np.where(x <= -1, np.float32(0), np.where(x < 1, middle, x))


def sparse_sigmoid(x: Array) -> Array:
    """0 below -1, (x + 1) / 2 up to 1, 1 above."""
    return np.clip((x + 1) / 2, np.float32(0), np.float32(1))


def softmax(x: Array, axis: int = -1) -> Array:
    """e^x / sum e^x along ``axis``, shifted by the maximum so that nothing overflows."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def log_softmax(x: Array) -> Array:
    """log(softmax(x))."""
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def sparsemax(x: Array) -> Array:
    """Euclidean projection onto the simplex (Martins and Astudillo 2016, algorithm 1)."""
    rows = x.reshape(-1, x.shape[-1])
    y, step = np.empty_like(rows), max(1, PORTION // x.shape[-1])
    for first in range(0, len(rows), step):
        y[first : first + step] = _onto_simplex(rows[first : first + step])
    return y.reshape(x.shape)


def _onto_simplex(x: Array) -> Array:
    z = -np.sort(-x, axis=-1)
    k = np.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    sums = np.cumsum(z, axis=-1)
    support = (1 + k * z > sums).sum(axis=-1, keepdims=True)
    tau = (np.take_along_axis(sums, support - 1, axis=-1) - 1) / support.astype(x.dtype)
    return np.maximum(x - tau, 0)


def glu(x: Array) -> Array:
    """First half of the channels times the sigmoid of the second half."""
    half = x.shape[-1] // 2
    return x[..., :half] * sigmoid(x[..., half:])


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    f.__name__: f
    for f in (
        *(linear, relu, relu6, leaky_relu, elu, celu, selu, exponential, sigmoid, hard_sigmoid),
        *(hard_sigmoid_keras2, silu, hard_silu, tanh, hard_tanh, tanh_shrink, hard_shrink),
        *(soft_shrink, threshold, softplus, softsign, log_sigmoid, mish, gelu, gelu_tanh),
        *(squareplus, sparse_plus, sparse_sigmoid, softmax, log_softmax, sparsemax, glu),
    )
}
AXIS_WISE = frozenset({"softmax", "log_softmax", "sparsemax", "glu"})


def activated_shape(name: str, shape: Shape) -> Shape:
    """Shape after the activation: glu halves the channels, all others keep them."""
    return (*shape[:-1], shape[-1] // 2) if name == "glu" else shape
