"""The journal of evaluate: what it knows of studies, when it is asked again, whom it serves."""

# ruff: noqa: F811

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

import tinycnn
from tests.evaluation.test_evaluate import (  # noqa: F401
    SOURCE,
    as_json,
    command,
    dataset,
    model,
    without_times,
)
from tests.studies.conftest import brightness_model, save_gray
from tinycnn.evaluation import journal
from tinycnn.nn.model import Calibration, Decision, Sample
from tinycnn.nn.modelfile import save
from tinycnn.studies.finder import find_studies
from tinycnn.studies.panel import Panel


def test_a_study_that_changed_is_judged_again(capsys, dataset, model, tmp_path):
    kept = tmp_path / "journal"
    as_json(capsys, dataset, model, "--resume", kept)
    save_gray(dataset / "XR_WRIST/patient00003/study1_positive/image2.png", 255)
    found = as_json(capsys, dataset, model, "--resume", kept)
    assert found["levels"]["study"]["all"]["false_negative"] == 0
    assert found["dataset"]["views"] == 12


def test_an_image_that_changed_is_judged_again(capsys, dataset, model, tmp_path, monkeypatch):
    kept, study = tmp_path / "journal", dataset / "XR_HAND/patient00001/study1_positive"
    as_json(capsys, dataset, model, "--resume", kept)
    decoded = []
    original = Panel.read
    monkeypatch.setattr(Panel, "read", lambda p, e: decoded.append(e.name) or original(p, e))
    (study / "image2.png").write_bytes(b"junk")
    found = as_json(capsys, dataset, model, "--resume", kept)
    assert (found["dataset"]["refused"], found["recalled"]) == (2, 5)
    assert decoded == ["image1.png", "image2.png"]
    before = (study / "image1.png").stat()
    save_gray(study / "image1.png", 251)
    assert (study / "image1.png").stat().st_size == before.st_size  # so only the time tells
    found = as_json(capsys, dataset, model, "--resume", kept)
    assert found["studies"][0]["probability"] == pytest.approx(251 / 255)
    as_json(capsys, dataset, model, "--resume", kept)
    assert len(decoded) == 4


def test_a_file_that_changes_while_it_is_judged_is_judged_again(
    capsys, dataset, model, tmp_path, monkeypatch
):
    kept, view = tmp_path / "journal", dataset / "XR_WRIST/patient00003/study1_positive/image1.png"
    original = Panel.read

    def read(panel, entry):
        answer = original(panel, entry)
        if entry.path == str(view):
            save_gray(view, 255)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Panel, "read", read)
        as_json(capsys, dataset, model, "--resume", kept)
    found = as_json(capsys, dataset, model, "--resume", kept)
    assert (found["recalled"], found["levels"]["study"]["all"]["false_negative"]) == (5, 0)


@pytest.mark.parametrize("more", [["--rule", "max"], ["--threshold", "0.05", "--rule", "any"]])
def test_a_journal_serves_other_rules_and_thresholds(
    capsys, dataset, model, tmp_path, monkeypatch, more
):
    kept = tmp_path / "journal"
    seen = {"all": Sample(20, 20, 20), "XR_HAND": Sample(20, 20, 20)}
    decision = Decision(
        positive=1,
        temperature=1.7,
        thresholds={"all": 0.4, "XR_HAND": 0.3},
        calibration=Calibration("drawings", "best kappa", "mean", "1", seen),
    )
    save(brightness_model(decision=decision), model)
    as_json(capsys, dataset, model, "--resume", kept)
    expected = as_json(capsys, dataset, model, *more)
    monkeypatch.setattr(Panel, "read", lambda *_: pytest.fail("judged again"))
    found = as_json(capsys, dataset, model, *more, "--resume", kept)
    assert without_times(found) == without_times(expected)
    assert found["temperature"] == 1.7


def test_one_run_at_a_time_has_a_journal(capsys, dataset, model, tmp_path):
    kept = tmp_path / "journal"
    source = replace(SOURCE, model_hash=tinycnn.load(model, backend="numpy").model_hash)
    with journal.Journal(str(kept), str(dataset), source):
        before = kept.read_bytes()
        status, out, err = command(capsys, dataset, "--weights", model, "--resume", kept)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "in use by another run" in err
        assert kept.read_bytes() == before
    assert as_json(capsys, dataset, model, "--resume", kept)["recalled"] == 0


@pytest.mark.parametrize("change", ["model", "data set", "--flip", "this version"])
def test_a_journal_of_another_run_is_refused(capsys, dataset, model, tmp_path, change):
    kept = tmp_path / "journal"
    as_json(capsys, dataset, model, "--resume", kept)
    more = []
    if change == "--flip":
        more = ["--flip"]
    elif change == "model":
        save(brightness_model(labels=("well", "ill")), model)
    elif change == "this version":
        kept.write_bytes(kept.read_bytes().replace(b"journal/3", b"journal/2", 1))
    else:
        dataset = shutil.copytree(dataset, tmp_path / "copy")
    before = kept.read_bytes()
    status, out, err = command(
        capsys, dataset, "--weights", model, "--json", "--resume", kept, *more
    )
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert change in err
    assert "['" not in err
    assert kept.read_bytes() == before


REST = (
    b'"files": [["x", 1, 1]], "refused": [], "notes": [["x", "odd"]], "seconds": [0.0, 0.0, 0.0]}\n'
)
BAD_LINES = {
    "no JSON": b"hello\n",
    "another thing": b"[1, 2]\n",
    "NaN": b'{"study": "a", "views": [["x", NaN]], ' + REST,
    "notes that are none": b'{"study": "a", "views": [["x", 0.5]], ' + REST.replace(b'"odd"', b"1"),
    "beyond 1": b'{"study": "a", "views": [["x", 1.5]], ' + REST,
    "a number for a name": b'{"study": 1, "views": [["x", 0.5]], ' + REST,
    "a file without an answer": b'{"study": "a", "views": [], ' + REST,
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
@pytest.mark.parametrize("place", [0, 2])
def test_a_damaged_journal_is_refused_and_left_alone(capsys, dataset, model, tmp_path, line, place):
    kept = tmp_path / "journal"
    as_json(capsys, dataset, model, "--resume", kept)
    lines = kept.read_bytes().splitlines(keepends=True)
    lines[place] = line
    kept.write_bytes(b"".join(lines))
    status, _, err = command(capsys, dataset, "--weights", model, "--resume", kept)
    assert (status, err.count("\n")) == (2, 1)
    assert kept.read_bytes() == b"".join(lines)


def test_the_journal_knows_a_study_below_its_root(dataset, tmp_path):
    folder = next(find_studies(dataset))
    with journal.Journal(str(tmp_path / "new"), str(dataset), SOURCE) as kept:
        assert kept.recall(folder) is None
