"""Files that Keras 2 wrote, against the outputs that it gave: see `make_goldens.py`."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest
from tinycnn.convert import keras
from tinycnn.convert.hdf5 import read as read_here

from tests.backends import WORKING
from tinycnn.engine.session import Session
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing

HERE = Path(__file__).parent
FILES = ("layers.h5", "layers.keras", "nodes.h5", "operations.h5")
TOLERANCE = 1e-5


def unpacked(name, folder):
    (folder / name).write_bytes(gzip.decompress((HERE / f"goldens/{name}.gz").read_bytes()))
    return folder / name


@pytest.mark.parametrize("name", FILES)
def test_file_equals_its_golden(name, tmp_path):
    found = keras.read(unpacked(name, tmp_path), read_hdf5=read_here)
    with np.load(HERE / f"goldens/{Path(name).stem}.npz") as file:
        x, y = file["x"], file["y"]
    reference = found.graph.forward(x, found.weights)
    np.testing.assert_allclose(reference, y, atol=TOLERANCE, rtol=TOLERANCE)
    model = Model(found.graph, found.weights, Preprocessing("rgb"))
    for backend in WORKING:
        got = Session(model, backend=backend).predict(x)
        np.testing.assert_allclose(got, y, atol=TOLERANCE, rtol=TOLERANCE, err_msg=backend)


def test_goldens_are_small():
    assert sum(file.stat().st_size for file in (HERE / "goldens").iterdir()) < 100_000


def test_configuration_as_bytes(tmp_path):
    """h5py 2 gave text as `bytes` where h5py 3 gives `str`: both kinds of attribute are read."""
    path = unpacked("layers.h5", tmp_path)
    with h5py.File(path, "r+") as file:
        assert isinstance(file.attrs["model_config"], bytes)
        file.attrs["model_config"] = file.attrs["model_config"].decode()
        file.attrs["keras_version"] = np.bytes_(b"2.2.4-tf")
    assert keras.read(path, read_hdf5=read_here).origin == "Keras 2.2.4-tf, .h5"
