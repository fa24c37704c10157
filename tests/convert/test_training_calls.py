"""Layers of Keras 2 that are called with training=True act at inference as in training."""

import numpy as np
import pytest
from tinycnn.convert import keras as converter
from tinycnn.convert.dialect import Dialect
from tinycnn.convert.hdf5 import read as read_here
from tinycnn.convert.keras_config import parse_model
from tinycnn.convert.keras_graph import build_graph

from tests.convert.keras_files import layer
from tests.convert.test_keras1 import functional
from tinycnn.errors import ConversionError

WORDS = "is called with training=True, so that it acts at inference as in training"


def called(training, *entries):
    """A chain in Keras 2's spelling whose first layer is called so."""
    parts = [(layer("InputLayer", "in", batch_input_shape=[None, 8, 8, 3]), [])]
    names = ["in", *(entry["config"]["name"] for entry in entries)]
    for index, entry in enumerate(entries):
        options = {} if index or training is None else {"training": training}
        parts.append((entry, [[names[index], 0, 0, options]]))
    model = parse_model(functional(*parts, ends=[names[-1], 0, 0]))
    return build_graph(model, None, Dialect("2.8.0", "tensorflow"))[0]


@pytest.mark.parametrize(
    "entry",
    [
        layer("Dropout", "it", rate=0.5),
        layer("SpatialDropout2D", "it", rate=0.5),
        layer("GaussianNoise", "it", stddev=0.1),
        layer("RandomFlip", "it", mode="horizontal"),
        layer("BatchNormalization", "it", axis=[3]),
    ],
    ids=lambda each: each["class_name"],
)
def test_what_acts_in_training_alone(entry):
    for training in (None, False, 0):
        assert called(training, entry).output_shape == (8, 8, 3)
    for training in (True, 1):
        with pytest.raises(ConversionError, match=f"layer 'it'.*{WORDS}"):
            called(training, entry)


@pytest.mark.parametrize(
    "entry",
    [
        layer("Dropout", "it", rate=0.0),
        layer("BatchNormalization", "it", axis=[3], trainable=False),
        layer("Conv2D", "it", filters=3, kernel_size=[1, 1]),
        layer("ReLU", "it"),
    ],
    ids=lambda each: each["class_name"],
)
def test_what_does_the_same_in_training(entry):
    assert called(True, entry) == called(False, entry)


def network(lib, *, nested, frozen=False, kind="Dropout"):
    """A layer, or a model that holds it, called with training=True; Keras's own class."""
    layers, inputs = lib.layers, lib.Input((8, 8, 3))
    it = layers.Dropout(0.5, name="it") if kind == "Dropout" else layers.BatchNormalization(
        name="it", trainable=not frozen
    )  # fmt: skip
    inner = lib.Sequential([layers.Conv2D(3, 1), it], name="inner") if nested else it
    return lib.Model(inputs, layers.ReLU()(inner(inputs, training=True)))


def predicted(model):
    x = np.random.default_rng(2).normal(size=(2, 8, 8, 3)).astype(np.float32)
    return x, [model.predict(x, verbose=0) for _ in range(2)]


@pytest.mark.keras
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", ["Dropout", "BatchNormalization"])
def test_keras_2_does_what_it_does_in_training(kind, nested, tmp_path):
    """Monte Carlo dropout, whose scores were quietly those without any."""
    model = network(pytest.importorskip("tf_keras"), nested=nested, kind=kind)
    model.save(tmp_path / "m.h5")
    with pytest.raises(ConversionError, match=f"it' .*{WORDS}"):
        converter.read(tmp_path / "m.h5", read_hdf5=read_here)
    if kind == "Dropout":
        _, (first, second) = predicted(model)
        assert np.abs(first - second).max() > 0.1


@pytest.mark.keras
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("lib", "options"),
    [
        ("tf_keras", {"kind": "BatchNormalization", "frozen": True, "nested": True}),
        ("keras", {"nested": False}),
        ("keras", {"nested": True}),
        ("keras", {"kind": "BatchNormalization", "nested": True}),
    ],
)
def test_what_predict_does_as_ever_is_converted(lib, options, tmp_path):
    """Frozen layers of Keras 2, and Keras 3, whose `predict` never trains."""
    model = network(pytest.importorskip(lib), **options)
    path = tmp_path / ("m.h5" if lib == "tf_keras" else "m.keras")
    model.save(path)
    found = converter.read(path, read_hdf5=read_here)
    x, (first, second) = predicted(model)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(found.graph.forward(x, found.weights), first, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("ReLU", {"max_value": 6.0, "magic": 1}, "the activation's option 'magic' is not known"),
        ("LeakyReLU", {"slope": 0.1}, "the activation's option 'slope' is not known"),
        ("Softmax", {"axis": 1}, "is a layer of class 'Softmax'"),
        ("PReLU", {"shared_axes": [1, 2]}, "is a layer of class 'PReLU'"),
    ],
)
def test_activations_that_are_layers_have_no_option_unread(kind, options, words):
    activation = {"class_name": kind, "config": {"name": "a", "trainable": True, **options}}
    with pytest.raises(ConversionError, match=words):
        called(None, layer("Dense", "it", units=2, activation=activation))
