"""Files of Keras 1, written by hand as its code did (1.2.2; it cannot run here any more).

What to expect is computed from the definitions, channels first and with true convolutions.
"""

import h5py
import numpy as np
import pytest
from tinycnn.convert import keras
from tinycnn.convert.hdf5 import read as read_here

from tests.convert.keras_files import (
    layer,
    small_config,
    small_weights,
    write_h5,
    write_keras,
    write_keras1,
)
from tinycnn.errors import ConversionError
from tinycnn.nn import layers as nn

SHAPE = (2, 9, 8)  # channels, rows, columns


def normal(*shape, seed=1):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def read(path, **options):
    return keras.read(path, read_hdf5=read_here, **options)


def conv1(name, filters, rows, columns, ordering="th", **options):
    defaults = {"border_mode": "valid", "subsample": [1, 1], "activation": "linear", "bias": True}
    unused = {"init": "glorot_uniform", "W_regularizer": None, "b_constraint": None}
    return layer(
        "Convolution2D", name, nb_filter=filters, nb_row=rows, nb_col=columns,
        dim_ordering=ordering, **{**defaults, **unused, **options},
    )  # fmt: skip


def dense1(name, units, inputs=None):
    return layer("Dense", name, output_dim=units, input_dim=inputs, bias=True, init="uniform",
                 activation="linear", W_constraint=None)  # fmt: skip


def norm1(name, **options):
    return layer("BatchNormalization", name, epsilon=1e-3, **{"mode": 0, "axis": 1, **options})


def statistics(channels):
    values = [np.abs(normal(channels, seed=i)) + 0.5 for i in range(4)]
    return dict(zip(("gamma", "beta", "running_mean", "running_std"), values, strict=True))


def convolve(x, kernel, strides=(1, 1), same=False):
    """Theano's ``conv2d``: x (C, H, W), kernel (out, in, rows, columns) turned; "half" padding."""
    (_, _, kh, kw), (sh, sw), (_, height, width) = kernel.shape, strides, x.shape
    if same:
        x = np.pad(x, ((0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2)))
        rows, columns = -(-height // sh), -(-width // sw)
    else:
        rows, columns = (height - kh) // sh + 1, (width - kw) // sw + 1
    y = np.zeros((len(kernel), rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = x[:, i * sh : i * sh + kh, j * sw : j * sw + kw][:, ::-1, ::-1]
            y[:, i, j] = np.einsum("ocab,cab->o", kernel, window)
    return y


def theano_model(ordering="th"):
    """Layers, weights, and what they compute for x (C, H, W)."""
    kernels = normal(3, 2, 3, 3), normal(4, 3, 4, 2)
    biases, rows, last = (normal(3), normal(4)), normal(4 * 3 * 2, 5), normal(5)
    bn = statistics(3)
    shape = [None, *SHAPE] if ordering == "th" else [None, *SHAPE[1:], SHAPE[0]]
    layers = [
        layer("ZeroPadding2D", "pad", padding=[1, 0], batch_input_shape=shape, input_dtype="f"),
        conv1("conv", 3, 3, 3, ordering, subsample=[2, 1], border_mode="same"),
        norm1("bn", axis=1 if ordering == "th" else 3),
        layer("Activation", "relu", activation="relu"),
        conv1("even", 4, 4, 2, ordering, border_mode="same"),
        layer("MaxPooling2D", "pool", pool_size=[2, 3], strides=[2, 3], border_mode="valid",
              dim_ordering=ordering),
        layer("Dropout", "drop", p=0.25),
        layer("Flatten", "flat"),
        dense1("dense", 5),
    ]  # fmt: skip
    laid = kernels if ordering == "th" else [k.transpose(2, 3, 1, 0) for k in kernels]
    weights = {
        "pad": {},
        "conv": {"W": laid[0], "b": biases[0]},
        "bn": {f"bn_{key}": value for key, value in bn.items()},
        "even": {"W": laid[1], "b": biases[1]},
        "dense": {"W": rows, "b": last},
    }

    def compute(x):
        x = np.pad(x, ((0, 0), (1, 1), (0, 0)))
        x = convolve(x, kernels[0], (2, 1), same=True) + biases[0][:, None, None]
        gamma, beta, mean, variance = (value[:, None, None] for value in bn.values())
        x = np.maximum(gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta, 0)
        x = convolve(x, kernels[1], same=True) + biases[1][:, None, None]
        x = x[:, :6, :6].reshape(4, 3, 2, 2, 3).max((2, 4))
        x = x if ordering == "th" else x.transpose(1, 2, 0)
        return x.ravel() @ rows + last

    return layers, weights, compute


@pytest.mark.parametrize("ordering", ["th", "tf"])
def test_theano_by_its_definitions(ordering, tmp_path):
    layers, weights, compute = theano_model(ordering)
    write_keras1(tmp_path / "m.h5", layers, weights, end="")
    found = read(tmp_path / "m.h5", kernels="theano")
    assert found.origin == "Keras 1.2.2, kernels of Theano, .h5"
    assert found.graph.input_shape == (9, 8, 2)
    x = normal(2, *SHAPE, seed=7)
    got = found.graph.forward(x.transpose(0, 2, 3, 1), found.weights)
    np.testing.assert_allclose(got, [compute(image) for image in x], rtol=1e-4, atol=1e-4)


def test_unknown_kernels_are_asked_for(tmp_path):
    layers, weights, _ = theano_model()
    write_keras1(tmp_path / "m.h5", layers, weights, end="")
    with pytest.raises(ConversionError, match=r"layer 'conv' .*give --kernels tensorflow or") as e:
        read(tmp_path / "m.h5")
    assert "\n" not in str(e.value)
    found = [read(tmp_path / "m.h5", kernels=k).weights for k in ("tensorflow", "theano")]
    np.testing.assert_array_equal(
        found[0]["conv/kernel"], weights["conv"]["W"].transpose(2, 3, 1, 0)
    )
    np.testing.assert_array_equal(found[1]["conv/kernel"], found[0]["conv/kernel"][::-1, ::-1])


def test_points_need_no_answer(tmp_path):
    layers = [conv1("c", 3, 1, 1, subsample=[2, 2], batch_input_shape=[None, *SHAPE])]
    write_keras1(tmp_path / "m.h5", layers, {"c": {"W": normal(3, 2, 1, 1), "b": normal(3)}}, "")
    assert read(tmp_path / "m.h5").weights["c/kernel"].shape == (1, 1, 2, 3)


def test_names_tell_tensorflow(tmp_path):
    write_keras1(tmp_path / "m.h5", *theano_model()[:2])
    assert read(tmp_path / "m.h5").origin == "Keras 1.2.2, .h5"
    with pytest.raises(ConversionError, match="those of tensorflow; leave --kernels away"):
        read(tmp_path / "m.h5", kernels="theano")


def test_the_same_network_in_keras_1_and_2(tmp_path):
    w = small_weights()
    layers = [
        conv1("conv", 3, 3, 3, "tf", border_mode="same", batch_input_shape=[None, 8, 8, 1]),
        norm1("bn", axis=-1),
        layer("GlobalAveragePooling2D", "pool", dim_ordering="tf"),
        {**dense1("dense", 2), "config": {**dense1("dense", 2)["config"], "activation": "softmax"}},
    ]
    old = ("gamma", "beta", "running_mean", "running_std")
    weights = {
        "conv": dict(zip("Wb", w["conv"].values(), strict=True)),
        "bn": {f"bn_{k}": v for k, v in zip(old, w["bn"].values(), strict=True)},
        "dense": dict(zip("Wb", w["dense"].values(), strict=True)),
    }
    write_keras1(tmp_path / "old.h5", layers, weights)
    write_h5(tmp_path / "new.h5")
    a, b = read(tmp_path / "old.h5"), read(tmp_path / "new.h5")
    assert a.graph == b.graph
    for key, value in b.weights.items():
        np.testing.assert_array_equal(a.weights[key], value)


def test_kernels_of_keras_2_on_theano(tmp_path):
    """Keras has noted its backend since 2.0; its own loader turns the kernels then."""
    write_h5(tmp_path / "m.h5", version="2.1.6")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        file.attrs["backend"] = b"theano"
    found = read(tmp_path / "m.h5")
    kernel = small_weights()["conv"]["kernel:0"]
    np.testing.assert_array_equal(found.weights["conv/kernel"], kernel[::-1, ::-1])
    assert found.origin == "Keras 2.1.6, kernels of Theano, .h5"


def functional(*entries, ends):
    layers = [
        {**entry, "name": entry["config"]["name"], "inbound_nodes": [nodes] if nodes else []}
        for entry, nodes in entries
    ]
    config = {"name": "model_1", "layers": layers}
    config |= {"input_layers": [[layers[0]["name"], 0, 0]], "output_layers": [ends]}
    return {"class_name": "Model", "config": config}


def merge(name, mode, **options):
    unused = {"dot_axes": -1, "output_shape": None, "output_mask": None, "arguments": {}}
    types = {"mode_type": "raw", "output_shape_type": "raw", "output_mask_type": "raw"}
    return layer("Merge", name, **{"mode": mode, "concat_axis": -1, **unused, **types, **options})


def test_merges_and_nested_models(tmp_path):
    """The first call of a model is its own making in Keras 1: those in the graph count from 1."""
    inner = functional(
        (layer("InputLayer", "in2", batch_input_shape=[None, *SHAPE]), []),
        (conv1("inner", 2, 1, 1), [["in2", 0, 0]]),
        ends=["inner", 0, 0],
    )
    inner["config"]["name"] = "part"
    end = [
        conv1("deep", 2, 1, 1, batch_input_shape=[None, 6, *SHAPE[1:]]),
        layer("Flatten", "flat"),
    ]
    tail = {"class_name": "Sequential", "config": end}
    config = functional(
        (layer("InputLayer", "in", batch_input_shape=[None, *SHAPE]), []),
        (inner, [["in", 0, 0]]),
        (merge("sum", "sum"), [["part", 1, 0], ["in", 0, 0]]),
        (merge("max", "max"), [["sum", 0, 0], ["in", 0, 0]]),
        (merge("cat", "concat", concat_axis=1), [["sum", 0, 0], ["max", 0, 0], ["in", 0, 0]]),
        (layer("Activation", "end", activation="tanh"), [["cat", 0, 0]]),
        ends=["end", 0, 0],
    )
    config = [{**config, "name": "all"}, tail, dense1("dense", 2)]
    w = {"inner_W": normal(2, 2, 1, 1), "inner_b": normal(2)}
    weights = {
        "model_1": w,
        "deep": {"W": normal(2, 6, 1, 1), "b": normal(2)},
        "dense": {"W": normal(144, 2), "b": normal(2)},
    }
    write_keras1(tmp_path / "m.h5", config, weights, end="")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        file["model_weights"].move("model_1", "all")
    found = read(tmp_path / "m.h5")
    x = normal(*SHAPE, seed=3)
    added = np.einsum("oi,ihw->ohw", w["inner_W"][..., 0, 0], x) + w["inner_b"][:, None, None] + x
    joined = np.tanh(np.concatenate([added, np.maximum(added, x), x]))
    y = np.einsum("oi,ihw->ohw", weights["deep"]["W"][..., 0, 0], joined)
    y = (y + weights["deep"]["b"][:, None, None]).ravel()
    expected = y @ weights["dense"]["W"] + weights["dense"]["b"]
    got = found.graph.forward(x.transpose(1, 2, 0)[None], found.weights)[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def only(tmp_path, *entries, shape=(8, 8, 4), weights=None):
    entries[0]["config"]["batch_input_shape"] = [None, *shape]
    write_keras1(tmp_path / "m.h5", list(entries), weights or {"none": {}})
    return read(tmp_path / "m.h5").graph.nodes[0].layer


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (layer("MaxPooling2D", "l", pool_size=[3, 2], strides=[2, 1], border_mode="valid",
               dim_ordering="tf"), nn.MaxPooling2D((3, 2), (2, 1))),
        (layer("Dropout", "l", p=0.3), nn.Dropout(0.3)),
        (layer("GaussianNoise", "l", sigma=0.1), nn.GaussianNoise()),
        (layer("GaussianDropout", "l", p=0.1), nn.GaussianDropout()),
        (layer("LeakyReLU", "l", alpha=0.2), nn.LeakyReLU(0.2)),
        (layer("ELU", "l", alpha=1.5), nn.ELU(1.5)),
        (layer("Activation", "l", activation="hard_sigmoid"),
         nn.Activation("hard_sigmoid_keras2")),
        (layer("Reshape", "l", target_shape=[16, -1]), nn.Reshape((16, -1))),
        (layer("Permute", "l", dims=[3, 1, 2]), nn.Permute((3, 1, 2))),
    ],
)  # fmt: skip
def test_options(entry, expected, tmp_path):
    assert only(tmp_path, entry) == type(expected)(**{**expected.config(), "name": "l"})


def test_options_with_weights(tmp_path):
    atrous = conv1("l", 3, 3, 2, "tf", atrous_rate=[2, 1], bias=False)
    made = only(tmp_path, {**atrous, "class_name": "AtrousConvolution2D"},
                weights={"l": {"W": normal(3, 2, 4, 3)}})  # fmt: skip
    assert made == nn.Conv2D(3, (3, 2), dilation_rate=(2, 1), use_bias=False, name="l")
    separable = conv1("l", 5, 3, 3, depth_multiplier=2, border_mode="same", subsample=[2, 2])
    kernels = {"l_depthwise_kernel": normal(2, 4, 3, 3), "l_pointwise_kernel": normal(5, 8, 1, 1)}
    made = only(tmp_path, {**separable, "class_name": "SeparableConvolution2D"},
                shape=(4, 8, 8), weights={"l": {**kernels, "b": normal(5)}})  # fmt: skip
    assert made == nn.SeparableConv2D(5, 3, 2, depth_multiplier=2, padding="same", name="l")
    found = read(tmp_path / "m.h5").weights["l/depthwise_kernel"]
    np.testing.assert_array_equal(found, kernels["l_depthwise_kernel"].transpose(2, 3, 1, 0))


def test_slopes_of_pictures(tmp_path):
    first = conv1("c", 3, 1, 1, batch_input_shape=[None, *SHAPE])
    weights = {
        "c": {"W": normal(3, 2, 1, 1), "b": normal(3)},
        "p": {"p_alphas": normal(3, 9, 8)},
    }
    layers = [first, layer("PReLU", "p", init="zero"), layer("Flatten", "f")]
    write_keras1(tmp_path / "m.h5", layers, weights)
    found = read(tmp_path / "m.h5").weights["p/alpha"]
    np.testing.assert_array_equal(found, weights["p"]["p_alphas"].transpose(1, 2, 0))


@pytest.mark.parametrize(
    ("padding", "shape"),
    [
        ([1, 2], (10, 12)),
        ([1, 2, 3, 4], (11, 15)),
        ({"top_pad": 1, "right_pad": 2}, (9, 10)),
    ],
)
def test_paddings(padding, shape, tmp_path):
    pool = layer("GlobalMaxPooling2D", "g", dim_ordering="tf")
    made = only(tmp_path, layer("ZeroPadding2D", "l", padding=padding), pool)
    assert made.output_shape((8, 8, 4)) == (*shape, 4)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (layer("MaxoutDense", "l", output_dim=3), r"layer 'l' \(MaxoutDense\): tinycnn has no"),
        (layer("Highway", "l"), "tinycnn has no such layer"),
        (layer("Lambda", "l", function=["code"]), "holds Python code, which is never executed"),
        (layer("LSTM", "l", output_dim=3), "recurrent layers cannot be converted"),
        (norm1("l", mode=1), r"layer 'l' \(BatchNormalization\): mode 1 normalises each"),
        (norm1("l", mode=2), "mode 2 normalises each batch or image"),
        (merge("l", "cos"), r"layer 'l' \(Merge\): the mode 'cos' is none of"),
        (merge("l", "code", mode_type="lambda"), "the mode 'code' is none of"),
        (merge("l", "sum", layers=[]), "joins several models; only one input"),
        (merge("l", ["sum"]), "is none of"),
        (layer("ZeroPadding2D", "l", padding=[1, 1]), "did not save its dim_ordering"),
        (layer("ZeroPadding2D", "l", padding={"top": 1}, dim_ordering="tf"), "has keys other"),
        (layer("MaxPooling2D", "l", dim_ordering=["tf"]), "is not th or tf"),
        (layer("MaxPooling2D", "l", dim_ordering="tf", border_mode="full"), "padding must be"),
        (conv1("l", 3, 3, None, "tf"), "kernel_size must be"),
        (conv1("l", "x", 3, 3, "tf", border_mode="same", subsample="2"), "two whole numbers"),
        (layer("Convolution2D", "l", nb_filter=3, dim_ordering="tf"), "kernel_size"),
    ],
)  # fmt: skip
def test_refusals_name_the_layer(entry, words, tmp_path):
    with pytest.raises(ConversionError, match=words) as caught:
        only(tmp_path, entry)
    assert "layer 'l' (" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [[2, 2], [5, 5]])
def test_theanos_other_pooling_is_refused(size, tmp_path):
    pool = layer("MaxPooling2D", "p", pool_size=size, strides=[1, 1], border_mode="same",
                 dim_ordering="th", batch_input_shape=[None, *SHAPE])  # fmt: skip
    write_keras1(tmp_path / "m.h5", [pool], {"p": {}}, end="")
    with pytest.raises(ConversionError, match=r"'p' .*Theano's padding 'same' of this layer"):
        read(tmp_path / "m.h5", kernels="theano")
    assert read(tmp_path / "m.h5", kernels="tensorflow").graph.nodes[0].layer.padding == "same"


@pytest.mark.parametrize(
    "config",
    [
        [], [3], ["x"], [[]], [{}], [{"class_name": 3, "config": {}}], {"class_name": "Sequential"},
        [{"class_name": "Dense", "config": 3}], [{"class_name": "Sequential", "config": [[]]}],
        {"class_name": "Model", "config": {"layers": [{"class_name": "Model", "config": 5}]}},
        {"class_name": "Model", "config": {"layers": 3, "input_layers": {}}},
        [layer("Merge", "m")], [{"class_name": "Dense", "config": {"name": []}}],
    ],
)  # fmt: skip
def test_configurations_that_are_none(config, tmp_path):
    write_keras1(tmp_path / "m.h5", config, {"none": {}})
    with pytest.raises(ConversionError) as caught:
        read(tmp_path / "m.h5")
    assert "\n" not in str(caught.value)


def test_nesting_is_limited(tmp_path):
    entry = small_config()
    for _ in range(20):
        entry = {"class_name": "Sequential", "config": [entry]}
    write_keras1(tmp_path / "m.h5", entry, {"none": {}})
    with pytest.raises(ConversionError, match="nested deeper than 16"):
        read(tmp_path / "m.h5")


def test_kernels_of_keras_3_are_not_asked_for(tmp_path):
    write_keras(tmp_path / "m.keras")
    with pytest.raises(ConversionError, match="leave --kernels away"):
        read(tmp_path / "m.keras", kernels="theano")


@pytest.mark.parametrize("metadata", [b"{}", b'{"keras_version": "1.2.2"}', b"[]"])
def test_archives_of_no_version(metadata, tmp_path):
    write_keras(tmp_path / "m.keras", {"metadata.json": metadata})
    with pytest.raises(ConversionError, match=r"its metadata.json does not say which Keras"):
        read(tmp_path / "m.keras")
