"""A calibrated model in `predict`: what is applied, and that it is told."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from tests.studies.conftest import FakeSession, brightness_model, save_gray
from tinycnn.nn import modelfile
from tinycnn.nn.model import Calibration, Decision, Sample
from tinycnn.predict import main
from tinycnn.studies.calibrated import scaled
from tinycnn.studies.verdict import predict_study

PARTS = {"XR_HAND": Sample(30, 40, 50), "XR_WRIST": Sample(5, 90, 80), "all": Sample(35, 130, 130)}
RECORD = Calibration("drawings", "sensitivity 0.95", "mean", "0.1.0", PARTS)
CALIBRATED = Decision("mean", 0.5, 1, 2.0, {"XR_HAND": 0.3, "all": 0.4}, RECORD)
WARM = scaled(51 / 255, 2.0)  # logit 0.2 is -ln 4: halved, the odds are 1 to 2


@pytest.fixture
def session():
    return FakeSession(brightness_model(decision=CALIBRATED))


def folder(tmp_path, part="XR_HAND", level=51):
    study = tmp_path / part / "patient00001" / "study1_positive"
    save_gray(study / "image1.png", level)
    return study


def told(result):
    return " ".join(result.calibration.split())


def test_the_temperature_comes_before_the_threshold(tmp_path, session):
    result = predict_study(folder(tmp_path), session)
    assert pytest.approx(1 / 3) == WARM
    assert result.rows[0].probability == pytest.approx(WARM)
    assert result.rows[0].scores == pytest.approx((0.8, 0.2))  # as the network gave them
    assert result.probability == pytest.approx(WARM)
    assert (result.verdict, result.decision.threshold) == ("abnormal", 0.3)
    assert told(result) == (
        "threshold 0.3 for XR_HAND, chosen for sensitivity 0.95 on 70 studies of 50 patients; "
        "probabilities at temperature 2; calibrated on drawings by tinycnn 0.1.0"
    )


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ("XR_WRIST", "(5 positive and 90 negative studies of XR_WRIST were there)"),
        ("XR_ELBOW", "(no studies of XR_ELBOW were there)"),
        ("somewhere", "(this one is unknown)"),
    ],
)
def test_other_body_parts_have_the_threshold_of_all(tmp_path, session, part, why):
    result = predict_study(folder(tmp_path, part), session)
    assert (result.verdict, result.decision.threshold) == ("normal", 0.4)
    assert result.threshold_of == "all"
    assert f"threshold 0.4 for all body parts together {why}, chosen for" in told(result)


def test_a_model_without_calibration_says_nothing_of_it(tmp_path):
    result = predict_study(folder(tmp_path), FakeSession(brightness_model()))
    assert (result.calibration, result.threshold_of) == ("", None)
    assert result.probability == pytest.approx(0.2)


def test_a_temperature_alone(tmp_path):
    decision = replace(CALIBRATED, thresholds={})
    result = predict_study(folder(tmp_path), FakeSession(brightness_model(decision=decision)))
    assert told(result).startswith("threshold 0.5 is not calibrated; probabilities at temp")
    assert "measured without the temperature that is used here" in result.worth.statement


def test_figures_of_another_threshold_are_not_passed_off(tmp_path, session):
    statement = predict_study(folder(tmp_path), session).worth.statement
    assert "measured with rule mean and threshold 0.5, not with those used here" in statement


@pytest.fixture
def run(tmp_path, capsys):
    """`predict` on a hand of brightness 0.2, with a calibrated model from a file."""
    path, study = tmp_path / "m.safetensors", folder(tmp_path)
    modelfile.save(brightness_model(decision=CALIBRATED), path)

    def call(*options):
        arguments = [study, "--weights", path, "--backend", "numpy", *options]
        assert main([str(argument) for argument in arguments]) == 0
        return capsys.readouterr().out

    return call


def test_text(run):
    out = " ".join(run().split())
    assert "p(abnormal) 0.333 => ABNORMAL (mean 0.333 of 1 view, threshold 0.3)" in out
    assert "Threshold 0.3 for XR_HAND, chosen for sensitivity 0.95 on 70 studies" in out


def test_json(run):
    document = json.loads(run("--json"))
    (study,) = document["studies"]
    assert (study["threshold"], study["threshold_of"]) == (0.3, "XR_HAND")
    assert study["temperature"] == 2.0
    assert study["calibration"].startswith("threshold 0.3 for XR_HAND")
    assert document["model"]["calibration"]["parts"]["all"]["patients"] == 130


def test_csv(run):
    (row,) = csv.DictReader(io.StringIO(run("--csv")))
    assert (row["threshold"], row["threshold_of"], row["temperature"]) == ("0.3", "XR_HAND", "2.0")


def test_a_threshold_on_the_command_line_goes_first(run):
    out = " ".join(run("--threshold", "0.34").split())
    assert "=> NORMAL (mean 0.333 of 1 view, threshold 0.34)" in out
    assert "Threshold 0.34 instead of those that were calibrated with rule mean; prob" in out
    (study,) = json.loads(run("--json", "--threshold", "0.34"))["studies"]
    assert (study["threshold"], study["threshold_of"], study["temperature"]) == (0.34, None, 2.0)


def test_another_rule_has_the_models_plain_threshold(run):
    assert "threshold 0.3)" in run("--rule", "mean")
    out = " ".join(run("--rule", "max").split())
    assert "=> NORMAL (largest 0.333 of 1 view, threshold 0.5)" in out
    assert "instead of those that were calibrated with rule mean" in out
