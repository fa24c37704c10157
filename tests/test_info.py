"""What `tinycnn info` says about backends: which, with what, and what to do."""

from __future__ import annotations

import pytest

from tinycnn import info
from tinycnn.engine import libraries


def backends(capsys) -> dict[str, str]:
    assert info.main([]) == 0
    lines = [line.split(None, 2) for line in capsys.readouterr().out.splitlines()]
    return {line[1]: line[2] for line in lines if line[0] == "backend"}


@pytest.fixture
def reasons(monkeypatch):
    reasons = {"native": "", "numba": "", "numpy": ""}
    monkeypatch.setattr("tinycnn.engine.session.available_backends", lambda: reasons)
    return reasons


def test_the_library_is_named(capsys, reasons, monkeypatch, tmp_path):
    monkeypatch.setattr(libraries, "find", lambda: tmp_path / "some-cpu.so")
    said = backends(capsys)
    assert said["native"] == f"runs here, with {tmp_path}/some-cpu.so (the one that is taken)"
    assert "(the one" not in said["numba"] + said["numpy"]


def test_what_is_missing_is_told_with_its_remedy(capsys, reasons):
    reasons |= {"native": "no library; make one", "numba": "not installed; install it"}
    assert backends(capsys) == {
        "native": "does not run here: no library; make one",
        "numba": "does not run here: not installed; install it",
        "numpy": "runs here, as the reference, slowly (the one that is taken)",
    }
