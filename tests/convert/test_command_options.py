"""No option of `tinycnn convert` is taken and forgotten: it changes the model, or is refused."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from tinycnn.convert import __main__ as command
from tinycnn.convert import options

from tests.convert.keras_files import DENSE, fill_weights, small_config, small_layers, write_h5
from tests.convert.onnx_files import classifier, model, node
from tests.convert.test_weights_alone import weights_of
from tests.convert.torch_writer import save, state_for
from tinycnn.nn import modelfile
from tinycnn.nn.architectures import build
from tinycnn.nn.architectures.torchvision import TORCHVISION

BASE = ("--labels", "a,b", "--positive", "b")
FEATUREWISE = ("--standardization", "featurewise", "--mean", "9", "--std", "4")
ALONE = ("--architecture", "conv3", "--input", "64x64x1", "--classes", "3")
FIGURES = {"studies": 1, "true_positive": 1, "false_positive": 0}
FIGURES |= {"true_negative": 0, "false_negative": 0}
# option -> what is given without it, and with it; the model differs
CHANGES = {
    "labels": ((), ("--labels", "a,b")),
    "positive": (("--labels", "a,b"), BASE),
    "rule": (BASE, (*BASE, "--rule", "any")),
    "threshold": (BASE, (*BASE, "--threshold", "0.3")),
    "dtype": ((), ("--dtype", "float16")),
    "color_mode": (ALONE, ("--architecture", "conv3", "--input", "64x64x3", "--classes", "3",
                           "--color-mode", "rgb")),
    "interpolation": ((), ("--interpolation", "bicubic")),
    "crop_to_aspect_ratio": ((), ("--crop-to-aspect-ratio",)),
    "fractional_crop": (("--crop-to-aspect-ratio",),
                        ("--crop-to-aspect-ratio", "--fractional-crop")),
    "scale": ((), ("--scale", "1/255")),
    "offset": ((), ("--offset=-1",)),
    "standardization": ((), ("--standardization", "samplewise")),
    "mean": (FEATUREWISE, (*FEATUREWISE, "--mean", "8")),
    "std": (FEATUREWISE, (*FEATUREWISE, "--std", "3")),
    "bgr": (("--architecture", "conv3", "--input", "64x64x3", "--classes", "3"),
            ("--architecture", "conv3", "--input", "64x64x3", "--classes", "3", "--bgr")),
    "trained_on": ((), ("--trained-on", "films")),
    "demonstration": ((), ("--demonstration",)),
    "licence": ((), ("--licence", "CC0")),
    "notes": ((), ("--notes", "n")),
    "evaluated_on": ((), ("--evaluated-on", "others")),
    "accuracy": ((), ("--accuracy", "figures.json")),
    "activation": (ALONE, (*ALONE, "--activation", "sigmoid")),
    "architecture": (ALONE, ("--architecture", "conv4", "--input", "64x64x1", "--classes", "3")),
    "input": (ALONE, ("--architecture", "conv3", "--input", "96x64x1", "--classes", "3")),
    "classes": (ALONE, ("--architecture", "conv3", "--input", "64x64x1", "--classes", "4")),
    "alpha": (("--architecture", "mobilenet", "--input", "64x64x1", "--classes", "3",
               "--alpha", "0.25"),
              ("--architecture", "mobilenet", "--input", "64x64x1", "--classes", "3",
               "--alpha", "0.3")),
}  # fmt: skip
# What is tested elsewhere: its effect is no other model.
ELSEWHERE = {
    "help": "argparse", "debug": "tests/test_cli.py", "model": "all tests",
    "output": "test_command.py", "force": "test_command.py", "verbose": "test_command.py",
    "check_with_keras": "test_keras_check.py", "kernels": "test_weights_alone.py, and below",
}  # fmt: skip


def test_every_option_is_listed():
    assert {action.dest for action in options.parser()._actions} == {*CHANGES, *ELSEWHERE}


@pytest.fixture
def convert(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "figures.json").write_text(json.dumps({"all": FIGURES}))

    def call(*arguments):
        status = command.main([*arguments, "-o", "out.safetensors", "--force"])
        captured = capsys.readouterr()
        found = modelfile.load(tmp_path / "out.safetensors") if status == 0 else None
        return found, captured.out + captured.err

    return call


def file_for(arguments):
    """A file that these options fit: a whole model, or weights alone of their network."""
    if "--architecture" not in arguments:
        write_h5("m.h5")
        return "m.h5"
    given = options.parser().parse_args(["m.h5", *arguments])
    graph = build(given.architecture, given.input, given.classes, given.alpha or 1.0)
    arrays = {}
    for key, value in weights_of(graph).items():
        layer, _, weight = key.partition("/")
        arrays.setdefault(layer, {})[f"{weight}:0"] = value * 0.1
    with h5py.File("w.h5", "w") as file:
        fill_weights(file, arrays)
    return "w.h5"


@pytest.mark.parametrize("option", CHANGES)
def test_the_model_is_another_one(option, convert):
    said = []
    for arguments in CHANGES[option]:
        found, out = convert(file_for(arguments), *arguments)
        assert found is not None, out
        weights = {key: value.tolist() for key, value in found.weights.items()}
        said.append(json.dumps([modelfile.to_json(found), weights]))
    assert said[0] != said[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--alpha", "0.5"), "--alpha is for files of weights alone: it needs --architecture"),
        (("--classes", "2"), "--classes is for files of weights alone: it needs --architecture"),
        (("--rule", "any"), "--rule needs --positive LABEL"),
        (("--threshold", "0.3", "--labels", "a,b"), "--threshold needs --positive LABEL"),
        (("--kernels", "theano"), "its kernels are those of tensorflow; leave --kernels away"),
        (("--fractional-crop",), "fractional_crop needs crop_to_aspect_ratio"),
        (("--mean", "3"), "give that, too"),
        (("--std", "3"), "give that, too"),
        (("--input", "9x9x1"), "not (9, 9, 1); leave --input away"),
        (("--architecture", "conv3"), "leave --architecture away"),
        (("--activation", "sigmoid"), "ends in probabilities already"),
    ],
)
def test_what_says_nothing_of_a_whole_model_is_refused(arguments, words, convert):
    write_h5("m.h5")
    found, out = convert("m.h5", *arguments)
    assert found is None
    assert words in out


def test_independent_labels_have_a_rule_without_a_positive_one(convert):
    layers = small_layers()
    layers[-1]["config"] |= {**DENSE, "activation": "sigmoid"}
    write_h5("m.h5", small_config(layers))
    found, _ = convert("m.h5", "--rule", "max", "--threshold", "0.3")
    assert (found.decision.rule, found.decision.threshold) == ("max", 0.3)
    assert found.decision.positive is None


@pytest.mark.parametrize("option", ["alpha", "classes", "kernels", "architecture"])
def test_onnx_holds_all_of_it(option, convert):
    value = {"kernels": "theano", "architecture": "conv3"}.get(option, "2")
    Path("m.onnx").write_bytes(classifier([node("Relu", "x", "p")]))
    found, out = convert("m.onnx", f"--{option}", value)
    assert found is None
    assert f"--{option}" in out


def test_pytorch_has_no_kernels_that_are_turned(convert):
    save(Path("m.pth"), state_for(TORCHVISION["mobilenet_v2"]((32, 32, 1), 2, 0.35)))
    found, out = convert("m.pth", "--architecture", "mobilenet_v2", "--kernels", "theano")
    assert found is None
    assert "--kernels is for files of Keras 1; leave it away" in out


def test_onnx_of_scores_is_refused_a_second_activation(convert):
    weight = np.random.default_rng(1).normal(size=(144, 3)).astype(np.float32)
    nodes = [node("Flatten", "x", "f"), node("MatMul", "f,w", "l"), node("Softmax", "l", "y")]
    Path("m.onnx").write_bytes(model(nodes, [("w", weight)]))
    assert "ends in probabilities already" in convert("m.onnx", "--activation", "sigmoid")[1]
    assert convert("m.onnx", "--activation", "softmax")[0] is not None
