"""Weights without names find their place by the order of Keras's layers."""

import io

import h5py
import numpy as np
import pytest
from tinycnn.convert import keras as converter
from tinycnn.convert.hdf5 import read as read_here
from tinycnn.convert.keras_config import snake_case
from tinycnn.convert.keras_order import keras_order

from tests.convert import table
from tinycnn.nn import layers as nn
from tinycnn.nn.architectures import ARCHITECTURES, build
from tinycnn.nn.graph import Input, from_tensors

BLOCK = ["1_conv", "1_bn", "1_relu", "2_conv", "2_bn", "2_relu", "0_conv", "3_conv", "0_bn", "3_bn"]


def test_a_block_of_resnet():
    """As tf_keras 2.15 lists it: the projection comes where it is as near to the output."""
    graph = build("resnet50", (64, 64, 3), 1)
    names = [node.name for node in keras_order(graph) if node.name.startswith("conv2_block1_")]
    assert names == [f"conv2_block1_{end}" for end in (*BLOCK, "add", "out")]


def branches():
    """Two ways whose kernels have the same shape, the longer one second."""
    x = inputs = Input((6, 6, 3))
    x = nn.Conv2D(4, 1, name="stem")(x)
    short = nn.Conv2D(4, 1, name="short")(x)
    y = nn.Conv2D(4, 1, name="long_a")(x)
    y = nn.Conv2D(4, 1, name="long_b")(nn.ReLU(name="r")(y))
    y = nn.GlobalAveragePooling2D(name="g")(nn.Add(name="add")([short, y]))
    return from_tensors(inputs, nn.Dense(2, name="scores")(y))


def nameless(path, graph, names, container="_layer_checkpoint_dependencies"):
    """Write a `.weights.h5` of Keras 2.12 with layers in the order of ``names``; their values."""
    layers = {node.name: node.layer for node in graph.nodes}
    random, counts, values = np.random.default_rng(3), {}, {}
    with h5py.File(path, "w") as file:
        for name in names:
            stem = snake_case(type(layers[name]).__name__)
            number = counts.get(stem, 0)
            counts[stem] = number + 1
            group = file.create_group(f"{container}/{stem}_{number}".removesuffix("_0") + "/vars")
            wanted = (k for k in graph.weight_shapes if k.startswith(f"{name}/"))
            for index, key in enumerate(wanted):
                value = random.normal(size=graph.weight_shapes[key]).astype(np.float32)
                group[str(index)] = values[key] = value
    return values


def test_branches_are_told_apart_by_their_depths(tmp_path):
    graph = branches()
    order = ["stem", "long_a", "short", "long_b", "scores"]
    assert [n.name for n in keras_order(graph) if n.name in order] == order
    values = nameless(tmp_path / "m.weights.h5", graph, order)
    found = converter.read(tmp_path / "m.weights.h5", graph, read_hdf5=read_here)
    for key, value in values.items():
        np.testing.assert_array_equal(found.weights[key], value, err_msg=key)


@pytest.mark.keras
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_order_is_that_of_keras(name):
    pytest.importorskip("keras")
    graph = table._built(name)
    twin = table._twin(graph)
    assert [layer.name for layer in twin.layers[1:]] == [
        node.name.replace("/", "_") for node in keras_order(graph)
    ]


@pytest.mark.keras
@pytest.mark.filterwarnings("ignore")
def test_resnet_of_keras_2(tmp_path):
    """Weights alone, as Keras 2.12 to 2.15 save them: 94 MB without a name."""
    keras2 = pytest.importorskip("tf_keras")
    base = keras2.applications.ResNet50(weights=None, include_top=False, input_shape=(64, 64, 3))
    y = keras2.layers.GlobalAveragePooling2D()(base.output)
    model = keras2.Model(base.input, keras2.layers.Dense(1, activation="sigmoid")(y))
    random = np.random.default_rng(0)
    for layer in model.layers:  # no two alike
        values = [v + random.uniform(-0.01, 0.01, v.shape) for v in layer.get_weights()]
        layer.set_weights(values)
    model.save_weights(tmp_path / "model.weights.h5")
    found = converter.read(tmp_path / "model.weights.h5", build("resnet50", (64, 64, 3), 1))
    x = random.random((2, 64, 64, 3)).astype(np.float32)
    expected = model(x, training=False).numpy()
    np.testing.assert_allclose(found.graph.forward(x, found.weights), expected, atol=1e-4)
    assert 1e-3 < expected.min() < expected.max() < 1 - 1e-3


@pytest.mark.keras
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["resnet50", "densenet121", "mobilenet_v2", "squeezenet"])
def test_files_of_keras_3_without_names(name, tmp_path):
    """Early ones did not note the names of layers beside their weights: then the order must do."""
    pytest.importorskip("keras")
    graph = table._built(name)
    twin = table._twin(graph)
    table.randomise(twin)
    twin.save_weights(tmp_path / "m.weights.h5")
    buffer = io.BytesIO((tmp_path / "m.weights.h5").read_bytes())
    with h5py.File(buffer, "r+") as file:
        file["layers"].visititems(lambda _, each: each.attrs.pop("name", None) and None)
    (tmp_path / "m.weights.h5").write_bytes(buffer.getvalue())
    found = converter.read(tmp_path / "m.weights.h5", graph)
    x = np.random.default_rng(1).random((1, *graph.input_shape), np.float32)
    expected = np.asarray(twin(x, training=False))
    np.testing.assert_allclose(found.graph.forward(x, found.weights), expected, atol=1e-4)
