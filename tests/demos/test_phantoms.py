"""The drawn data set: reproducible, laid out as MURA, no shortcut to the label, no half files."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import phantoms
import pytest
from PIL import Image
from radiograph import mark
from radiograph.anatomy import BODY_PARTS

from tests.signals import hear_interrupts

LAYOUT = re.compile(r"XR_[A-Z]+/patient\d{5}/study\d_(positive|negative)/image[1-4]\.png")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve studies of seed 5."""
    root = tmp_path_factory.mktemp("phantoms")
    assert phantoms.main([str(root), "--studies", "12", "--seed", "5"]) == 0
    return root


def contents(root: Path) -> dict[str, bytes]:
    """Every file below `root` by its relative path."""
    paths = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def test_layout_is_that_of_mura(dataset: Path) -> None:
    """All files and nothing else match the pattern; all seven body parts are there."""
    names = list(contents(dataset))
    assert names
    assert all(LAYOUT.fullmatch(name) for name in names)
    assert {name.split("/")[0] for name in names} == set(BODY_PARTS)


def test_same_seed_same_files_whatever_the_jobs(dataset: Path, tmp_path: Path) -> None:
    """Two processes write what one wrote, byte for byte."""
    phantoms.write_dataset(tmp_path, studies=12, seed=5, jobs=2)
    assert contents(tmp_path) == contents(dataset)


def test_study_does_not_depend_on_the_count(dataset: Path, tmp_path: Path) -> None:
    """The first three studies are the same in a set of three."""
    phantoms.write_dataset(tmp_path, studies=3, seed=5)
    few, many = contents(tmp_path), contents(dataset)
    assert few
    assert all(many[name] == data for name, data in few.items())


def test_another_seed_draws_other_films() -> None:
    """Same index, other seed: other pixels."""
    one, other = (next(phantoms.draw_study(phantoms.plan_study(seed, 0))) for seed in (1, 2))
    assert one.size != other.size or one.tobytes() != other.tobytes()


def test_images_are_grey_and_say_what_they_are(dataset: Path) -> None:
    """8-bit grey, long side about 512, with the note in the metadata."""
    for path in dataset.rglob("*.png"):
        with Image.open(path) as image:
            assert image.mode == "L"
            assert 490 <= max(image.size) <= 530
            assert min(image.size) >= 300
            assert image.info["Comment"] == "drawn phantom, not a patient"


def test_films_are_exposed(dataset: Path) -> None:
    """No film is all black or all white."""
    for path in dataset.rglob("*.png"):
        grey = np.asarray(Image.open(path))
        assert grey.std() > 10
        assert 5 < grey.mean() < 200


@pytest.mark.parametrize("index", [0, 3, 6])
def test_the_label_changes_nothing_but_the_bone(index: int) -> None:
    """The same study drawn with either label has the same size, letters and most of its pixels."""
    study = replace(phantoms.plan_study(11, index), views=2)
    pairs = zip(phantoms.draw_study(replace(study, abnormal=True)),
                phantoms.draw_study(replace(study, abnormal=False)), strict=True)  # fmt: skip
    changed = []
    for abnormal, normal in pairs:
        assert abnormal.size == normal.size
        one, other = np.asarray(abnormal, np.int16), np.asarray(normal, np.int16)
        assert np.array_equal(one[-18:, :64] > 180, other[-18:, :64] > 180)
        changed.append(float((np.abs(one - other) > 12).mean()))
    assert max(changed) > 0.0
    assert max(changed) < 0.25


def test_labels_views_and_body_parts_are_independent() -> None:
    """Among many studies the share of abnormal ones is the same for each body part and count."""
    studies = [phantoms.plan_study(3, index) for index in range(4000)]
    for part in BODY_PARTS:
        share = np.mean([study.abnormal for study in studies if study.body_part == part])
        assert abs(share - phantoms.ABNORMAL_SHARE) < 0.08
    for views in (1, 2, 3, 4):
        share = np.mean([study.abnormal for study in studies if study.views == views])
        assert abs(share - phantoms.ABNORMAL_SHARE) < 0.08


def test_some_patients_come_twice() -> None:
    """Every tenth study is the second one of the patient before, same body part."""
    first, second = phantoms.plan_study(1, 8), phantoms.plan_study(1, 9)
    assert (first.patient, first.body_part) == (second.patient, second.body_part)
    assert first.folder != second.folder


def test_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full between writing and renaming, no part of the file stays."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mark.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        mark.save_png(Image.new("L", (8, 8)), tmp_path / "image1.png")
    assert not list(tmp_path.iterdir())


def test_full_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says what failed and what to do, and ends with 1."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(phantoms, "write_dataset", full)
    assert phantoms.main([str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_refuses_a_folder_that_is_not_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --force nothing is written; with it, files are added."""
    (tmp_path / "mine.txt").write_text("keep")
    assert phantoms.main([str(tmp_path), "--studies", "1"]) == 2
    assert "--force" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert phantoms.main([str(tmp_path), "--studies", "1", "--force"]) == 0
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("wrong", [["--studies", "0"], ["--jobs", "0"], ["--seed", "-1"], []])
def test_wrong_use_ends_with_two(wrong: list[str], tmp_path: Path) -> None:
    """Bad numbers, or no folder at all."""
    arguments = [str(tmp_path / "out"), *wrong] if wrong else []
    with pytest.raises(SystemExit) as stop:
        phantoms.main(arguments)
    assert stop.value.code == 2


def test_close_ups_hold_the_place_of_the_defect() -> None:
    """Small square films; with the defect they differ from those without."""
    study = replace(phantoms.plan_study(4, 2), views=1)
    abnormal = next(phantoms.draw_study(replace(study, abnormal=True), close=True))
    normal = next(phantoms.draw_study(replace(study, abnormal=False), close=True))
    assert abnormal.size == normal.size == (208, 208)
    assert np.abs(np.asarray(abnormal, np.int16) - np.asarray(normal, np.int16)).max() > 20


def test_views_know_whether_they_show_the_defect() -> None:
    """A view that `shown` calls clean is the same film whatever the study's label; others not."""
    seen = set()
    for index in range(12):
        study = replace(phantoms.plan_study(8, index), abnormal=True, views=4)
        assert not any(phantoms.shown(replace(study, abnormal=False)))
        normal = phantoms.draw_study(replace(study, abnormal=False))
        pairs = zip(phantoms.draw_study(study), normal, phantoms.shown(study), strict=True)
        for film, clean, shows in pairs:
            assert (film.tobytes() != clean.tobytes()) == shows
            seen.add(shows)
    assert seen == {True, False}


def test_lessons_by_view_are_the_same_films(dataset: Path, tmp_path: Path) -> None:
    """`--by-view` gives each film a study of its patient's, labelled by what the film shows."""
    assert phantoms.main([str(tmp_path), "--studies", "12", "--seed", "5", "--by-view"]) == 0
    films, views = contents(dataset), contents(tmp_path)
    assert sorted(films.values()) == sorted(views.values())
    wanted = sum(sum(phantoms.shown(phantoms.plan_study(5, index))) for index in range(12))
    assert sum("positive" in name for name in views) == wanted > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_processes_and_leaves_whole_files(tmp_path: Path, number: int) -> None:
    """Two processes draw; only the parent is told to end, and says so in one line."""
    program = Path(phantoms.__file__)
    command = [sys.executable, program, tmp_path / "drawn", "--studies", "999", "--jobs", "2"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=hear_interrupts
    ) as process:
        while not any(tmp_path.rglob("*.png")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)  # until nobody has standard error open
    assert process.returncode == 128 + number
    assert said.count("\n") == 2  # one ends the progress line
    assert "interrupted" in said
    assert all(LAYOUT.fullmatch(name) for name in contents(tmp_path / "drawn"))
