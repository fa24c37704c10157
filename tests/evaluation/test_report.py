"""What the document and its CSV say where there is little, or nothing, to say."""

from __future__ import annotations

import csv

import pytest

from tests.evaluation.test_evaluate import (  # noqa: F401
    as_json,
    command,
    dataset,
    interrupt_after,
    model,
)


def test_text_and_csv_hold_the_same(capsys, dataset, model):  # noqa: F811
    status, out, _ = command(capsys, dataset, "--weights", model)
    assert status == 0
    assert "1 view refused; 1 study without a label" in out
    refused = f"{dataset}/XR_HAND/patient00002/study1_negative/image9.png"
    assert f"files refused: 1\n  {refused}: neither PNG nor JPEG" in out
    unlabelled = dataset / "XR_WRIST/patient00005/study1"
    assert f"studies without a label: 1\n  {unlabelled}\n" in out
    assert "BY STUDY         n    TP    FP    TN    FN\nall              5     1     0     3" in out
    assert "not a diagnosis" in " ".join(out.split())
    status, out, _ = command(capsys, dataset, "--weights", model, "--csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert len(rows) == 12
    assert [row["reason"] for row in rows if row["status"] == "refused"] != [""]
    assert {row["correct"] for row in rows} == {"True", "False", ""}
    assert {row["interrupted"] for row in rows} == {"False"}


def test_intervals_at_the_edge_are_those_of_so_many_patients(capsys, dataset, model):  # noqa: F811
    table = as_json(capsys, dataset, model)["levels"]["study"]
    hand = table["XR_HAND"]  # three of three studies are right, of two patients
    low = pytest.approx(0.025**0.5)
    assert hand["accuracy"] == {"value": 1.0, "low": low, "high": 1.0, "interval": "exact"}
    assert hand["sensitivity"]["low"] == pytest.approx(0.025)  # one patient tells next to nothing
    nothing = {"low": None, "high": None, "interval": None}
    assert hand["auroc"] == hand["kappa"] == {"value": 1.0, **nothing}
    assert table["all"]["accuracy"]["interval"] == "bootstrap"


def test_a_csv_says_that_it_was_broken_off(capsys, dataset, model, monkeypatch):  # noqa: F811
    interrupt_after(monkeypatch, 3)
    status, out, _ = command(capsys, dataset, "--weights", model, "--csv")
    assert status == 130
    assert {row["interrupted"] for row in csv.DictReader(out.splitlines())} == {"True"}


def test_a_study_without_a_file_has_a_row(capsys, dataset, model):  # noqa: F811
    empty = dataset / "XR_HAND/patient00007/study1_positive"
    empty.mkdir(parents=True)
    status, out, _ = command(capsys, dataset, "--weights", model, "--csv")
    (row,) = [row for row in csv.DictReader(out.splitlines()) if row["path"] == str(empty)]
    found = (status, row["label"], row["status"], row["reason"], row["correct"])
    assert found == (1, "1", "ignored", "no image in the folder", "")
