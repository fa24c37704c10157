from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.studies.conftest import save_gray
from tinycnn.errors import StudyError
from tinycnn.studies.finder import find_folders, find_studies
from tinycnn.studies.names import natural_key, parse_mura, printable


def names(folder):
    return [entry.name for entry in folder.entries]


def by_name(folder):
    return {entry.name: entry for entry in folder.entries}


def test_mura_layout_is_understood(tmp_path):
    study = tmp_path / "MURA" / "XR_SHOULDER" / "patient00007" / "study1_positive"
    save_gray(study / "image1.png", 1)
    (found,) = find_studies(tmp_path)
    assert found.path == str(study)
    assert (found.name.body_part, found.name.patient) == ("XR_SHOULDER", "patient00007")
    assert (found.name.study, found.name.label) == ("study1", "positive")


def test_other_names_leave_everything_open(tmp_path):
    save_gray(tmp_path / "knee of Ann" / "left.png", 1)
    (found,) = find_studies(tmp_path)
    assert found.name == parse_mura("/")
    assert found.name.body_part is None
    assert found.name.label is None


def test_a_relative_path_still_knows_the_folders_above(tmp_path, monkeypatch):
    study = tmp_path / "XR_WRIST" / "patient1" / "study2_negative"
    save_gray(study / "a.png", 1)
    monkeypatch.chdir(study)
    (found,) = find_studies(".")
    assert (found.name.body_part, found.name.label) == ("XR_WRIST", "negative")


def test_natural_order_of_files_and_studies(tmp_path):
    for study in ("p10", "p2", "p1"):
        for image in ("image10.png", "image2.png", "Image1.png"):
            save_gray(tmp_path / study / image, 1)
    found = list(find_studies(tmp_path))
    assert [os.path.basename(f.path) for f in found] == ["p1", "p2", "p10"]
    assert names(found[0]) == ["Image1.png", "image2.png", "image10.png"]


@given(st.lists(st.text(max_size=12)))
def test_any_names_can_be_sorted(texts):
    assert sorted(sorted(texts), key=natural_key) == sorted(texts, key=natural_key)


def test_studies_at_any_depth_even_above_each_other(tmp_path):
    save_gray(tmp_path / "a.png", 1)
    save_gray(tmp_path / "x" / "y" / "z" / "b.png", 1)
    assert [names(f) for f in find_studies(tmp_path)] == [["a.png"], ["b.png"]]


def test_a_single_image_is_a_study_of_one_view(tmp_path):
    image = save_gray(tmp_path / "XR_HAND" / "patient3" / "study1_negative" / "i.png", 1)
    (found,) = find_studies(image)
    assert names(found) == ["i.png"]
    assert found.name.body_part == "XR_HAND"


def test_hidden_files_and_other_files_are_ignored_but_listed(tmp_path):
    save_gray(tmp_path / "image1.png", 1)
    for name in ("._image1.png", ".DS_Store", "notes.txt", "README"):
        (tmp_path / name).write_bytes(b"x")
    save_gray(tmp_path / ".trash" / "old.png", 1)
    (found,) = find_folders(tmp_path)
    entries = by_name(found)
    assert {name: entries[name].status for name in entries} == {
        "image1.png": "view",
        "._image1.png": "ignored",
        ".DS_Store": "ignored",
        ".trash": "ignored",
        "notes.txt": "ignored",
        "README": "ignored",
    }
    assert entries["notes.txt"].reason == "not an image: .txt"
    assert entries["._image1.png"].reason == "hidden"


@pytest.mark.parametrize("name", ["a.dcm", "a.GIF", "a.tiff", "a.webp"])
def test_images_of_other_formats_are_refused_not_ignored(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    (found,) = find_studies(tmp_path)
    assert found.entries[0].status == "refused"
    assert "PNG or JPEG" in found.entries[0].reason


def test_links_pipes_sockets_and_folders_named_as_images(tmp_path):
    outside = save_gray(tmp_path / "outside" / "secret.png", 1)
    study = tmp_path / "study"
    save_gray(study / "good.png", 1)
    (study / "link.png").symlink_to(outside)
    (study / "broken.png").symlink_to("nowhere")
    (study / "linked folder").symlink_to(outside.parent)
    os.mkfifo(study / "pipe.png")
    (study / "folder.png").mkdir()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(os.path.relpath(study / "socket.png"))
    (found,) = find_folders(study)
    reasons = {e.name: (e.status, e.reason.split(",")[0]) for e in found.entries}
    assert reasons == {
        "good.png": ("view", ""),
        "link.png": ("refused", "a symbolic link"),
        "broken.png": ("refused", "a symbolic link"),
        "linked folder": ("ignored", "a symbolic link"),
        "pipe.png": ("refused", "a pipe"),
        "folder.png": ("refused", "a folder"),
        "socket.png": ("refused", "a socket"),
    }


def test_a_loop_of_links_ends(tmp_path):
    save_gray(tmp_path / "a" / "i.png", 1)
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert len(list(find_studies(tmp_path))) == 1


def test_an_empty_folder_with_a_studys_name_is_a_study(tmp_path):
    (tmp_path / "XR_HAND" / "patient1" / "study1_positive").mkdir(parents=True)
    (tmp_path / "XR_HAND" / "patient2").mkdir(parents=True)
    (found,) = find_studies(tmp_path)
    assert found.entries == ()


def test_stray_files_make_no_study(tmp_path):
    (tmp_path / "labels.csv").write_text("x")
    save_gray(tmp_path / "s" / "i.png", 1)
    stray, study = find_folders(tmp_path)
    assert not stray.is_study
    assert study.is_study


def test_an_unreadable_folder_is_a_study_without_views(tmp_path, monkeypatch):
    save_gray(tmp_path / "s" / "i.png", 1)
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("s"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (found,) = find_studies(tmp_path)
    assert found.entries[0].status == "refused"
    assert "Permission denied" in found.entries[0].reason


def test_search_is_lazy(tmp_path, monkeypatch):
    for i in range(5):
        save_gray(tmp_path / f"s{i}" / "i.png", 1)
    read = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: read.append(path) or scandir(path))
    next(find_studies(tmp_path))
    assert len(read) == 2


@pytest.mark.parametrize("path", ["/nonexistent/x", "/dev/null", "a\0b", ""])
def test_what_is_no_folder_is_an_error(path):
    with pytest.raises(StudyError):
        list(find_studies(path))


@given(st.text())
def test_printable_leaves_nothing_that_steers_a_terminal(text):
    shown = printable(text)
    assert shown.isprintable()
    shown.encode("utf-8")


def test_printable_keeps_what_can_be_read():
    assert printable("Röntgen 手 1.png") == "Röntgen 手 1.png"
    assert printable("a\x1b[2Jb\u202e\udc80") == r"a\x1b[2Jb\u202e\udc80"
