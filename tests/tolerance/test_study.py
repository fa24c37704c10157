"""A little of the study in every run: nothing right is refused, and what is planted is found."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.tolerance import faults, study
from tests.tolerance.networks import classifier


@pytest.mark.parametrize("seed", range(12))
def test_a_right_backend_stays_far_below_what_is_allowed(seed):
    found = study.compare(classifier(seed))
    assert {"scores", "self-test"} <= set(found)
    assert max(found.values()) < 0.5


def test_planted_faults_are_found():
    found = Counter[str]()
    for seed in range(6):
        found.update(study.plant(classifier(seed), seed))
    assert not any(what.endswith(faults.MISSED) for what in found)
    for kind in faults.KINDS:
        assert found[f"{kind}: {faults.FOUND}"] >= faults.EACH * 6 * 0.7
        assert faults.plant(kind, classifier(0), study.np.random.default_rng(1))


def test_a_process_that_dies_is_told_and_the_next_goes_on(monkeypatch):
    options = study.arguments(["--first", "3", "--count", "2", "--generator", "os:_exit"])
    assert dict(study.answers("", options)) == {
        seed: {"error": f"the process ended with status {seed}"} for seed in (3, 4)
    }
