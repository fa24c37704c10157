"""`evaluate` refuses what `predict` refuses, says what it says of the rest, and counts both."""

# ruff: noqa: F811

from __future__ import annotations

import csv
import json
import shutil

import pytest
from PIL import Image

import tinycnn
from tests.evaluation.test_evaluate import (  # noqa: F401
    as_json,
    command,
    dataset,
    model,
    without_times,
)
from tests.evaluation.test_page import read
from tests.studies.test_content import POSITIVE
from tests.studies.views import NOTED, REFUSED, radiograph, save_all
from tinycnn import predict
from tinycnn.evaluation.page import page
from tinycnn.evaluation.reasons import kind, kinds

STUDY = "XR_HAND/patient00001/study1_positive"  # its views say 250 and 200 of 255


@pytest.fixture
def odd(dataset):
    """`dataset` with every view that is refused in a positive study, and noted ones in another."""
    save_all(dataset / STUDY, REFUSED)
    noted = dataset / "XR_WRIST/patient00003/study1_positive"
    save_all(noted, NOTED)
    (noted / "image1.png").unlink()
    Image.fromarray(radiograph(8, 3)).save(noted / "dark.png")
    return dataset


def as_predict(capsys, dataset, model):
    predict.main([str(dataset), "--weights", str(model), "--backend", "numpy", "--json"])
    return json.loads(capsys.readouterr().out)


def files(document, views, name):
    """(file, reason, notes, probability) of each view of ``document``."""
    return sorted(
        (row[name], row.get("reason"), tuple(row["notes"]), row.get("probability"))
        for study in document["studies"]
        for row in views(study)
    )


def test_each_view_has_the_answer_of_predict(capsys, odd, model):
    found, said = as_json(capsys, odd, model), as_predict(capsys, odd, model)
    mine = files(found, lambda study: study["views"] + study["refused"], "name")
    assert mine == files(said, lambda study: study["files"], "file")
    assert len(mine) == 11 + len(REFUSED) + len(NOTED) + 1
    first = found["studies"][0]
    assert (first["verdict_positive"], first["probability"]) == (True, pytest.approx(225 / 255))
    assert found["levels"]["study"]["all"]["true_positive"] == 1


def test_they_are_counted_by_reason_and_by_note(capsys, odd, model):
    data = as_json(capsys, odd, model)["dataset"]
    assert data["refused"] == 1 + len(REFUSED)
    nothing = sum("nothing" in reason or "value" in reason for _, reason in REFUSED.values()) - 1
    assert data["refused_by_reason"] == {
        "shows nothing": nothing,
        "too small": 3,
        "nearly black": 2,
        "neither PNG nor JPEG": 1,
    }
    assert next(iter(data["refused_by_reason"])) == "shows nothing"
    assert data["with_notes"] == len(NOTED) + 1
    assert data["notes"] == {
        "12 bits in a 16-bit file, as it says": 1,
        "hardly any contrast": 1,
        "partly transparent": 1,
        "taken as 12 bits in a 16-bit file": 1,
    }


def test_a_study_of_such_views_has_no_verdict(capsys, dataset, model):
    study = dataset / "XR_WRIST/patient00004/study1_negative"
    shutil.rmtree(study)
    save_all(study, REFUSED)
    found = as_json(capsys, dataset, model, status=1)
    assert found["dataset"]["without_verdict"] == 1
    assert found["levels"]["study"]["all"]["count"] == 4


def test_text(capsys, odd, model):
    _, out, _ = command(capsys, odd, "--weights", model)
    words = " ".join(out.split())
    assert "refused: shows nothing (" in words
    assert "; too small (3); nearly black (2); neither PNG nor JPEG (1)" in words
    assert "notes on 4 views: 12 bits in a 16-bit file, as it says (1); hardly any contr" in words
    wrist = odd / "XR_WRIST/patient00003/study1_positive"
    assert f"views with notes: 4\n  {wrist}/12 in 16.png: taken as 12 bits in a 16-bit" in out
    _, out, _ = command(capsys, odd / "XR_WRIST/patient00004", "--weights", model)
    assert "refused:" not in out
    assert "notes" not in out


def test_csv(capsys, odd, model):
    _, out, _ = command(capsys, odd, "--weights", model, "--csv")
    rows = {row["file"]: row for row in csv.DictReader(out.splitlines())}
    assert next(reversed(rows["12 in 16.png"])) == "notes"  # new columns come last
    for name, (_, note) in NOTED.items():
        assert (rows[name]["status"], note in rows[name]["notes"]) == ("judged", True)
    for name, (_, reason) in REFUSED.items():
        same_kind = kind(rows[name]["reason"]) in ("shows nothing", kind(reason))
        assert (rows[name]["status"], same_kind) == ("refused", True)


def test_page(capsys, odd, model):
    words = read(page(as_json(capsys, odd, model))).words
    assert "Of each kind: shows nothing (" in words
    assert "2x3.png: too small: 2 x 3 pixels, for a network of 8 x 8" in words
    assert "Views with notes: 4" in words
    assert "sBIT.png: 12 bits in a 16-bit file, as it says" in words
    # The dark view of a positive study is one of those it got most wrong: its card says why.
    assert words.count("hardly any contrast: 100 %") == 2


def test_a_document_of_an_earlier_version_makes_a_page(capsys, dataset, model):
    found = as_json(capsys, dataset, model)
    for key in ("refused_by_reason", "with_notes", "notes"):
        del found["dataset"][key]
    for row in (row for study in found["studies"] for row in study["views"] + study["refused"]):
        del row["notes"]
    words = read(page(found)).words
    assert "Views with notes" not in words
    assert "Files refused: 1" in words


def test_the_journal_keeps_notes_and_refusals(capsys, odd, model, tmp_path):
    kept = tmp_path / "journal"
    first = as_json(capsys, odd, model, "--resume", kept)
    again = as_json(capsys, odd, model, "--resume", kept)
    assert again["recalled"] == first["dataset"]["studies"]
    assert without_times(again) == without_times(first)


def test_a_journal_that_judged_what_is_refused_now_is_not_carried_on(capsys, odd, model, tmp_path):
    kept = tmp_path / "journal"
    as_json(capsys, odd, model, "--resume", kept)
    lines = [json.loads(line) for line in kept.read_bytes().splitlines()]
    lines[0]["schema"] = "tinycnn-evaluation-journal/2"
    for line in lines[1:]:  # as it was: everything judged, and no notes
        del line["notes"]
        line["views"] += [[name, 0.0] for name, _ in line["refused"]]
        line["refused"] = []
    kept.write_text("".join(json.dumps(line) + "\n" for line in lines))
    status, out, err = command(capsys, odd, "--weights", model, "--json", "--resume", kept)
    assert (status, out) == (2, "")
    assert "is no journal of this version of tinycnn; name another file, or remove" in err


def test_a_shipped_model_on_its_own_sample(capsys, tmp_path):
    study = tmp_path / "XR_WRIST" / "patient00014" / "study1_positive"
    shutil.copytree(POSITIVE, study)
    save_all(study, REFUSED)
    found = as_json(capsys, tmp_path, "mobilenetv2-phantoms")
    alone = tinycnn.predict_study(POSITIVE, tinycnn.load("mobilenetv2-phantoms", backend="numpy"))
    (only,) = found["studies"]
    assert only["verdict_positive"] is True
    assert only["probability"] == pytest.approx(alone.probability, abs=1e-6)


@pytest.mark.parametrize(
    ("said", "about"),
    [
        ("shows nothing: all of it has the value 0", "shows nothing"),
        ("only 28 x 28 pixels, of 224 x 224", "only N x N pixels, of N x N"),
        ("taken as 12 bits in a 16-bit file: its brightest", "taken as 12 bits in a 16-bit file"),
        ("declares 9000 x 9000 pixels; at most 50000000", "declares N x N pixels"),
        ("the model's output 1.25 is no probability", "the model's output N is no probability"),
    ],
)  # fmt: skip
def test_kinds_of_reasons(said, about):
    assert kind(said) == about


def test_kinds_are_counted_the_most_frequent_first():
    assert list(kinds(["b: 1", "a: 1", "b: 2"]).items()) == [("b", 2), ("a", 1)]
