"""Thresholds and temperatures by hand, by brute force, and where there are none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinycnn.errors import StudyError
from tinycnn.studies import fitting
from tinycnn.studies.calibrated import logit, scaled

P = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
TRUTH = np.array([True, True, False, True, False, True, False, False])
LABELLED = st.lists(st.tuples(st.floats(0.001, 0.999), st.booleans()), min_size=2, max_size=40)


def arrays(pairs):
    return np.array([p for p, _ in pairs]), np.array([t for _, t in pairs])


@pytest.mark.parametrize(
    ("sensitivity", "expected"),
    [(0.5, 0.75), (0.51, 0.55), (0.75, 0.55), (0.76, 0.35), (1.0, 0.35), (0.01, 0.85)],
)
def test_threshold_for_a_sensitivity_by_hand(sensitivity, expected):
    assert fitting.threshold_for_sensitivity(P, TRUTH, sensitivity) == expected


def test_a_share_that_floats_do_not_hit_asks_for_no_study_more():
    p, truth = np.linspace(0.999, 0.001, 100), np.ones(100, bool)
    assert 0.55 * 100 > 55
    threshold = fitting.threshold_for_sensitivity(p, truth, 0.55)
    assert np.count_nonzero(p >= threshold) == 55


def test_ties_are_found_together():
    p, truth = np.array([0.6, 0.6, 0.6, 0.2]), np.array([True, False, True, True])
    threshold = fitting.threshold_for_sensitivity(p, truth, 0.3)
    assert fitting.outcomes(p, truth, threshold) == (2, 1, 0, 1)


def test_no_threshold_finds_what_has_probability_zero_and_none_is_one():
    truth = np.array([True, False])
    assert fitting.threshold_for_sensitivity(np.array([0.0, 0.0]), truth, 1.0) is None
    assert fitting.threshold_for_sensitivity(P, np.zeros(8, bool), 0.9) is None
    threshold = fitting.threshold_for_sensitivity(np.array([1.0, np.nextafter(1, 0)]), truth, 1.0)
    assert threshold is None or 0 < threshold < 1
    tiny = np.array([5e-324, 0.0])
    assert fitting.threshold_for_sensitivity(tiny, truth, 1.0) == 5e-324


@given(LABELLED, st.floats(0.01, 1.0))
def test_the_sensitivity_is_reached_and_by_no_higher_threshold(pairs, sensitivity):
    p, truth = arrays(pairs)
    threshold = fitting.threshold_for_sensitivity(p, truth, sensitivity)
    if threshold is None:
        assert not truth.any()
        return
    assert np.mean(p[truth] >= threshold) >= sensitivity - 1e-9
    higher = p[p > threshold]
    if len(higher) and (p[truth] > higher.min()).sum() < (p[truth] >= higher.min()).sum():
        above = np.nextafter(higher.min(), 1)
        assert np.mean(p[truth] >= above) < sensitivity + 1e-9


def test_kappa_by_hand():
    # 20 + 15 of 50 agree: 0.7; by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5 (Cohen's own kind of table)
    assert fitting.kappa(20, 10, 15, 5) == pytest.approx((0.7 - 0.5) / (1 - 0.5))
    assert fitting.kappa(5, 0, 0, 0) is None
    assert fitting.kappa(0, 5, 0, 5) == -1.0


@given(LABELLED)
def test_no_other_threshold_has_a_better_kappa(pairs):
    p, truth = arrays(pairs)
    threshold = fitting.threshold_for_kappa(p, truth)
    every = [fitting.kappa(*fitting.outcomes(p, truth, level)) or 0.0 for level in np.unique(p)]
    if threshold is None:
        assert max(every) <= 0.0
    else:
        assert fitting.kappa(*fitting.outcomes(p, truth, threshold)) == max(every) > 0.0


def test_labels_that_are_turned_round_have_no_threshold_for_kappa():
    assert fitting.threshold_for_kappa(P, P < 0.55) is None
    assert fitting.threshold_for_kappa(P, P > 0.55) == 0.55
    assert fitting.threshold_for_kappa(np.full(4, 0.5), TRUTH[:4]) is None


def test_temperature_by_hand():
    """Of 4 views at 0.9, 3 are positive; of 4 at 0.1, one: T takes logit 0.9 to logit 0.75."""
    p = np.array([0.9] * 4 + [0.1] * 4)
    truth = np.array([True, True, True, False, True, False, False, False])
    temperature = fitting.fit_temperature(p, truth)
    assert temperature == float(f"{math.log(9) / math.log(3):.4g}") == 2.0
    assert scaled(0.9, temperature) == pytest.approx(0.75)
    assert fitting.expected_calibration_error(p, truth) == pytest.approx(0.15)
    after = np.array([scaled(value, temperature) for value in p])
    assert fitting.expected_calibration_error(after, truth) == pytest.approx(0.0)
    assert fitting.log_loss(after, truth) == pytest.approx(
        -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    )


@pytest.mark.parametrize("true_temperature", [0.3, 1.0, 4.0])
def test_the_temperature_that_drew_the_labels_is_found(true_temperature):
    random = np.random.default_rng(1)
    p = random.uniform(0.01, 0.99, 40_000)
    truth = random.random(40_000) < [scaled(value, true_temperature) for value in p.tolist()]
    found = fitting.fit_temperature(p, truth)
    assert found == pytest.approx(true_temperature, rel=0.05)

    def loss(temperature):
        return fitting.log_loss(np.array([scaled(v, temperature) for v in p.tolist()]), truth)

    assert loss(found) <= min(loss(found * 1.05), loss(found / 1.05))


@pytest.mark.parametrize(("truth", "why"), [(P > 0.45, "without an error"), (P < 0.45, "chance")])
def test_where_no_temperature_fits(truth, why):
    with pytest.raises(StudyError, match=why):
        fitting.fit_temperature(P, truth)


def test_saturated_probabilities_stay_finite():
    p, truth = np.array([0.0, 1.0, 1.0, 0.0, 1.0]), np.array([False, True, True, False, False])
    assert 1.0 < fitting.fit_temperature(p, truth) < 100.0
    assert math.isfinite(fitting.log_loss(p, truth))
    assert fitting.expected_calibration_error(p, truth) == pytest.approx(0.2)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 100))
def test_scaling_keeps_the_order_and_the_range(a, b, temperature):
    low, high = sorted((a, b))
    assert 0.0 <= scaled(low, temperature) <= scaled(high, temperature) + 1e-15 <= 1.0 + 1e-15
    assert scaled(a, 1.0) == a
    assert math.isfinite(logit(a))


def test_arrays_and_numbers_have_the_same_logits():
    p = np.array([0.0, 1e-9, 0.2, 0.5, 1.0])
    np.testing.assert_allclose(fitting.logits(p), [logit(value) for value in p.tolist()])
