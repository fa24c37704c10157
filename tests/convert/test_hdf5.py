"""Every trap that an HDF5 file or an archive can be: refused in one line, quickly, nothing read."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from tinycnn.convert import archive, hdf5, isolation, keras

from tests.convert import fuzz
from tests.convert.keras_files import (
    fill_weights,
    layer,
    small_config,
    small_layers,
    small_weights,
    weights_h5,
    write_h5,
    write_keras,
)
from tinycnn.errors import ConversionError


@pytest.fixture
def trap(tmp_path):
    """A sound file, whose dense kernel a test replaces by a trap."""
    path = tmp_path / "trap.h5"
    write_h5(path)
    assert hdf5.read(path).array("model_weights/dense/dense/kernel:0") is not None
    return path


def refused(path, words, read=hdf5.read):
    with pytest.raises(ConversionError, match=words) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def group(file):
    dense = file["model_weights/dense/dense"]
    del dense["kernel:0"]
    return dense


def test_declared_size_is_not_believed(trap):
    with h5py.File(trap, "r+") as file:
        group(file).create_dataset("kernel:0", shape=(1 << 15, 1 << 15), dtype="f4")
    assert trap.stat().st_size < 40_000
    refused(trap, "declares more than|declares 4294967296 bytes and holds 0")


@pytest.mark.parametrize("chunks", [None, (64, 64)])
def test_missing_data_are_not_zeros(trap, chunks):
    with h5py.File(trap, "r+") as file:
        group(file).create_dataset("kernel:0", shape=(1 << 10, 1 << 10), dtype="f4", chunks=chunks)
    refused(trap, "declares 4194304 bytes and holds 0")


def test_compression_bomb(trap):
    with h5py.File(trap, "r+") as file:
        zeros = np.zeros((4096, 2048), np.float32)
        group(file).create_dataset("kernel:0", data=zeros, compression="gzip", compression_opts=9)
    refused(trap, "declares 33554432 bytes and holds")


def test_compressed_weights_are_read(trap):
    expected = small_weights()["dense"]["kernel:0"]
    with h5py.File(trap, "r+") as file:
        group(file).create_dataset("kernel:0", data=expected, compression="gzip", shuffle=True)
    found = hdf5.read(trap).array("model_weights/dense/dense/kernel:0")
    np.testing.assert_array_equal(found, expected)


def test_other_filters_would_load_a_plugin(trap):
    with h5py.File(trap, "r+") as file:
        group(file).create_dataset(
            "kernel:0", data=np.arange(6).reshape(3, 2), scaleoffset=8, chunks=(3, 2)
        )
    refused(trap, "filter 6; only")


def test_external_storage_is_another_file(trap, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * 24)
    with h5py.File(trap, "r+") as file:
        group(file).create_dataset(
            "kernel:0", shape=(3, 2), dtype="f4", external=[(str(secret), 0, 24)]
        )
    refused(trap, "lie in another file")


def test_virtual_dataset_is_another_file(trap, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = np.zeros((3, 2), np.float32)
    layout = h5py.VirtualLayout((3, 2), np.float32)
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "x", shape=(3, 2))
    with h5py.File(trap, "r+") as file:
        group(file).create_virtual_dataset("kernel:0", layout)
    refused(trap, "lie in another file")


@pytest.mark.parametrize(
    "link", [h5py.SoftLink("/model_weights/bn"), h5py.ExternalLink("/etc/passwd", "/")]
)
def test_links_are_never_followed(trap, link):
    with h5py.File(trap, "r+") as file:
        group(file)["kernel:0"] = link
    refused(trap, "a link to elsewhere")


def test_hard_links_make_no_circle(trap):
    with h5py.File(trap, "r+") as file:
        file["model_weights/dense/circle"] = file["model_weights"]
    refused(trap, "a second name for an object")


def test_depth_is_limited(trap):
    with h5py.File(trap, "r+") as file:
        file.create_group("model_weights/" + "/".join("abcdefghij" * 4))
    refused(trap, "nested deeper")


@pytest.mark.parametrize(
    "value",
    [
        np.array([b"text"]),
        np.zeros(3, [("a", "f4"), ("b", "i4")]),
        np.zeros(3, np.complex64),
        np.zeros(3, np.void(b"12")),
    ],
)
def test_other_types_are_refused(trap, value):
    with h5py.File(trap, "r+") as file:
        group(file)["kernel:0"] = value
    refused(trap, "not numbers")


def test_references_are_refused(trap):
    with h5py.File(trap, "r+") as file:
        reference = file["model_weights/bn"].ref
        group(file).create_dataset("kernel:0", data=[reference], dtype=h5py.ref_dtype)
    refused(trap, "not numbers")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_must_be_finite(tmp_path, bad):
    weights = small_weights()
    weights["bn"]["beta:0"][1] = bad
    write_h5(tmp_path / "m.h5", weights=weights)
    refused(tmp_path / "m.h5", r"layer 'bn' \(BatchNormalization\): its weight 'beta' holds NaN",
            keras.read)  # fmt: skip


def test_attribute_bombs(trap):
    with h5py.File(trap, "r+") as file:
        del file["model_weights"].attrs["layer_names"]
        file["model_weights"].attrs.create("layer_names", np.zeros(60_000, "S1"))
    refused(trap, "attribute 'layer_names': too large")


def test_attribute_that_is_no_text(trap):
    with h5py.File(trap, "r+") as file:
        file.attrs["keras_version"] = 2.8
    refused(trap, "attribute 'keras_version': not text")


def test_optimizer_state_is_not_looked_at(trap):
    with h5py.File(trap, "r+") as file:
        file["optimizer_weights/x"] = h5py.ExternalLink("/etc/passwd", "/")
    assert keras.read(trap).graph.parameters == 50


def test_lambda_is_never_executed(tmp_path):
    mark = tmp_path / "executed"
    code = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    entry = layer("Lambda", "evil", function=[code, None, None], function_type="lambda")
    layers = small_layers()
    layers.insert(2, entry)
    write_h5(tmp_path / "m.h5", small_config(layers))
    refused(tmp_path / "m.h5", r"layer 'evil' \(Lambda\): holds Python code, which is never",
            keras.read)  # fmt: skip
    assert not mark.exists()


def test_nothing_is_imported_by_name(tmp_path):
    entry = {**layer("Trojan", "t"), "module": "antigravity", "registered_name": "os>system"}
    layers = [*small_layers(), entry]
    write_keras(tmp_path / "m.keras", {"config.json": json.dumps(small_config(layers)).encode()})
    refused(
        tmp_path / "m.keras",
        "tinycnn has no such layer; it has Activation, ActivityReg",
        keras.read,
    )
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"class_name": "Sequential", "class_name": "x"}', "a key twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 1e999}', "too large"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "[" * 80 + "]" * 80 + "}", "nested deeper"),
        ('{"a": ' + "9" * 5000 + "}", "digits"),
        ('{"class_name": "Sequential"', "its configuration: "),
        ("[]", "no 'class_name'"),
    ],
)
def test_strict_json(tmp_path, text, words):
    write_h5(tmp_path / "m.h5", config=text)
    refused(tmp_path / "m.h5", words, keras.read)


def test_zip_bomb(tmp_path):
    write_keras(tmp_path / "m.keras", {"config.json": b" " * (64 << 20)})
    refused(tmp_path / "m.keras", "config.json: 67108864 bytes out of", keras.read)


def test_zip_that_lies_about_its_size(tmp_path):
    path = tmp_path / "m.keras"
    write_keras(path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as found:
        size = found.getinfo("config.json").file_size
    real, false = size.to_bytes(4, "little"), (size - 9).to_bytes(4, "little")
    path.write_bytes(bytes(data).replace(real, false))
    refused(path, "damaged zip|cannot be read", keras.read)


@pytest.mark.parametrize("name", ["../../evil.h5", "/etc/evil", "assets/x"])
def test_names_in_the_archive_lead_nowhere(tmp_path, name):
    write_keras(tmp_path / "m.keras", {name: b"evil"})
    before = sorted(tmp_path.rglob("*"))
    assert keras.read(tmp_path / "m.keras").graph.parameters == 50
    assert sorted(tmp_path.rglob("*")) == before


def test_archive_without_or_with_two_of_a_part(tmp_path):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", "{}")
    refused(path, "0 files called 'metadata.json'", archive.read_archive)
    write_keras(path)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("config.json", "{}")
    refused(path, "2 files called 'config.json'", archive.read_archive)


def stored(path, **changed):
    """Write a `.keras` file as Keras does: nothing in it is packed."""
    write_keras(path, **changed)
    with zipfile.ZipFile(path) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def test_what_is_not_packed_is_read_where_it_lies(tmp_path):
    path = stored(tmp_path / "m.keras")
    part = archive.read_archive(path).weights
    assert isinstance(part, hdf5.Part)
    assert path.read_bytes()[part.offset :][: part.size] == weights_h5()
    write_keras(tmp_path / "packed.keras")
    expected = keras.read(tmp_path / "packed.keras").weights
    for read in (hdf5.read, isolation.read_isolated):
        for key, value in keras.read(path, read_hdf5=read).weights.items():
            np.testing.assert_array_equal(value, expected[key])


def test_a_flipped_bit_in_what_is_not_packed_is_found(tmp_path):
    path = stored(tmp_path / "m.keras")
    part = archive.read_archive(path).weights
    data = bytearray(path.read_bytes())
    data[part.offset + part.size - 1] ^= 1
    path.write_bytes(data)
    refused(path, "damaged zip archive: Bad CRC-32", archive.read_archive)


def test_a_part_ends_where_it_ends(tmp_path):
    data = weights_h5()
    (tmp_path / "m").write_bytes(b"before" + data + b"behind")
    assert hdf5.read(hdf5.Part(tmp_path / "m", 6, len(data))).groups
    refused(hdf5.Part(tmp_path / "m", 6, len(data) // 2), "damaged HDF5")


def test_too_many_files(tmp_path):
    write_keras(tmp_path / "m.keras", {f"assets/{i}": b"" for i in range(1001)})
    refused(tmp_path / "m.keras", "1004 files in the archive", keras.read)


def test_bytes_and_paths_read_the_same(tmp_path):
    (tmp_path / "w.h5").write_bytes(weights_h5())
    both = [hdf5.read(tmp_path / "w.h5"), hdf5.read(weights_h5())]
    names = [[sorted(g.arrays) for g in root.walk()] for root in both]
    assert names[0] == names[1]
    assert sum(map(len, names[0])) == 8


def test_a_crash_of_the_library_is_an_error(tmp_path, monkeypatch):
    """The child is killed in the middle of a file, as a segmentation fault would."""
    write_h5(tmp_path / "m.h5")
    with isolation.Hdf5Process() as process:
        process._start().kill()
        refused(tmp_path / "m.h5", r"did not come back from it \(signal 9\)", process.read)
        assert process.read(tmp_path / "m.h5").groups  # a new child


def test_long_lists_of_names_come_in_parts():
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill_weights(file, small_weights())
        names = list(file.attrs["layer_names"])
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:2], names[2:]
    assert hdf5.read(buffer.getvalue()).names("layer_names") == ("conv", "bn", "pool", "dense")


def test_mutated_files_end_in_one_line(tmp_path):
    """Converted in a child process: no signal, no traceback, only answers of our own."""
    command = [sys.executable, fuzz.__file__, "--count", "400", "--keep", str(tmp_path / "case")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "refused" in done.stdout


def test_truncated_files_end_in_one_line(tmp_path):
    write_keras(tmp_path / "whole.keras")
    data = (tmp_path / "whole.keras").read_bytes()
    path: Path = tmp_path / "cut.keras"
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(ConversionError):
            keras.read(path)
