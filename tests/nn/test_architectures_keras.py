"""Our builders against Keras's: every layer's name, shape and values; weights find their place."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import h5py
import numpy as np
import pytest
from tinycnn.convert import keras as converter
from tinycnn.convert.hdf5 import read as read_here

from tests.backends import WORKING
from tests.convert.keras_files import fill_weights
from tests.keras_models import randomise
from tinycnn.benchmarks.networks import random_weights
from tinycnn.engine.kernels.family import of_host
from tinycnn.engine.session import Session
from tinycnn.nn.architectures import ARCHITECTURES, build
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing

keras = pytest.importorskip("keras")
from tests.nn import report_networks as reports  # noqa: E402 - needs Keras

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]
TOLERANCE = 1e-4
FAMILIES = {"avx512": ("avx2", "generic"), "avx2": ("generic",)}  # besides the CPU's own
COLOR, GRAY = (96, 64, 3), (64, 64, 1)


def of_keras(name):
    """Keras's own network, classifier and all."""
    return lambda shape, classes: getattr(keras.applications, name)(
        include_top=True, weights=None, input_shape=shape, classes=classes
    )


def backbone(name, alpha, pooling, head):
    """Keras's own network with another end."""
    return lambda shape, classes: head(
        getattr(keras.applications, name)(
            include_top=False, weights=None, input_shape=shape, alpha=alpha, pooling=pooling
        ),
        classes,
    )


def mobile(name, alpha):
    return backbone(name, alpha, "avg", reports.dense_head)


def mobile_keras2(name, alpha):
    return backbone(name, alpha, None, reports.keras2_head)


CASES = {
    "mobilenet": (mobile("MobileNet", 1.0), GRAY, 2),
    "mobilenet:alpha=0.3": (mobile("MobileNet", 0.3), (65, 63, 3), 1),
    "mobilenet:alpha=0.5,head=conv": (mobile_keras2("MobileNet", 0.5), GRAY, 3),
    "mobilenet_v2": (of_keras("MobileNetV2"), COLOR, 5),
    "mobilenet_v2:alpha=0.35": (mobile("MobileNetV2", 0.35), GRAY, 1),
    "mobilenet_v2:alpha=0.6": (mobile("MobileNetV2", 0.6), (65, 63, 1), 2),
    "mobilenet_v2:alpha=1.4": (mobile("MobileNetV2", 1.4), GRAY, 2),
    "mobilenet_v2:alpha=0.5,head=conv": (mobile_keras2("MobileNetV2", 0.5), COLOR, 3),
    "densenet121": (of_keras("DenseNet121"), COLOR, 7),
    "densenet169": (of_keras("DenseNet169"), COLOR, 7),
    "densenet201": (of_keras("DenseNet201"), COLOR, 7),
    "resnet50": (of_keras("ResNet50"), COLOR, 7),
    "vgg16": (of_keras("VGG16"), (64, 32, 3), 7),
    "mobilenet_self_design_a": (reports.self_design_a, GRAY, 2),
    "mobilenet_self_design_b": (reports.self_design_b, GRAY, 2),
    "cnn1:dense=,dropout=0": (reports.cnn1, (32, 32, 1), 1),
    "cnn3:dropout=0": (reports.cnn3, (32, 32, 1), 3),
    "cnn5:dense=128-64-32,dropout=0.5": (reports.cnn5, (32, 32, 1), 1),
    "conv2": (reports.conv2, (128, 128, 1), 1),
    "conv3": (reports.conv3, (96, 64, 1), 1),
    "conv4": (reports.conv4, GRAY, 1),
    "mlp": (reports.mlp, (32, 32, 1), 1),
}


def random_model(case):
    """Keras's network and our graph, both with the same random weights, which go over by name."""
    make, shape, classes = CASES[case]
    keras.backend.clear_session()  # automatic names begin anew
    model, graph = make(shape, classes), build(case, shape, classes)
    weights = random_weights(graph, np.random.default_rng(5))
    for layer in model.layers:
        layer.set_weights([weights[f"{layer.name}/{weight_name(layer, v)}"] for v in layer.weights])
    return model, graph, weights


def weight_name(layer, variable):
    """As Keras 2 and we call it: Keras 3 says "kernel" of a depthwise one, too."""
    name = variable.path.rpartition("/")[2]
    return f"depthwise_{name}" if "Depthwise" in type(layer).__name__ and name == "kernel" else name


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("networks")
    yield path
    shutil.rmtree(path)  # half a gigabyte


def save(case, folder, graph, weights, x, y):
    """Keep a network, an image and Keras's scores for the processes of the other families."""
    given = {"graph:": json.dumps(graph.to_json()), "x:": x, "y:": y}
    np.savez(folder / file_name(case), **given, **weights)


def file_name(case):
    return re.sub(r"\W", "_", case) + ".npz"


def compared(case, folder):
    """Compare every layer's name, class, shape and values with the NumPy reference."""
    model, graph, weights = random_model(case)
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    assert {n.name: (type(n.layer).__name__, graph.shapes[n.name]) for n in graph.nodes} == {
        layer.name: (type(layer).__name__, tuple(layer.output.shape[1:])) for layer in layers
    }
    assert graph.parameters == model.count_params()
    x = np.random.default_rng(6).uniform(-1, 1, (1, *graph.input_shape)).astype(np.float32)
    every = keras.Model(model.inputs, {layer.name: layer.output for layer in layers})
    expected = {name: value.numpy() for name, value in every(x, training=False).items()}
    seen = {}
    graph.forward(x, weights, seen.__setitem__)
    difference = {
        layer: np.abs(seen[layer] - value).max() / max(1, np.abs(value).max())
        for layer, value in expected.items()
    }
    print(f"{case}: {len(layers)} layers, numpy: {max(difference.values()):.1e}")
    assert [layer for layer, d in difference.items() if not d <= TOLERANCE] == []
    scores = expected[graph.output]
    assert 1e-3 < scores.ravel()[0] < 1 - 1e-3  # saturated ones would prove little
    save(case, folder, graph, weights, x, scores)
    return graph, weights, x, scores


def model_of(graph, weights):
    colors = "grayscale" if graph.input_shape[2] == 1 else "rgb"
    return Model(graph, weights, Preprocessing(colors))


@pytest.mark.parametrize("case", CASES)
def test_layer_by_layer(case, folder):
    graph, weights, x, scores = compared(case, folder)
    for backend in WORKING:
        got = Session(model_of(graph, weights), backend).predict(x)
        difference = np.abs(got - scores).max()
        print(f"{case}: scores, {backend}: {difference:.1e}")
        assert difference <= TOLERANCE


OTHER_FAMILY = """
import json, pathlib, sys
import numpy as np
from tinycnn.engine.session import Session
from tinycnn.nn.graph import Graph
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing

for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    weights = dict(np.load(path))
    graph, x, y = (weights.pop(name) for name in ("graph:", "x:", "y:"))
    colors = Preprocessing("grayscale" if x.shape[3] == 1 else "rgb")
    model = Model(Graph.from_json(json.loads(str(graph))), weights, colors)
    np.testing.assert_allclose(Session(model, "numba").predict(x), y, atol=1e-4, err_msg=path.name)
    print(path.name)
"""


@pytest.mark.parametrize("family", FAMILIES.get(of_host(), ()))
def test_other_families_of_this_machine(family, folder):
    for case in CASES:
        if not (folder / file_name(case)).exists():
            compared(case, folder)
    done = subprocess.run(
        [sys.executable, "-c", OTHER_FAMILY, str(folder)],
        env=os.environ | {"TINYCNN_FAMILY": family},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == len(CASES)


def legacy(path, layers, names=MappingProxyType({})):
    """Write ``layers`` as Keras 2's save_weights did, in this order, under other ``names``."""
    with h5py.File(path, "w") as file:
        fill_weights(
            file,
            {
                names.get(layer.name, layer.name): {
                    f"{weight_name(layer, v)}:0": v.numpy() for v in layer.weights
                }
                for layer in layers
            },
        )


ALIKE = {"densenet169", "densenet201", *(c for c in CASES if re.search(r":alpha=[\d.]+$", c))}


def equal(found, weights):
    assert list(found.weights) == list(found.graph.weight_shapes)
    assert set(found.weights) == set(weights)
    for name, value in weights.items():
        np.testing.assert_array_equal(found.weights[name], value, err_msg=name)


@pytest.mark.parametrize("case", [c for c in CASES if c not in ALIKE])
def test_weights_alone_find_their_place(case, tmp_path):
    """By name: Keras 2's file lists its layers backwards here."""
    model, graph, weights = random_model(case)
    legacy(tmp_path / "old.h5", model.layers[::-1])
    model.save_weights(tmp_path / "m.weights.h5")
    for name in ("old.h5", "m.weights.h5"):
        equal(converter.read(tmp_path / name, graph, None, read_here), weights)


def test_keras3_own_mobilenet_has_the_conv_head(tmp_path):
    """Keras 3 pools with keepdims instead of a Reshape: the weights and the scores are the same."""
    keras.backend.clear_session()
    model = keras.applications.MobileNet(GRAY, alpha=0.25, weights=None, classes=3)
    randomise(model)
    model.save_weights(tmp_path / "m.weights.h5")
    graph = build("mobilenet:alpha=0.25,head=conv", GRAY, 3)
    found = converter.read(tmp_path / "m.weights.h5", graph, None, read_here)
    x = np.random.default_rng(6).uniform(-1, 1, (2, *GRAY)).astype(np.float32)
    np.testing.assert_allclose(graph.forward(x, found.weights), model(x), atol=TOLERANCE)


def test_names_of_keras_2(tmp_path):
    """DenseNet's first layers had slashes, and ends had other names: those are found by order."""
    old = {"conv1_conv": "conv1/conv", "conv1_bn": "conv1/bn", "predictions": "fc1000"}
    for case, names in (("densenet121", old), ("mobilenet_v2", {"predictions": "Logits"})):
        model, graph, weights = random_model(case)
        legacy(tmp_path / case, model.layers, names)
        found = converter.read(tmp_path / case, graph, None, read_here)
        equal(found, weights)


def test_every_network_is_compared():
    # Keras 3 forbids the slashes in SqueezeNet's names: tests/convert/table.py and the corpus do.
    elsewhere = {"squeezenet", "squeezenet_notop"}
    assert {case.partition(":")[0] for case in CASES} | elsewhere == ARCHITECTURES.keys()
