"""The command `calibrate`, on gray squares whose brightness is the model's probability."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.studies.conftest import brightness_model, save_gray
from tests.studies.views import hot
from tinycnn import __version__, calibrate, predict
from tinycnn.nn import modelfile
from tinycnn.nn.model import Decision, Sample

DARK, BRIGHT = range(20, 100, 4), range(80, 160, 4)  # 20 negative and 20 positive studies


def draw(root, part, negative=DARK, positive=BRIGHT):
    """One view for each level; every patient has two studies."""
    levels = [(level, label) for label, ls in (("negative", negative), ("positive", positive))
              for level in ls]  # fmt: skip
    for i, (level, label) in enumerate(levels):
        folder = root / part / f"patient{i // 2:05}" / f"study{1 + i % 2}_{label}"
        save_gray(folder / "image1.png", level)


@pytest.fixture
def run(tmp_path, capsys):
    data, model = tmp_path / "drawings", tmp_path / "model.safetensors"
    data.mkdir()
    modelfile.save(brightness_model(), model)

    def call(*options):
        start = [model, data, "-o", tmp_path / "new.safetensors", "--backend", "numpy"]
        status = calibrate.main([str(value) for value in (*start, *options)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    call.data, call.model, call.new = data, model, tmp_path / "new.safetensors"
    return call


def test_a_sensitivity_by_body_part(run):
    draw(run.data, "XR_HAND")
    draw(run.data, "XR_WRIST", positive=range(120, 200, 4))
    status, out, err = run("--sensitivity", "0.95")
    assert (status, err) == (0, "")
    decision = modelfile.load(run.new).decision
    # 19 of 20 are at 84/255 = 0.3294 and above, the next lower study at 80/255 = 0.3137; of the
    # wrists at 124 and 120; of all, 38 of 40 are at 88/255 = 0.3451, the next is 84/255.
    assert decision.thresholds == {"XR_HAND": 0.32, "XR_WRIST": 0.48, "all": 0.34}
    assert (decision.threshold, decision.temperature) == (0.5, 1.0)
    record = decision.calibration
    assert record is not None
    assert record.parts["XR_HAND"] == Sample(20, 20, 20)
    assert record.parts["all"] == Sample(40, 40, 20)
    assert (record.dataset, record.target) == ("drawings", "sensitivity 0.95")
    assert (record.rule, record.tinycnn) == ("mean", __version__)
    # Of the dark hands, 84, 88, 92 and 96 are called positive: 16 of 20 are right.
    row = next(line for line in out.splitlines() if line.startswith("XR_HAND"))
    assert row.split() == ["XR_HAND", "20", "20", "0.32", "95.0%", "80.0%", "0.750"]
    assert "expect less of others" in out


def test_everything_else_in_the_file_stays(run):
    draw(run.data, "XR_HAND")
    assert run("--kappa", "--name", "hands of 2026")[0] == 0
    old, new = modelfile.load(run.model), modelfile.load(run.new)
    plain = replace(new.decision, thresholds={}, calibration=None)
    assert plain == old.decision
    assert replace(new, decision=old.decision, name=old.name, weights=old.weights) == old
    assert all(np.array_equal(new.weights[name], old.weights[name]) for name in old.weights)
    assert new.decision.calibration is not None
    assert new.decision.calibration.dataset == "hands of 2026"
    assert new.decision.calibration.target == "best kappa"


def test_too_few_of_a_part_have_the_threshold_of_all(run):
    draw(run.data, "XR_HAND")
    draw(run.data, "XR_WRIST", negative=range(20, 96, 4))
    _, out, _ = run("--kappa")
    decision = modelfile.load(run.new).decision
    assert set(decision.thresholds) == {"XR_HAND", "all"}
    assert decision.calibration is not None
    assert decision.calibration.parts["XR_WRIST"].negative == 19
    row = next(line for line in out.splitlines() if line.startswith("XR_WRIST"))
    assert row.endswith("(that of all: fewer than 20 of a label)")


def test_a_temperature_and_then_predict(run, capsys):
    draw(run.data, "XR_HAND")
    status, out, _ = run("--temperature")
    assert (status, "WORSE" in out) == (0, False)
    decision = modelfile.load(run.new).decision
    assert decision.thresholds == {}
    assert decision.temperature != 1.0
    assert f"temperature {decision.temperature:.4g}: log loss 0." in out
    before, after = (float(word) for word in out.split("log loss ")[1].split(",")[0].split(" -> "))
    assert after < before
    assert "(ECE) 0." in out
    assert predict.main([str(run.data), "--weights", str(run.new), "--json"]) == 0
    studies = json.loads(capsys.readouterr().out)["studies"]
    assert {study["temperature"] for study in studies} == {decision.temperature}


def test_calibrating_again_begins_from_the_raw_scores(run, tmp_path):
    draw(run.data, "XR_HAND")
    run("--kappa", "--temperature")
    once = modelfile.load(run.new).decision
    run.new.replace(run.model)
    run("--kappa", "--temperature")
    assert modelfile.load(run.new).decision == once


def test_the_rule_is_the_models(run):
    modelfile.save(brightness_model(decision=Decision("any", 0.6, 1)), run.model)
    draw(run.data, "XR_HAND")
    for folder in run.data.glob("XR_HAND/*/*_negative"):
        save_gray(folder / "image2.png", 0)  # halves the mean, not the largest
    run("--kappa")
    decision = modelfile.load(run.new).decision
    assert decision.calibration is not None
    assert decision.calibration.rule == decision.rule == "any"
    assert decision.thresholds["XR_HAND"] > 0.3


def test_what_cannot_be_used_is_counted(run):
    draw(run.data, "XR_HAND")
    save_gray(run.data / "loose" / "image1.png", 7)
    save_gray(run.data / "loose2" / "image1.png", 7)
    (run.data / "XR_HAND" / "patient00099" / "study1_negative").mkdir(parents=True)
    _, out, _ = run("--kappa")
    assert "left out: 2 studies without a label" in out
    assert "left out: 1 study without a view" in out


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ([], "give --sensitivity, --kappa or --temperature"),
        (["--sensitivity", "0"], "a share above 0"), (["--sensitivity", "nan"], "a share above 0"),
        (["--sensitivity", "1.01"], "a share above 0"),
        (["--kappa", "--sensitivity", "0.9"], "not allowed with"),
        (["--kappa"], "1 positive and 1 negative studies that can be used; 20 of each"),
        (["--kappa", "-o", "x.h5"], "NAME.safetensors"),
        (["--kappa", "-o", "/nowhere/x.safetensors"], "no folder"),
    ],
)  # fmt: skip
def test_refused(run, options, match):
    draw(run.data, "XR_HAND", [20], [90])
    status, out, err = run(*options)
    assert (status, out) == (2, "")
    assert match in err
    assert err.count("\n") == 1
    assert not run.new.exists()


def test_labels_that_the_model_tells_apart_without_an_error_have_no_temperature(run):
    draw(run.data, "XR_HAND", range(20, 100, 4), range(140, 220, 4))
    status, _, err = run("--temperature")
    assert (status, run.new.exists()) == (2, False)
    assert "without an error" in err
    assert "leave out" not in err
    status, _, err = run("--kappa", "--temperature")
    assert (status, run.new.exists(), err.count("\n")) == (2, False, 1)
    assert "leave out --temperature to choose thresholds alone" in err
    assert run("--kappa")[0] == 0


def test_a_calibration_error_that_got_worse_is_said(run):
    draw(run.data, "XR_HAND", range(68, 168, 5), range(95, 175, 4))
    status, out, err = run("--temperature")
    assert (status, err) == (0, "")
    before, after = map(float, out.split("(ECE) ")[1].split(",")[0].split(" -> "))
    assert after > before
    assert "of 40 views\nThe calibration error got WORSE" in out


def test_the_csvs_of_mura_say_what_is_right(run, tmp_path):
    draw(run.data, "XR_HAND")
    run("--kappa")
    expected = modelfile.load(run.new).decision
    rows = []
    for i, folder in enumerate(sorted(run.data.glob("*/*/*"))):
        bare = folder.rename(folder.with_name(f"study{i}")).relative_to(run.data)
        rows.append(f"drawings/{bare}/,{int(folder.name.endswith('positive'))}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    save_gray(run.data / "XR_HAND" / "patient00099" / "study1" / "image1.png", 7)  # not listed
    assert run("--kappa", "--force")[0] == 2
    status, out, _ = run("--kappa", "--force", "--labels", tmp_path / "labels.csv")
    assert (status, "left out" in out) == (0, False)
    assert modelfile.load(run.new).decision == expected
    command = [
        run.model,
        tmp_path / "labels.csv",
        "-o",
        run.new,
        "--kappa",
        "--force",
        "--name",
        "drawings",
    ]
    assert calibrate.main([*map(str, command), "--backend", "numpy"]) == 0
    assert modelfile.load(run.new).decision == expected


def test_patients_of_two_data_sets_are_two(run):
    draw(run.data / "a", "XR_HAND")
    draw(run.data / "b", "XR_HAND")
    run("--kappa")
    record = modelfile.load(run.new).decision.calibration
    assert record is not None
    assert record.parts["all"] == Sample(40, 40, 40)


def test_a_model_that_looks_for_no_label(run):
    modelfile.save(brightness_model(decision=Decision()), run.model)
    draw(run.data, "XR_HAND")
    status, _, err = run("--kappa")
    assert status == 2
    assert "looks for no label" in err
    assert err.count("\n") == 1


def test_a_file_that_is_there_is_kept(run):
    draw(run.data, "XR_HAND")
    run.new.write_bytes(b"mine")
    assert run("--kappa")[0] == 2
    assert run.new.read_bytes() == b"mine"
    assert run("--kappa", "--force")[0] == 0
    assert modelfile.load(run.new).decision.thresholds


def test_what_shows_nothing_is_left_out_here_too(run):
    draw(run.data, "XR_HAND")
    assert run("--kappa")[0] == 0
    before = modelfile.load(run.new).decision
    for study in sorted(run.data.rglob("study1_positive")):
        hot().save(study / "hot.png")
    status, out, _ = run("--kappa", "--force")
    assert (status, modelfile.load(run.new).decision) == (0, before)
    assert "left out: 10 views refused\n" in out
