"""MURA's CSVs in evaluate: which studies, which images, which labels; and what hostile ones do."""

from __future__ import annotations

import csv
import json
import os
import shutil

import pytest

from tests.evaluation.test_evaluate import STUDIES, command, dataset, model  # noqa: F401
from tests.studies.conftest import save_gray
from tinycnn.errors import StudyError, UsageError
from tinycnn.evaluation.dataset import Dataset
from tinycnn.evaluation.page import page
from tinycnn.studies import listing


@pytest.fixture
def mura(tmp_path, dataset):  # noqa: F811
    """MURA-v1.1 with valid/, its two CSVs, and a train/ that nobody asks about."""
    root = tmp_path / "MURA-v1.1"
    root.mkdir()
    shutil.move(dataset, root / "valid")
    save_gray(root / "train" / "XR_HAND" / "patient00009" / "study1_positive" / "image1.png", 9)
    known = [name for name in STUDIES if not name.endswith("study1")]
    rows = [(f"MURA-v1.1/valid/{name}/", int("positive" in name)) for name in known]
    with open(root / "valid_labeled_studies.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    images = [f"{row}image{i}.png\n" for row, _ in rows for i in (1,)]
    (root / "valid_image_paths.csv").write_text("".join(images))
    return root


@pytest.fixture
def evaluated(capsys, model):  # noqa: F811
    def call(*arguments, status=0):
        found, out, err = command(capsys, *arguments, "--weights", model, "--json")
        assert found == status, err
        return json.loads(out) if status < 2 else err

    return call


@pytest.mark.parametrize("top", ["MURA-v1.1", "mura"])
def test_mura_s_own_csv_is_a_data_set(mura, evaluated, top):
    root = mura.rename(mura.parent / top)
    plain = evaluated(root / "valid")
    found = evaluated(root / "valid_labeled_studies.csv")
    assert found["levels"] == plain["levels"]
    assert found["dataset"]["studies"] == 5
    assert found["dataset"]["labels"] == {
        "path": str(root / "valid_labeled_studies.csv"),
        "contradicting": 0, "examples": [], "left_out": 1,
        "not_there": 0, "not_there_examples": [],
    }  # fmt: skip


@pytest.mark.parametrize("below", ["", "valid", "valid/XR_HAND", "../MURA-v1.1/valid"])
def test_labels_select_the_studies_that_they_list(mura, evaluated, below, monkeypatch):
    monkeypatch.chdir(mura)
    found = evaluated(below or ".", "--labels", "valid_labeled_studies.csv")
    hands = below == "valid/XR_HAND"
    assert found["dataset"]["studies"] == (3 if hands else 5)
    labels = found["dataset"]["labels"]
    assert (labels["not_there"], labels["left_out"]) == (
        2 if hands else 0,
        {"": 2}.get(below, not hands),
    )


def test_a_csv_elsewhere_labels_folders_that_say_nothing(mura, evaluated, tmp_path):
    for name in STUDIES:
        folder = mura / "valid" / name
        folder.rename(folder.with_name(folder.name.partition("_")[0]))
    rows = [
        f"valid/{name.rpartition('_')[0]}/,{int('positive' in name)}\n"
        for name in list(STUDIES)[:5]
    ]
    (tmp_path / "my labels.csv").write_text("\ufeff" + "\r\n".join(rows))
    assert "no labelled study" in evaluated(mura / "valid", status=2)
    found = evaluated(mura / "valid", "--labels", tmp_path / "my labels.csv")
    assert [found["levels"]["study"]["all"][key] for key in ("count", "positive")] == [5, 2]


def test_a_label_against_the_folders_name_counts_and_is_said(mura, evaluated, capsys, model):  # noqa: F811
    path = mura / "valid_labeled_studies.csv"
    text = path.read_text()
    wrong = "patient00003/study1_positive/,"
    path.write_text(text.replace(f"{wrong}1", f"{wrong}0"))
    found = evaluated(path)
    assert found["dataset"]["labels"]["contradicting"] == 1
    assert found["dataset"]["labels"]["examples"] == ["XR_WRIST/patient00003/study1"]
    assert found["levels"]["study"]["all"]["positive"] == 1
    said = " ".join(command(capsys, path, "--weights", model)[1].split())
    example = "XR_WRIST/patient00003/study1"
    assert f"1 label CONTRADICTS the folders' names, and counts: {example}" in said


def test_images_that_are_listed_are_those_that_count(mura, evaluated):
    found = evaluated(mura / "valid_image_paths.csv")
    assert found["dataset"]["views"] == 5
    assert {view["name"] for study in found["studies"] for view in study["views"]} == {"image1.png"}
    assert (
        "labels"
        in evaluated(
            mura / "valid_image_paths.csv", "--labels", mura / "valid_labeled_studies.csv"
        )["dataset"]
    )
    assert "its rows have no labels" in evaluated(
        mura, "--labels", mura / "valid_image_paths.csv", status=2
    )


def test_what_is_listed_and_not_there_is_a_study_without_a_verdict(mura, evaluated, capsys, model):  # noqa: F811
    with open(mura / "valid_image_paths.csv", "a") as file:
        file.write("MURA-v1.1/valid/XR_HAND/patient00002/study1_negative/image7.png\n")
    found = evaluated(mura / "valid_image_paths.csv")
    assert {
        "name": "image7.png",
        "reason": "listed in valid_image_paths.csv, but there is no such file",
        "notes": [],
    } in [refused for study in found["studies"] for refused in study["refused"]]
    shutil.rmtree(mura / "valid/XR_WRIST/patient00003")
    found = evaluated(mura / "valid_labeled_studies.csv", status=1)
    assert (found["dataset"]["without_verdict"], found["dataset"]["labels"]["not_there"]) == (1, 1)
    (study,) = [study for study in found["studies"] if "patient00003" in study["id"]]
    assert (study["label"], study["body_part"], study["patient"]) == (1, "XR_WRIST", "patient00003")
    assert "there is no such folder" in study["refused"][0]["reason"]
    missing = "MURA-v1.1/valid/XR_WRIST/patient00003/study1_positive"
    assert found["dataset"]["labels"]["not_there_examples"] == [missing]
    out = command(capsys, mura / "valid_labeled_studies.csv", "--weights", model)[1]
    said = " ".join(out.split())
    assert f"1 of the studies that it lists ARE NOT THERE: {missing}" in said
    assert missing in page(found, gallery=False)


@pytest.mark.parametrize("as_labels", [False, True])
def test_a_csv_of_which_nothing_is_there_is_one_line(mura, evaluated, as_labels):
    shutil.rmtree(mura / "valid")
    path = mura / "valid_labeled_studies.csv"
    err = evaluated(*([mura, "--labels", path] if as_labels else [path]), status=2)
    assert err.count("\n") == 1
    assert "it lists 'MURA-v1.1/valid/XR_HAND/patient00001/study1_positive'" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a/study1;1\n", "put a comma, no semicolon"),
        ("folder,label\na/study1,1\n", "leave out a row of titles"),
        ("a/study1,1\na/study2,no\n", "row 2: label 'no': expected 0 or 1\n"),
    ],
)
def test_a_csv_that_is_nearly_right_is_told_what_to_change(mura, evaluated, text, said):
    (mura / "labels.csv").write_text(text)
    assert said in evaluated(mura, "--labels", mura / "labels.csv", status=2)


def test_a_journal_outlives_other_labels(mura, evaluated, tmp_path, monkeypatch):
    evaluated(mura / "valid", "--resume", tmp_path / "journal")
    from tinycnn.studies.panel import Panel

    monkeypatch.setattr(Panel, "read", lambda *_: pytest.fail("judged again"))
    path = mura / "valid_labeled_studies.csv"
    found = evaluated(mura / "valid", "--labels", path, "--resume", tmp_path / "journal")
    assert found["recalled"] == 5


HOSTILE = {
    "upwards": "MURA-v1.1/../../etc/study1_positive/,1\n",
    "absolute": "/etc/study1_positive/,1\n",
    "nothing": "",
    "empty rows": "\n\n , \n",
    "no label": "MURA-v1.1/valid/a/study1_positive/,2\n",
    "two labels": "a/b,1\na/b,0\n",
    "a spreadsheet": "a/b,1,1\n",
    "null": "a/\0b,1\n",
    "one line": "x" * 5000 + ",1\n",
    "an open quote": '"a/b,1\n' * 50_000,
    "binary": "\x89PNG\r\n\x1a\n\0\0\0",
    "escapes": "\x1b[2J/\u202ey,7\n",
    "a header": "study,label\n",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("as_labels", [False, True])
def test_a_hostile_csv_is_one_line(mura, evaluated, text, as_labels):
    path = mura / "bad.csv"
    path.write_text(text)
    err = evaluated(*([mura, "--labels", path] if as_labels else [path]), status=2)
    assert err.count("\n") == 1
    assert "bad.csv" in err
    assert len(err) < 700
    assert err.strip().isprintable()


def test_too_much_or_no_file_is_refused(mura, monkeypatch):
    path = mura / "valid_labeled_studies.csv"
    monkeypatch.setattr(listing, "MAX_ROWS", 4)
    with pytest.raises(StudyError, match="row 5: at most 4 rows"):
        Dataset(str(path))
    monkeypatch.setattr(listing, "MAX_BYTES", 20)
    with pytest.raises(StudyError, match="not a file of at most"):
        Dataset(str(path))
    os.mkfifo(mura / "pipe.csv")
    for name in ("pipe.csv", "nothing.csv", "valid", "a\0b"):
        with pytest.raises(StudyError):
            Dataset(str(mura), str(mura / name))
    with pytest.raises(UsageError, match="is a file"):
        Dataset(str(next(mura.rglob("*.png"))))


@pytest.mark.parametrize(
    ("studies", "shared"),
    [
        (["a/b/s1", "a/b/s2"], "a/b"), (["a/s1", "a-b/s1", "a/b/s1"], ""), (["s1", "a/s1"], ""),
        (["a/bc/s1", "a/bd/s1"], "a"), (["a/s1", "a/b/s1"], "a"), (["s1"], ""), (["a/s1"], "a"),
    ],
)  # fmt: skip
def test_the_folder_that_all_rows_share(studies, shared):
    assert listing.Listing("x.csv", dict.fromkeys(studies, "positive"), {})._shared() == (
        shared.split("/") if shared else []
    )


def test_links_lead_nowhere(mura, evaluated, tmp_path):
    """Neither a row nor the folder that all rows share opens what lies behind a symbolic link."""
    outside = tmp_path / "outside"
    shutil.move(mura / "valid", outside)
    (mura / "valid").symlink_to(outside)
    found = Dataset(str(mura / "valid_labeled_studies.csv"))
    assert found.root == str(mura)
    assert all(entry.status == "refused" for folder in found.folders() for entry in folder.entries)


def test_a_row_is_about_one_folder(mura):
    """A short row does not label every folder of that name."""
    (mura / "short.csv").write_text("study1_positive,0\nXR_WRIST/patient00003/study1_positive,0\n")
    with pytest.raises(StudyError, match="no study that"):
        Dataset(str(mura), str(mura / "short.csv")).count()
    found = Dataset(str(mura / "valid"), str(mura / "short.csv"))
    assert [folder.path for folder in found.folders()] == [
        str(mura / "valid/XR_WRIST/patient00003/study1_positive")
    ]
