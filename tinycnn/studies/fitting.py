"""Choose thresholds and a temperature from studies whose labels are known.

Throughout, ``p`` (n,) float64 holds probabilities from 0 to 1 and ``truth`` (n,) bool says what is
positive. A study is called positive where its probability is at or above the threshold.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tinycnn.errors import StudyError
from tinycnn.nn.model import TEMPERATURES
from tinycnn.studies.calibrated import EPSILON

BINS = 10
HALVINGS = 40  # of the interval that holds the temperature's logarithm: to 1e-11

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def threshold_for_sensitivity(p: Floats, truth: Bools, sensitivity: float) -> float | None:
    """Return the highest threshold that finds this share of the positives, in the gap below them.

    None where there is no positive, or where probabilities of 0 would have to be found.
    """
    found = np.sort(p[truth])[::-1]
    if not len(found):
        return None
    wanted = math.ceil(sensitivity * len(found) - 1e-9)  # 0.55 * 100 is 55.00000000000001
    least = float(found[max(wanted, 1) - 1])
    return _between(float(np.max(p, where=p < least, initial=0.0)), least)


def threshold_for_kappa(p: Floats, truth: Bools) -> float | None:
    """Return the threshold with the largest kappa; the lowest of several, which misses least.

    None where no threshold agrees better with the labels than chance does.
    """
    levels = np.unique(p)
    best, gap = 0.0, (0.0, 0.0)
    for low, high in pairwise(levels.tolist()):
        value = kappa(*outcomes(p, truth, high))
        if value is not None and value > best:
            best, gap = value, (low, high)
    return _between(*gap)


def outcomes(p: Floats, truth: Bools, threshold: float) -> tuple[int, int, int, int]:
    """Count true positives, false positives, true negatives and false negatives."""
    called = p >= threshold
    pairs = (called & truth, called & ~truth, ~called & ~truth, ~called & truth)
    return tuple(int(np.count_nonzero(pair)) for pair in pairs)  # type: ignore[return-value]


def kappa(tp: int, fp: int, tn: int, fn: int) -> float | None:
    """Cohen's kappa: agreement beyond chance; None where chance alone agrees always.

    Source: J. Cohen, "A coefficient of agreement for nominal scales", 1960.
    """
    n = tp + fp + tn + fn
    by_chance = (tp + fp) * (tp + fn) + (tn + fn) * (tn + fp)  # times n * n
    return None if by_chance == n * n else ((tp + tn) * n - by_chance) / (n * n - by_chance)


def fit_temperature(p: Floats, truth: Bools) -> float:
    """Return the temperature T with the least log loss of sigmoid(logit(p) / T), to four digits.

    The loss is convex in b = 1 / T, so that its slope changes sign once: the interval is halved
    until that is found. StudyError where it does not lie in TEMPERATURES: then the labels are told
    apart without an error, or no better than by chance.
    """
    signed = np.where(truth, 1.0, -1.0) * logits(p)

    def slope(log_temperature: float) -> float:  # of the loss, by b
        b = math.exp(-log_temperature)
        return -float(np.mean(signed / (1.0 + np.exp(np.minimum(b * signed, 700.0)))))

    low, high = (math.log(value) for value in TEMPERATURES)
    if not slope(high) < 0.0 < slope(low):
        why = "no better than chance" if slope(high) >= 0.0 else "without an error"
        raise StudyError(f"no temperature fits: the model tells these labels apart {why}")
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0.0 else (low, middle)
    return float(f"{math.exp((low + high) / 2):.4g}")


def log_loss(p: Floats, truth: Bools) -> float:
    """Mean of -log of the probability that was given to what is true, in nats."""
    signed = np.where(truth, 1.0, -1.0) * logits(p)
    return float(np.mean(np.logaddexp(0.0, -signed)))


def expected_calibration_error(p: Floats, truth: Bools) -> float:
    """Mean distance of probability and share of positives, over ten bins of equal width.

    Source: Guo, Pleiss, Sun and Weinberger, ICML 2017, with p(positive) for the confidence.
    """
    bins = np.minimum((p * BINS).astype(int), BINS - 1)
    return float(np.abs(np.bincount(bins, p - truth, BINS)).sum() / len(p))


def logits(p: Floats) -> Floats:
    """As `calibrated.logit`, of an array."""
    p = np.clip(p, EPSILON, 1.0 - EPSILON)
    return np.log(p / (1.0 - p))


def _between(low: float, high: float) -> float | None:
    """Return the shortest decimal near the middle of ``low`` < x <= ``high``; None if high is 0.

    Not ``high`` itself: backends differ in the last digits of a probability.
    """
    if high <= 0.0:
        return None
    middle = (low + high) / 2
    short = (round(middle, digits) for digits in range(2, 18))
    inside = (x for x in (*short, middle, high) if low < x <= high and 0.0 < x < 1.0)
    return next(inside, None)
