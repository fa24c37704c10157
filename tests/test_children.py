"""Processes that we start import the tinycnn that started them, not one that is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinycnn
from tinycnn import children

WHERE = "import tinycnn; print(tinycnn.__file__)"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Another tinycnn that Python would find, in the variable and in the current directory."""
    package = tmp_path / "other" / "tinycnn"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('the other one')")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.chdir(package.parent)
    return package.parent


def test_a_child_imports_this_tinycnn(elsewhere):
    command = children.command("errors")
    assert command[1:] == ["-P", "-m", "tinycnn.errors"]
    done = subprocess.run(
        [sys.executable, "-P", "-c", WHERE], env=children.environment(), capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert Path(done.stdout.strip()) == Path(tinycnn.__file__).resolve()


def test_what_the_variable_named_is_still_found(elsewhere, monkeypatch):
    names = children.environment(EXTRA="1")["PYTHONPATH"].split(os.pathsep)
    assert names == [children.HOME, str(elsewhere)]
    monkeypatch.delenv("PYTHONPATH")
    assert children.environment()["PYTHONPATH"] == children.HOME
    assert children.environment(EXTRA="1")["EXTRA"] == "1"
