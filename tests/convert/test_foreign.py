"""Files of other programs: each is named, with what to do, in one line."""

import zipfile

import pytest
from tinycnn.convert import keras
from tinycnn.convert.hdf5 import read as read_here

from tests.convert.keras_files import layer, small_config, write_h5
from tinycnn.errors import ConversionError

EXPORT = r"model\.save\('NAME\.keras'\)"


def refused(path, words):
    with pytest.raises(ConversionError, match=words) as caught:
        keras.read(path, read_hdf5=read_here)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("m", b"", "not a Keras model"),
        ("m", b"hello, this is text", "not a Keras model"),
        ("m.tflite", b"\x1c\0\0\0TFL3" + b"\0" * 99, "a TensorFlow Lite model"),
        ("m", b"\x80\x04\x95" + b"\0" * 99, "a Python pickle, which is never loaded"),
        ("m", b"\x40\0\0\0\0\0\0\0{}", "a safetensors file"),
        ("m", b"PK\x03\x04" + b"\0" * 99, "damaged zip"),
        ("m", b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "damaged HDF5"),
        ("saved_model.pb", b"\x08\x01\x12\x99" + b"\0" * 99, f"a TensorFlow graph; .*{EXPORT}"),
        ("frozen.pb", b"\n\x1f\n\x05image", f"a TensorFlow graph; .*{EXPORT}"),
        ("cp.ckpt.index", b"\0" * 99, f"a TensorFlow checkpoint, .*load_weights.*{EXPORT}"),
        ("cp.data-00000-of-00001", b"\0" * 99, "a TensorFlow checkpoint"),
        ("checkpoint", b"model_checkpoint_path: ", "a TensorFlow checkpoint"),
        ("model.json", b'{"format": "layers-model"', f"or TensorFlow.js; in Python: {EXPORT}"),
    ],
)
def test_files(name, data, words, tmp_path):
    (tmp_path / name).write_bytes(data)
    refused(tmp_path / name, words)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "a folder; give a .h5 or .keras file"),
        (["saved_model.pb"], f"a TensorFlow SavedModel folder; where the .*{EXPORT}"),
        (["checkpoint"], "a TensorFlow checkpoint"),
        (["model.json", "group1-shard1of1.bin"], "or TensorFlow.js"),
        (["config.json", "metadata.json", "model.weights.h5"], "an unpacked .keras file; pack"),
    ],
)
def test_folders(names, words, tmp_path):
    for name in names:
        (tmp_path / name).touch()
    refused(tmp_path, words)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["model.savedmodel/saved_model.pb", "labels.txt"], "SavedModel; export it again, from T"),
        (["model_unquant.tflite", "labels.txt"], "Lite model; export it again, .*as 'Keras'"),
        (["model.json", "weights.bin", "metadata.json"], "TensorFlow.js model; export it again"),
        (["net/config.json", "net/model.weights.h5"], "a zip archive of a folder; unpack it"),
        (["a", "b"], "0 files called 'config.json'; a .keras file has one"),
    ],
)
def test_archives(names, words, tmp_path):
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        for name in names:
            archive.writestr(name, "")
    refused(tmp_path / "m.zip", words)


def test_a_file_that_is_not_there(tmp_path):
    refused(tmp_path / "none", r"cannot read .*: No such file")


@pytest.mark.parametrize(
    ("class_name", "words"),
    [
        (
            "KerasLayer",
            r"\(KerasLayer\): its network is a TensorFlow graph outside of Keras; build",
        ),
        ("TFSMLayer", "a TensorFlow graph outside of Keras"),
        ("Lambda", "holds Python code, which is never executed"),
        ("LSTM", "recurrent layers cannot be converted"),
        ("CuDNNGRU", "recurrent layers cannot be converted"),
        ("Bidirectional", "recurrent layers cannot be converted"),
        ("TimeDistributed", "sequences of images cannot be converted"),
        ("MultiHeadAttention", "attention and embedding cannot be converted"),
        ("Mine>TransformerBlock", "attention and embedding cannot be converted"),
        ("PatchEmbedding", "attention and embedding cannot be converted"),
        ("Mine>Block", "a layer of somebody's own, whose code is not in the file"),
        ("Conv3D", "tinycnn has no such layer; it has Activation"),
    ],
)
def test_layers_are_refused_with_their_place(class_name, words, tmp_path):
    inner = small_config(
        [
            layer("InputLayer", "in", batch_input_shape=[None, 8, 8, 3]),
            layer(class_name, "l", function=["marshalled", None, None], layer={}),
        ]
    )
    inner["config"]["name"] = "inner"
    write_h5(tmp_path / "m.h5", small_config([inner]), {"none": {}})
    refused(tmp_path / "m.h5", rf"layer 'inner/l' \({class_name}\): .*")
    refused(tmp_path / "m.h5", words)
