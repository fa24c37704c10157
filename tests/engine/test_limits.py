"""What the engine makes of options is limited before it is made: tables, constants, rows."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.corpus import CORPUS
from tests.engine.bombs import BOMBS
from tinycnn.engine import caches, lower, plan, planner
from tinycnn.engine.ops import Net
from tinycnn.engine.rewrites import rewrite
from tinycnn.errors import BackendError
from tinycnn.nn import layers as nn
from tinycnn.nn import limits
from tinycnn.nn.architectures import ARCHITECTURES, build
from tinycnn.nn.graph import Graph, Sequential

ROOT = Path(__file__).resolve().parents[2]
PROMISED = 64  # MB beyond the file before a refusal
HOSTILE = CORPUS.parent / "hostile" / "F4"


@cache
def costs() -> dict[str, dict[str, Any]]:
    """What every bomb costs with as many threads as possible; scratch memory is for each."""
    command = [sys.executable, "-m", "tests.engine.bombs", "256"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert not done.stderr
    return {found["name"]: found for found in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name):
    found = costs()[name]
    assert "status" not in found
    assert bool(found["refused"]) == (BOMBS[name][1] == "no"), found
    assert found["MB"] <= PROMISED + found["constants"], found
    assert found["constants"] <= PROMISED + 36 * found["given"], found


LOAD = """
import resource, sys, tinycnn
import tinycnn.engine.lower, tinycnn.engine.plan, tinycnn.engine.rewrites, tinycnn.nn.modelfile
from tinycnn.engine import native
native.load("numba")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    tinycnn.load(sys.argv[1], backend=sys.argv[2], threads=2)
except tinycnn.errors.TinycnnError as error:
    print("refused:", error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before >> 10)
"""


@pytest.mark.skipif(not HOSTILE.is_dir(), reason="no hostile model files here")
@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize(
    ("name", "refused"),
    [("resize-bomb", ""), ("gather-bomb", "numba"), ("time-bomb", "numba numpy")],
)
def test_files(name, refused, backend):
    command = [sys.executable, "-c", LOAD, str(HOSTILE / f"{name}.safetensors"), backend]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    *said, memory = done.stdout.splitlines()
    assert int(memory) <= PROMISED
    assert ("for one image" in "".join(said)) == (backend in refused.split()), said


def test_constants_are_limited(monkeypatch):
    graph = Sequential([nn.Dense(50), nn.Dense(50)], (50,))
    weights = {n: np.ones(s, np.float32) for n, s in graph.weight_shapes.items()}
    net = lower.lower_graph(graph, weights)
    monkeypatch.setattr(planner, "MAX_CONSTANTS", 40_000)
    plan.plan(net)
    monkeypatch.setattr(planner, "MAX_CONSTANTS", 20_000)
    with pytest.raises(BackendError, match="constants take over"):
        plan.plan(net)


def test_instructions_are_limited(monkeypatch):
    net = lower.lower_graph(Sequential([nn.Softmax()] * 20, (4, 4, 2)), {})
    monkeypatch.setattr(planner, "MAX_ROWS", 20)
    plan.plan(net)
    monkeypatch.setattr(planner, "MAX_ROWS", 19)
    with pytest.raises(BackendError, match="over 19 instructions"):
        plan.plan(net)


def test_shared_weights_are_packed_once():
    dense = nn.Dense(50)
    sizes = []
    for count in (1, 20):
        graph = Sequential([nn.Flatten(), *[dense, nn.Activation("tanh")] * count], (50, 1, 1))
        weights = {n: np.ones(s, np.float32) for n, s in graph.weight_shapes.items()}
        sizes.append(plan.plan(lower.lower_graph(graph, weights)).weights.nbytes)
    assert sizes[1] < sizes[0] + 20 * 64 * 2  # a line for each table of segments


def vgg(size: int, *more: nn.Layer) -> Graph:
    """VGG19 without its dense layers, ending in ``more``."""
    layers: list[nn.Layer] = []
    for filters, count in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(count):
            layers.append(nn.Conv2D(filters, 3, padding="same", activation="relu"))
        layers.append(nn.MaxPooling2D())
    end = (nn.GlobalAveragePooling2D(), nn.Dense(1000, activation="softmax"))
    return Sequential([*layers, *more, *end], (size, size, 3))


def planned(graph: Graph, threads: int = 4) -> None:
    """Plan it, with weights that take no memory; all but the constants is made."""
    weights = {n: np.broadcast_to(np.float32(1), s) for n, s in graph.weight_shapes.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planner.Constants, "packed", lambda self: np.zeros(64, np.uint8))
        plan.plan(rewrite(lower.lower_graph(graph, weights)), threads)


DENSE = ("vgg16", "mlp")  # at 600 x 600 their first dense layer would take over a GB


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("size", [224, 600])
@pytest.mark.parametrize("cache", [256 << 10, 1 << 20])
def test_real_networks_are_taken(name, size, cache, monkeypatch):
    monkeypatch.setattr(caches, "second_level", lambda: cache)
    if size == 224 or name not in DENSE:
        planned(build(name, (size, size, 3)))


@pytest.mark.parametrize(
    "more",
    [
        [nn.UpSampling2D(4), nn.UpSampling2D(2, "bilinear")],
        [nn.Resizing(600, 600, kind) for kind in ("nearest", "bicubic", "lanczos5", "area")],
        [nn.Permute((2, 1, 3)), nn.ZeroPadding2D(9), nn.Cropping2D(3), nn.PReLU((1,))],
        [nn.LayerNormalization((1, 2, 3), scale=False), nn.Conv2DTranspose(64, 4, 2)],
    ],
)
def test_large_networks_with_layers_that_move_values(more):
    planned(vgg(600, nn.Conv2D(64, 1), *more))


def test_the_largest_network_at_the_largest_size(monkeypatch):
    """As the constants' comments say."""
    monkeypatch.setattr(caches, "second_level", lambda: 256 << 10)
    graph = vgg(1000)
    planned(graph)
    assert graph.steps < 0.4 * limits.MAX_STEPS
    assert limits.most_live(graph) < limits.MAX_LIVE


def test_two_operations_with_one_name():
    """The place of the smaller one would be overrun by the larger one."""
    graph = Sequential([nn.Activation("tanh"), nn.UpSampling2D(4)], (4, 4, 1))
    first, second = lower.lower_graph(graph, {}).ops
    with pytest.raises(BackendError, match="two operations write"):
        plan.plan(Net((4, 4, 1), (first, replace(second, output=first.output)), first.output))
    with pytest.raises(BackendError, match="two operations write 'input'"):
        plan.plan(Net((4, 4, 1), (replace(first, output="input"),), "input"))
