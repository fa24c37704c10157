"""How far a backend may be from the reference: what rounding explains, as in the self-test."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.differential.case import Case
from tinycnn.nn import tolerance

QUICK = 2e-6  # of the largest output: below it the eight passes of the rule are not made


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
    output = case.graph.output
    right = tolerance.measure(case.graph, case.weights, case.x, {output: np.ravel})[output]
    if right.admits(got):
        return ""
    error = float(np.abs(np.ravel(got) - right.value).max())
    return f"off by {error:.2g}, rounding explains {right.allowed:.2g}, largest {largest:.2g}"
