"""Exports of Teachable Machine: what is recognised, what is not, and hostile archives."""

import zipfile

import numpy as np
import pytest
from tinycnn.convert import __main__ as command
from tinycnn.convert import keras, teachable
from tinycnn.convert.hdf5 import read as read_here

from tests.convert.keras_files import layer, write_h5
from tinycnn.errors import ConversionError
from tinycnn.nn import modelfile
from tinycnn.nn.preprocessing import Preprocessing

LABELS = b"0 cat\n1 a dog, or two\n"
SIZE = [None, 224, 224, 3]


def chain(name, *layers):
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}


def export_config(last=None, size=SIZE, middle=()):
    """Layers nested as in an export, with one convolution in MobileNet's place."""
    conv = layer("Conv2D", "conv", filters=4, kernel_size=[3, 3], strides=[32, 32])
    body = {
        "class_name": "Functional",
        "name": "model1",
        "config": {
            "name": "model1",
            "layers": [
                {
                    **layer("InputLayer", "input_1", batch_input_shape=size),
                    "name": "input_1",
                    "inbound_nodes": [],
                },
                {**conv, "name": "conv", "inbound_nodes": [[["input_1", 0, 0, {}]]]},
            ],
            "input_layers": [["input_1", 0, 0]],
            "output_layers": [["conv", 0, 0]],
        },
    }
    dense = layer("Dense", "dense_Dense1", units=5, activation="relu", use_bias=True)
    softmax = {"units": 2, "activation": "softmax", "use_bias": False, **(last or {})}
    return chain(
        "sequential_4",
        layer("InputLayer", "sequential_1_input", batch_input_shape=size),
        chain("sequential_1", body, layer("GlobalAveragePooling2D", "pool"), *middle),
        chain("sequential_3", dense, layer("Dense", "dense_Dense2", **softmax)),
    )


def write_export(path, **options):
    random = np.random.default_rng(2)
    shapes = {
        "sequential_1": {"conv/kernel:0": (3, 3, 3, 4), "conv/bias:0": (4,)},
        "sequential_3": {
            "dense_Dense1/kernel:0": (4, 5),
            "dense_Dense1/bias:0": (5,),
            "dense_Dense2/kernel:0": (5, 2),
        },
    }
    if options.get("last", {}).get("use_bias"):
        shapes["sequential_3"]["dense_Dense2/bias:0"] = (2,)
    weights = {
        name: {key: random.normal(size=shape).astype(np.float32) for key, shape in arrays.items()}
        for name, arrays in shapes.items()
    }
    write_h5(path, export_config(**options), weights, version="2.4.0")


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)


@pytest.fixture
def export(tmp_path):
    (tmp_path / "labels.txt").write_bytes(LABELS)
    write_export(tmp_path / "keras_model.h5")
    return tmp_path


@pytest.fixture
def zipped(export):
    content = [(n, (export / n).read_bytes()) for n in ("keras_model.h5", "labels.txt")]
    write_zip(export / "converted_keras.zip", [*content, ("../../etc/passwd", b"never read")])
    return export / "converted_keras.zip"


def test_labels_and_preprocessing_without_an_option(export, zipped, capsys):
    for file in (export / "keras_model.h5", zipped):
        assert command.main([str(file)]) == 0
        out = capsys.readouterr().out
        assert "recognised: an export of Teachable Machine with the labels cat, a dog, or" in out
        assert "assumed" not in out
        model = modelfile.load(file.with_suffix(".safetensors"))
        assert model.labels == ("cat", "a dog, or two")
        assert model.preprocessing == teachable.PREPROCESSING


def test_options_override(zipped, capsys):
    arguments = ["--labels", "a,b", "--positive", "b", "--scale", "1/255", "--offset", "0"]
    assert command.main([str(zipped), *arguments]) == 0
    model = modelfile.load(zipped.with_suffix(".safetensors"))
    assert model.labels == ("a", "b")
    assert model.decision.positive == 1
    expected = Preprocessing("rgb", "lanczos", True, scale=1 / 255, offset=0.0)
    assert model.preprocessing == expected


@pytest.mark.parametrize(
    "options",
    [
        {"last": {"activation": "sigmoid"}},
        {"last": {"use_bias": True}},
        {"size": [None, 96, 96, 3]},
        {"middle": [layer("Dropout", "drop", rate=0.5)]},
    ],
)
def test_other_structures_are_not_recognised(options, export):
    write_export(export / "keras_model.h5", **options)
    found = keras.read(export / "keras_model.h5", read_hdf5=read_here)
    assert (found.classes, found.labels) == (0, ())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"cat\ndog\n",
        b"0 cat\n",
        b"1 cat\n2 dog\n",
        b"0 cat\n1 dog\n2 cow\n",
        b"0 cat\n1 \x1b[31mdog\n",
        b"0 cat\n1 \xff\n",
        b"0 cat\n1 dog" + b" " * 70_000,
        "\u0660 cat\n\u0661 dog\n".encode(),
    ],
)
def test_other_labels_are_not_recognised(data, export):
    (export / "labels.txt").write_bytes(data)
    assert keras.read(export / "keras_model.h5", read_hdf5=read_here).labels == ()


def test_labels_as_windows_writes_them():
    assert teachable.labels(b"\xef\xbb\xbf0 cat\r\n1 dog\r\n\r\n", 2) == ("cat", "dog")


def test_labels_that_are_no_file(export):
    (export / "labels.txt").unlink()
    assert keras.read(export / "keras_model.h5", read_hdf5=read_here).labels == ()
    (export / "labels.txt").mkdir()
    assert keras.read(export / "keras_model.h5", read_hdf5=read_here).labels == ()


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("keras_model.h5", b"")], "0 files called 'labels.txt'; an export of Teachable"),
        ([("keras_model.h5", b""), ("labels.txt", LABELS)], "damaged HDF5"),
        ([("keras_model.h5", bytes(4 << 20)), ("labels.txt", LABELS)], "at most 1048576 are read"),
        ([("keras_model.h5", b"x"), ("labels.txt", bytes(1 << 17))], "at most 65536 are read"),
        (
            [("x/keras_model.h5", b"x"), ("x/labels.txt", LABELS)],
            "a zip archive of a folder; unpack it",
        ),
        ([(f"f{i}", b"") for i in range(1001)], "1001 files in the archive"),
    ],
)
def test_archives_that_are_refused(members, words, tmp_path):
    write_zip(tmp_path / "m.zip", members)
    with pytest.raises(ConversionError, match=words) as caught:
        keras.read(tmp_path / "m.zip", read_hdf5=read_here)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(zipped):
    content = [("keras_model.h5", b"x"), ("keras_model.h5", b"y"), ("labels.txt", LABELS)]
    write_zip(zipped, content)
    with pytest.raises(ConversionError, match=r"2 files called 'keras_model\.h5'"):
        keras.read(zipped, read_hdf5=read_here)


def test_truncated_archives(zipped):
    data = zipped.read_bytes()
    for size in range(4, len(data), max(1, len(data) // 60)):
        zipped.write_bytes(data[:size])
        with pytest.raises(ConversionError):
            keras.read(zipped, read_hdf5=read_here)
