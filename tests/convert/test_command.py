"""The command: what it prints, writes, refuses, and leaves behind."""

import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from tinycnn.convert import __main__ as command
from tinycnn.convert import options, parity

from tests.convert.keras_files import (
    fill_weights,
    small_config,
    small_layers,
    write_h5,
    write_keras,
)
from tests.nn.models import weights_for
from tinycnn.errors import ConversionError, UsageError
from tinycnn.nn import modelfile
from tinycnn.nn.architectures import build
from tinycnn.nn.model import Decision, Figures
from tinycnn.nn.selftest import record


@pytest.fixture
def file(tmp_path):
    write_h5(tmp_path / "net.h5")
    return tmp_path / "net.h5"


def run(capsys, *arguments):
    status = command.main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def fails(capsys, words, *arguments):
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert words in err
    assert err.count("\n") == 1
    assert "written" not in out


def test_from_a_file_to_a_proved_model(file, capsys):
    status, out, err = run(capsys, file)
    assert (status, err) == (0, "")
    assert "net: 4 layers, 50 parameters" in out
    assert "input 8x8x1, 2 scores; from Keras 2.8.0, .h5" in out
    assert "parity: numba: largest difference" in out
    assert "assumed, because no option says otherwise: grayscale grey levels 0 to 255" in out
    assert "its self-test passes" in out
    model = modelfile.load(file.with_name("net.safetensors"))
    assert model.self_test == record(model.graph, model.weights, model.preprocessing)
    assert model.provenance.source == "net.h5 (Keras 2.8.0, .h5)"


def test_every_option_reaches_the_model(file, tmp_path, capsys):
    figures = {"studies": 10, "true_positive": 4, "false_positive": 1}
    figures |= {"true_negative": 4, "false_negative": 1}
    (tmp_path / "figures.json").write_text(json.dumps({"all": figures}))
    (tmp_path / "labels.txt").write_text("0 normal\n1 abnormal\n")
    status, out, _ = run(
        capsys, file, "-o", tmp_path / "named.safetensors", "--labels", tmp_path / "labels.txt",
        "--positive", "abnormal", "--rule", "any", "--threshold", "0.4", "--scale", "1/127.5",
        "--offset", "-1", "--interpolation", "bilinear", "--crop-to-aspect-ratio",
        "--trained-on", "drawings", "--demonstration", "--licence", "CC0", "--notes", "none",
        "--evaluated-on", "other drawings", "--accuracy", tmp_path / "figures.json", "--verbose",
    )  # fmt: skip
    assert status == 0
    assert "assumed" not in out
    assert "conv (Conv2D)" in out
    assert "Total params: 50" in out
    model = modelfile.load(tmp_path / "named.safetensors")
    assert model.labels == ("normal", "abnormal")
    assert model.decision == Decision("any", 0.4, 1)
    p = model.preprocessing
    assert (p.scale, p.offset, p.interpolation) == (1 / 127.5, -1.0, "bilinear")
    assert p.crop_to_aspect_ratio
    assert model.provenance.demonstration
    assert model.provenance.accuracy["all"] == Figures(**figures)


def test_standardization(file, tmp_path, capsys):
    out = tmp_path / "m.safetensors"
    assert run(capsys, file, "-o", out, "--standardization", "samplewise")[0] == 0
    assert modelfile.load(out).preprocessing.standardization == "samplewise"
    options = ("--standardization", "featurewise", "--mean", "99.5", "--std", "44")
    assert run(capsys, file, "-o", out, "--force", *options)[0] == 0
    assert modelfile.load(out).preprocessing.mean == (99.5,)


def test_half_precision(file, tmp_path, capsys):
    outputs = [tmp_path / "f32.safetensors", tmp_path / "f16.safetensors"]
    run(capsys, file, "-o", outputs[0])
    assert run(capsys, file, "-o", outputs[1], "--dtype", "float16")[0] == 0
    full, half = (modelfile.load(path) for path in outputs)
    for key, value in full.weights.items():
        np.testing.assert_allclose(half.weights[key], value, rtol=1e-3, atol=1e-6)


def test_keras_archive_gets_its_name(tmp_path, capsys):
    write_keras(tmp_path / "new.keras")
    assert run(capsys, tmp_path / "new.keras")[0] == 0
    assert (tmp_path / "new.safetensors").is_file()


def test_weights_alone_of_an_architecture_with_options(tmp_path, capsys):
    spec = "cnn1:dense=8-4,dropout=0"
    weights, arrays = weights_for(build(spec)), {}
    for name, value in weights.items():
        layer, _, kind = name.partition("/")
        arrays.setdefault(layer, {})[f"{kind}:0"] = value
    with h5py.File(tmp_path / "w.h5", "w") as old:
        fill_weights(old, arrays)
    status, out, _ = run(capsys, tmp_path / "w.h5", "--architecture", spec)
    assert status == 0
    assert "input 32x32x1, 1 score" in out
    assert modelfile.load(tmp_path / "w.safetensors").graph == build(spec)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--labels", "a,b,c"], "3 labels for 2 classes"),
        (["--labels", "background,a,b"], "3 labels for 2 classes, exactly one too many; the first"),
        (["--labels", "a,b,c,d"], "4 labels for 2 classes\n"),
        (["--labels", "a,a", "--positive", "a"], "--positive 'a': 2 labels are called that"),
        (["--labels", "nosuch.txt"], "--labels: no file nosuch.txt"),
        (["--labels", "no/such"], "--labels: no file no/such"),
        (["--labels", "a,"], "is empty or cannot be printed"),
        (["--labels", "a,b", "--positive", "c"], "--positive 'c' is none of the labels: a, b"),
        (["--positive", "c"], "--positive needs --labels"),
        (["--threshold", "1.5"], "threshold must lie in (0, 1)"),
        (["--color-mode", "rgb"], "preprocessing gives 3 channels"),
        (["--scale", "1/0"], "'1/0' is no number"),
        (["--scale", "nan"], "must be finite"),
        (["--input", "8x8"], "is no HEIGHTxWIDTHxCHANNELS"),
        (["--input", "9x9x1"], "leave --input away"),
        (["--architecture", "mobilenet"], "leave --architecture away"),
        (["--architecture", "vgg16:alpha=0.5"], "vgg16 has no option 'alpha'; it has none"),
        (["--architecture", "vgg"], "no architecture 'vgg'; there are mobilenet_v2"),
        (["--standardization", "featurewise"], "mean needs 1 values"),
        (["--accuracy", "none.json"], "cannot read none.json"),
        (["-o", "nowhere/x.safetensors"], "there is no folder nowhere"),
        (["-o", "x.onnx"], "a model file is called NAME.safetensors"),
        (["--unknown"], "unrecognized arguments: --unknown"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(file, arguments, words, capsys):
    fails(capsys, words, file, *arguments)
    assert os.listdir(file.parent) == ["net.h5"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"all": {"studies": 3}}', "missing"),
        ('{"all": {"study": 3}}', "each body part needs"),
        ("[]", "each body part needs"),
        ('{"all": NaN}', "NaN"),
        (
            '{"all": {"studies": 3, "true_positive": 0, "false_positive": 0,'
            ' "true_negative": 1, "false_negative": 1}}',
            "do not add up",
        ),
    ],
)
def test_figures_must_add_up(file, tmp_path, text, words, capsys):
    (tmp_path / "f.json").write_text(text)
    fails(capsys, words, file, "--accuracy", tmp_path / "f.json")


def test_an_existing_file_is_kept(file, capsys):
    target = file.with_name("net.safetensors")
    target.write_text("precious")
    fails(capsys, "give --force to replace it", file)
    assert target.read_text() == "precious"
    assert run(capsys, file, "--force")[0] == 0
    assert target.read_bytes() != b"precious"


def test_the_file_itself_is_never_replaced(file, capsys):
    source = file.rename(file.with_name("net.safetensors"))  # as PyTorch's state dicts are called
    before = source.read_bytes()
    fails(capsys, "is the file to convert, and stays as it is; give --output", source, "--force")
    assert source.read_bytes() == before


def test_a_failed_conversion_keeps_the_old_file(file, capsys, monkeypatch):
    target = file.with_name("net.safetensors")
    target.write_text("precious")

    def broken(*_):
        raise ConversionError("the parity check fails")

    monkeypatch.setattr(command, "check_parity", broken)
    fails(capsys, "the parity check fails", file, "--force")
    monkeypatch.undo()
    monkeypatch.setattr(command, "replay", broken)
    fails(capsys, "the parity check fails", file, "--force")
    assert target.read_text() == "precious"
    assert sorted(os.listdir(file.parent)) == ["net.h5", "net.safetensors"]


def test_a_backend_that_differs_stops_the_conversion(file, capsys, monkeypatch):
    from tinycnn.engine import session

    honest = session.Session.predict
    monkeypatch.setattr(session.Session, "predict", lambda s, x: honest(s, x) + 0.01)
    fails(capsys, "backend numba differs by 1", file)
    monkeypatch.setattr(session.Session, "predict", lambda s, x: honest(s, x) * np.nan)
    fails(capsys, "backend numba gives NaN or infinity, first at layer 'conv' (Conv2D)", file)
    assert os.listdir(file.parent) == ["net.h5"]


def test_labels_that_repeat_are_numbered(file, capsys):
    status, _, err = run(capsys, file, "--labels", "crane,crane")
    assert status == 0
    assert err == "note: labels that occur more than once are numbered: 'crane (2)'\n"
    assert modelfile.load(file.with_name("net.safetensors")).labels == ("crane", "crane (2)")
    assert options.numbered(("a", "b", "a", "a")) == ("a", "b", "a (2)", "a (3)")
    with pytest.raises(UsageError, match="'a \\(2\\)' is in the list"):
        options.numbered(("a", "a (2)", "a"))


def parity_lines(out):
    return [line for line in out.splitlines() if line.startswith("parity: ")]


def test_only_backends_that_prove_something_are_told(file, capsys, monkeypatch):
    from tinycnn.engine import libraries, session

    found = {"native": "no library", "numba": "", "numpy": ""}
    monkeypatch.setattr(session, "available_backends", lambda: found)
    monkeypatch.setattr(libraries, "is_absent", lambda: True)
    (line,) = parity_lines(run(capsys, file)[1])
    assert line.startswith("parity: numba: largest difference")
    monkeypatch.setattr(libraries, "is_absent", lambda: False)
    lines = parity_lines(run(capsys, file, "--force")[1])
    assert lines[0] == "parity: native: cannot run here (no library)"
    found["numba"] = "not installed"
    (line,) = parity_lines(run(capsys, file, "--force")[1])
    assert line.endswith("none can run here (native: no library; numba: not installed)")


def test_difference_spells_itself():
    assert str(parity.Difference("numba", 2.5e-7, 3e-5)) == (
        "numba: largest difference 2.5e-07, 3.0e-05 allowed"
    )


def test_networks_that_are_no_classifiers(tmp_path, capsys):
    write_h5(tmp_path / "map.h5", small_config(small_layers()[:3]))
    fails(capsys, "a classifier gives a row", tmp_path / "map.h5")
    vectors = small_config(
        [
            {"class_name": "InputLayer", "config": {"name": "i", "batch_input_shape": [None, 5]}},
            {"class_name": "ReLU", "config": {"name": "r"}},
        ]
    )
    write_h5(tmp_path / "vector.h5", vectors)
    fails(capsys, "images are (height, width, 1 or 3)", tmp_path / "vector.h5")


def test_the_module_and_the_sub_command(file):
    for start in (["-m", "tinycnn.convert"], ["-m", "tinycnn.cli", "convert"]):
        arguments = [sys.executable, *start, str(file), "--force"]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "its self-test passes" in done.stdout
    (file.parent / "bad.h5").write_bytes(file.read_bytes()[:900])
    for debug in ([], ["--debug"]):
        arguments = [sys.executable, "-m", "tinycnn.convert", str(file.parent / "bad.h5"), *debug]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert ("Traceback" in done.stderr) == bool(debug)


def test_without_h5py(file, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    fails(capsys, "needs h5py: pip install 'tinycnn[convert]'", file)


def test_summary_counts_a_shared_layer_once():
    from tinycnn.nn import layers as nn
    from tinycnn.nn.graph import Input, from_tensors

    inputs = Input((4, 4, 2))
    shared = nn.Conv2D(2, 1, name="shared")
    graph = from_tensors(inputs, nn.Add()([shared(inputs), shared(shared(inputs))]))
    lines = graph.summary().splitlines()
    counted = [line.split()[-3] for line in lines if line.startswith("shared")]
    assert sum(text == "6" for text in (part for line in lines for part in line.split())) == 2
    assert len(counted) == 3
    assert "Total params: 6 (24 bytes)" in lines
    assert build("cnn5", (32, 32, 1), 1).summary().count("\n") == 30
