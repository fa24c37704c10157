"""Heads whose labels are independent: kept, recognised, or asked for; never made a softmax."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from tinycnn.convert import __main__ as command
from tinycnn.convert import pytorch
from tinycnn.convert.scores import ended_in, with_probabilities

from tests.convert.keras_files import DENSE, fill_weights, small_config, small_layers, write_h5
from tests.convert.torch_writer import save, state_for
from tests.corpus import WILD
from tinycnn import cli
from tinycnn.errors import ConversionError
from tinycnn.nn import layers as nn
from tinycnn.nn import modelfile
from tinycnn.nn.architectures import build
from tinycnn.nn.architectures.torchvision import TORCHVISION
from tinycnn.nn.graph import Sequential

SHAPE = (32, 32, 1)
OPTIONS = ("--architecture", "mobilenet_v2", "--alpha", "0.35", "--input", "32x32x1")


@pytest.fixture
def checkpoint(tmp_path):
    """Write a state dict of a small MobileNetV2; its head is called so."""

    def write(classes, head="classifier.1"):
        state = state_for(TORCHVISION["mobilenet_v2"](SHAPE, classes, 0.35))
        renamed = {key.replace("classifier", head): value for key, value in state.items()}
        prefixed = {f"module.{key}": value for key, value in renamed.items()}
        return save(tmp_path / "model.pth.tar", prefixed, "state_dict")

    return write


@pytest.fixture
def convert(tmp_path, capsys):
    def call(path, *options):
        out = tmp_path / "m.safetensors"
        status = command.main([str(path), "-o", str(out), "--force", *options])
        captured = capsys.readouterr()
        return modelfile.load(out) if status == 0 else None, captured.out + captured.err

    return call


def test_the_option_is_honoured(checkpoint, convert):
    path = checkpoint(14)
    x = np.random.default_rng(1).uniform(-1, 1, (2, *SHAPE)).astype(np.float32)
    logits = convert(path, *OPTIONS, "--activation", "none")[0].forward(x)
    model, said = convert(path, *OPTIONS, "--activation", "sigmoid")
    np.testing.assert_allclose(model.forward(x), 1 / (1 + np.exp(-logits)), atol=1e-5)
    assert "14 independent scores" in said
    assert "its scores are sigmoids: any number of labels can be true of one image" in said
    assert "this one in a sigmoid of each" in said
    model, said = convert(path, *OPTIONS)
    powers = np.exp(logits)
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.forward(x), expected, atol=1e-5)
    assert "several labels can be true of one image, give --activation sigmoid" in said


@pytest.mark.parametrize("head", ["classifier.0", "classifier"])
def test_chexnet_is_recognised_by_its_head(head, checkpoint, convert):
    """Sequential(Linear, Sigmoid) of 14 labels, where torchvision has a Linear layer."""
    model, said = convert(checkpoint(14, head), *OPTIONS)
    assert model.independent == (head == "classifier.0")
    assert ("as CheXNet's 14 labels; --activation softmax if one" in said) == model.independent
    assert not convert(checkpoint(14, head), *OPTIONS, "--activation", "softmax")[0].independent


def test_what_follows_the_head_is_asked_for(checkpoint, convert):
    path = checkpoint(3, "classifier.0")
    model, said = convert(path, *OPTIONS)
    assert model is None
    assert "classifier.0 is the first layer of a Sequential" in said
    assert "give --activation sigmoid (each label by itself) or softmax" in said
    for activation in ("sigmoid", "softmax"):
        model, _ = convert(path, *OPTIONS, "--activation", activation)
        assert model.graph.nodes[-1].layer.activation == activation
    assert convert(checkpoint(1, "classifier.0"), *OPTIONS)[0].classes == 1


def test_inspect_says_so_of_every_kind_of_file(checkpoint, convert, tmp_path, capsys):
    layers = small_layers()
    layers[-1]["config"] |= {**DENSE, "activation": "sigmoid"}
    write_h5(tmp_path / "m.h5", small_config(layers))
    convert(checkpoint(14), *OPTIONS, "--activation", "sigmoid")
    for name, count in (("m.safetensors", 14), ("m.h5", 2)):
        assert cli.main(["inspect", str(tmp_path / name)]) == 0
        out = capsys.readouterr().out
        assert f"Scores: {count} independent labels, each with its own probability" in out
        assert cli.main(["inspect", str(tmp_path / name), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["independent"] is True


def test_weights_of_keras_alone(convert, tmp_path):
    """CheXNet in Keras is such a file, too: DenseNet's weights, and no word of its sigmoids."""
    graph, random = build("conv3", (64, 64, 1), 14), np.random.default_rng(2)
    arrays = {}
    for key, shape in graph.weight_shapes.items():
        layer, _, weight = key.partition("/")
        arrays.setdefault(layer, {})[f"{weight}:0"] = random.normal(0, 0.1, shape)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        fill_weights(file, arrays)
    network = ("--architecture", "conv3", "--input", "64x64x1", "--classes", "14")
    model, said = convert(tmp_path / "w.h5", *network, "--activation", "sigmoid")
    assert model.independent
    assert model.graph.weight_shapes == graph.weight_shapes
    assert "one label excludes the others" not in said
    model, said = convert(tmp_path / "w.h5", *network)
    assert not model.independent
    assert "one label excludes the others (softmax); if several can be true of one image" in said
    model, _ = convert(tmp_path / "w.h5", *network, "--activation", "none")
    assert model.graph.nodes[-1].layer.activation == "linear"


def test_a_softmax_of_one_score_is_refused(checkpoint, convert):
    assert (
        "of a single score it is always 1"
        in convert(checkpoint(1), *OPTIONS, "--activation", "softmax")[1]
    )
    with pytest.raises(ConversionError, match="always 1"):
        with_probabilities(Sequential([nn.Flatten(), nn.Dense(1)], SHAPE), "softmax")


@pytest.mark.parametrize("end", [nn.Dense(3, activation="softmax"), nn.Softmax()])
def test_what_ends_so_already_stays_as_it_is(end):
    graph = Sequential([nn.Flatten(), nn.Dense(3), end], SHAPE)
    assert with_probabilities(graph, "softmax") == (graph, "")
    with pytest.raises(ConversionError, match="ends in probabilities already"):
        with_probabilities(graph, "sigmoid")


def test_features_are_left_to_what_is_put_behind():
    """An architecture that ends in none, such as squeezenet_notop, gets one if asked."""
    graph = build("squeezenet_notop", (96, 96, 3))
    assert ended_in(graph, "sigmoid") == graph
    behind, _ = with_probabilities(graph, "sigmoid")
    assert behind.nodes[-1].layer.activation == "sigmoid"


@pytest.mark.skipif(not WILD.is_dir(), reason="../shared/wild is not there")
def test_a_checkpoint_that_became_a_softmax():
    folder = Path(WILD / "02-multilabel-state-dict")
    network = "mobilenet_v2", (64, 64, 3), None, 0.1
    with np.load(folder / "expected.npz") as golden:
        for activation, name in (("sigmoid", "y"), ("none", "logits")):
            found = pytorch.read(folder / "model.pth.tar", *network, activation)
            got = found.graph.forward(golden["x"], found.weights)
            np.testing.assert_allclose(got, golden[name], atol=1e-5)
