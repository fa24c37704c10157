"""The generator draws every layer and option, always the same, and shrinks what fails."""

from __future__ import annotations

import itertools
import json
import sys
import zlib
from collections import defaultdict
from typing import Any

import pytest

from tests.differential import options
from tests.differential.blocks import MERGES
from tests.differential.builder import SIZES
from tests.differential.case import from_seed
from tests.differential.generator import generate
from tests.differential.shrink import shrink, smaller, told
from tests.differential.worker import Worker
from tinycnn.errors import GraphError
from tinycnn.nn import layers as nn
from tinycnn.nn.activations import ACTIVATIONS
from tinycnn.nn.graph import Graph
from tinycnn.nn.layers.convolution import Window
from tinycnn.nn.layers.reshaping import Resampled

SEEDS = range(3000)


@pytest.fixture(scope="module")
def drawn():
    """Class -> option -> the values that it has in many networks, as JSON."""
    found: Any = defaultdict(lambda: defaultdict(set))
    for size, seed in itertools.product(SIZES, SEEDS):
        for node in generate(seed, size).nodes:
            for key, value in node.layer.config().items():
                found[type(node.layer).__name__][key].add(json.dumps(value))
    return found


def test_no_layer_is_forgotten(drawn):
    assert {kind.__name__ for kind in (*options.MAKERS, *MERGES, nn.Concatenate)} == set(nn.LAYERS)
    assert set(drawn) == set(nn.LAYERS)


def test_every_option_takes_several_values(drawn):
    once = {
        (kind, key)
        for kind, found in drawn.items()
        for key, values in found.items()
        if len(values) < 2
    }
    assert once == set()


@pytest.mark.parametrize("kind", [k for k in nn.LAYERS.values() if issubclass(k, Resampled)])
def test_every_interpolation(drawn, kind):
    assert drawn[kind.__name__]["interpolation"] == {json.dumps(m) for m in options.RESAMPLE}


def test_every_activation(drawn):
    every = {json.dumps(name) for name in ACTIVATIONS}
    assert drawn["Activation"]["activation"] == every
    for kind in nn.LAYERS.values():
        if issubclass(kind, Window):  # no jumps behind values with rounding errors
            assert drawn[kind.__name__]["activation"] == every - {'"hard_shrink"'}


def test_networks_are_the_same_everywhere():
    """For every version of Python and NumPy, and for every machine; not for another generator."""
    graphs = [json.dumps(generate(seed, size).to_json()) for size in SIZES for seed in range(100)]
    case = from_seed(1, "tiny")
    arrays = b"".join(case.weights[name].tobytes() for name in sorted(case.weights))
    found = [zlib.crc32("".join(graphs).encode()), zlib.crc32(case.x.tobytes() + arrays)]
    assert found == [1497401299, 289881195]


def contains(graph: Any, *kinds: str) -> bool:
    """Whether these layers stand in a sound network."""
    try:
        Graph.from_json(graph)
    except GraphError:
        return False
    return {node["class"] for node in graph["nodes"]} >= set(kinds)


def test_a_failing_network_is_shrunk():
    found = (generate(seed, "tiny").to_json() for seed in SEEDS)
    large = next(g for g in found if contains(g, "Conv2D", "Multiply") and len(g["nodes"]) > 12)
    least = shrink(large, lambda graph: contains(graph, "Conv2D", "Multiply"), 5000)
    assert len(least["nodes"]) == 2
    assert least["input_shape"] == [1, 1, 1]
    conv = next(node for node in least["nodes"] if node["class"] == "Conv2D")["config"]
    assert (conv["kernel_size"], conv["activation"], conv["use_bias"]) == ([1, 1], "linear", False)
    assert not any(contains(graph, "Conv2D", "Multiply") for graph in smaller(least))
    assert "Conv2D(" in told(least)


def test_the_death_of_a_process_is_an_answer(monkeypatch):
    dies = "import os, sys; print(flush=True); sys.stdin.readline(); os.kill(os.getpid(), 11)"
    monkeypatch.setattr(Worker, "command", (sys.executable, "-c", dies))
    with Worker() as worker:
        assert [worker.ask()["wrong"] for _ in range(2)] == ["SIGSEGV", "SIGSEGV"]
        monkeypatch.setattr(Worker, "command", (sys.executable, "-c", "print(flush=True)"))
        assert worker.ask()["wrong"] == "exit status 0"
