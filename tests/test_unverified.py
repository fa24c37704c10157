"""A model file with nothing to check it by is used, and every way of using it says so."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import tinycnn
from tests.studies.conftest import brightness_model, save_gray
from tinycnn import cli
from tinycnn.engine import cache
from tinycnn.nn import modelfile
from tinycnn.nn.selftest import record

ROOT = Path(__file__).resolve().parents[1]
SAID = "has neither a digest nor a self-test: nothing shows that it is whole, or computed"


def without_digest(data: bytes) -> bytes:
    """The same model; spaces take the digest's place."""
    begin = data.index(b', \\"sha256\\"')
    end = data.index(b'}"', begin)
    return data[:begin] + b" " * (end - begin) + data[end:]


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "directory", lambda: tmp_path / "cache")
    modelfile.save(brightness_model(), tmp_path / "m.safetensors")
    data = (tmp_path / "m.safetensors").read_bytes()
    (tmp_path / "m.safetensors").write_bytes(without_digest(data))
    save_gray(tmp_path / "XR_HAND/patient1/study1_positive/image1.png", 200)
    return tmp_path / "m.safetensors"


@pytest.mark.parametrize("backend", ["numpy", None])
def test_loading_says_so_every_time(path, caplog, backend):
    """Also when what became of the file comes from the cache."""
    for _ in range(2):
        caplog.clear()
        assert tinycnn.load(path, backend=backend).model.unverified
        (line,) = (record.getMessage() for record in caplog.records)
        assert line.startswith(f"'{path}': {SAID}")


@pytest.mark.parametrize("kept", ["digest", "self-test"])
def test_either_is_enough(path, caplog, kept):
    model = brightness_model()
    if kept == "self-test":
        test = record(model.graph, model.weights, model.preprocessing, seed=1)
        model = replace(model, self_test=test)
    modelfile.save(model, path)
    if kept == "self-test":
        path.write_bytes(without_digest(path.read_bytes()))
    for _ in range(2):
        assert not tinycnn.load(path).model.unverified
    assert not caplog.records


def test_predict_and_evaluate_say_so(path, capsys):
    options = ["--weights", str(path), "--backend", "numpy"]
    caution = "UNVERIFIED: the file of model m has neither a digest nor a self-test; nothing shows"
    assert cli.main(["predict", str(path.parent), *options]) == 0
    assert caution in " ".join(capsys.readouterr().out.split())
    for command in ("predict", "evaluate"):
        assert cli.main([command, str(path.parent), *options, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["model"]["unverified"] is True
        cautions = document["cautions"] if command == "predict" else [document["caution"]]
        assert any(caution in text for text in cautions)
    assert cli.main(["predict", str(path.parent), "--backend", "numpy", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"]["unverified"] is False


def test_the_command_says_so_in_one_line(path):
    command = [sys.executable, "-m", "tinycnn", "predict", path.parent, "--weights", path]
    done = subprocess.run(
        [*command, "--backend", "numpy"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr.count("\n") == 1
    assert SAID in done.stderr
