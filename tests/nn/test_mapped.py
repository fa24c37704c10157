"""Weights are views of the model file: what that saves, and what may happen to the file."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.nn.models import put_together, small, taken_apart
from tinycnn.nn import layers, modelfile
from tinycnn.nn.graph import Sequential
from tinycnn.nn.mapped import forget
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing

ROOT = Path(__file__).resolve().parents[2]


def owner(array: np.ndarray) -> object:
    """What an array's memory belongs to."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base.obj if isinstance(base, memoryview) else base


def saved(path: Path, model: Model | None = None, dtype: str = "float32") -> Path:
    modelfile.save(model or small(), path, dtype)
    return path


def test_weights_are_read_only_views_of_the_file(tmp_path):
    model, expected = modelfile.load(saved(tmp_path / "m.safetensors")), small().weights
    files = {id(owner(value)) for value in model.weights.values()}
    assert len(files) == 1
    for name, value in model.weights.items():
        assert isinstance(owner(value), mmap.mmap)
        with pytest.raises(ValueError, match="read-only"):
            value[...] = 0
        forget(value)
        assert (value == expected[name]).all()


def test_float16_is_converted_so_copied(tmp_path):
    model = modelfile.load(saved(tmp_path / "m.safetensors", dtype="float16"))
    for value in model.weights.values():
        assert value.dtype == np.float32
        assert not isinstance(owner(value), mmap.mmap)


def test_weights_at_odd_places(tmp_path):
    """Behind an odd number of float16 values, float32 ones lie at no multiple of four."""
    header, metadata, data = taken_apart(saved(tmp_path / "m.safetensors").read_bytes())
    values = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values[name] = np.frombuffer(data[begin:end], np.float32)
    whole = b""
    for name in ("dense/bias", *(n for n in header if n != "dense/bias")):
        kind = np.float16 if name == "dense/bias" else np.float32
        stored = values[name].astype(kind).tobytes()
        header[name]["dtype"] = "F16" if name == "dense/bias" else "F32"
        header[name]["data_offsets"] = [len(whole), len(whole) + len(stored)]
        whole += stored
    file = put_together(header, metadata, whole)
    size = int.from_bytes(file[:8], "little")
    text = file[8 : 8 + size] + b" " * (-size % 8)
    (tmp_path / "odd").write_bytes(len(text).to_bytes(8, "little") + text + whole)
    model = modelfile.load(tmp_path / "odd")
    assert not all(value.flags.aligned for value in model.weights.values())
    for name, value in model.weights.items():
        assert (value.ravel() == values[name].astype(np.float32)).all()


def test_forget_leaves_other_arrays_alone():
    for array in (np.ones(9, np.float32), np.float32(3), np.frombuffer(b"1234", np.uint8)):
        forget(np.asarray(array))
        assert (np.asarray(array) == array).all()


CHILD = """
import os, sys
import numpy as np
import tinycnn
path, how, backend = sys.argv[1:]
session = tinycnn.load(path, backend=backend, threads=1)
x = np.random.default_rng(0).random((1, *session.model.input_shape), np.float32)
before = session.predict(x)
if how == "replaced":
    with open(path + ".new", "wb") as file:
        file.write(b"something else")
    os.replace(path + ".new", path)
elif how == "removed":
    os.remove(path)
elif how == "overwritten":
    with open(path, "r+b") as file:
        file.write(b"\\xff" * os.path.getsize(path))
else:
    os.truncate(path, 0)
assert (session.predict(x) == before).all()
"""


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("how", ["replaced", "removed", "overwritten", "truncated"])
def test_what_happens_to_the_file_does_not_reach_a_session(how, backend, tmp_path):
    path = saved(tmp_path / "m.safetensors")
    command = [sys.executable, "-c", CHILD, str(path), how, backend]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


GROWTH = """
import sys
import numpy as np
import tinycnn
from tinycnn.benchmarks.machine import peak_memory
small, large = sys.argv[1:]
tinycnn.load(small, backend="numba", threads=1)
before = peak_memory()
tinycnn.load(large, backend="numba", threads=1)
print(peak_memory() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's /proc")
def test_weights_are_in_memory_once(tmp_path):
    """With batch-norm to fold, packing, a digest: never twice (before: four times)."""
    stack = []
    for i in range(10):
        stack += [layers.Conv2D(1024, 1, name=f"c{i}"), layers.BatchNormalization(name=f"b{i}")]
    graph = Sequential([*stack, layers.GlobalAveragePooling2D(), layers.Dense(2)], (4, 4, 1))
    random = np.random.default_rng(0)
    weights = {
        name: random.random(shape, np.float32) + 0.5 for name, shape in graph.weight_shapes.items()
    }
    large = saved(tmp_path / "large", Model(graph, weights, Preprocessing("grayscale")))
    command = [sys.executable, "-c", GROWTH, str(saved(tmp_path / "small")), str(large)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert 0.9 < int(done.stdout) / large.stat().st_size < 1.5
