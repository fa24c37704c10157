"""Spellings of Keras 2 and of single options, in files written by hand."""

import json

import h5py
import numpy as np
import pytest
from tinycnn.convert import keras
from tinycnn.convert.hdf5 import read as read_here

from tests.convert.keras_files import (
    fill_weights,
    layer,
    small_config,
    small_layers,
    small_weights,
    write_h5,
    write_keras,
)
from tinycnn.errors import ConversionError
from tinycnn.nn import layers as nn
from tinycnn.nn.architectures import build


def convert(tmp_path, config, weights=None, **options):
    write_h5(tmp_path / "m.h5", config, weights or {}, **options)
    return keras.read(tmp_path / "m.h5", read_hdf5=read_here).graph


def chain(*layers, shape=(8, 8, 4)):
    """A Sequential of layers without weights."""
    return small_config([layer("InputLayer", "in", batch_input_shape=[None, *shape]), *layers])


def only(tmp_path, *layers, **options):
    """What one layer becomes."""
    config = chain(*layers)
    return [n.layer for n in convert(tmp_path, config, {"none": {}}, **options).nodes]


def test_every_spelling_of_the_same_file(tmp_path):
    write_h5(tmp_path / "a.h5")
    write_keras(tmp_path / "b.keras")
    listed = {"class_name": "Sequential", "config": small_layers()}  # before Keras 2.2.3
    write_h5(tmp_path / "c.h5", listed, version="2.1.6")
    shaped = small_layers()[1:]
    shaped[0]["config"]["batch_input_shape"] = [None, 8, 8, 1]
    write_h5(tmp_path / "d.h5", small_config(shaped), version="2.2.4-tf")
    found = [keras.read(tmp_path / n, read_hdf5=read_here) for n in ("a.h5", "b.keras")]
    found += [keras.read(tmp_path / n, read_hdf5=read_here) for n in ("c.h5", "d.h5")]
    x = np.random.default_rng(1).normal(size=(2, 8, 8, 1)).astype(np.float32)
    results = [f.graph.forward(x, f.weights) for f in found]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    assert [f.origin for f in found][:2] == ["Keras 2.8.0, .h5", "Keras 3.5.0, .keras"]


def test_functional_lists_and_tensorflow_operations(tmp_path):
    def entry(class_name, name, nodes, **config):
        return {**layer(class_name, name, **config), "name": name, "inbound_nodes": nodes}

    layers = [
        entry("InputLayer", "img", [], batch_input_shape=[None, 4, 4, 3]),
        entry("TFOpLambda", "half", [["img", 0, 0, {"y": 127.5, "name": None}]],
              function="math.truediv"),
        entry("TFOpLambda", "less", [["half", 0, 0, {"y": 1.0}]], function="math.subtract"),
        entry("ReLU", "relu", [[["less", 0, 0, {}]]], max_value={"type": "ndarray", "value": 6.0}),
        entry("TFOpLambda", "from", [["_CONSTANT_VALUE", -1, 2.0, {"y": ["relu", 0, 0]}]],
              function="math.subtract"),
        entry("TFOpLambda", "add", [["from", 0, 0, {"y": ["img", 0, 0]}]],
              function="__operators__.add"),
        entry("Add", "both", [[["add", 0, 0, {}], ["relu", 0, 0, {}]]]),
    ]  # fmt: skip
    config = {
        "name": "f",
        "layers": layers,
        "input_layers": [["img", 0, 0]],
        "output_layers": [["both", 0, 0]],
    }
    found = convert(tmp_path, {"class_name": "Functional", "config": config}, {"none": {}})
    x = np.random.default_rng(1).uniform(0, 255, (2, 4, 4, 3)).astype(np.float32)
    relu = np.clip(x / 127.5 - 1, 0, 6)
    np.testing.assert_allclose(found.forward(x, {}), 2 - relu + x + relu, rtol=1e-5)


def test_names_with_slashes(tmp_path):
    """DenseNet's layers are called conv1/conv and conv1/bn."""
    layers, weights = small_layers(), small_weights()
    layers[1]["config"]["name"] = "conv1/conv"
    layers[2]["config"]["name"] = "conv1/bn"
    weights = {
        "conv1/conv": weights["conv"],
        "conv1/bn": weights["bn"],
        "dense": weights["dense"],
    }
    graph = convert(tmp_path, small_config(layers), weights)
    assert "conv1/conv/kernel" in graph.weight_shapes


def test_a_layer_called_input(tmp_path):
    found = only(tmp_path, layer("ReLU", "input"), layer("Flatten", "f"))
    assert [made.name for made in found] == ["input_layer", "f"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (layer("LeakyReLU", "l", alpha=0.1), nn.LeakyReLU(0.1)),
        (layer("ReLU", "l", max_value=6.0, threshold=0.0, negative_slope=0.0), nn.ReLU(6.0)),
        (layer("Activation", "l", activation="relu6"), nn.Activation("relu6")),
        (layer("Activation", "l", activation="swish"), nn.Activation("silu")),
        (layer("Activation", "l", activation="softmax_v2"), nn.Activation("softmax")),
        (layer("Activation", "l", activation="hard_sigmoid"),
         nn.Activation("hard_sigmoid_keras2")),
        (layer("Activation", "l", activation={"class_name": "function", "config": "relu6"}),
         nn.Activation("relu6")),
        (layer("Softmax", "l", axis=[-1]), nn.Softmax(-1)),
        (layer("MaxPool2D", "l", pool_size=[2, 2], data_format="channels_last"),
         nn.MaxPooling2D((2, 2))),
        (layer("Rescaling", "l", scale=0.5, offset=[1, 2, 3, 4]), nn.Rescaling(0.5, (1, 2, 3, 4))),
        (layer("RandomRotation", "l", factor=0.2, fill_mode="reflect"), nn.Identity()),
        (layer("SpatialDropout2D", "l", rate=0.1, data_format="channels_last"),
         nn.SpatialDropout2D(0.1)),
        (layer("CenterCrop", "l", height=3, width=8), nn.Cropping2D(((2, 3), (0, 0)))),
    ],
    ids=lambda v: v["class_name"] if isinstance(v, dict) else "",
)  # fmt: skip
def test_options_of_keras_2(entry, expected, tmp_path):
    (found,) = only(tmp_path, entry)
    assert found == type(expected)(**{**expected.config(), "name": "l"})


def test_hard_sigmoid_of_keras_3(tmp_path):
    entry = layer("Activation", "l", activation="hard_sigmoid")
    assert only(tmp_path, entry, version="3.5.0")[0].activation == "hard_sigmoid"


def test_an_activation_that_is_a_layer(tmp_path):
    leaky = {"class_name": "LeakyReLU", "config": {"name": "x", "alpha": 0.1}}
    weights = small_weights()
    layers = small_layers()
    layers[1]["config"]["activation"] = leaky
    graph = convert(tmp_path, small_config(layers), weights)
    assert graph.nodes[0].layer.activation == "linear"
    assert graph.nodes[1].layer == nn.LeakyReLU(0.1, name="conv_activation")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (layer("ReLU", "l", soft=1), r"layer 'l' \(ReLU\): the option 'soft' is not known here"),
        (layer("Activation", "l", activation="sin"), "the activation 'sin' is none of"),
        (layer("Activation", "l", activation="gelu_tanh"), "the activation 'gelu_tanh' is none"),
        (layer("Activation", "l", activation={"class_name": "function", "config": "mine"}),
         "the activation 'mine' is a function outside of Keras"),
        (layer("Activation", "l", activation=3), "the activation 3"),
        (layer("MaxPooling2D", "l", data_format="channels"),
         "data_format = 'channels' cannot be converted"),
        (layer("MaxPooling2D", "l", strides=[0, 1]), "\\): strides must"),
        (layer("MaxPooling2D", "l", pool_size=True), "pool_size must be"),
        (layer("MaxPooling2D", "l", pool_size=[2, 2, 2]), "pool_size must be"),
        (layer("MaxPooling2D", "l", padding="causal"), "padding must be"),
        (layer("MaxPooling2D", "l", pool_size=[9, 9]), "larger than the input"),
        (layer("Dropout", "l", rate="x"), "rate must be float"),
        (layer("ReLU", "l", dtype="int8"), "its type 'int8' is not one of"),
        (layer("TFOpLambda", "l", function="math.sin"), "math.sin: an operation of TensorFlow"),
        (layer("TFOpLambda", "l", function="a\nb"), "whose name cannot be printed"),
        (layer("TFOpLambda", "l", function="compat.v1.image.resize"), "an operation of Tensor"),
        (layer("TensorFlowOpLayer", "l", node_def="x"), "no node of a graph that can be read"),
        (layer("TensorFlowOpLayer", "l", node_def={"op": "Sin"}), "Sin: an operation of"),
        (layer("TensorFlowOpLayer", "l", node_def={"op": "Relu", "attr": {"a": {"b": True}}}),
         "Relu: with a = True: "),
        (layer("Custom>Mine", "l"), "tinycnn has no such layer"),
        (layer("Reshape", "l", target_shape=[7, -1]), "cannot become"),
        (layer("Conv2D", "l", kernel_size=[3, 3]), "filters"),
    ],
    ids=lambda v: v["class_name"] if isinstance(v, dict) else "",
)  # fmt: skip
def test_refusals_name_layer_and_reason(entry, words, tmp_path):
    with pytest.raises(ConversionError, match=words) as caught:
        only(tmp_path, entry)
    assert "\n" not in str(caught.value)
    assert "'l'" in str(caught.value)


def spoilt(spoil):
    weights = small_weights()
    spoil(weights)
    return weights


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda w: w["dense"].pop("bias:0"),
         r"layer 'dense' \(Dense\): has 2 weights \(kernel, bias\), and the file holds 1"),
        (lambda w: w.pop("conv"), r"layer 'conv' \(Conv2D\): its weight 'kernel' is not in the"),
        (lambda w: w["dense"].update({"kernel:0": np.zeros((2, 3), np.float32)}),
         r"'kernel' must be \(3, 2\), and is \(2, 3\) in the file"),
        (lambda w: w["dense"].update({"kernel:0": np.full((3, 2), 1e300)}),
         "'kernel' holds NaN or infinity"),
    ],
)  # fmt: skip
def test_missing_and_misshapen_weights(spoil, words, tmp_path):
    with pytest.raises(ConversionError, match=words):
        convert(tmp_path, small_config(), spoilt(spoil))


def test_listed_weight_that_is_not_there(tmp_path):
    write_h5(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        del file["model_weights/dense/dense/bias:0"]
    with pytest.raises(ConversionError, match="'dense/bias:0' is listed in the file"):
        keras.read(tmp_path / "m.h5", read_hdf5=read_here)


def test_weights_in_double_precision(tmp_path):
    weights = {
        name: {key: value.astype(np.float64) for key, value in arrays.items()}
        for name, arrays in small_weights().items()
    }
    write_h5(tmp_path / "m.h5", weights=weights)
    found = keras.read(tmp_path / "m.h5", read_hdf5=read_here)
    assert {value.dtype for value in found.weights.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"class_name": "MyModel"}, "of class 'MyModel', whose layers stand in Python code"),
        ({"config": None}, "no list of layers"),
        ({"config": {"layers": []}}, "0 layers"),
        ({"config": {"layers": [layer("ReLU", "a"), layer("ReLU", "a")]}}, "two layers are called"),
        ({"config": {"layers": [{"class_name": "ReLU", "config": {}}]}}, "without a name"),
        ({"config": {"layers": [layer("ReLU", "a")]}}, "leaves the input's size open"),
        ({"class_name": "Functional"}, "its in- or outputs are not listed"),
    ],
)
def test_configurations_that_are_none(change, words, tmp_path):
    with pytest.raises(ConversionError, match=words):
        convert(tmp_path, {**small_config(), **change}, {"none": {}})


def test_circles_and_loose_ends(tmp_path):
    def model(*edges):
        layers = [
            {**layer("InputLayer", "i", batch_input_shape=[None, 4, 4, 1]), "inbound_nodes": []}
        ]
        layers += [
            {**layer("ReLU", name), "inbound_nodes": [[[source, 0, 0, {}]]]}
            for name, source in edges
        ]
        ends = {"input_layers": [["i", 0, 0]], "output_layers": [[edges[-1][0], 0, 0]]}
        return {"class_name": "Functional", "config": {"layers": layers, **ends}}

    with pytest.raises(ConversionError, match="run in a circle"):
        convert(tmp_path, model(("a", "b"), ("b", "a")), {"none": {}})
    with pytest.raises(ConversionError, match="layer 'a': its input 'x' is missing"):
        convert(tmp_path, model(("a", "x")), {"none": {}})


def test_nested_models_cannot_multiply_without_end(tmp_path):
    inner = chain(layer("ReLU", "r"))
    for depth in range(18):
        inner = small_config([{**inner, "config": {**inner["config"], "name": f"m{depth}"}}])
    with pytest.raises(ConversionError, match="nested deeper than 16"):
        convert(tmp_path, inner, {"none": {}})


def test_calls_of_shared_models_are_limited(tmp_path):
    def doubled(inner, depth):
        name = f"m{depth}"
        calls = [[["i", 0, 0, {}]], *([[name, n, 0, {}]] for n in range(9))]
        inner = {**inner, "config": {**inner["config"], "name": name}, "inbound_nodes": calls}
        first = {**layer("InputLayer", "i", batch_input_shape=[None, 4, 4, 1]), "inbound_nodes": []}
        ends = {"input_layers": [["i", 0, 0]], "output_layers": [[name, 9, 0]]}
        return {"class_name": "Functional", "config": {"layers": [first, inner], **ends}}

    config = chain(layer("ReLU", "r"), shape=(4, 4, 1))
    for depth in range(6):
        config = doubled(config, depth)
    with pytest.raises(ConversionError, match=r"more than \d+ layers"):
        convert(tmp_path, config, {"none": {}})


def test_plain_hdf5(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(ConversionError, match="nothing that Keras saved"):
        keras.read(tmp_path / "x.h5", read_hdf5=read_here)


def test_weights_alone_without_architecture(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        fill_weights(file, small_weights())
    with pytest.raises(ConversionError, match="say which network they belong to") as caught:
        keras.read(tmp_path / "w.h5", read_hdf5=read_here)
    assert "names are mobilenet_v2, mobilenet, " in str(caught.value)
    assert "model.save('NAME.keras')" in str(caught.value)


def test_layers_that_do_not_fit_are_listed_once(tmp_path):
    arrays = small_weights()["conv"]
    with h5py.File(tmp_path / "w.h5", "w") as file:  # two nested models, each with a "conv"
        fill_weights(
            file, {"m": {f"{part}/conv/{k}": a for part in "ab" for k, a in arrays.items()}}
        )
    with pytest.raises(ConversionError, match=r"the file 2 \(conv \(3, 3, 1, 3\) \(3,\)\)"):
        keras.read(tmp_path / "w.h5", build("cnn5", (32, 32, 1), 1), read_hdf5=read_here)


def test_an_architecture_that_is_not_asked_for(tmp_path):
    write_keras(tmp_path / "m.keras")
    found = keras.read(tmp_path / "m.keras", read_hdf5=read_here)
    with pytest.raises(ConversionError, match="leave --architecture away"):
        keras.read(tmp_path / "m.keras", architecture=found.graph)


def test_weights_under_another_layers_name(tmp_path):
    config = small_config()
    config["config"]["layers"][1]["config"]["name"] = "other"
    write_keras(tmp_path / "m.keras", {"config.json": json.dumps(config).encode()})
    with pytest.raises(ConversionError, match="layer 'other': the file has weights of 'conv'"):
        keras.read(tmp_path / "m.keras", read_hdf5=read_here)
