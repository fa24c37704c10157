"""What is written never replaces what the same command reads or writes."""

from __future__ import annotations

import os

import pytest

from tests.studies.conftest import brightness_model, save_gray
from tinycnn import cli
from tinycnn.errors import UsageError
from tinycnn.files import need_apart
from tinycnn.nn.modelfile import save

READ = "a file that is read here"


@pytest.fixture
def files(tmp_path):
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
def test_no_other_file_of_the_run_is_replaced(capsys, files, line, what):
    before = {path: path.read_bytes() for path in files.values() if path.is_file()}
    asked = line.format(**files).split()
    status = cli.main([*asked, "--weights", str(files["model"]), "--backend", "numpy"])
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"that is {what}; name another file" in err
    assert {path: path.read_bytes() for path in before} == before
    assert not files["new"].exists()


def test_what_is_no_file_takes_several(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in ("/dev/null", str(tmp_path / "pipe")):
        need_apart({"--output": place, "--html": place, "--resume": None}, [place])
    with pytest.raises(UsageError, match="--html 'a': that is the file of --output"):
        need_apart({"--output": "a", "--html": "a"}, [])
