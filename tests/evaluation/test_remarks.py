"""What must be known to read the figures stands beside them: in text, page and JSON."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest

from tests.evaluation.test_evaluate import command, dataset  # noqa: F401
from tests.studies.conftest import brightness_model
from tests.studies.test_calibrated import CALIBRATED
from tinycnn.evaluation.page import page
from tinycnn.nn.model import Figures, Provenance
from tinycnn.nn.modelfile import save


@pytest.fixture
def evaluated(capsys, dataset, tmp_path):  # noqa: F811
    """The text, on one line, and the document of a calibrated model."""

    def run(*options, **changes):
        save(brightness_model(**{"decision": CALIBRATED, **changes}), tmp_path / "m.safetensors")
        options = (dataset, "--weights", tmp_path / "m.safetensors", *options)
        found = json.loads(command(capsys, *options, "--json")[1])
        return " ".join(command(capsys, *options)[1].split()), found

    return run


def test_a_calibration_is_told_with_what_it_is_from(evaluated):
    text, found = evaluated()
    said = "was calibrated on drawings, temperature 2, thresholds for sensitivity 0.95 with rule"
    assert f"{said} mean." in text
    assert f"{said} mean." in page(found, gallery=False)
    assert found["model"]["calibration"]["thresholds"] == {"XR_HAND": 0.3, "all": 0.4}
    assert found["model"]["calibration"]["same_name"] is False
    assert "CAUTION" not in text


def test_data_of_the_name_that_was_calibrated_on_are_suspect(evaluated):
    record = replace(CALIBRATED.calibration, dataset="data")
    text, found = evaluated(decision=replace(CALIBRATED, calibration=record))
    assert "CAUTION: this data set is called data too" in text
    assert "CAUTION: this data set is called data too" in page(found, gallery=False)


@pytest.mark.parametrize("options", [("--rule", "any"), ("--threshold", "0.5")])
def test_calibrated_thresholds_that_are_not_used_are_told(evaluated, options):
    text, found = evaluated(*options)
    assert "NOT USED HERE (another rule or threshold was asked for)" in text
    assert found["thresholds"] == {}


def test_no_mirror_image_was_there_when_it_was_calibrated(evaluated):
    assert "without the mirror images" in evaluated("--flip")[0]
    assert "without the mirror images" not in evaluated()[0]


def test_each_rule_stands_beside_its_thresholds(evaluated):
    text, found = evaluated()
    limits = found["rule_thresholds"]
    assert limits["mean"] == {"threshold": 0.5, "thresholds": {"XR_HAND": 0.3, "all": 0.4}}
    assert limits["any"] == limits["max"] == {"threshold": 0.5, "thresholds": {}}
    assert "rule mean: thresholds XR_HAND 0.3, all 0.4 rule any or max: threshold 0.5" in text
    html = page(found, gallery=False)
    assert "mean (in use)<small>threshold XR_HAND 0.3, all 0.4</small>" in html
    assert "any or max<small>threshold 0.5</small>" in html


def test_a_row_of_the_csv_has_the_threshold_that_it_was_judged_by(
    evaluated,
    capsys,
    dataset,  # noqa: F811
    tmp_path,
):
    _, document = evaluated()
    assert {study["threshold"] for study in document["studies"]} == {0.3, 0.4}
    out = command(capsys, dataset, "--weights", tmp_path / "m.safetensors", "--csv")[1]
    found = {(row["body_part"], row["threshold"]) for row in csv.DictReader(out.splitlines())}
    assert found == {("XR_HAND", "0.3"), ("XR_WRIST", "0.4")}


def test_a_body_part_that_was_never_measured_is_named(evaluated):
    figures = Figures(9, 4, 1, 3, 1, "mean", 0.5)
    known = Provenance(accuracy={"all": figures, "XR_WRIST": figures})
    text, found = evaluated(provenance=known)
    assert "was never measured on XR_HAND." in text
    assert found["model"]["measured_on"] == ["XR_WRIST", "all"]
    assert "never measured" not in evaluated(provenance=Provenance())[0]  # nowhere: no news
