"""Too little memory is one line that says so, whoever notices it: Python, NumPy, a loader, LLVM."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.studies.conftest import brightness_model, save_gray
from tinycnn import cli, memory
from tinycnn.engine import build
from tinycnn.errors import BackendError, ModelFileError
from tinycnn.nn import modelfile

ROOT = Path(__file__).resolve().parents[1]
MB = 1 << 20


def run(megabytes: int, *words: object, **options) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes * MB, megabytes * MB))

    command = [sys.executable, "-m", *map(str, words)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=limit, **options
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    modelfile.save(brightness_model(), folder / "model.safetensors")
    save_gray(folder / "study/image1.png", 99)
    return folder


@pytest.mark.parametrize("module", [("tinycnn", "predict"), ("tinycnn.predict",)], ids=len)
def test_every_small_limit_is_one_line(place, module):
    """From what Python itself needs up to what a prediction does: NumPy, Pillow, threads, model."""
    options = ("--weights", place / "model.safetensors", "--backend", "numpy", place / "study")
    for megabytes in range(24, 400, 12):
        done = run(megabytes, *module, *options)
        if done.returncode == 0:
            assert done.stderr == ""
            break
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), (megabytes, done.stderr)
        assert f"not enough memory: {megabytes} MB are allowed; raise" in done.stderr, megabytes
    assert 60 < megabytes < 300


def test_a_compiler_without_memory_says_so(tmp_path):
    done = run(250, "tinycnn", "build", "--output", tmp_path / "x.so", "--cpu", "x86-64-v3")
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 2
    assert last == (
        "tinycnn build: kernels could not be compiled (not enough memory: 250 MB are allowed; "
        "raise that limit (ulimit -v)); use --backend numpy"
    )


@pytest.mark.parametrize(
    ("status", "said", "reason"),
    [
        (-9, "", "not enough memory; end other programs"),
        (-6, "LLVM ERROR: out of memory\nAllocation failed\n", "not enough memory; end other"),
        (1, "x\nMemoryError\n", "not enough memory; end other programs"),
        (1, "Traceback\nTypeError: no\n", "TypeError: no"),
        (-11, "", "exit status -11"),
    ],
)
def test_why_the_compiler_failed(status, said, reason):
    assert build._reason(subprocess.CompletedProcess([], status, "", said)).startswith(reason)


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (MemoryError(), True),
        (OSError(12, "Cannot allocate memory"), True),
        (OSError(28, "No space left on device"), False),
        (RuntimeError("can't start new thread"), True),
        (RuntimeError("anything else"), False),
        (ImportError("libz.so.1: failed to map segment from shared object"), True),
        (ImportError("No module named 'x'"), False),
        (ValueError("out of memory"), False),  # may be a file's own words
    ],
)
def test_what_means_a_lack_of_memory(error, short, capsys):
    assert memory.is_short(error) == short
    wrapped = ModelFileError("cannot read a.safetensors")
    wrapped.__cause__ = error
    assert memory.is_short(wrapped) == short

    def command(_):
        raise wrapped

    assert cli.run("x", command, []) == 2
    assert ("not enough memory" in (said := capsys.readouterr().err)) == short
    assert "cannot read a.safetensors" in said


def test_an_internal_error_with_no_memory_left_is_that(monkeypatch, capsys):
    def command(_):
        raise SystemError("error return without exception set")

    assert cli.run("x", command, []) == 2
    assert "internal error, SystemError" in capsys.readouterr().err
    monkeypatch.setattr(memory, "is_used_up", lambda: True)
    assert cli.run("x", command, []) == 2
    assert capsys.readouterr().err.startswith("tinycnn x: not enough memory")


def test_an_error_of_the_backend_stays_itself():
    assert not memory.is_short(BackendError("no library is made for this CPU"))
