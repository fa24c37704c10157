"""Other engines get the same network: their scores equal ours. Needs the extra 'peers'."""

import numpy as np
import pytest

from tinycnn.benchmarks import race
from tinycnn.benchmarks.engines import ENGINES, PEERS
from tinycnn.benchmarks.networks import Network, random_images, random_model
from tinycnn.errors import UsageError
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Sequential
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing

pytestmark = pytest.mark.filterwarnings("ignore")  # of the other engines, about themselves

NETWORKS = [
    *(Network(name, (32, 32, 1), 1) for name in ("cnn1", "cnn3", "cnn5")),
    Network("cnn5", (40, 32, 3), 4),
    Network("mobilenet_v2", (64, 96, 3), 10, 0.35),
    Network("mobilenet", (65, 63, 1), 3, 0.5),
    *(Network(name, (64, 64, 3), 7) for name in ("densenet121", "resnet50")),
]


def installed(name):
    if missing := ENGINES[name].missing():
        pytest.skip(f"install {missing}")


def scores(name, model, batch, folder):
    engine = ENGINES[name]
    path = folder / f"network.{engine.format}"
    race.WRITERS[engine.format](model, path, batch)
    runner = engine.load(path, 2, batch)
    return np.array(runner.run(runner.arrange(random_images(model.input_shape, batch))))


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.title)
@pytest.mark.parametrize("name", PEERS)
def test_peers_compute_what_the_reference_does(name, network, tmp_path):
    installed(name)
    model = random_model(network)
    expected = model.forward(random_images(model.input_shape, 2))
    got = scores(name, model, 2, tmp_path)
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", PEERS)
def test_a_layer_without_translation_is_named(name, tmp_path):
    installed(name)
    layers = [nn.Conv2D(2, 3), nn.LayerNormalization(), nn.GlobalAveragePooling2D()]
    graph = Sequential(layers, (8, 8, 1))
    weights = {n: np.ones(s, np.float32) for n, s in graph.weight_shapes.items()}
    model = Model(graph, weights, Preprocessing("grayscale"))
    with pytest.raises(UsageError, match=r"layer 'layer_normalization' .LayerNorm. has no trans"):
        scores(name, model, 1, tmp_path)


def test_a_peer_that_computes_something_else_is_refused(monkeypatch):
    installed("onnxruntime")
    network, write = Network("cnn5", (32, 32, 1), 1), race.WRITERS["onnx"]
    monkeypatch.setitem(
        race.WRITERS, "onnx", lambda m, path, n: write(random_model(network, seed=9), path, n)
    )
    outcome = race.race(random_model(network), rounds=1, peers=["onnxruntime"])
    assert [result.engine for result in outcome.results] == ["tinycnn"]
    assert "computes something else: its scores differ" in outcome.refused["onnxruntime"]


def test_a_race():
    names = [name for name in PEERS if not ENGINES[name].missing()]
    model = random_model(Network("cnn5", (32, 32, 1), 1))
    outcome = race.race(model, threads=2, batch=3, rounds=2, peers=names)
    assert [result.engine for result in outcome.results] == ["tinycnn", *names]
    assert outcome.refused == {}
    for result in outcome.results:
        assert len(result.rounds) == 2
        assert min(result.nanoseconds) > 0
        assert result.peak_bytes > 1 << 20
