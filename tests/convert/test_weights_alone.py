"""Weights alone of Keras 1 and 2: by name, else by order and shape; what does not fit is listed."""

import h5py
import numpy as np
import pytest
from tinycnn.convert import keras
from tinycnn.convert.hdf5 import read as read_here

from tests.convert.keras_files import fill_weights, write_keras1
from tinycnn.errors import ConversionError
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Sequential

SHORT = {
    "kernel": "W",
    "bias": "b",
    "moving_mean": "running_mean",
    "moving_variance": "running_std",
}


def network(*end):
    layers = [
        nn.Conv2D(4, 3, name="first"),
        nn.BatchNormalization(name="norm"),
        nn.Conv2D(5, (2, 3), padding="same"),
        *(end or [nn.GlobalAveragePooling2D()]),
        nn.Dense(2, name="scores"),
    ]
    return Sequential(layers, (8, 9, 3))


def weights_of(graph):
    random = np.random.default_rng(5)
    return {
        key: random.uniform(0.5, 1.5, shape).astype(np.float32)
        for key, shape in graph.weight_shapes.items()
    }


def as_keras1(weights, theano=False, rename=None):
    """The same weights as Keras 1 stored them; Theano's layout, turned, if asked for."""
    layers = {}
    for key, value in weights.items():
        name, _, weight = key.partition("/")
        name = (rename or {}).get(name, name)
        if theano and value.ndim == 4:
            value = value[::-1, ::-1].transpose(3, 2, 0, 1)
        weight = SHORT.get(weight, weight)
        layers.setdefault(name, {})[weight if len(weight) == 1 else f"{name}_{weight}"] = value
    return layers


def read(path, graph, **options):
    return keras.read(path, graph, read_hdf5=read_here, **options)


def same(found, weights):
    assert found.weights.keys() == weights.keys()
    for key, value in weights.items():
        np.testing.assert_array_equal(found.weights[key], value)


@pytest.mark.parametrize("theano", [False, True])
@pytest.mark.parametrize("rename", [None, {"conv2d": "convolution2d_7"}])
def test_both_orders_of_keras_1(theano, rename, tmp_path):
    graph = network()
    weights = weights_of(graph)
    write_keras1(tmp_path / "w.h5", None, as_keras1(weights, theano, rename), end="")
    same(read(tmp_path / "w.h5", graph, kernels="theano" if theano else "tensorflow"), weights)
    with pytest.raises(ConversionError, match="give --kernels tensorflow or --kernels theano"):
        read(tmp_path / "w.h5", graph)


def test_tensorflows_names_need_no_option(tmp_path):
    graph = network()
    weights = weights_of(graph)
    write_keras1(tmp_path / "w.h5", None, as_keras1(weights))
    found = read(tmp_path / "w.h5", graph)
    same(found, weights)
    assert found.origin == "Keras (unknown), weights alone"


def test_kernels_of_keras_2_on_theano(tmp_path):
    graph = network()
    weights = weights_of(graph)
    layers = {}
    for key, value in weights.items():
        name, _, weight = key.partition("/")
        layers.setdefault(name, {})[weight] = value[::-1, ::-1] if value.ndim == 4 else value
    with h5py.File(tmp_path / "w.h5", "w") as file:
        fill_weights(file, layers)
        file.attrs["keras_version"], file.attrs["backend"] = b"2.0.8", b"theano"
    same(read(tmp_path / "w.h5", graph), weights)


def test_what_fits_in_both_orders_is_not_guessed(tmp_path):
    graph = Sequential([nn.Conv2D(3, 3, name="c"), nn.GlobalMaxPooling2D()], (8, 8, 3))
    write_keras1(tmp_path / "w.h5", None, as_keras1(weights_of(graph)), end="")
    with pytest.raises(ConversionError, match="fit in TensorFlow's order and in Theano's alike"):
        read(tmp_path / "w.h5", graph, kernels="theano")


def test_rows_that_count_channels_first_are_refused(tmp_path):
    graph = network(nn.Flatten(name="flat"))
    write_keras1(tmp_path / "w.h5", None, as_keras1(weights_of(graph), theano=True), end="")
    with pytest.raises(ConversionError, match="layer 'flat': its values count the channels first"):
        read(tmp_path / "w.h5", graph, kernels="theano")


def test_what_does_not_fit_is_listed(tmp_path):
    weights = as_keras1(weights_of(network()))
    weights["first"]["W"] = np.zeros((5, 5, 3, 4), np.float32)
    weights["scores"]["b"] = np.zeros(3, np.float32)
    write_keras1(tmp_path / "w.h5", None, weights)
    with pytest.raises(ConversionError) as caught:
        read(tmp_path / "w.h5", network())
    assert str(caught.value).endswith(
        "w.h5: 2 layers do not fit the architecture: "
        "first needs (3, 3, 3, 4) (4,), the file has (5, 5, 3, 4) (4,), "
        "scores needs (5, 2) (2,), the file has (5, 2) (3,)"
    )


def test_what_is_missing_is_listed(tmp_path):
    weights = as_keras1(weights_of(network()))
    del weights["scores"]
    weights["other"] = {"W": np.zeros((3, 3), np.float32)}
    weights["more"] = {"W": np.zeros((3, 4), np.float32)}
    write_keras1(tmp_path / "w.h5", None, weights)
    words = r"has 2 more layers .*scores \(5, 2\) \(2,\)\), the file 3 .* other \(3, 3\), more"
    with pytest.raises(ConversionError, match=words):
        read(tmp_path / "w.h5", network())
