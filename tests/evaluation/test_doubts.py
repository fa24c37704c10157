"""Data sets that are not what they seem: many patients as one study, one label, names twice."""

# ruff: noqa: F811

from __future__ import annotations

import csv
import json

import pytest

from tests.evaluation.test_evaluate import as_json, command, dataset, model  # noqa: F401
from tests.studies.conftest import save_gray
from tinycnn import cli
from tinycnn.evaluation.records import patient_key
from tinycnn.studies.doubts import MOST_VIEWS, one_label
from tinycnn.studies.names import parse_mura


@pytest.fixture
def classes(tmp_path):
    """As for an image classifier: a folder for each class, with the images of many patients."""
    for name, views in (("NORMAL", MOST_VIEWS + 1), ("PNEUMONIA", MOST_VIEWS + 2), ("x", 20)):
        for i in range(views):
            save_gray(tmp_path / "classes" / name / f"{i}.png", 200)
    return tmp_path / "classes"


def predicted(capsys, *arguments):
    status = cli.main(["predict", *map(str, arguments), "--backend", "numpy"])
    return (status, *capsys.readouterr())


def test_predict_doubts_a_folder_of_many_patients_and_judges_it(capsys, classes, model):
    status, out, err = predicted(capsys, classes, "--weights", model)
    assert (status, err, out.count("WARNING: ")) == (0, "", 2)
    assert "=> ABNORMAL  (mean 0.784 of 21 views" in out
    assert "WARNING: 22 views in one study: a study is the images of one" in out


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_predict_doubts_beside_documents(capsys, classes, model, form):
    status, out, err = predicted(capsys, classes, "--weights", model, form)
    assert (status, err.count("\n")) == (0, 1)
    assert f"warning: 22 views in '{classes}/PNEUMONIA' (1 other has more than 20 too)" in err
    if form == "--json":
        doubted = [len(study["cautions"]) for study in json.loads(out)["studies"]]
        assert doubted == [3, 3, 2]
    else:
        assert len(list(csv.DictReader(out.splitlines()))) == 63


def test_evaluate_doubts_it_before_the_work(capsys, dataset, model):
    study = dataset / "XR_HAND/patient00002/study1_negative"
    for i in range(20):
        save_gray(study / f"other{i}.png", 10)
    status, _, err = command(capsys, dataset, "--weights", model)
    assert (status, err.count("\n")) == (0, 1)
    assert f"warning: 24 views in '{study}': a study is the images" in err


def test_labels_in_capitals_are_labels(capsys, dataset, model):
    expected = as_json(capsys, dataset, model)
    for path in sorted(dataset.glob("*/*/*_positive")):
        path.rename(path.with_name(path.name.replace("positive", "POSITIVE")))
    found = as_json(capsys, dataset, model)
    assert found["levels"] == expected["levels"]
    assert [s["id"] for s in found["studies"]] == [s["id"] for s in expected["studies"]]


def test_one_label_alone_is_told_aloud(capsys, dataset, model):
    for path in sorted(dataset.glob("*/*/*_positive")):
        path.rename(path.with_name(path.name.replace("positive", "abnormal")))
    status, _, err = command(capsys, dataset, "--weights", model)
    assert (status, err.count("\n")) == (0, 1)
    assert "not one study is labelled positive, and 3 negative; 3 studies have no label" in err
    assert one_label(1, 1, 5) == one_label(0, 0, 5) == ""


def test_patients_of_two_data_sets_are_two(capsys, dataset, model, tmp_path):
    for name in ("train", "test"):
        for study in ("XR_HAND/patient00001/study1_positive", "XR_WRIST/patient00001/study1",
                      "XR_HAND/patient00002/study1_negative"):  # fmt: skip
            save_gray(tmp_path / "both" / name / study / "image1.png", 9)
    found = as_json(capsys, tmp_path / "both", model)
    assert found["dataset"]["patients"] == 4  # that with a hand and a wrist is one
    assert found["levels"]["patient"]["all"]["count"] == 4
    assert as_json(capsys, tmp_path / "both/test", model)["dataset"]["patients"] == 2


@pytest.mark.parametrize(
    ("study", "path", "wanted"),
    [
        ("XR_HAND/patient1/study1", "/d/XR_HAND/patient1/study1_positive", "patient1"),
        ("a/b/XR_HAND/patient1/study1", "/a/b/XR_HAND/patient1/study1_positive", "a/b/patient1"),
        ("XR_HAND/a/patient1/study1", "/d/XR_HAND/a/patient1/study1_positive", "a/patient1"),
        ("a/patient1/study1_positive", "/d/a/patient1/study1_positive", "a/patient1"),
        ("patient1/XR_HAND/study1", "/d/patient1/XR_HAND/study1_positive", "patient1"),
        ("study1_positive", "/d/patient1/study1_positive", "patient1"),
        ("a/b", "/d/a/b", "a/b"),
    ],
)
def test_who_a_patient_is(study, path, wanted):
    assert patient_key(study, parse_mura(path)) == wanted
