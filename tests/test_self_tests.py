"""`tools/self_tests.py` changes nothing but the self-test; the shipped models have a new one."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tinycnn.weights import find, names

from tests.nn.models import every_layer, small
from tinycnn.nn import modelfile
from tinycnn.nn.modelfile import load, rounded, save

TOOL = Path(__file__).resolve().parents[1] / "tools" / "self_tests.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("self_tests", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize("make", [small, every_layer])
def test_all_else_stays(make, kind, tool, tmp_path, capsys):
    model, path = make(), tmp_path / "m.safetensors"
    weights = rounded(model.weights) if kind == "float16" else model.weights
    old = replace(model.self_test, allowed=None)
    save(replace(model, weights=weights, self_test=old), path, kind)
    before, size = load(path), path.stat().st_size
    assert "allowed" not in modelfile.to_json(before)["self_test"]
    assert tool.main([str(path)]) == 0
    assert "may differ by" in capsys.readouterr().out
    after = load(path)
    assert after.self_test.allowed > 0
    assert after.self_test == replace(before.self_test, allowed=after.self_test.allowed)
    assert replace(after, self_test=old, weights=before.weights) == before
    assert all((after.weights[name] == before.weights[name]).all() for name in before.weights)
    assert abs(path.stat().st_size - size) < 64


def test_a_damaged_model_stays_as_it_is(tool, tmp_path, capsys):
    model, path = small(), tmp_path / "m.safetensors"
    wrong = {**model.weights, "dense/bias": np.float32([5])}
    save(replace(model, weights=wrong), path)
    before = path.read_bytes()
    assert tool.main([str(path)]) == 1
    assert "convert it again" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", names())
def test_shipped_models_say_what_rounding_explains(name):
    test = load(find(name)).self_test
    assert 0 < test.allowed < 1e-4
