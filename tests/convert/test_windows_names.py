"""Files that Keras 2.12 wrote on Windows: paths of groups joined by backslashes."""

import io

import h5py
import numpy as np
import pytest
from tinycnn.convert import keras
from tinycnn.convert.hdf5 import read as read_here

from tests.convert.keras_files import (
    small_config,
    small_layers,
    small_weights,
    weights_h5,
    write_h5,
    write_keras,
)
from tests.corpus import WILD
from tinycnn.errors import ConversionError


def renamed(data, old="layers/", new="_layer_checkpoint_dependencies\\"):
    """A `.weights.h5` with its groups called as ``ntpath.join`` did it: "layers" itself is gone."""
    buffer = io.BytesIO()
    with h5py.File(io.BytesIO(data)) as source, h5py.File(buffer, "w") as file:
        file.create_group("optimizer\\momentums\\vars")["0"] = np.full(3, np.nan)
        for name in source["layers"]:
            source.copy(f"layers/{name}", file, name=f"layers/{name}".replace(old, new))
    return buffer.getvalue()


def test_a_file_of_windows_is_that_of_linux(tmp_path):
    write_keras(tmp_path / "linux.keras")
    write_keras(tmp_path / "windows.keras", {"model.weights.h5": renamed(weights_h5())})
    ours, theirs = (keras.read(tmp_path / f"{name}.keras") for name in ("linux", "windows"))
    assert ours.graph == theirs.graph
    assert list(ours.weights) == list(theirs.weights)
    for key, value in ours.weights.items():
        np.testing.assert_array_equal(theirs.weights[key], value)


def test_the_state_of_the_optimizer_stays_away(tmp_path):
    (tmp_path / "m.weights.h5").write_bytes(renamed(weights_h5()))
    root = read_here(tmp_path / "m.weights.h5")
    assert root.left_out == ("optimizer",)
    assert list(root.groups) == ["_layer_checkpoint_dependencies"]


def test_nested_groups_are_joined(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["a\\b/x"], file["a\\b\\c/vars/0"], file["a/d/0"] = (np.float32([i]) for i in range(3))
    root = read_here(tmp_path / "m.h5")
    found = [root.array(path) for path in ("a/b/x", "a\\b\\c/vars/0", "a\\d/0")]
    assert [float(value[0]) for value in found] == [0, 1, 2]
    assert root.array("a/b/y") is root.at("a/z") is root.at("\\") is None


def test_a_layer_may_be_called_so(tmp_path):
    """In the layout of `.h5` groups bear the layers' names, whatever is in them."""
    layers = small_layers()
    layers[1]["config"]["name"] = "my\\conv"
    weights = small_weights()
    weights = {"my\\conv" if key == "conv" else key: value for key, value in weights.items()}
    write_h5(tmp_path / "m.h5", small_config(layers), weights)
    found = keras.read(tmp_path / "m.h5")
    np.testing.assert_array_equal(
        found.weights["my\\conv/kernel"], small_weights()["conv"]["kernel:0"]
    )


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("a/b", "a\\b"), "two members by this name"),
        (("a/b/c", "a\\b"), "two members by this name"),
        (("a\\b/c", "a/b"), "two members by this name"),
        (("a/b", "a\\b\\c"), "what it lies in is no group"),
        (("\\",), "or none"),
        (("a" + "\\a" * 40 + "/x",), "nested deeper"),
    ],
)
def test_names_that_meet(names, words, tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for name in names:
            file[name] = np.float32([1])
    with pytest.raises(ConversionError, match=words):
        read_here(tmp_path / "m.h5")


@pytest.mark.skipif(not WILD.is_dir(), reason="../shared/wild is not there")
def test_a_file_that_was_refused():
    folder = WILD / "01-keras212-windows-separators"
    found = keras.read(folder / "model.keras")
    with np.load(folder / "expected.npz") as golden:
        got = found.graph.forward(golden["x"], found.weights)
        np.testing.assert_allclose(got, golden["y"], atol=1e-6)
