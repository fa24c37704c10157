"""Several models: means, disagreement, and what cannot be averaged."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from tests.studies.conftest import FakeSession, brightness_model, save_gray
from tests.studies.test_calibrated import CALIBRATED
from tinycnn.errors import UsageError
from tinycnn.nn import modelfile
from tinycnn.nn.model import Decision, Provenance
from tinycnn.predict import main
from tinycnn.studies.ensemble import common_decision
from tinycnn.studies.finder import find_studies
from tinycnn.studies.panel import Panel
from tinycnn.studies.reports import disagreement
from tinycnn.studies.verdict import judge, judge_with


def halved(**changes):
    """Half of the brightness."""
    model = brightness_model(name="half", **changes)
    return replace(model, weights={**model.weights, "dense/kernel": np.full((1, 1), 0.5, "f4")})


@pytest.fixture
def folder(tmp_path):
    study = tmp_path / "XR_HAND" / "patient00001" / "study1_positive"
    save_gray(study / "image1.png", 255)
    save_gray(study / "image2.png", 51)
    (study / "image3.png").write_bytes(b"nothing")
    return next(find_studies(study))


def sessions(*models):
    return [FakeSession(model) for model in models]


def judge_together(folder, pair, decision):
    return judge_with(folder, Panel(tuple(pair), decision))


def test_the_mean_by_hand(folder):
    pair = sessions(brightness_model(), halved())
    decision = common_decision([session.model for session in pair], None, None)
    result = judge_together(folder, pair, decision)
    assert [row.status for row in result.rows] == ["judged", "judged", "refused"]
    assert [row.members for row in result.judged] == [
        pytest.approx((1.0, 0.5)),
        pytest.approx((0.2, 0.1)),
    ]
    assert [row.probability for row in result.judged] == pytest.approx([0.75, 0.15])
    assert result.members == pytest.approx((0.6, 0.3))
    assert (result.verdict, result.probability) == ("normal", pytest.approx(0.45))
    assert result.worth.figures is None
    assert disagreement((0.6, 0.3)) == pytest.approx((0.3, 0.6, 0.15))


@pytest.mark.parametrize("rule", ["mean", "any", "max"])
def test_a_model_with_itself_is_that_model(folder, rule):
    decision = common_decision([brightness_model()] * 2, rule, 0.4)
    together = judge_together(folder, sessions(brightness_model(), brightness_model()), decision)
    alone = judge(folder, FakeSession(brightness_model()), decision)
    assert (together.verdict, together.probability) == (alone.verdict, alone.probability)
    assert together.members == (alone.probability, alone.probability)


def test_no_usable_view(tmp_path):
    (tmp_path / "image1.png").write_bytes(b"")
    result = judge_together(
        next(find_studies(tmp_path)), sessions(brightness_model(), halved()), Decision(positive=1)
    )
    assert (result.verdict, result.probability, result.members, result.scores) == (
        None,
        None,
        (),
        (),
    )


def test_what_one_model_cannot_judge_is_refused(folder):
    broken = FakeSession(halved(), lambda x: np.full((len(x), 1), np.nan, np.float32))
    pair = [FakeSession(brightness_model()), broken]
    result = judge_together(folder, pair, Decision(positive=1))
    assert result.verdict is None
    assert result.rows[0].reason == "the model's output is not finite"


def test_temperatures_stay_and_thresholds_do_not(folder):
    pair = sessions(brightness_model(decision=CALIBRATED), brightness_model())
    decision = common_decision([session.model for session in pair], None, None)
    result = judge_together(folder, pair, decision)
    assert result.rows[1].members == pytest.approx((1 / 3, 0.2))
    assert (result.decision.threshold, result.threshold_of) == (0.5, None)
    assert "hold for a model alone; probabilities at temperatures 2, 1" in result.calibration


@pytest.mark.parametrize(
    ("other", "match"),
    [
        (halved(decision=Decision()), "looks for no label"),
        (halved(labels=("abnormal", "normal")), "different labels"),
        (halved(decision=Decision(positive=0)), "different labels"),
        (halved(decision=Decision("any", 0.5, 1)), "rules or thresholds"),
        (halved(decision=Decision("mean", 0.6, 1)), "rules or thresholds"),
    ],
)
def test_what_cannot_be_averaged(other, match):
    with pytest.raises(UsageError, match=match):
        common_decision([brightness_model(), other], None, None)


def test_options_settle_it():
    models = [brightness_model(), halved(decision=Decision("max", 0.6, 1))]
    assert common_decision(models, "any", 0.7) == Decision("any", 0.7, 1)
    with pytest.raises(UsageError):
        common_decision(models, "any", None)


@pytest.fixture
def run(tmp_path, folder, capsys):
    patients = Provenance(trained_on="patients", demonstration=False)
    modelfile.save(halved(provenance=patients), tmp_path / "half.safetensors")
    modelfile.save(brightness_model(), tmp_path / "whole.safetensors")

    def call(*options):
        names = [f"--weights={tmp_path / name}.safetensors" for name in ("half", "whole")]
        status = main([folder.path, *names, "--backend", "numpy", *options])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        return captured.out

    return call


def test_text(run):
    out = run()
    assert out.startswith("model half (sha256 ")
    assert "\nmodel whole (sha256 " in out
    assert "p(abnormal) 0.750  [2 models: 0.500 to 1.000, deviation 0.250]" in out
    assert "1 more REFUSED, threshold 0.5)  [2 models: 0.300 to 0.600, deviation 0.150]" in out
    assert "How good these models are together was never measured." in out


def test_one_demonstration_marks_all(run):
    document = json.loads(run("--json"))
    assert document["cautions"][0].startswith("DEMONSTRATION ONLY: these weights were trained on d")
    assert len(document["cautions"]) == 2
    (row, *_) = csv.DictReader(io.StringIO(run("--csv")))
    assert row["caution"].startswith("DEMONSTRATION ONLY")
    assert row["temperature"] == ""


def test_json(run):
    document = json.loads(run("--json", "--flip"))
    assert [model["name"] for model in document["models"]] == ["half", "whole"]
    assert document["model"] == document["models"][0]
    (study,) = document["studies"]
    assert study["members"] == pytest.approx([0.3, 0.6])
    assert study["disagreement"]["standard_deviation"] == pytest.approx(0.15)
    assert study["files"][0]["members"] == pytest.approx([0.5, 1.0])
    assert "members" not in study["files"][2]
    assert study["temperature"] is None


def test_one_model_has_no_word_of_it(folder, tmp_path, capsys):
    modelfile.save(brightness_model(), tmp_path / "whole.safetensors")
    main(
        [folder.path, "--weights", str(tmp_path / "whole.safetensors"), "--backend=numpy", "--json"]
    )
    document = json.loads(capsys.readouterr().out)
    assert "models" not in document
    assert "members" not in document["studies"][0]
