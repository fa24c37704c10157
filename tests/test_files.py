"""What is written never replaces what the same command reads or writes."""

from __future__ import annotations

import fcntl
import os
import time

import pytest

from tests.studies.conftest import brightness_model, save_gray
from tinycnn import cli, files
from tinycnn.errors import UsageError
from tinycnn.files import need_apart
from tinycnn.nn.modelfile import save

READ = "a file that is read here"


@pytest.fixture
def given(tmp_path):
    """A model, a study, its label; and a name that is free."""
    save(brightness_model(), tmp_path / "model")
    save_gray(tmp_path / "XR_HAND/patient1/study1_positive/image1.png", 200)
    (tmp_path / "labels.csv").write_text("XR_HAND/patient1/study1_positive/,1\n")
    (tmp_path / "link").symlink_to("model")
    image = tmp_path / "XR_HAND/patient1/study1_positive/image1.png"
    return {"model": tmp_path / "model", "csv": tmp_path / "labels.csv", "folder": tmp_path,
            "new": tmp_path / "new", "link": tmp_path / "link", "image": image}  # fmt: skip


CASES = [
    ("evaluate {folder} --output {model}", READ),
    ("evaluate {csv} --html {csv}", READ),
    ("evaluate {folder} --resume {link}", READ),
    ("evaluate {folder} --labels {csv} --output {csv}", READ),
    ("evaluate {folder} --resume {new} --output {new}", "the file of --resume"),
    ("evaluate {folder} --output {new} --html {folder}/./new", "the file of --output"),
    ("predict {folder} --output {model}", READ),
    ("predict {image} --output {image}", READ),
]


@pytest.mark.parametrize(("line", "what"), CASES, ids=[line for line, _ in CASES])
def test_no_other_file_of_the_run_is_replaced(capsys, given, line, what):
    before = {path: path.read_bytes() for path in given.values() if path.is_file()}
    asked = line.format(**given).split()
    status = cli.main([*asked, "--weights", str(given["model"]), "--backend", "numpy"])
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"that is {what}; name another file" in err
    assert {path: path.read_bytes() for path in before} == before
    assert not given["new"].exists()


def test_what_is_no_file_takes_several(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in ("/dev/null", str(tmp_path / "pipe")):
        need_apart({"--output": place, "--html": place, "--resume": None}, [place])
    with pytest.raises(UsageError, match="--html 'a': that is the file of --output"):
        need_apart({"--output": "a", "--html": "a"}, [])


def without_locks(monkeypatch):
    def flock(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)


def test_without_locks_a_file_is_abandoned_after_a_day(tmp_path, monkeypatch):
    without_locks(monkeypatch)
    for name, age in {"new": 60.0, "old": 2 * files.ABANDONED}.items():
        path = tmp_path / f"a.{name.encode().hex():0>8}.part"
        path.write_text(name)
        os.utime(path, (time.time() - age,) * 2)
    with files.atomic_write(tmp_path / "a") as stream:
        stream.write("x")
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["new", "x"]


def test_what_is_no_file_of_this_user_is_not_removed(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "a.00000000.part").symlink_to("elsewhere")
    (tmp_path / "a.00000001.part").mkdir()
    os.mkfifo(tmp_path / "a.00000002.part")
    (tmp_path / "a.00000003.part").write_text("")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    before = set(os.listdir(tmp_path))
    with files.atomic_write(tmp_path / "a"):
        pass
    assert set(os.listdir(tmp_path)) == before | {"a"}


def test_a_file_taken_away_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    """Another process may look at it between the two, and find it unlocked."""
    lock, taken = fcntl.flock, []

    def late(descriptor, operation):
        if not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with files.atomic_write(tmp_path / "a") as stream:
        stream.write("x")
    assert len(taken) == 1
    assert (tmp_path / "a").read_text() == "x"
