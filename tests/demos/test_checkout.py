"""Demos run from any folder, with any Python that can; one that cannot is told so in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import _checkout
import end_to_end
import pytest
import train

DEMOS = Path(_checkout.__file__).parent
NAMES = sorted(path.stem for path in DEMOS.glob("*.py") if "\nimport _checkout" in path.read_text())


def run(*command: object, folder: Path) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, *map(str, command)]
    return subprocess.run(
        arguments, cwd=folder, env={}, capture_output=True, text=True, check=False
    )


def test_every_demo_that_imports_tinycnn_finds_it() -> None:
    texts = {path.stem: path.read_text() for path in DEMOS.glob("*.py")}
    scripts = {name for name, text in texts.items() if "__main__" in text}
    assert scripts - set(NAMES) == {"footprint"}  # which makes environments of its own


@pytest.mark.parametrize("name", NAMES)
def test_demos_run_from_anywhere(name: str, tmp_path: Path) -> None:
    done = run(DEMOS / f"{name}.py", "--help", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", NAMES)
def test_a_python_without_packages_is_told_another(name: str, tmp_path: Path) -> None:
    done = run("-S", DEMOS / f"{name}.py", "--help", folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"{name}: {sys.executable}: numpy, PIL missing; type ")
    assert str(DEMOS.parent / ".venv" / "bin" / "python") in done.stderr


def test_it_is_the_tinycnn_of_the_checkout(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path[0] = sys.argv[1]; import _checkout, tinycnn, tinycnn.convert\n"
        "print(tinycnn.__file__, tinycnn.convert.__file__)"
    )
    done = run("-c", code, DEMOS, folder=tmp_path)
    root = DEMOS.parent
    wanted = [str(root / name / "__init__.py") for name in ("tinycnn", "convert")]
    assert done.stdout.split() == wanted, done.stderr


@pytest.mark.parametrize("demo", [end_to_end, train])
def test_keras_is_asked_for_before_anything_is_done(
    demo: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def without(name: str) -> object:
        return None if name == "keras" else object()

    monkeypatch.setattr(_checkout, "find_spec", without)
    out = str(tmp_path / "out")
    more = {end_to_end: [out], train: ["conv4", str(DEMOS / "sample_studies"), "-o", out]}
    assert demo.main(more[demo]) == 1
    wanted = f"{demo.__name__}: keras missing: install the extra `train`: {sys.executable} -m pip"
    assert capsys.readouterr().err.startswith(wanted)
    found = [path.name for path in tmp_path.rglob("*.*")]
    assert found == ["plan.json"] * (demo is end_to_end)
