"""Ctrl-C ends a long prediction or self-test within a second, and the model goes on to work."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.backends import WORKING
from tests.convert.keras_files import layer, small_config, write_h5
from tests.engine.cases import CASES, network, random_weights
from tests.engine.test_backends import assert_close, run
from tinycnn.engine import lower, rewrites, work
from tinycnn.engine.program import LONG
from tinycnn.nn import layers as nn
from tinycnn.nn import modelfile
from tinycnn.nn.architectures import build
from tinycnn.nn.graph import Sequential
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.selftest import SelfTest

ROOT = Path(__file__).resolve().parents[2]
LATEST = 1.0  # seconds from Ctrl-C to the end
BEFORE = 3.0  # seconds after which a command computes, however busy the machine


@pytest.mark.parametrize("name", CASES)
def test_pieces_give_the_same_bits(name, monkeypatch):
    graph, weights, x = network(CASES[name], 1)
    whole = run(graph, weights, x)
    monkeypatch.setattr(work, "MOST_WORK", 100)
    for threads in (1, 2, 3):
        assert (run(graph, weights, x, threads) == whole).all()


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.MaxPooling2D((2, 300), 1, "same"), (3, 2000, 17)),
        (nn.AveragePooling2D((2, 300), 1), (3, 2000, 17)),
        (nn.DepthwiseConv2D((3, 50), padding="same"), (3, 6000, 3)),
        (nn.Activation("tanh"), (2, 70_001, 1)),
        (nn.Activation("relu6"), (1, 1, 140_001)),
    ],
)
def test_long_rows_fall_into_parts(layer, shape):
    graph = Sequential([layer], shape)
    random = np.random.default_rng(1)
    weights = random_weights(graph, random)
    x = random.standard_normal((1, *shape)).astype(np.float32)
    results = [run(graph, weights, x, threads) for threads in (1, 2, 3)]
    assert_close(results[0], graph.forward(x, weights))
    assert all((result == results[0]).all() for result in results)


@pytest.mark.parametrize("name", ["mobilenet", "mobilenet_v2", "squeezenet", "cnn5"])
def test_usual_networks_run_in_the_thread_that_asks(name):
    """Another thread costs as much as 100 microseconds of an image."""
    graph = build(name, (32, 32, 1) if name == "cnn5" else (224, 224, 3))
    weights = {n: np.broadcast_to(np.float32(1), s) for n, s in graph.weight_shapes.items()}
    net = rewrites.rewrite(lower.lower_graph(graph, weights))
    assert sum(map(work.work, net.ops)) < LONG


PREDICT = """
import json, os, signal, sys, threading, time
import numpy as np
from tests.engine.cases import random_weights
from tinycnn.engine.session import Session
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Sequential
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing

backend, threads = sys.argv[1], int(sys.argv[2])
NETWORKS = {
    "matmul": [nn.Conv2D(32, 1), nn.Conv2D(48, 11, padding="same")],
    "winograd": [nn.Conv2D(64, 3, padding="same") for _ in range(8)],
    "groups": [nn.Conv2D(2, 1), nn.Conv2D(2, 24, groups=2, padding="same")],
    "depthwise": [nn.Conv2D(16, 1), nn.DepthwiseConv2D(40, padding="same")],
    "pooling": [nn.Conv2D(16, 1), nn.MaxPooling2D(90, 1)],
    "transposed": [nn.Conv2D(8, 1), nn.Conv2DTranspose(8, 24)],
    "dense": [nn.Conv2D(64, 1), nn.Dense(256), nn.Dense(256)],
    "activations": [nn.Conv2D(16, 1), *[nn.Activation(n) for n in ("gelu", "mish") * 5]],
}

def interrupt(after, sent):
    time.sleep(after)
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)

def model(layers):
    graph = Sequential([nn.UpSampling2D(220), *layers, nn.GlobalAveragePooling2D()], (1, 1, 1))
    weights = random_weights(graph, np.random.default_rng(0))
    return Model(graph, weights, Preprocessing("grayscale"))

x = np.ones((1, 1, 1, 1), np.float32)
for name, layers in NETWORKS.items():
    session, sent, results = Session(model(layers), backend, threads), [], []
    began = time.monotonic()
    expected = session.predict(x)
    whole = time.monotonic() - began
    batch = np.repeat(x, 1 + int(2 / whole), axis=0)  # of 2 seconds at least
    waiting = [threading.Thread(target=lambda: results.append(session.predict(x)))] * (whole < 3)
    killer = threading.Thread(target=interrupt, args=(0.4, sent))
    killer.start()
    try:
        for thread in waiting:  # for the main thread to be done with the session
            threading.Timer(0.2, thread.start).start()
        session.predict(batch)
        late = None
    except KeyboardInterrupt:
        late = time.monotonic() - sent[0]
    for thread in waiting:
        thread.join(60)
    results.append(session.predict(x))
    equal = len(results) == 1 + len(waiting) and all((r == expected).all() for r in results)
    killer.join()
    usual, deadline = 1 + (threads - 1) * (backend != "numpy"), time.monotonic() + 1
    while (left := threading.active_count() - usual) > 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    print(json.dumps({"name": name, "late": late, "equal": equal, "left": left}), flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("backend", WORKING)
def test_predict(backend, threads):
    if backend == "numpy" and threads > 1:
        pytest.skip("the reference has one thread")
    command = [sys.executable, "-c", PREDICT, backend, str(threads)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert not done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 8
    for one in found:
        assert one["late"] is not None, one
        assert one["late"] < LATEST, one
        assert one["equal"], one
        assert one["left"] == 0, one  # threads of the run that was interrupted


def long_layers() -> list[nn.Layer]:
    """Half a minute in every backend."""
    return [
        nn.UpSampling2D(512), nn.Conv2D(2, 1), nn.Conv2D(2, 70, groups=2, padding="same"),
        nn.GlobalAveragePooling2D(),
    ]  # fmt: skip


@pytest.fixture
def long_model(tmp_path):
    """A file of 40 kB whose self-test takes half a minute; nobody has computed it."""
    graph = Sequential(long_layers(), (1, 1, 1))
    weights = random_weights(graph, np.random.default_rng(0))
    test = SelfTest(1, (0.5, 0.5), {})
    path = tmp_path / "long.safetensors"
    modelfile.save(Model(graph, weights, Preprocessing("grayscale"), self_test=test), path)
    return path


def interrupted(command: list[str], **options: Any) -> tuple[int, str, float]:
    """Exit status, standard error, and seconds from Ctrl-C to the end."""
    child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, **options)
    time.sleep(BEFORE)
    assert child.poll() is None
    child.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, said = child.communicate(timeout=60)
    return child.returncode, said, time.monotonic() - began


@pytest.mark.parametrize("backend", WORKING)
@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_self_test_of_a_command(backend, threads, long_model):
    study = ROOT / "demos/sample_studies/XR_WRIST"
    options = ["--weights", str(long_model), "--backend", backend, "--threads", threads]
    command = [sys.executable, "-m", "tinycnn", "predict", str(study), *options]
    status, said, late = interrupted(command)
    assert (status, said) == (130, "tinycnn predict: interrupted\n")
    assert late < LATEST


def test_a_conversion(tmp_path):
    """Its long parts are the reference, and a session like any other."""
    size = 512
    layers = [
        layer("InputLayer", "in", batch_input_shape=[None, 1, 1, 1]),
        layer("UpSampling2D", "up", size=[size, size]),
        layer("Conv2D", "wide", filters=2, kernel_size=[90, 90], padding="same"),
        layer("GlobalAveragePooling2D", "pool"),
    ]
    kernel = np.full((90, 90, 1, 2), 1e-4, np.float32)
    weights = {"wide": {"kernel:0": kernel, "bias:0": np.zeros(2, np.float32)}}
    write_h5(tmp_path / "m.h5", small_config(layers), {"in": {}, "up": {}, "pool": {}, **weights})
    options = ["--labels", "a,b", "--scale", "1"]
    command = [sys.executable, "-m", "tinycnn", "convert", str(tmp_path / "m.h5"), *options]
    status, said, late = interrupted(command, stdout=subprocess.DEVNULL)
    assert (status, said) == (130, "tinycnn convert: interrupted\n")
    assert late < LATEST
    assert [path.name for path in tmp_path.iterdir()] == ["m.h5"]


@pytest.mark.parametrize(
    ("backend", "expected"), [("numba", "/1000 of the self-test "), ("numpy", "self-test may take")]
)
def test_a_terminal_is_told_what_takes_so_long(backend, expected, long_model):
    code = "import sys, tinycnn; tinycnn.load(sys.argv[1], backend=sys.argv[2])"
    process, terminal = pty.fork()
    if not process:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-c", code, str(long_model), backend])
    said, deadline = "", time.monotonic() + 30
    try:
        while expected not in said and time.monotonic() < deadline:
            if select.select([terminal], [], [], 1)[0]:
                said += os.read(terminal, 4096).decode()
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)
    assert expected in said
