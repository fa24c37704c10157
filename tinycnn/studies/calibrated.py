"""How a calibration is applied: the temperature to a probability; the threshold, in words.

Source: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
"""

from __future__ import annotations

import math

from tinycnn.nn.model import Calibration, Decision, Model
from tinycnn.studies.names import counted

EPSILON = 1e-7  # a probability this near to 0 or 1 is taken as that far from it, as Keras does


def logit(probability: float) -> float:
    """Logarithm of the odds of ``probability`` (0 to 1); finite: see `EPSILON`."""
    p = min(max(probability, EPSILON), 1.0 - EPSILON)
    return math.log(p / (1.0 - p))


def scaled(probability: float, temperature: float) -> float:
    """Sigmoid of logit(``probability``) / ``temperature``; never reorders two probabilities."""
    if temperature == 1.0:
        return probability  # to the bit
    odds = math.exp(-abs(logit(probability)) / temperature)  # at most 1: no overflow
    return (1.0 if probability >= 0.5 else odds) / (1.0 + odds)


def remark(model: Model, body_part: str | None, decision: Decision) -> str:
    """Which threshold is used for ``body_part`` and where it comes from; "" if not calibrated.

    ``decision`` as it was before `Decision.on`.
    """
    calibration = decision.calibration
    if calibration is None:
        return ""
    used = decision.on(body_part)
    text = f"threshold {used.threshold:g}"
    if part := decision.threshold_of(body_part):
        text += f" {_origin(part, body_part, calibration)}"
    elif model.decision.thresholds:
        text += f" instead of those that were calibrated with rule {calibration.rule}"
    else:
        text += " is not calibrated"
    if decision.temperature != 1.0:
        text += f"; probabilities at temperature {decision.temperature:g}"
    return f"{text}; calibrated on {calibration.dataset} by tinycnn {calibration.tinycnn}"


def _origin(part: str, body_part: str | None, calibration: Calibration) -> str:
    sample = calibration.parts[part]
    size = f"{sample.positive + sample.negative} studies of {counted(sample.patients, 'patient')}"
    data = f"chosen for {calibration.target} on {size}"
    if part != "all":
        return f"for {part}, {data}"
    if body_part is None:
        return f"for all body parts together (this one is unknown), {data}"
    few = calibration.parts.get(body_part)
    why = f"{few.positive} positive and {few.negative} negative" if few else "no"
    return f"for all body parts together ({why} studies of {body_part} were there), {data}"
