"""What Keras 2.0 to 2.3 and tf.keras of TensorFlow 1 wrote, by hand: they do not run any more.

Layouts follow keras/engine/topology.py of 2.1.6 (attributes in parts), keras/applications/
mobilenet.py of 2.1.6 (its own `DepthwiseConv2D` and `relu6`), and TensorFlow 1.14.
"""

import json

import h5py
import numpy as np
import pytest
from tinycnn.convert import keras
from tinycnn.convert.hdf5 import read as read_here

from tests.convert.keras_files import layer, small_config, small_layers, small_weights, write_h5
from tests.convert.test_dialects import chain, convert, only
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Input, from_tensors


def in_parts(group, name, parts):
    """Split an attribute as Keras does where it would be longer than 64 KB."""
    values = group.attrs[name]
    del group.attrs[name]
    for number, part in enumerate(np.array_split(np.asarray(values), parts)):
        group.attrs[f"{name}{number}"] = part


@pytest.mark.parametrize("text", [True, False])
def test_attributes_in_parts(text, tmp_path):
    write_h5(tmp_path / "whole.h5")
    write_h5(tmp_path / "parts.h5")
    with h5py.File(tmp_path / "parts.h5", "r+") as file:
        weights = file["model_weights"]
        for group in (weights, *weights.values()):
            name = "layer_names" if group is weights else "weight_names"
            if len(group.attrs[name]):
                names = [n if isinstance(n, bytes) else n.encode() for n in group.attrs[name]]
                if text:  # str where others have bytes
                    names = [n.decode() for n in names]
                group.attrs.create(name, names, dtype=h5py.string_dtype() if text else None)
                in_parts(group, name, 2)
        assert "layer_names1" in weights.attrs
        file.attrs["keras_version"] = np.bytes_(b"2.1.6")
    whole, parts = (keras.read(tmp_path / n, read_hdf5=read_here) for n in ("whole.h5", "parts.h5"))
    assert whole.weights.keys() == parts.weights.keys()
    for key, value in whole.weights.items():
        np.testing.assert_array_equal(parts.weights[key], value)


def test_twelve_parts_come_in_numerical_order(tmp_path):
    names = [f"relu_{i}" for i in range(24)]
    layers = [layer("Dense", name, units=2, use_bias=False) for name in names]
    first = [layer("InputLayer", "in", batch_input_shape=[None, 2])]
    weights = {n: {"kernel:0": np.full((2, 2), i, "f4")} for i, n in enumerate(names)}
    write_h5(tmp_path / "m.h5", small_config(first + layers), weights)
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        in_parts(file["model_weights"], "layer_names", 12)
    found = keras.read(tmp_path / "m.h5", read_hdf5=read_here)
    assert [value[0, 0] for value in found.weights.values()] == list(range(24))


def test_mobilenet_with_its_own_layer_and_function(tmp_path):
    """`DepthwiseConv2D` and `relu6` were custom objects of keras.applications until 2.1.5."""
    shared = {
        "trainable": True, "padding": "same", "data_format": "channels_last",
        "dilation_rate": [1, 1], "activation": "linear", "use_bias": False,
        "bias_initializer": {"class_name": "Zeros", "config": {}}, "bias_regularizer": None,
        "activity_regularizer": None, "bias_constraint": None,
    }  # fmt: skip
    depthwise = layer(
        "DepthwiseConv2D", "conv_dw_1", kernel_size=[3, 3], strides=[2, 2], depth_multiplier=1,
        depthwise_initializer={"class_name": "VarianceScaling", "config": {}},
        depthwise_regularizer=None, depthwise_constraint=None, **shared,
    )  # fmt: skip
    conv = layer(
        "Conv2D", "conv1", filters=4, kernel_size=[3, 3], strides=[2, 2],
        kernel_initializer={"class_name": "VarianceScaling", "config": {}},
        kernel_regularizer=None, kernel_constraint=None, **shared,
    )  # fmt: skip
    norm = layer(
        "BatchNormalization", "conv1_bn", trainable=True, axis=-1, momentum=0.99, epsilon=0.001,
        center=True, scale=True, beta_initializer={"class_name": "Zeros", "config": {}},
        gamma_regularizer=None, beta_constraint=None,
    )  # fmt: skip
    relu = layer("Activation", "conv1_relu", trainable=True, activation="relu6")
    random = np.random.default_rng(1)
    weights = {
        "conv1": {"kernel:0": random.normal(size=(3, 3, 3, 4))},
        "conv1_bn": {
            f"{n}:0": np.abs(random.normal(size=4)) + 0.5
            for n in ("gamma", "beta", "moving_mean", "moving_variance")
        },
        "conv_dw_1": {"depthwise_kernel:0": random.normal(size=(3, 3, 4, 1))},
    }
    config = chain(conv, norm, relu, depthwise, shape=(9, 9, 3))
    graph = convert(tmp_path, config, weights, version="2.1.3")
    x = inputs = Input((9, 9, 3))
    for made in (
        nn.Conv2D(4, 3, strides=2, padding="same", use_bias=False, name="conv1"),
        nn.BatchNormalization(name="conv1_bn"),
        nn.Activation("relu6", name="conv1_relu"),
        nn.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False, name="conv_dw_1"),
    ):
        x = made(x)
    assert graph == from_tensors(inputs, x)


@pytest.mark.parametrize("class_name", ["BatchNormalizationV1", "BatchNormalizationV2"])
def test_batch_normalization_of_tensorflow_1(class_name, tmp_path):
    layers = small_layers()
    layers[2] = layer(
        class_name, "bn", dtype="float32", axis=[3], momentum=0.99, epsilon=0.001, center=True,
        scale=True, fused=True, renorm=False, renorm_clipping={}, renorm_momentum=0.99,
        virtual_batch_size=None, adjustment=None, trainable=True,
        moving_mean_initializer={"class_name": "Zeros", "config": {"dtype": "float32"}},
    )  # fmt: skip
    graph = convert(tmp_path, small_config(layers), small_weights(), version="2.1.6-tf")
    assert graph.nodes[1].layer == nn.BatchNormalization(name="bn")


@pytest.mark.parametrize(
    "policy",
    [
        "float32",
        {"class_name": "Policy", "config": {"name": "mixed_float16"}},
        {"class_name": "PolicyV1", "config": {"name": "mixed_bfloat16", "loss_scale": None}},
        {"class_name": "DTypePolicy", "module": "keras", "config": {"name": "float16"}},
        {"class_name": "DTypePolicyMap", "config": {"default_policy": "float32", "policy_map": {}}},
    ],
)
def test_dtype_policies(policy, tmp_path):
    assert only(tmp_path, layer("ReLU", "l", dtype=policy)) == [nn.ReLU(name="l")]


def test_input_layers_by_any_of_their_keys(tmp_path):
    for key in ("batch_input_shape", "batch_shape"):
        layers = [layer("InputLayer", "in", **{key: [None, 8, 8, 1]}), *small_layers()[1:]]
        assert convert(tmp_path, small_config(layers), small_weights()).input_shape == (8, 8, 1)
    shaped = [layer("Conv2D", "conv", batch_input_shape=[None, 8, 8, 1], **{
        k: v for k, v in small_layers()[1]["config"].items() if k != "name"
    }), *small_layers()[2:]]  # fmt: skip
    assert convert(tmp_path, small_config(shaped), small_weights()).input_shape == (8, 8, 1)
    deferred = small_config(small_layers()[1:])
    deferred["config"]["build_input_shape"] = [None, 8, 8, 1]
    assert convert(tmp_path, deferred, small_weights()).input_shape == (8, 8, 1)


def test_nested_sequentials_as_bare_lists(tmp_path):
    """Until 2.2.2 a Sequential's configuration was the list of its layers."""
    inner = {"class_name": "Sequential", "config": small_layers()[:3], "name": "part"}
    weights = small_weights()
    inside = {f"{n}/{k}": v for n in ("conv", "bn") for k, v in weights[n].items()}
    config = {"class_name": "Sequential", "config": [inner, *small_layers()[3:]]}
    graph = convert(tmp_path, config, {"part": inside, "dense": weights["dense"]}, version="2.1.6")
    assert [node.layer.name for node in graph.nodes] == ["conv", "bn", "pool", "dense"]


def test_state_of_the_optimizer_is_not_read(tmp_path):
    write_h5(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        file.attrs["training_config"] = json.dumps({"optimizer_config": {"class_name": "Own"}})
        group = file.create_group("optimizer_weights/training/Adam")
        group["iterations:0"] = np.int64(7)
        group["none"] = h5py.SoftLink("/nowhere")  # not even looked at
    assert len(keras.read(tmp_path / "m.h5", read_hdf5=read_here).weights) == 8
