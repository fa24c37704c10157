"""The wheel as a user gets it: built, installed where nothing else is, used from another folder."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tinycnn.engine import libraries

ROOT = Path(__file__).resolve().parents[1]
STUDIES = ROOT / "demos" / "sample_studies"
MACHINE = platform.machine()
pytestmark = [
    pytest.mark.wheel,
    pytest.mark.skipif(libraries.of_host() is None, reason="no library is made for this CPU"),
]


def run(*command: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=True, **options
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    before = run("git", "status", "--porcelain", "--ignored", cwd=ROOT).stdout
    output = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, ROOT / "tools" / "wheel.py", "--output", output)
    assert run("git", "status", "--porcelain", "--ignored", cwd=ROOT).stdout == before
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """Folder of the commands of an environment that holds the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "pip", "install", "--disable-pip-version-check", wheel)
    return folder / "bin"


def in_environment(environment: Path, folder: Path, *arguments: object, status: int = 0):
    """Run its `tinycnn` in ``folder``, with a cache of its own and nothing of this checkout's."""
    ours = {"PATH": os.environ["PATH"], "HOME": str(folder), "TINYCNN_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [environment / "tinycnn", *map(str, arguments)],
        cwd=folder, env=ours, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done


def test_holds_what_it_should(wheel):
    assert re.fullmatch(rf"tinycnn-[\d.]+-py3-none-manylinux_2_17_{MACHINE}\.whl", wheel.name)
    names = zipfile.ZipFile(wheel).namelist()
    inside = {name for name in names if ".dist-info/" not in name}
    assert all(name.startswith("tinycnn/") for name in inside)
    assert {name for name in inside if name.endswith(".so")} == {
        f"tinycnn/engine/libraries/{name}.so"
        for name, cpu in libraries.CPUS.items()
        if cpu.machine == MACHINE
    }
    models = {path.name for path in (ROOT / "weights").glob("*.safetensors")}
    assert {f"tinycnn/weights/{name}" for name in models} <= inside
    assert not [name for name in names if re.search("(^|/)(tests?/|test_)", name)]


def test_info(environment, tmp_path):
    said = in_environment(environment, tmp_path, "info").stdout
    assert re.search(r"(?m)^numba +not installed$", said)
    assert re.search(r"(?m)^backend +native runs here, .*\.so \(the one that is taken\)$", said)


def test_sample_studies(environment, tmp_path):
    """Verdicts as of the checkout's reference, from another folder, and nothing is compiled."""
    command = ("predict", STUDIES, "--json")
    done = in_environment(environment, tmp_path, *command)
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["backend"] == "native"
    reference = [sys.executable, "-m", "tinycnn.predict", *command[1:], "--backend", "numpy"]
    expected = json.loads(run(*reference, cwd=ROOT).stdout)
    assert judged(found) == pytest.approx(judged(expected), abs=1e-5)
    kept = {path.suffix for path in (tmp_path / "cache").iterdir()}
    assert kept == {".program"}  # nothing was compiled


LOADER = """
import sys
from tinycnn import cli
assert cli.main(["predict", sys.argv[1], "--output", sys.argv[2]]) == 0
print(*sys.modules)
"""
# Each costs milliseconds here, and tens of them on a Pi.
UNWANTED = {"numba", "llvmlite", "h5py", "importlib.metadata", "email", "ssl", "safetensors",
            "numpy.random", "subprocess", "PIL.JpegImagePlugin",
            "unittest", "asyncio", "tinycnn.engine.build", "tinycnn.convert",
            "tinycnn.benchmarks"}  # fmt: skip


def test_predict_imports_only_what_it_needs(environment, tmp_path):
    command = (environment / "python", "-P", "-c", LOADER, STUDIES / "XR_WRIST", tmp_path / "out")
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    loaded = set(run(*command, cwd=tmp_path, env=ours).stdout.split())
    assert {"numpy", "PIL", "tinycnn.engine.native"} <= loaded
    assert loaded & UNWANTED == set()


def judged(document) -> dict[str, float]:
    """Study -> probability, the verdict in its key."""
    studies = document["studies"]
    assert studies
    return {f"{s['path']} {s['verdict']}": s["probability"] for s in studies}


def test_benchmark(environment, tmp_path):
    done = in_environment(environment, tmp_path, "benchmark", "cnn5", "--rounds", 2)
    assert "one image" in done.stdout


def test_without_library_and_numba(environment, tmp_path):
    """It still works, slowly, and one line says so and what to do."""
    folder = next(environment.parent.glob("lib/python*/site-packages/tinycnn/engine/libraries"))
    hidden = [path.rename(path.with_suffix(".hidden")) for path in folder.glob("*.so")]
    try:
        done = in_environment(environment, tmp_path, "predict", STUDIES / "XR_WRIST")
        refused = in_environment(environment, tmp_path, "build", status=2)
    finally:
        for path in hidden:
            path.rename(path.with_suffix(".so"))
    assert "backend numpy" in done.stdout
    assert done.stderr.count("\n") == 1
    assert "slower" in done.stderr
    assert "pip install numba" in done.stderr
    assert "pip install numba" in refused.stderr


def test_leaves_with_all_that_was_written(environment, tmp_path):
    """The console script ends at once: nothing may stay in a buffer, and the status is kept."""
    done = in_environment(environment, tmp_path, "predict", tmp_path, status=2)
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    shown = in_environment(environment, tmp_path, "predict", STUDIES, "--json").stdout
    assert json.loads(shown)["summary"]["studies"] == 7


def test_a_checkout_is_found_beside_a_folder_of_its_name(tmp_path):
    """As `git clone` leaves one: an empty folder would hide what an import hook finds."""
    (tmp_path / "tinycnn").mkdir()
    python = tmp_path / "environment" / "bin" / "python"
    run(sys.executable, "-m", "venv", tmp_path / "environment")
    run(python, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "-e", ROOT)
    for start in (("-m", "tinycnn"), ("-m", "tinycnn.cli"), ("-P", "-m", "tinycnn")):
        done = run(python, *start, "--version", cwd=tmp_path)
        assert re.fullmatch(r"tinycnn [\d.]+\n", done.stdout)
    code = "import tinycnn.convert, tinycnn; print(tinycnn.__file__)"
    assert run(python, "-c", code, cwd=tmp_path).stdout == f"{ROOT / 'tinycnn/__init__.py'}\n"
