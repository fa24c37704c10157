"""What lies in the current directory, which may be anybody's study, is not imported as code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinycnn
from tests.studies.conftest import save_gray

HOME = str(Path(tinycnn.__file__).resolve().parents[1])
DECOY = "import sys; sys.stderr.write('decoy was imported'); sys.exit(77)"
FOREIGN = ["PIL", "numpy", "numba", "llvmlite", "h5py", "convert", "weights", "sitecustomize"]


def predict(folder: Path, *start: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *start, ".", "--weights", "/nowhere"], cwd=folder,
        env={**os.environ, "PYTHONPATH": HOME}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def study(tmp_path):
    save_gray(tmp_path / "a.png", 1)
    return tmp_path


@pytest.mark.parametrize("decoy", ["PIL", "numpy", "hashlib", "json", "argparse", "__future__"])
def test_python_files_in_a_study_are_never_run(study, decoy):
    (study / f"{decoy}.py").write_text(DECOY)
    done = predict(study, "-m", "tinycnn.predict")
    assert "decoy" not in done.stderr, "tinycnn/__init__.py must import tinycnn.safepath first"
    assert done.returncode == 2, done.stderr


@pytest.mark.parametrize("module", [["tinycnn", "predict"], ["tinycnn.predict"]], ids=len)
def test_nothing_comes_from_there_but_what_python_itself_needs_for_m(study, module):
    """`runpy` imports a few modules before any code of ours: those alone, and a `tinycnn`."""
    code = "import runpy, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    before = {name.partition(".")[0] for name in done.stdout.split()}
    assert "importlib" in before
    for name in {*sys.stdlib_module_names, *FOREIGN} - before:
        (study / f"{name}.py").write_text(DECOY)
    done = predict(study, "-m", *module)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "/nowhere" in done.stderr


@pytest.mark.parametrize("name", ["tinycnn.py", "tinycnn/__init__.py"])
def test_a_tinycnn_there_is_not_run_with_safe_path_or_by_the_command(study, name):
    """`python -m tinycnn` would run it before any code of ours: README says so."""
    (study / name).parent.mkdir(exist_ok=True)
    (study / name).write_text(DECOY)
    command = "import sys; sys.path[0] = '/nowhere'; from tinycnn.cli import script; script()"
    for start in (["-P", "-m", "tinycnn", "predict"], ["-c", command, "predict"]):
        done = predict(study, *start)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "decoy" in predict(study, "-m", "tinycnn").stderr


def test_a_folder_of_that_name_hides_nothing(study):
    """As beside a checkout: without an `__init__.py` it is no package."""
    (study / "tinycnn").mkdir()
    assert predict(study, "-m", "tinycnn.predict").returncode == 2
