"""Calibrate a shipped model on drawn studies, and judge them with what came of it."""

from __future__ import annotations

from pathlib import Path

import phantoms
import pytest

import tinycnn
from tinycnn import calibrate
from tinycnn.studies.result import StudyResult
from tinycnn.studies.verdict import predict_studies


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty studies of a seed that no training used."""
    root = tmp_path_factory.mktemp("phantoms")
    phantoms.write_dataset(root, 60, 5)
    return root


def found(results: list[StudyResult]) -> float:
    """Share of the positive studies that are called so."""
    positive = [result for result in results if result.label == "positive"]
    return sum(bool(result.positive) for result in positive) / len(positive)


def test_the_wanted_sensitivity_is_reached(drawn: Path, tmp_path: Path) -> None:
    """Every body part has too few of the sixty: the threshold of all finds nine of ten."""
    new = str(tmp_path / "new.safetensors")
    options = ["--sensitivity", "0.9", "--temperature", "--backend", "numba"]
    assert calibrate.main(["cnn5-phantoms", str(drawn), "-o", new, *options]) == 0
    before = list(predict_studies(drawn, tinycnn.load("cnn5-phantoms", "numba")))
    after = list(predict_studies(drawn, tinycnn.load(new, "numba")))
    assert found(before) < 0.9 <= found(after) < 1.0
    assert {result.threshold_of for result in after} == {"all"}
    assert {result.decision.temperature for result in after} != {1.0}
    assert all("studies of XR_" in r.calibration and "were there" in r.calibration for r in after)
