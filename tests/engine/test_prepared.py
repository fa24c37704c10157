"""Programs that are kept: a second start gives the same bits; nothing old or foreign is taken."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tinycnn
from tests.nn.models import small
from tinycnn.engine import cache, caches, prepared
from tinycnn.errors import ModelFileError, SelfTestError
from tinycnn.nn import modelfile
from tinycnn.nn.model import RecalledModel
from tinycnn.nn.selftest import record

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    tinycnn.load("cnn5-phantoms")  # kernels are compiled by now, and kept elsewhere
    monkeypatch.setattr(cache, "directory", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def path(tmp_path):
    plain = small()
    test = record(plain.graph, plain.weights, plain.preprocessing, seed=1)
    modelfile.save(replace(plain, self_test=test, labels=()), tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def recalled(session) -> bool:
    return isinstance(session.model, RecalledModel)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["mobilenetv2-phantoms", "cnn5-pneumoniamnist"])
def test_a_second_start_gives_the_same(folder, name, threads):
    first, second = (tinycnn.load(name, threads=threads) for _ in range(2))
    assert (recalled(first), recalled(second)) == (False, True)
    x = np.random.default_rng(5).normal(0, 1, (3, *first.model.input_shape)).astype(np.float32)
    assert np.array_equal(first.predict(x), second.predict(x))
    assert (first.model_hash, first.path, first.backend) == (
        second.model_hash, second.path, second.backend,
    )  # fmt: skip
    for field in ("preprocessing", "labels", "decision", "provenance", "self_test", "name"):
        assert getattr(first.model, field) == getattr(second.model, field)
    assert first.model.classes == second.model.classes
    assert np.array_equal(first.model.test_input, vars(second.model)["test_input"])
    # What is not kept is read when it is asked for:
    assert "graph" not in vars(second.model)
    assert first.model.graph == second.model.graph
    assert np.array_equal(first.model.forward(x), second.model.forward(x))
    again = replace(second.model, name="other")
    assert (again.input_shape, again.name) == (first.model.input_shape, "other")
    with pytest.raises(AttributeError, match="nonsense"):
        second.model.nonsense  # noqa: B018


def test_the_program_is_where_kernels_want_it(folder, path):
    tinycnn.load(path)
    program = tinycnn.load(path).program
    assert program.weights.ctypes.data % 64 == program.table.ctypes.data % 64 == 0
    (kept,) = folder.iterdir()
    assert kept.suffix == ".program"
    assert kept.stat().st_mode & 0o077 == 0 or folder.stat().st_mode & 0o077 == 0


def test_the_name_of_a_copy_is_its_own(folder, path):
    tinycnn.load(path)
    other = path.rename(path.with_name("other.safetensors"))
    session = tinycnn.load(other)
    assert (recalled(session), session.model.name) == (True, "other")


CHANGES = {
    "file": lambda path, monkeypatch: path.write_bytes(changed(path.read_bytes())),
    "cache size": lambda path, monkeypatch: monkeypatch.setattr(
        caches, "second_level", lambda: 300 << 10
    ),
    "family": lambda path, monkeypatch: monkeypatch.setattr(
        prepared, "CURRENT", prepared.CURRENT._replace(name="other")
    ),
    "numpy": lambda path, monkeypatch: monkeypatch.setattr(np, "__version__", "9"),
    "sources": lambda path, monkeypatch: monkeypatch.setattr(
        prepared, "_states", lambda root: [("nn", "graph.py", 1, 1)]
    ),
}


def changed(data: bytes) -> bytes:
    """The same model, said in another way: the digest is left out, spaces take its place."""
    begin = data.index(b', \\"sha256\\"')
    end = data.index(b'}"', begin)
    return data[:begin] + b" " * (end - begin) + data[end:]


@pytest.mark.parametrize("what", CHANGES)
def test_what_changed_is_prepared_again(folder, path, monkeypatch, what):
    tinycnn.load(path)
    prepared._version.cache_clear()
    CHANGES[what](path, monkeypatch)
    assert not recalled(tinycnn.load(path))
    assert recalled(tinycnn.load(path))
    assert len(os.listdir(folder)) == 2
    prepared._version.cache_clear()


def test_every_source_counts():
    files = {(folder, name) for folder, name, *_ in prepared._states(Path(tinycnn.__file__).parent)}
    for known in [("engine", "lower.py"), ("engine/rewrites", "pool_first.py"), ("nn", "graph.py"),
                  ("nn/layers", "convolution.py"), ("engine/kernels", "family.py")]:  # fmt: skip
        assert known in files


def test_a_source_whose_size_and_time_stay_counts(tmp_path):
    """As where all of a package's files have the same time."""
    for folder in prepared.SOURCES:
        (tmp_path / folder).mkdir(parents=True)
    source, found = tmp_path / "nn" / "graph.py", []
    for text in ("a = 1", "a = 2"):
        time.sleep(0.02)  # a file system's times come in steps
        source.write_text(text)
        os.utime(source, (1, 1))
        found.append(list(prepared._states(tmp_path)))
    assert found[0] != found[1]


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[:-1], lambda data: data[1:], lambda data: data + b"\0",
     lambda data: data[:99] + bytes([data[99] ^ 1]) + data[100:]],
)  # fmt: skip
def test_a_damaged_program_is_made_again(folder, path, damage):
    tinycnn.load(path)
    (kept,) = folder.iterdir()
    kept.write_bytes(damage(kept.read_bytes()))
    assert not recalled(tinycnn.load(path))
    assert recalled(tinycnn.load(path))


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o707])
def test_a_folder_open_to_others_is_not_believed(folder, path, mode, caplog):
    tinycnn.load(path)
    folder.chmod(mode)
    assert not recalled(tinycnn.load(path))
    assert not [r for r in caplog.records if "program" in r.getMessage() and r.levelno > 10]


def test_the_self_test_is_replayed(folder, path, monkeypatch):
    tinycnn.load(path)
    content = cache.load(next(folder.iterdir()).name)
    program = prepared.recall

    def wrong(*arguments):
        model, found = program(*arguments)
        weights = found.weights.copy()
        weights[:] = 0
        return model, replace(found, weights=weights)

    assert content is not None
    monkeypatch.setattr(prepared, "recall", wrong)
    with pytest.raises(SelfTestError, match="the backend differs"):
        tinycnn.load(path)


def test_a_file_that_is_wrong_is_refused_every_time(folder, path):
    tinycnn.load(path)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    for _ in range(2):
        with pytest.raises(ModelFileError, match="damaged"):
            tinycnn.load(path)


def rewritten(path):
    """Write other bytes, as many, into the file itself; not as `modelfile.save` does it."""
    data = changed(path.read_bytes())
    with path.open("r+b") as file:
        file.write(data)


def test_a_file_that_is_written_to_while_it_is_loaded_is_not_kept(folder, path, monkeypatch):
    """Else what is read now would answer under the name of what was hashed, from then on."""
    original = modelfile.parse
    monkeypatch.setattr(modelfile, "parse", lambda *file: rewritten(path) or original(*file))
    with pytest.raises(ModelFileError, match=r"m\.safetensors: was written to"):
        tinycnn.load(path)
    assert not folder.exists()


@pytest.mark.parametrize("change", [rewritten, lambda path: os.truncate(path, 0)])
def test_a_network_that_is_read_later_is_the_one_that_runs(folder, path, change):
    tinycnn.load(path)
    session = tinycnn.load(path)
    assert recalled(session)
    change(path)
    with pytest.raises(ModelFileError, match=r"m\.safetensors: was written to"):
        session.model.graph  # noqa: B018


def test_a_recalled_model_can_be_copied_and_sent(folder, path):
    first, second = (tinycnn.load(path).model for _ in range(2))
    for again in (pickle.loads(pickle.dumps(second)), copy.deepcopy(second)):
        assert (type(again), again.graph) == (type(first), first.graph)
        assert again.self_test == first.self_test
        x = np.ones((1, *first.input_shape), np.float32)
        assert np.array_equal(again.forward(x), first.forward(x))


def test_large_models_and_the_reference_are_not_kept(folder, path, monkeypatch):
    assert tinycnn.load(path, backend="numpy").program is None
    monkeypatch.setattr(prepared, "LARGEST", 100)
    tinycnn.load(path)
    assert not folder.exists() or os.listdir(folder) == []


def test_only_the_newest_are_kept(folder, path, monkeypatch):
    tinycnn.load(path, threads=1)
    (kept,) = folder.iterdir()
    monkeypatch.setitem(cache.KEPT, ".program", kept.stat().st_size * 9 // 2)
    for threads in range(2, 8):
        tinycnn.load(path, threads=threads)
    assert len(os.listdir(folder)) == 4
    assert recalled(tinycnn.load(path, threads=7))
    assert not recalled(tinycnn.load(path, threads=1))


SECOND = """
import sys, tinycnn
session = tinycnn.load(sys.argv[1])
print(*(name for name in sys.modules if name.startswith("tinycnn")))
"""
NOT_NEEDED = ("nn.graph", "nn.layers", "nn.modelfile", "engine.lower", "engine.plan", "engine.ops")


def test_a_second_process_imports_no_layers(path, tmp_path):
    tinycnn.load(path)  # kernels are compiled by now
    own = (
        tmp_path / "own"
    )  # else an earlier run of this test is remembered, and a user's models not
    own.mkdir(mode=0o700)
    for kernels in cache.directory().glob("*.o"):
        shutil.copy(kernels, own)
    command, given = [sys.executable, "-c", SECOND, path], os.environ | {"TINYCNN_CACHE": str(own)}
    runs = [
        subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True)
        for _ in range(2)
    ]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    first, second = (set(run.stdout.split()) for run in runs)
    assert {f"tinycnn.{name}" for name in NOT_NEEDED} <= first
    assert not {f"tinycnn.{name}" for name in NOT_NEEDED} & second
