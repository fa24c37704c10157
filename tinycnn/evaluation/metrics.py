"""Metrics of yes-or-no answers, for one weighting of the cases or for a thousand at once.

``weights`` (N, B) say how often each of N cases counts in each of B resamples; a column of ones is
the data themselves. Everything is a weighted count, so a bootstrap needs no loop over resamples.
A metric that is not defined (no positive case, say) is NaN.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tinycnn.lightclass import dataclass

Floats = npt.NDArray[np.float64]
NAMES = ("accuracy", "sensitivity", "specificity", "auroc", "kappa")
CELLS = 1_000_000  # of the weights that are in memory together: 8 MB, and as much some five times

SAME = 1e-12  # resampled values this near to each other differ by rounding only


@dataclass(frozen=True)
class Cases:
    """N answers: what is ``true`` (N,) bool, what was ``said`` (N,) bool, with which ``score``.

    ``patient`` (N,): the row of the patient weights that a case follows.
    """

    true: npt.NDArray[np.bool_]
    said: npt.NDArray[np.bool_]
    score: Floats
    patient: npt.NDArray[np.intp]

    def confusion(self) -> tuple[int, int, int, int]:
        """True positive, false positive, true negative, false negative."""
        cells = [int(np.sum(cell)) for cell in self._cells()]
        return cells[0], cells[1], cells[2], cells[3]

    def _cells(self) -> tuple[npt.NDArray[np.bool_], ...]:
        true, said = self.true, self.said
        return true & said, ~true & said, ~true & ~said, true & ~said

    def patients(self, name: str) -> int:
        """How many patients the cases of metric ``name`` are of: those that it has below the line.

        0 for what is no share of cases: AUROC and kappa.
        """
        of = {"accuracy": self.true | True, "sensitivity": self.true, "specificity": ~self.true}
        return len(np.unique(self.patient[of[name]])) if name in of else 0

    def metrics(self, weights: Floats) -> dict[str, Floats]:
        """Every metric of `NAMES` (B,), for weights of the patients (P, B)."""
        counts = []
        for cell in self._cells():
            counts.append(np.bincount(self.patient[cell], minlength=len(weights)) @ weights)
        values = from_counts(*counts)
        positive, negative = self.true, ~self.true
        values["auroc"] = auroc(
            self.score[positive],
            self.score[negative],
            weights[self.patient[positive]],
            weights[self.patient[negative]],
        )
        return {name: values[name] for name in NAMES}


def from_counts(
    true_positive: Floats, false_positive: Floats, true_negative: Floats, false_negative: Floats
) -> dict[str, Floats]:
    """Accuracy, sensitivity, specificity and Cohen's kappa of (weighted) counts.

    Kappa (Cohen 1960): (observed - expected) / (1 - expected) agreement; not defined where truth
    and answers are all the same one class.
    """
    tp, fp, tn, fn = true_positive, false_positive, true_negative, false_negative
    total = tp + fp + tn + fn
    by_chance = (tp + fn) * (tp + fp) + (tn + fp) * (tn + fn)
    return {
        "accuracy": _ratio(tp + tn, total),
        "sensitivity": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "kappa": _ratio((tp + tn) * total - by_chance, total * total - by_chance),
    }


def auroc(
    positive: Floats, negative: Floats, positive_weights: Floats, negative_weights: Floats
) -> Floats:
    """Area under the ROC curve (B,): how often a positive case (N,) outscores a negative one (M,).

    Mann and Whitney's statistic; ties count half. ``positive_weights`` (N, B), ``negative_weights``
    (M, B).
    """
    order = np.argsort(negative, kind="stable")
    negative = negative[order]
    below = np.searchsorted(negative, positive, "left")
    up_to = np.searchsorted(negative, positive, "right")
    resamples = positive_weights.shape[1]
    passed = np.zeros((len(negative) + 1, resamples))
    np.cumsum(negative_weights[order], axis=0, out=passed[1:])
    won = np.einsum("nb,nb->b", positive_weights, passed[below] + passed[up_to]) / 2
    return _ratio(won, positive_weights.sum(axis=0) * passed[-1])


def resampled(patients: int, resamples: int, seed: int, largest: int) -> Iterator[Floats]:
    """Weights (patients, b) of bootstrap resamples by patient, in blocks, ``resamples`` in all.

    Each resample draws as many patients as there are, with replacement; all cases of a patient come
    along (the cluster bootstrap: views of one patient are not independent). ``largest``: the number
    of cases that a block of weights will be spread over.
    """
    rng = np.random.default_rng(seed)
    block = max(1, CELLS // max(largest, patients, 1))
    for first in range(0, resamples, block):
        count = min(block, resamples - first)
        drawn = rng.integers(patients, size=(count, patients))
        drawn += np.arange(count)[:, None] * patients
        weights = np.bincount(drawn.ravel(), minlength=count * patients)
        yield np.ascontiguousarray(weights.reshape(count, patients).T, np.float64)


def interval(values: Floats, level: float) -> tuple[float, float] | None:
    """Percentile interval of resampled ``values``; those that are not defined are left out.

    None where the rest are all equal, as where every case is right: that shows no certainty, only
    that resamples of such cases cannot differ.
    """
    defined = values[np.isfinite(values)]
    if not len(defined) or np.ptp(defined) <= SAME:
        return None
    tail = 50 * (1 - level)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return float(low), float(high)


def exact_interval(share: float, patients: int, level: float) -> tuple[float, float] | None:
    """Clopper and Pearson's interval (1934) of a ``share`` that is 0 or 1, of so many ``patients``.

    Patients, not cases, are counted as independent. None for another share.
    """
    if not patients or share not in (0.0, 1.0):
        return None
    reach = float(((1 - level) / 2) ** (1 / patients))
    return (reach, 1.0) if share else (0.0, 1 - reach)


def roc(true: npt.NDArray[np.bool_], score: Floats) -> list[list[Any]]:
    """Corners of the ROC curve: [false positive rate, true positive rate, threshold].

    From (0, 0), whose threshold nothing reaches (None), to (1, 1). Points on a straight line
    between their neighbours are left out. Empty without both classes.
    """
    positives, negatives = int(true.sum()), int((~true).sum())
    if not positives or not negatives:
        return []
    order = np.argsort(-score, kind="stable")
    true, score = true[order], score[order]
    last = np.flatnonzero(np.append(np.diff(score) != 0, True))  # of each group of ties
    tp = np.concatenate([[0], np.cumsum(true)[last]])
    fp = np.concatenate([[0], np.cumsum(~true)[last]])
    bends = np.diff(tp[:-1]) * np.diff(fp[1:]) != np.diff(tp[1:]) * np.diff(fp[:-1])
    kept = np.flatnonzero(np.concatenate([[True], bends, [True]]))
    thresholds = [None, *score[last].tolist()]
    return [[fp[i] / negatives, tp[i] / positives, thresholds[i]] for i in kept]


def reliability(true: npt.NDArray[np.bool_], score: Floats, bins: int = 10) -> list[dict[str, Any]]:
    """Scores in ``bins`` of equal width: how often positive was true where so much was said."""
    place = np.minimum((score * bins).astype(np.intp), bins - 1)
    rows = []
    for i in range(bins):
        here = place == i
        count = int(here.sum())
        rows.append(
            {
                "low": i / bins,
                "high": (i + 1) / bins,
                "mean_probability": float(score[here].mean()) if count else None,
                "fraction_positive": float(true[here].mean()) if count else None,
                "count": count,
            }
        )
    return rows


def _ratio(above: Floats, below: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio: Floats = np.where(below != 0, np.divide(above, below), np.nan)
    return ratio
