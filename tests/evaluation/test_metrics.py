from __future__ import annotations

import itertools

import numpy as np
import pytest

from tinycnn.evaluation import metrics
from tinycnn.evaluation.metrics import Cases


def random_cases(seed: int, n: int = 60, steps: int = 7, share: float = 0.4) -> Cases:
    rng = np.random.default_rng(seed)
    true = rng.random(n) < share
    score = np.round(np.clip(rng.normal(0.4 + 0.2 * true, 0.25), 0, 1) * steps) / steps  # ties
    return Cases(true, score >= 0.5, score, rng.integers(n // 2, size=n))


def once(cases: Cases) -> dict[str, float]:
    values = cases.metrics(np.ones((int(cases.patient.max(initial=0)) + 1, 1)))
    return {name: float(value[0]) for name, value in values.items()}


def repeated(cases: Cases, weights) -> Cases:
    """The data set that integer ``weights`` (N,) of its cases stand for."""
    index = np.repeat(np.arange(len(cases.true)), weights)
    return Cases(*(value[index] for value in (cases.true, cases.said, cases.score, cases.patient)))


def brute_auroc(cases: Cases) -> float:
    pairs = list(itertools.product(cases.score[cases.true], cases.score[~cases.true]))
    return sum((p > n) + (p == n) / 2 for p, n in pairs) / len(pairs)


def test_a_worked_example():
    # Fleiss, Levin & Paik, Statistical Methods for Rates and Proportions: 20 5 / 10 15 -> kappa 0.4
    found = metrics.from_counts(*(np.array([float(n)]) for n in (20, 5, 15, 10)))
    assert {name: float(value[0]) for name, value in found.items()} == pytest.approx(
        {"accuracy": 0.7, "sensitivity": 20 / 30, "specificity": 0.75, "kappa": 0.4}
    )


@pytest.mark.parametrize("seed", range(20))
def test_auroc_counts_pairs_and_halves_ties(seed):
    cases = random_cases(seed)
    assert once(cases)["auroc"] == pytest.approx(brute_auroc(cases), abs=1e-12)


def test_one_class_only():
    true = np.array([True, True, True])
    cases = Cases(true, np.array([True, False, True]), np.array([0.9, 0.1, 0.5]), np.arange(3))
    found = once(cases)
    assert found["sensitivity"] == pytest.approx(2 / 3)
    assert found["kappa"] == 0.0
    assert np.isnan([found["specificity"], found["auroc"]]).all()
    assert np.isnan(once(Cases(true, true, np.ones(3), np.arange(3)))["kappa"])
    assert metrics.roc(true, cases.score) == []


def test_no_case_at_all():
    empty = np.zeros(0, np.bool_)
    cases = Cases(empty, empty, np.zeros(0), np.zeros(0, np.intp))
    assert np.isnan(list(once(cases).values())).all()
    assert cases.confusion() == (0, 0, 0, 0)
    assert sum(row["count"] for row in metrics.reliability(empty, np.zeros(0))) == 0


@pytest.mark.parametrize("seed", range(5))
def test_weights_are_repetitions(seed):
    cases = random_cases(seed)
    patients = int(cases.patient.max()) + 1
    weights = np.concatenate(list(metrics.resampled(patients, 40, seed, 100)), axis=1)
    assert weights.shape == (patients, 40)
    assert (weights.sum(axis=0) == patients).all()
    found = cases.metrics(weights)
    for b in range(40):
        single = once(repeated(cases, weights[cases.patient, b].astype(int)))
        for name in metrics.NAMES:
            np.testing.assert_allclose(found[name][b], single[name], rtol=1e-12)


def test_resamples_do_not_depend_on_the_size_of_the_blocks():
    small, large = metrics.resampled(9, 30, 4, 1), metrics.resampled(9, 30, 4, metrics.CELLS // 7)
    np.testing.assert_array_equal(np.hstack(list(small)), np.hstack(list(large)))


def test_the_interval_of_an_accuracy_is_that_of_the_binomial():
    true = np.arange(400) < 200
    said = np.where(np.arange(400) % 5 == 0, ~true, true)  # 80 % are right
    cases = Cases(true, said, said.astype(float), np.arange(400))
    draws = [cases.metrics(w)["accuracy"] for w in metrics.resampled(400, 4000, 1, 400)]
    low, high = metrics.interval(np.concatenate(draws), 0.95)
    half = 1.96 * (0.8 * 0.2 / 400) ** 0.5
    assert (low, high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.005)


@pytest.mark.parametrize(
    ("patients", "low"), [(1, 0.025), (3, 0.2924), (10, 0.6915), (20, 0.8316), (100, 0.9638)]
)
def test_the_interval_at_the_edge_is_clopper_and_pearson_s(patients, low):
    # SciPy's: scipy.stats.binomtest(n, n).proportion_ci(0.95, "exact"), to four digits.
    assert metrics.exact_interval(1.0, patients, 0.95) == (pytest.approx(low, abs=5e-5), 1.0)
    high = pytest.approx(1 - low, abs=5e-5)
    assert metrics.exact_interval(0.0, patients, 0.95) == (0.0, high)
    assert metrics.exact_interval(0.5, patients, 0.95) is None


def test_resamples_that_are_all_equal_are_no_interval():
    assert metrics.interval(np.array([1.0, 1.0, np.nan]), 0.95) is None
    assert metrics.interval(np.full(9, 0.1) + np.arange(9) % 2 * 1e-16, 0.95) is None
    assert metrics.interval(np.array([0.0, 1.0]), 0.95) == pytest.approx((0.025, 0.975))


def test_patients_not_views_are_resampled():
    # Ten patients, each with the same 30 answers: thirty times the views tell nothing more.
    true = np.arange(10) < 5
    said = np.array([1, 1, 1, 0, 0, 1, 0, 0, 0, 0], np.bool_)
    one = Cases(true, said, said.astype(float), np.arange(10))
    many = repeated(one, np.full(10, 30))
    spread = []
    for cases in (one, many):
        draws = [cases.metrics(w)["accuracy"] for w in metrics.resampled(10, 500, 1, 300)]
        spread.append(metrics.interval(np.concatenate(draws), 0.95))
    assert spread[0] == pytest.approx(spread[1])


def test_reliability_holds_every_score_once():
    score = np.array([0.0, 0.05, 0.1, 0.55, 0.999, 1.0])
    true = np.array([0, 1, 0, 1, 1, 1], np.bool_)
    rows = metrics.reliability(true, score)
    assert [row["count"] for row in rows] == [2, 1, 0, 0, 0, 1, 0, 0, 0, 2]
    assert rows[0]["fraction_positive"] == 0.5
    assert rows[0]["mean_probability"] == pytest.approx(0.025)
    assert rows[2]["mean_probability"] is None


def test_the_roc_leaves_straight_points_out():
    true = np.array([1, 1, 1, 0, 0, 0], np.bool_)
    assert metrics.roc(true, np.array([0.9, 0.8, 0.7, 0.3, 0.2, 0.1])) == [
        [0, 0, None],
        [0, 1, 0.7],
        [1, 1, 0.1],
    ]
