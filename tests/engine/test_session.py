"""A model made runnable: threads, batches, backends, several callers, and what gets imported."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import tinycnn
from tests.nn.models import small
from tinycnn.engine import session as sessions
from tinycnn.engine.session import MAX_THREADS, Session, available_backends
from tinycnn.errors import BackendError, SelfTestError, UsageError
from tinycnn.nn import layers as nn
from tinycnn.nn import modelfile
from tinycnn.nn.graph import Input, from_tensors
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.selftest import record


def network() -> Model:
    """Enough layers that a thread that came too early would spoil something."""
    inputs = Input((24, 20, 3))
    x = nn.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    for _ in range(4):
        y = nn.DepthwiseConv2D(3, padding="same")(x)
        x = nn.Add()([x, nn.Conv2D(8, 1, activation="relu6")(y)])
    graph = from_tensors(inputs, nn.Dense(3, activation="softmax")(nn.GlobalMaxPooling2D()(x)))
    random = np.random.default_rng(0)
    weights = {
        name: (random.standard_normal(shape) * 0.3).astype(np.float32)
        for name, shape in graph.weight_shapes.items()
    }
    preprocessing = Preprocessing(scale=1 / 255)
    return Model(graph, weights, preprocessing, self_test=record(graph, weights, preprocessing))


MODEL = network()
BATCH = np.random.default_rng(1).random((6, 24, 20, 3), np.float32)
EXPECTED = MODEL.forward(BATCH)


def agrees(scores: np.ndarray) -> bool:
    return (
        scores.dtype == np.float32
        and np.abs(scores - EXPECTED[: len(scores)]).max(initial=0) < 1e-5
    )


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_batches(backend, threads):
    session = Session(MODEL, backend, threads)
    assert (session.backend, session.threads) == (backend, threads)
    for size in (6, 1, 0, 2):
        scores = session.predict(BATCH[:size])
        assert scores.shape == (size, 3)
        assert agrees(scores)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_results_are_the_callers_own(backend):
    session = Session(MODEL, backend, 1)
    first = session.predict(BATCH)
    kept = first.copy()
    session.predict(BATCH[::-1])
    assert (first == kept).all()


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_other_types_and_layouts(backend):
    session = Session(MODEL, backend, 2)
    whole = (BATCH * 255).astype(np.uint8)
    same = session.predict(whole.astype(np.float32))
    for x in (whole, whole.tolist(), whole.astype(np.float64), whole.astype(">f4"),
              np.asfortranarray(whole), np.repeat(whole, 2, axis=1)[:, ::2]):  # fmt: skip
        assert (session.predict(x) == same).all()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (BATCH[0], r"\(N, 24, 20, 3\), not"), (BATCH[:, 1:], "24, 20, 3"), (BATCH[..., :1], "24"),
        (np.zeros((0, 3)), "24"), (3.0, "24"), (None, "24"), ([], "24"),
        ("text", "numbers"), ([[1], [2, 3]], "numbers"), ({}, "numbers"), (object(), "numbers"),
    ],
)  # fmt: skip
def test_what_is_no_batch(batch, message):
    with pytest.raises(UsageError, match=message):
        Session(MODEL, "numpy").predict(batch)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_no_confident_answer_for_nan(backend, value):
    x = BATCH[:1].astype(np.float64)
    x[0, 5, 5] = value
    session = Session(MODEL, backend, 1)
    assert not np.isfinite(session.predict(x)).all()
    assert agrees(session.predict(BATCH))


@pytest.mark.parametrize("threads", [0, -1, MAX_THREADS + 1, 10**9, 1.5, "2"])
def test_threads(threads):
    with pytest.raises(UsageError, match=r"threads must be a number in 1\.\.256"):
        Session(MODEL, threads=threads)


def test_threads_by_default(monkeypatch):
    monkeypatch.setattr(sessions, "available_cores", lambda: 1000)
    assert Session(MODEL, "numpy").threads == MAX_THREADS


def test_unknown_backend():
    with pytest.raises(UsageError, match=r"no backend 'tpu'; there are native, numba, numpy"):
        Session(MODEL, "tpu")


def test_backend_that_cannot_run(monkeypatch):
    reasons = {"native": "none fits", "numba": "not here", "numpy": ""}
    monkeypatch.setattr(sessions, "available_backends", lambda: reasons)
    with pytest.raises(BackendError, match="'numba' cannot run here: not here"):
        Session(MODEL, "numba")
    assert Session(MODEL).backend == "numpy"


def test_backends():
    reasons = available_backends()
    assert (reasons["numba"], reasons["numpy"]) == ("", "")
    assert Session(MODEL).backend == ("numba" if reasons["native"] else "native")


def test_a_model_that_fails_its_test():
    broken = {**MODEL.weights, "dense/bias": MODEL.weights["dense/bias"] + [0, 1, 2]}
    model = Model(MODEL.graph, broken, MODEL.preprocessing, self_test=MODEL.self_test)
    for backend in ("numba", "numpy"):
        with pytest.raises(SelfTestError, match="damaged"):
            Session(model, backend)


def together(*callers: Session) -> None:
    """Every caller predicts 30 times, all at once; every answer must be right."""
    results: list[bool] = []

    def call(session: Session) -> None:
        results.extend(agrees(session.predict(BATCH[:3])) for _ in range(30))

    threads = [threading.Thread(target=call, args=(s,), daemon=True) for s in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 30 * len(callers)
    assert all(results)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("threads", [1, 2])
def test_two_callers_of_one_session(backend, threads):
    session = Session(MODEL, backend, threads)
    together(session, session, session)


@pytest.mark.parametrize("threads", [1, 2])
def test_two_sessions_at_once(threads):
    together(Session(MODEL, "numba", threads), Session(MODEL, "numba", threads))


def _child(session: Session, connection) -> None:
    connection.send(agrees(session.predict(BATCH)))
    connection.close()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 2])
def test_fork(threads):
    """The child has none of its parent's threads."""
    session = Session(MODEL, "numba", threads)
    assert agrees(session.predict(BATCH))
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_child, args=(session, theirs))
    child.start()
    try:
        assert ours.poll(30)
        assert ours.recv()
    finally:
        child.join(5)
        child.kill()
    assert child.exitcode == 0
    assert agrees(session.predict(BATCH))


LOADER = """
import sys
import numpy as np
import tinycnn
session = tinycnn.load(sys.argv[1], backend="numba", threads=2)
session.predict(np.zeros((1, 4, 4, 1), np.float32))
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_a_warm_cache_needs_no_compiler(tmp_path):
    """Importing Numba takes half a second here and several on a Pi."""
    modelfile.save(small(), tmp_path / "m.safetensors")
    assert tinycnn.load(tmp_path / "m.safetensors", "numba").backend == "numba"  # warms it
    command = [sys.executable, "-W", "error", "-c", LOADER, str(tmp_path / "m.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ)
    assert (done.returncode, done.stderr) == (0, "")
    imported = set(done.stdout.split())
    heavy = {"numba", "h5py", "tensorflow", "keras", "scipy", "matplotlib", "safetensors"}
    assert imported.isdisjoint(heavy)
    assert "numpy" in imported


def test_load_knows_where_a_model_came_from(tmp_path):
    path = tmp_path / "m.safetensors"
    modelfile.save(small(), path)
    session = tinycnn.load(path, backend="numpy")
    assert (session.path, session.model.name) == (str(path), "m")
    assert len(session.model_hash) == 64
