"""The model file: what is written comes back, and no damage passes."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tinycnn
from tests.nn.models import (
    edited,
    equal,
    every_layer,
    put_together,
    small,
    taken_apart,
    with_header,
)
from tinycnn.errors import ModelFileError, TinycnnError
from tinycnn.nn import layers, mapped, modelfile
from tinycnn.nn.graph import Sequential
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "m.safetensors"
    modelfile.save(small(), path)
    return path.read_bytes()


def parse(data: bytes) -> Model:
    return modelfile.parse(data, Path("m.safetensors"))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("make", [small, every_layer])
def test_round_trip(make, dtype, tmp_path):
    model = make()
    modelfile.save(model, tmp_path / "m.safetensors", dtype)
    loaded = modelfile.load(tmp_path / "m.safetensors")
    assert equal(loaded, model)  # the weights of these models fit in float16
    assert all(value.dtype == np.float32 for value in loaded.weights.values())
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_float16_file_gives_rounded_weights(tmp_path):
    model = small()
    model.weights["dense/bias"][:] = 0.1
    modelfile.save(model, tmp_path / "m.safetensors", "float16")
    loaded = modelfile.load(tmp_path / "m.safetensors")
    assert loaded.weights["dense/bias"] == modelfile.rounded(model.weights)["dense/bias"] != 0.1


@pytest.mark.parametrize(
    ("value", "dtype"), [(np.nan, "float32"), (np.inf, "float32"), (1e5, "float16")]
)
def test_what_is_not_finite_is_not_written(value, dtype, tmp_path):
    model = small()
    model.weights["dense/bias"][:] = value
    with pytest.raises(ModelFileError, match="dense/bias"):
        modelfile.save(model, tmp_path / "m.safetensors", dtype)
    assert not os.listdir(tmp_path)


def test_what_older_versions_do_not_know_is_written_only_where_it_counts(tmp_path):
    model = small()
    channels = model.preprocessing.color_mode
    cropped = Preprocessing(channels, crop_to_aspect_ratio=True, fractional_crop=True)
    for name, preprocessing in (("old", model.preprocessing), ("new", cropped)):
        changed = replace(model, preprocessing=preprocessing)
        modelfile.save(changed, tmp_path / name)
        assert modelfile.load(tmp_path / name).preprocessing == preprocessing
        assert (b"fractional_crop" in (tmp_path / name).read_bytes()) == (name == "new")


def test_the_same_model_gives_the_same_bytes(tmp_path):
    for name in "ab":
        modelfile.save(every_layer(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_long_names_give_short_messages(data):
    def rename(header, metadata):
        metadata["graph"]["nodes"][0]["class"] = "x" * 100_000

    with pytest.raises(ModelFileError) as caught:
        parse(edited(data, rename))
    assert len(str(caught.value)) < 700


def test_unwritable_place(tmp_path):
    with pytest.raises(ModelFileError, match="cannot write"):
        modelfile.save(small(), tmp_path / "none" / "m.safetensors")
    with pytest.raises(ModelFileError, match="float64"):
        modelfile.save(small(), tmp_path / "m.safetensors", "float64")


def test_truncated_at_every_byte(data):
    for size in range(len(data)):
        with pytest.raises(ModelFileError):
            parse(data[:size])


def test_every_bit_flipped(data):
    """The digest finds all that the header's rules let through."""
    original, passed = parse(data), 0
    for i in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[i] ^= 1 << bit
            try:
                model = parse(bytes(flipped))
            except ModelFileError:
                continue
            assert equal(model, original)
            passed += 1
    assert passed <= 16  # white space


def test_every_bit_flipped_without_digest(data):
    """What someone left the digest out of still never ends in another exception."""
    header, metadata, weights = taken_apart(data)
    plain = put_together(header, metadata, weights)
    size = 8 + struct.unpack("<Q", plain[:8])[0]
    for i in range(0, size, 4):
        for bit in range(7):
            flipped = bytearray(plain)
            flipped[i] ^= 1 << bit
            try:
                parse(bytes(flipped))
            except TinycnnError:
                continue


@pytest.mark.parametrize("size", [0, 1, 1 << 20, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1])
def test_header_length(data, size):
    with pytest.raises(ModelFileError):
        parse(struct.pack("<Q", size) + data[8:])


HEADERS = {
    "duplicate key": lambda t: t.replace('"shape":', '"dtype":"F32","shape":', 1),
    "leading space": lambda t: " " + t,
    "trailing garbage": lambda t: t + "x",
    "a list": lambda t: "[1]",
    "NaN": lambda t: t.replace("[0,", "[NaN,", 1),
    "5000 digits": lambda t: t.replace("[0,", "[" + "9" * 5000 + ",", 1),
    "4000 digits": lambda t: t.replace('"shape":[1]', '"shape":[' + "9" * 4000 + "]"),
    "1e400": lambda t: t.replace("[0,", "[1e400,", 1),
    "depth": lambda t: '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
    "depth without end": lambda t: '{"a":' + '{"a":' * 100_000,
    "no UTF-8": lambda t: t.encode("latin-1").replace(b"dense", b"\xff\xfe\xfd\xfc\xfb", 1),
    "half a surrogate pair": lambda t: t.replace("dense", r"\ud800", 1),
    "no metadata": lambda t: t.replace("__metadata__", "__metadate__"),
    "other metadata": lambda t: t.replace('"tinycnn"', '"tinycm"'),
    "unknown metadata": lambda t: t.replace('{"tinycnn"', '{"a":"b","tinycnn"'),
    "metadata no object": lambda t: '{"__metadata__":["tinycnn"]}',
    "metadata no text": lambda t: '{"__metadata__":{"tinycnn":{}}}',
    "digest no text": lambda t: t.replace(r"\"sha256\": \"", r"\"sha256\": 1,\"a\": \""),
    "wrong digest": lambda t: t.replace(r"\"sha256\": \"", r"\"sha256\": \"00"),
    "other label": lambda t: t.replace("abnormal", "abnorman"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_header(data, name):
    size = struct.unpack("<Q", data[:8])[0]
    text = data[8 : 8 + size].decode()
    broken = HEADERS[name](text)
    assert broken != text
    with pytest.raises(ModelFileError):
        parse(with_header(broken, data[8 + size :]))


def _entry(name: str = "dense/bias", **changes):
    return lambda header, metadata: header[name].update(changes)


ENTRIES = {
    "unknown field": (_entry(extra=1), "entries"),
    "missing field": (lambda h, m: h["dense/bias"].pop("dtype"), "entries"),
    "no offsets": (lambda h, m: h["dense/bias"].pop("data_offsets"), "data_offsets"),
    "no object": (lambda h, m: h.update({"dense/bias": 3}), "data_offsets"),
    "overlap": (_entry(data_offsets=[0, 4]), "lies at"),
    "gap": (lambda h, m: h.pop("dense/bias"), "take|lies at"),
    "one offset": (_entry(data_offsets=[112]), "lies at"),
    "negative offsets": (_entry(data_offsets=[-4, 0]), "lies at"),
    "true for int": (_entry(data_offsets=[True, 4]), "data_offsets"),
    "huge shape": (_entry(shape=[1 << 62, 1 << 62, 1 << 62]), "lies at"),
    "empty": (_entry(shape=[0], data_offsets=[0, 0]), "not a shape"),
    "shape of text": (_entry(shape="11"), "not a shape"),
    "shape of floats": (_entry(shape=[1.0]), "not a shape"),
    "float64": (_entry(dtype="F64"), "F32 and F16"),
    "type no text": (_entry(dtype=["F32"]), "F32 and F16"),
    "wrong shape": (_entry("dense/kernel", shape=[2, 4]), "must be"),
    "other rank": (_entry(shape=[1, 1]), "must be"),
    "other name": (lambda h, m: h.update({"x": h.pop("dense/bias")}), "missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_of_weights(data, name):
    edit, message = ENTRIES[name]
    with pytest.raises(ModelFileError, match=message):
        parse(edited(data, edit))


def test_extra_weight(data):
    header, metadata, weights = taken_apart(data)
    end = len(weights)
    header["extra/kernel"] = {"dtype": "F32", "shape": [2], "data_offsets": [end, end + 8]}
    with pytest.raises(ModelFileError, match="belongs to no layer"):
        parse(put_together(header, metadata, weights + b"\0" * 8))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers(data, value):
    header, metadata, weights = taken_apart(data)
    raw = np.frombuffer(weights, np.float32).copy()
    raw[3] = value
    with pytest.raises(ModelFileError, match="NaN or infinity"):
        parse(put_together(header, metadata, raw.tobytes()))


def test_only_classifiers_of_pictures(tmp_path):
    for stack, shape in (([layers.Dense(2)], (3,)), ([layers.Conv2D(2, 1)], (4, 4, 1))):
        graph = Sequential(stack, shape)
        weights = {n: np.zeros(s, np.float32) for n, s in graph.weight_shapes.items()}
        modelfile.save(Model(graph, weights, Preprocessing("grayscale")), tmp_path / "m")
        with pytest.raises(ModelFileError, match="does not classify"):
            modelfile.load(tmp_path / "m")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(8 << 30)


DOORS = {
    "missing": (lambda path: None, "No such file"),
    "directory": (lambda path: path.mkdir(), "regular file|directory"),
    "pipe": (_fifo, "regular file"),
    "empty": (lambda path: path.write_bytes(b""), "no model file"),
    "Keras 2": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), "tinycnn convert"),
    "Keras 3": (lambda path: path.write_bytes(b"PK\x03\x04" + b"\0" * 99), "tinycnn convert"),
    "8 GB": (_sparse, "at most"),
    "link in a circle": (lambda path: path.symlink_to(path), "symbolic links"),
}  # fmt: skip


@pytest.mark.parametrize("name", DOORS)
def test_paths(tmp_path, name):
    make, message = DOORS[name]
    make(tmp_path / "model.h5")
    with pytest.raises(ModelFileError, match=message) as caught:
        tinycnn.load(tmp_path / "model.h5")
    assert str(tmp_path / "model.h5") in str(caught.value)


def test_path_without_permission(tmp_path, monkeypatch):
    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(mapped.os, "open", refuse)
    with pytest.raises(ModelFileError, match="Permission denied"):
        mapped.read(tmp_path / "m.safetensors")


def test_path_with_null_character():
    with pytest.raises(ModelFileError, match="null"):
        tinycnn.load("a\0b")
