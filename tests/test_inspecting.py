"""`tinycnn inspect`: everything that a file holds and all that stops it, in one schema."""

import hashlib
import json

import h5py
import numpy as np
import pytest
from tinycnn.weights import find

from tests.convert.keras_files import (
    fill_weights,
    layer,
    small_config,
    small_layers,
    small_weights,
    write_h5,
    write_keras,
)
from tests.nn.models import every_layer
from tinycnn import cli
from tinycnn.inspecting import SCHEMA, inspect
from tinycnn.nn import modelfile
from tinycnn.nn.architectures import build
from tinycnn.nn.modelfile import save

KEYS = {
    *("schema", "file", "bytes", "sha256", "format", "origin", "name", "input_shape"),
    *("output_shape", "layers", "parameters", "macs", "memory", "arrays", "fits"),
    *("independent", "optimizer_state", "problems", "notes", "preprocessing", "labels", "decision"),
    *("provenance", "self_test"),
}


def run(capsys, *arguments):
    status = cli.main(["inspect", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_model_of_ours(capsys):
    status, out, _ = run(capsys, "cnn5-phantoms")
    assert status == 0
    for words in ("conv2d (Conv2D)", "Total params: 97,409", "Multiply-adds for one image: ",
                  "Memory: weights 389.64 KB, activations", "in the kernels' arena",
                  "Preprocessing: color_mode grayscale", "Labels: negative, positive",
                  "Decision: mean, threshold 0.5, looks for 'positive'",
                  "Worth on XR_WRIST: 40 of 71 studies judged rightly, ", "Trained on: drawings",
                  "Demonstration: True", "Self-test: seed 1, 1 scores, 6 layers"):  # fmt: skip
        assert words in out
    status, out, _ = run(capsys, "cnn5-phantoms", "--json")
    report, path = json.loads(out), find("cnn5-phantoms")
    model = modelfile.load(path)
    assert set(report) == KEYS
    assert report["schema"] == SCHEMA == "tinycnn-inspect/1"
    assert report["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert report["parameters"] == model.graph.parameters
    assert report["macs"] == model.graph.macs
    assert [row["name"] for row in report["layers"]] == [node.name for node in model.graph.nodes]
    assert report["labels"] == list(model.labels)
    assert report["provenance"]["accuracy"]["all"]["studies"] == 500


@pytest.mark.parametrize("write", [write_h5, write_keras])
def test_a_keras_file(write, tmp_path, capsys):
    path = tmp_path / ("m.h5" if write is write_h5 else "m.keras")
    write(path)
    status, out, err = run(capsys, path)
    assert (status, err) == (0, "")
    assert "bn (BatchNormalization)" in out
    assert f"It can be converted: tinycnn convert {path}" in out
    assert "Optimizer" not in out
    report = inspect(path)
    assert set(report) == KEYS
    assert [row["parameters"] for row in report["layers"]] == [30, 12, 0, 8]
    assert report["macs"] == 9 * 3 * 64 + 6
    assert report["memory"]["weights"] == 200
    assert report["provenance"] is None
    assert report["layers"][3]["inputs"] == ("pool",)


def test_optimizer_state_is_told_and_not_read(tmp_path):
    write_h5(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "a") as file:
        file.create_group("optimizer_weights")["x"] = h5py.ExternalLink("other.h5", "/y")
    assert inspect(tmp_path / "m.h5")["optimizer_state"] is True


def test_everything_that_stops_the_conversion_is_listed(tmp_path, capsys):
    layers = small_layers()
    layers[1:1] = [layer("Lambda", "code"), layer("Resizing", "size", antialias=True)]
    layers[-1:-1] = [layer("LSTM", "memory"), layer("Reshape", "again", target_shape=[3])]
    write_h5(tmp_path / "m.h5", small_config(layers))
    status, out, _ = run(capsys, tmp_path / "m.h5")
    assert status == 1
    report = inspect(tmp_path / "m.h5")
    found = {problem["layer"]: problem["reason"] for problem in report["problems"]}
    assert list(found) == ["code", "size", "memory"]
    assert found["code"].startswith("holds Python code, which is never executed")
    assert "antialias" in found["size"]
    assert found["memory"].startswith("recurrent layers cannot be converted")
    assert "layer 'memory' (LSTM): recurrent" in out
    assert out.count("<- CANNOT BE CONVERTED") == 3
    assert len(report["layers"]) == 8  # the rows behind them are there, too
    assert report["layers"][-1]["output_shape"] is None


def test_a_network_that_cannot_be_wired_is_listed_all_the_same(tmp_path):
    node = [[["a", 0, 0, {}], ["b", 0, 0, {}]]]
    layers = [
        {"class_name": "InputLayer", "name": n, "config": {"batch_input_shape": [None, 8, 8, 1]}}
        for n in "ab"
    ]
    layers += [{**layer("Add", "sum"), "name": "sum", "inbound_nodes": node}]
    layers += [{**layer("GRU", "g"), "name": "g", "inbound_nodes": [[["sum", 0, 0, {}]]]}]
    ends = {"input_layers": [["a", 0, 0], ["b", 0, 0]], "output_layers": [["g", 0, 0]]}
    config = {"class_name": "Model", "config": {"name": "two", "layers": layers, **ends}}
    write_h5(tmp_path / "m.h5", config)
    reasons = [problem["reason"] for problem in inspect(tmp_path / "m.h5")["problems"]]
    assert reasons[0].startswith("recurrent layers")
    assert reasons[1] == "the model has 2 inputs; one can be converted"


def test_an_open_size(tmp_path):
    layers = small_layers()
    layers[0]["config"]["batch_input_shape"] = [None, None, None, 1]
    write_h5(tmp_path / "m.h5", small_config(layers))
    report = inspect(tmp_path / "m.h5")
    assert report["input_shape"] == (224, 224, 1)
    assert "figures are for --input 224x224x1" in report["notes"][0]
    assert inspect(tmp_path / "m.h5", (16, 16, 1))["macs"] == 9 * 3 * 256 + 6


def test_no_classifier(tmp_path):
    write_h5(tmp_path / "m.h5", small_config(small_layers()[:3]))
    (problem,) = inspect(tmp_path / "m.h5")["problems"]
    assert "a classifier gives a row" in problem["reason"]


def test_weights_alone_and_what_they_fit(tmp_path, capsys):
    graph = build("mobilenet", (96, 96, 1), 5, 0.25)
    weights = {}
    for name, shape in graph.weight_shapes.items():
        owner, _, weight = name.rpartition("/")
        weights.setdefault(owner, {})[weight] = np.zeros(shape, np.float32)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        fill_weights(file, weights)
    status, out, _ = run(capsys, tmp_path / "w.h5")
    assert status == 1
    assert "--architecture mobilenet --alpha 0.25 --input 224x224x1 --classes 5" in out
    assert "conv1/conv1/kernel  (3, 3, 1, 8)" in out
    assert "... and " in out
    with h5py.File(tmp_path / "other.h5", "w") as file:
        fill_weights(file, small_weights())
    assert "Fits none of the architectures" in run(capsys, tmp_path / "other.h5")[1]


def test_anothers_safetensors(tmp_path, capsys):
    from safetensors.numpy import save_file

    tensors = {"conv.weight": np.zeros((3, 1, 2, 2), np.float16), "bias": np.zeros(3, np.float32)}
    save_file(tensors, tmp_path / "w.safetensors")
    status, out, _ = run(capsys, tmp_path / "w.safetensors")
    assert status == 1
    assert "conv.weight  (3, 1, 2, 2) float16" in out


def test_onnx(tmp_path, capsys):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x08\x08\x12\x04made")
    status, out, err = run(capsys, path)
    assert status == 1
    assert "What stops the conversion:" in out
    assert err == ""


@pytest.mark.parametrize(
    "content", [None, b"", b"\x08\0\0\0\0\0\0\0{broken!", b"GIF89a", b"PK\3\4"]
)
def test_what_cannot_be_read_is_one_line(content, tmp_path, capsys):
    path = tmp_path / "m.safetensors"
    if content is not None:
        path.write_bytes(content)
    status, out, err = run(capsys, path)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert str(path) in err


def test_a_folder_of_tensorflows_says_how_to_go_on(tmp_path, capsys):
    (tmp_path / "saved_model.pb").touch()
    status, out, err = run(capsys, tmp_path)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "a TensorFlow SavedModel folder; where the model was made" in err


def test_names_are_printed_without_their_control_characters(tmp_path, capsys):
    layers = small_layers()
    layers.insert(1, layer("Conv2D", "odd", padding="Evil\x1b[31m\nEvil", filters=3, kernel_size=3))
    write_h5(tmp_path / "m.h5", small_config(layers))
    _, out, _ = run(capsys, tmp_path / "m.h5")
    assert "\x1b" not in out
    assert "Evil" in out


def test_damage_in_ours_is_an_error_and_not_a_report(tmp_path, capsys):
    data = bytearray(find("cnn5-phantoms").read_bytes())
    data[-3] ^= 64
    (tmp_path / "m.safetensors").write_bytes(data)
    status, _, err = run(capsys, tmp_path / "m.safetensors")
    assert status == 2
    assert "damaged" in err


def test_it_imports_nothing_heavy():
    import subprocess
    import sys

    code = "import sys; from tinycnn.inspecting import inspect; inspect('cnn5-phantoms')\n"
    code += (
        "print(sorted({'h5py', 'numba', 'tensorflow', 'keras', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_calibrated_model(tmp_path, capsys):
    save(every_layer(), tmp_path / "m.safetensors")
    status, out, _ = run(capsys, tmp_path / "m.safetensors")
    assert status == 0
    lines = out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("Calibrated: "))
    assert lines[first].endswith(
        "on drawings for sensitivity 0.95, rule any, by tinycnn 0.1.0; temperature 1.5"
    )
    assert lines[first + 1 : first + 3] == [
        "Threshold for XR_HAND: none of its own; 3 positive and 90 negative studies of 80 patients",
        "Threshold for XR_WRIST: 0.3; 40 positive and 60 negative studies of 90 patients",
    ]
