"""Every metric beside scikit-learn's, for cases, for their resamples, and in the document.

`.ci/run` has it installed, and fails if any of these is skipped.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluation.test_evaluate import SOURCE
from tests.evaluation.test_metrics import once, random_cases
from tinycnn.evaluation import document, metrics, records
from tinycnn.nn.model import Decision
from tinycnn.studies.names import parse_mura

pytestmark = pytest.mark.sklearn


@pytest.fixture(scope="module")
def sklearn():
    return pytest.importorskip("sklearn.metrics")


def theirs(sklearn, true, said, score, weight=None):
    """Their figures; only those that are defined."""
    options = {"sample_weight": weight}
    found = {"accuracy": sklearn.accuracy_score(true, said, **options)}
    present = true if weight is None else true[weight > 0]
    if present.any():
        found["sensitivity"] = sklearn.recall_score(true, said, **options)
    if not present.all():
        found["specificity"] = sklearn.recall_score(~true, ~said, **options)
    if present.any() and not present.all():
        found["kappa"] = sklearn.cohen_kappa_score(true, said, **options)
        found["auroc"] = sklearn.roc_auc_score(true, score, **options)
    return found


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_metrics_of_cases(sklearn, seed, share):
    cases, found = random_cases(seed, share=share), once(random_cases(seed, share=share))
    true, said, score = cases.true, cases.said, cases.score
    tn, fp, fn, tp = sklearn.confusion_matrix(true, said, labels=[False, True]).ravel()
    assert cases.confusion() == (tp, fp, tn, fn)
    expected = theirs(sklearn, true, said, score)
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    if "auroc" in expected:
        corners = zip(*sklearn.roc_curve(true, score, drop_intermediate=False), strict=True)
        ours = metrics.roc(true, score)  # without the points between others on a straight line
        assert {tuple(point) for point in ours[1:]} <= set(corners)
        area = sklearn.auc([point[0] for point in ours], [point[1] for point in ours])
        assert area == pytest.approx(found["auroc"])
    else:
        assert np.isnan(found["auroc"])


@pytest.mark.parametrize("patients", [1, 2, 18, 400])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_interval_at_the_edge_is_scipy_s(sklearn, patients, share):
    """SciPy is there because scikit-learn needs it."""
    stats = pytest.importorskip("scipy.stats")
    theirs = stats.binomtest(round(share * patients), patients).proportion_ci(0.95, "exact")
    assert metrics.exact_interval(share, patients, 0.95) == pytest.approx(tuple(theirs))


@pytest.mark.parametrize("seed", range(4))
def test_a_resample_is_a_weight(sklearn, seed):
    """Each column of the bootstrap, by patient, is what they call a sample weight."""
    cases = random_cases(seed)
    weights = next(metrics.resampled(int(cases.patient.max()) + 1, 20, seed, len(cases.true)))
    found = cases.metrics(weights)
    for b in range(20):
        weight = weights[cases.patient, b]
        for name, value in theirs(sklearn, cases.true, cases.said, cases.score, weight).items():
            assert found[name][b] == pytest.approx(value), name


def test_a_document_of_many_studies(sklearn):
    random = np.random.default_rng(5)
    every = []
    for number in range(300):
        label = ("negative", "positive")[random.random() < 0.4]
        part, patient = random.choice(["XR_HAND", "XR_WRIST"]), f"patient{number // 2:05}"
        name = parse_mura(f"/{part}/{patient}/study{number}_{label}")
        middle = 0.55 if label == "positive" else 0.4
        views = np.clip(random.normal(middle, 0.2, random.integers(1, 5)), 0, 1).round(2)
        pairs = tuple((f"image{i}.png", float(p)) for i, p in enumerate(views))
        every.append(records.Record(f"{number}", f"{number}", name, pairs, ()))
    run = document.Run("d", Decision(positive=1), resamples=10)
    found = document.document(every, SOURCE, run)
    for part in ("all", "XR_HAND", "XR_WRIST"):
        studies = [s for s in found["studies"] if part in ("all", s["body_part"])]
        score = np.array([s["probability"] for s in studies])
        true = np.array([s["label"] for s in studies], np.bool_)
        expected = theirs(sklearn, true, score >= 0.5, score)
        table = found["levels"]["study"][part]
        assert {name: table[name]["value"] for name in expected} == pytest.approx(expected)
        views = [(s["label"], v["probability"]) for s in studies for v in s["views"]]
        true, score = np.array([v[0] for v in views], np.bool_), np.array([v[1] for v in views])
        expected = theirs(sklearn, true, score >= 0.5, score)
        table = found["levels"]["image"][part]
        assert {name: table[name]["value"] for name in expected} == pytest.approx(expected)
