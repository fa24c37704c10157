"""How far a backend may be from the reference: by the reference's own error in float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

from tests.differential.case import Case
from tinycnn.nn import activations, graph
from tinycnn.nn.layers import activation, convolution, normalization, pooling

QUICK = 2e-6  # of the largest output: below it nobody asks for more
FLOOR = 1e-5  # of the largest output
ROUNDINGS = 4 * 2.0**-24  # of the largest value anywhere: sums may cancel to nothing
MULTIPLE = (
    100.0  # of the reference's error; Winograd's algorithm reaches 53 in 700 networks, others 19
)


class _Wide(ModuleType):
    """NumPy, in which float32 is float64."""

    float32 = np.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


@contextlib.contextmanager
def in_float64() -> Iterator[None]:
    """Let the layers compute in float64. What `reshaping` has in float32 are constants."""
    with contextlib.ExitStack() as stack:
        for module in (activations, graph, activation, convolution, normalization, pooling):
            stack.enter_context(mock.patch.object(module, "np", _Wide("numpy")))
        yield


def difference(case: Case, got: Any) -> str:
    """What is wrong with a backend's result for a case; "" if it is as near as it can be."""
    expected = case.expected
    if got.shape != expected.shape:
        return f"shape {got.shape}, not {expected.shape}"
    if not np.isfinite(got).all():
        return f"{np.count_nonzero(~np.isfinite(got))} of {got.size} values are not finite"
    largest = float(np.abs(expected).max())
    if float(np.abs(got - expected).max()) <= QUICK * largest:
        return ""
    sizes = [0.0]
    with in_float64():
        weights = {name: value.astype(np.float64) for name, value in case.weights.items()}
        exact = case.graph.forward(
            case.x.astype(np.float64), weights, lambda _, y: sizes.append(float(np.abs(y).max()))
        )
    noise, error = (float(np.abs(y - exact).max()) for y in (expected, got))
    allowed = MULTIPLE * noise + FLOOR * largest + ROUNDINGS * max(sizes)
    if error <= allowed:
        return ""
    return f"off by {error:.2g}, allowed {allowed:.2g}, largest {largest:.2g}"
