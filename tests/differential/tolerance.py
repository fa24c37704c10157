"""How far a result may be from the reference: by the rule of conversion and self-tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.differential.case import Case
from tinycnn.nn.tolerance import FLOAT32, FLOOR, measure

OTHERS = 10.0  # another library's tanh and tables of weights err more than a rounding


def difference(case: Case, got: Any, times: float = 1.0) -> str:
    """What is wrong with a result for a case; "" if it is as near as rounding explains.

    ``times`` so much is allowed: `OTHERS` for what is not of this project.
    """
    expected = case.expected
    if got.shape != expected.shape:
        return f"shape {got.shape}, not {expected.shape}"
    if not np.isfinite(got).all():
        return f"{np.count_nonzero(~np.isfinite(got))} of {got.size} values are not finite"
    largest, distance = (float(np.abs(v).max()) for v in (expected, got - expected))
    if distance <= FLOOR * FLOAT32.unit * largest:  # allowed in any case, and most are so near
        return ""
    output = case.graph.output
    right = measure(case.graph, case.weights, case.x, {output: lambda value: value})[output]
    allowed = times * right.allowed
    if float(np.abs(got - right.value).max()) <= allowed:
        return ""
    return f"off by {distance:.2g}, allowed {allowed:.2g}, largest {largest:.2g}"
