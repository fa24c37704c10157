"""Keras files whose parts are harmless once: called a thousand times, or listed so often."""

import time
import zipfile

import numpy as np
import pytest
from tinycnn.convert import archive, keras
from tinycnn.convert.dialect import Dialect
from tinycnn.convert.hdf5_tree import Group
from tinycnn.convert.keras_config import parse_model
from tinycnn.convert.keras_graph import build_graph
from tinycnn.convert.keras_weights import Stored, _nested, keras3_layers

from tests.convert.keras_files import write_h5, write_keras
from tinycnn import cli
from tinycnn.errors import ConversionError


def entry(class_name, name, source=None, **config):
    nodes = [[[source, 0, 0, {}]]] if source else []
    config = {"name": name, **config}
    return {"class_name": class_name, "name": name, "config": config, "inbound_nodes": nodes}


def start(name):
    return entry("InputLayer", name, batch_input_shape=[None, 8, 8, 1])


def functional(name, layers, outputs):
    inputs = [[layers[0]["name"], 0, 0]]
    return entry("Functional", name, layers=layers, input_layers=inputs, output_layers=outputs)


def called(inner, times):
    """A network that does nothing but call ``inner`` again and again."""
    name = inner["name"]
    inner["inbound_nodes"] = [[[name if i else "in", max(i - 1, 0), 0, {}]] for i in range(times)]
    end = entry("GlobalAveragePooling2D", "end", name)
    end["inbound_nodes"][0][0][1] = times - 1
    return functional("top", [start("in"), inner, end], [["end", 0, 0]])


def relu(inputs=1, outputs=1):
    layers = [*(start(f"i{i}") for i in range(inputs)), entry("ReLU", "r", "i0")]
    return functional("inner", layers, [["r", 0, 0]] * outputs)


@pytest.mark.parametrize(
    "inner",
    [
        relu(inputs=9000),
        relu(outputs=100_000),  # 8 GB of references
        entry("Dropout", "inner", **{f"k{i}": 0 for i in range(100_000)}),
    ],
    ids=["inputs", "outputs", "options"],
)
def test_a_large_thing_that_is_called_often(inner):
    model, begin = parse_model(called(inner, 1900)), time.thread_time()
    with pytest.raises(ConversionError, match="calls large layers or models too often"):
        build_graph(model, None, Dialect("2.15.0", "tensorflow"))
    assert time.thread_time() - begin < 5


def test_a_small_thing_may_be_called_often():
    graph, _ = build_graph(parse_model(called(relu(), 1000)), None, Dialect("2.15.0", "tensorflow"))
    assert len(graph.nodes) == 1001


def test_many_names_of_weights_in_many_layers():
    """Each layer looked through all names: 3,900 times 80,000."""
    layers = [start("i0")] + [
        entry("ReLU", f"r{i}", f"r{i - 1}" if i else "i0") for i in range(900)
    ]
    model = parse_model(called(functional("inner", layers, [["r899", 0, 0]]), 1))
    _, leaves = build_graph(model, None, Dialect("2.15.0", "tensorflow"))
    stored = [Stored("w", np.zeros(1, np.float32))] * 80_000
    begin = time.thread_time()
    with pytest.raises(ConversionError, match="0 weights, and the file 80000"):
        list(_nested("inner", list(leaves.values())[:900], stored))
    assert time.thread_time() - begin < 2


def test_many_classes_of_layers():
    """Every class looked through all members."""
    members = {f"x{i}q": Group() for i in range(20_000)}
    begin = time.thread_time()
    assert not list(keras3_layers(Group(groups={"layers": Group(groups=members)})))
    assert time.thread_time() - begin < 2


def test_weights_that_unpack_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "SMALL", 1 << 10)
    write_keras(tmp_path / "good.keras")
    with (
        zipfile.ZipFile(tmp_path / "good.keras") as good,
        zipfile.ZipFile(tmp_path / "net.keras", "w", zipfile.ZIP_DEFLATED) as bad,
    ):
        for name in good.namelist():
            bad.writestr(name, good.read(name) + bytes(1 << 20) * name.endswith(".h5"))
    with pytest.raises(ConversionError, match=r"model.weights.h5: \d+ bytes out of \d+; at most"):
        keras.read(tmp_path / "net.keras")


def test_nothing_in_a_file_steers_the_terminal(tmp_path, capsys):
    path = tmp_path / "net.h5"
    write_h5(path, version="2.\x1b[2J\n8")
    assert cli.main(["convert", str(path)]) == 0
    assert "from Keras 2.[2J8, .h5" in capsys.readouterr().out


def test_an_error_is_one_line_that_steers_nothing(capsys):
    def fails(_):
        raise ConversionError("a\x1b[2J\n\u202eb" + "c" * 100_000)

    assert cli.run("convert", fails, []) == 2
    line = capsys.readouterr().err
    assert line.startswith("tinycnn convert: a\\x1b[2J \\u202ebccc")
    assert line.endswith(", ...\n")
    assert len(line) < 5000
