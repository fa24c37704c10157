"""One function of Keras 3's, saved, converted and compared with itself."""

import numpy as np
from tinycnn.convert import keras as converter
from tinycnn.convert.hdf5 import read as read_here

from tests.backends import WORKING
from tinycnn.engine.session import Session
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing

SHAPE = (7, 9, 3)
TOLERANCE = 1e-4


def saved(function, folder, suffix=".keras", shape=SHAPE):
    """A model of one function, and what the converter makes of its file."""
    import keras

    inputs = keras.Input(shape)
    model = keras.Model(inputs, function(inputs))
    model.save(folder / f"m{suffix}")
    return model, converter.read(folder / f"m{suffix}", read_hdf5=read_here)


def check(model, found):
    """Equal outputs, in the reference and in every backend."""
    random = np.random.default_rng(3)
    x = random.normal(size=(2, *found.graph.input_shape)).astype(np.float32) * 3
    expected = np.asarray(model(x, training=False))
    reference = found.graph.forward(x, found.weights)
    assert reference.shape == expected.shape
    np.testing.assert_allclose(reference, expected, atol=TOLERANCE, rtol=TOLERANCE)
    ours = Model(found.graph, found.weights, Preprocessing("rgb"))
    for backend in WORKING:
        got = Session(ours, backend=backend).predict(x)
        np.testing.assert_allclose(got, expected, atol=TOLERANCE, rtol=TOLERANCE, err_msg=backend)
