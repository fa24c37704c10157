"""Channels-first models against Keras itself, and what of them is refused.

Keras's TensorFlow runs these layers on CPUs too (with oneDNN), so nothing is taken on trust. But
Keras 3.15 adds a bias of as many values as the picture has columns along the columns: no layer here
has as many filters as its output has columns.
"""

import numpy as np
import pytest
from tinycnn.convert import keras as converter
from tinycnn.convert.hdf5 import read as read_here

from tests.backends import WORKING
from tests.keras_models import randomise
from tinycnn.engine.session import Session
from tinycnn.errors import ConversionError
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing

keras = pytest.importorskip("keras")
pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]
L = keras.layers
FIRST = {"data_format": "channels_first"}
SHAPE = (3, 13, 10)  # channels, rows, columns: all different


def stack(*layers):
    return keras.Sequential([keras.Input(SHAPE), *layers])


def conv(filters=7, size=3, **options):
    return L.Conv2D(filters, size, **FIRST, **options)


def residual():
    x = inputs = keras.Input(SHAPE)
    x = L.ReLU()(L.BatchNormalization(axis=1)(conv(6, padding="same")(x)))
    y = L.Activation("relu")(L.BatchNormalization(axis=1)(conv(6, 1)(inputs)))
    x = L.Concatenate(axis=1)([L.Add()([x, y]), L.Average()([x, y]), inputs])
    x = L.GlobalAveragePooling2D(**FIRST)(L.Concatenate(axis=-3)([x, x]))
    return keras.Model(inputs, L.Dense(3, activation="softmax")(x))


def along_rows():
    x = inputs = keras.Input(SHAPE)
    x = L.Concatenate(axis=2)([conv()(x), conv()(x)])
    x = L.Concatenate(axis=-1)([x, L.MaxPooling2D(1, **FIRST)(x)])
    return keras.Model(inputs, L.Dense(3)(L.Flatten()(x)))


def nested_and_shared():
    block = keras.Sequential([conv(3, padding="same"), L.PReLU(shared_axes=[2, 3])], name="block")
    x = inputs = keras.Input(SHAPE)
    x = L.Multiply()([block(block(x)), x])
    return keras.Model(inputs, L.Dense(2)(L.Flatten()(x)))


def channels_last_outside():
    x = inputs = keras.Input((13, 10, 3))
    x = conv(strides=2)(L.Permute((3, 1, 2))(x))
    x = L.Conv2D(2, 3)(L.Permute((2, 3, 1))(x))
    return keras.Model(inputs, L.GlobalMaxPooling2D()(x))


MODELS = {
    "flattened as it lies": lambda: stack(conv(), L.Flatten(), L.Dense(3)),
    "flattened by Keras": lambda: stack(conv(strides=2), L.Flatten(**FIRST), L.Dense(3)),
    "after dropout": lambda: stack(conv(), L.Dropout(0.5), L.Flatten(), L.BatchNormalization()),
    "windows": lambda: stack(
        L.ZeroPadding2D(((1, 2), (0, 3)), **FIRST),
        L.DepthwiseConv2D(3, padding="same", depth_multiplier=2, **FIRST),
        L.SeparableConv2D(5, (3, 2), **FIRST),
        L.Conv2DTranspose(4, 3, 2, **FIRST),
        L.AveragePooling2D((3, 2), padding="same", **FIRST),
        L.UpSampling2D((2, 3), interpolation="bilinear", **FIRST),
        L.Cropping2D(((1, 0), (2, 3)), **FIRST),
        L.MaxPooling2D(3, 2, padding="same", **FIRST),
        L.Resizing(5, 7, **FIRST),
        L.Flatten(),
    ),
    "pooled": lambda: stack(conv(), L.GlobalMaxPooling2D(keepdims=True, **FIRST), L.Flatten()),
    "parameters of pictures": lambda: stack(
        conv(), L.PReLU(), conv(), L.PReLU(shared_axes=[3]), L.Flatten(), L.Dense(2)
    ),
    "normalised": lambda: stack(
        L.Normalization(axis=1), L.Rescaling(0.5, 1), conv(),
        L.LayerNormalization(axis=1), L.LayerNormalization(axis=-1), L.Flatten(), L.Dense(2),
    ),
    "a mean image first": lambda: stack(
        L.Normalization(axis=(1, 2, 3)), L.LayerNormalization((1, 2, 3)), conv(), L.Flatten()
    ),
    "batch-norm first": lambda: stack(L.BatchNormalization(axis=1), conv(), L.Flatten()),
    "softmax along axes": lambda: stack(
        conv(), L.Softmax(axis=1), L.Softmax(axis=2), L.Activation("softmax"), L.Flatten()
    ),
    "reshaped": lambda: stack(
        conv(), L.Reshape((11, 8, 7)), L.BatchNormalization(axis=-1), L.Permute((3, 1, 2)),
        conv(2), L.Reshape((-1,)), L.Reshape((3, 6, 6)), conv(2), L.Flatten(),
    ),
    "dense on rows": lambda: stack(conv(), L.Dense(5), conv(2), L.Flatten()),
    "a mixture": lambda: stack(conv(), L.Conv2D(5, 3), L.BatchNormalization(), L.Flatten()),
    "residual": residual,
    "along rows": along_rows,
    "nested and shared": nested_and_shared,
    "channels last outside": channels_last_outside,
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("name", MODELS)
def test_equals_keras(name, suffix, tmp_path):
    model = MODELS[name]()
    randomise(model)
    model.save(tmp_path / f"m{suffix}")
    found = converter.read(tmp_path / f"m{suffix}", read_hdf5=read_here)
    assert found.graph.input_shape == (13, 10, 3)
    assert found.graph.parameters == sum(
        int(np.prod(w.shape)) for w in model.weights if "count" not in w.path
    )
    x = np.random.default_rng(3).normal(size=(2, 13, 10, 3)).astype(np.float32)
    first = model.input_shape[1] == 3
    expected = np.asarray(model(x.transpose(0, 3, 1, 2) if first else x, training=False))
    got = found.graph.forward(x, found.weights)
    largest = max(1, np.abs(expected).max())
    assert np.abs(got - expected).max() <= 1e-5 * largest
    ours = Model(found.graph, found.weights, Preprocessing("rgb"))
    for backend in WORKING:
        got = Session(ours, backend=backend).predict(x)
        assert np.abs(got - expected).max() <= 1e-4 * largest, backend


@pytest.mark.parametrize("name", ["residual", "flattened by Keras", "channels last outside"])
def test_leaves_no_transposition_behind(name, tmp_path):
    MODELS[name]().save(tmp_path / "m.keras")
    graph = converter.read(tmp_path / "m.keras", read_hdf5=read_here).graph
    assert not [n.name for n in graph.nodes if type(n.layer).__name__ == "Permute"]


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (lambda: [conv(activation="softmax")], r"\(Conv2D\): with channels_first its activation"),
        (lambda: [conv(), L.BatchNormalization(axis=2)], r"axis 2 is not the channels'"),
        (lambda: [conv(), L.Normalization(axis=(1, 2))], "axis"),
        (lambda: [conv(), L.GroupNormalization(7, axis=1)], "no such layer"),
        (lambda: [conv(), L.Reshape((8, 77)), L.Flatten(**FIRST)], "which is no picture"),
        (lambda: [conv(), L.Lambda(abs)], "holds Python code"),
    ],
)
def test_what_cannot_be_turned_is_refused_by_name(layers, words, tmp_path):
    stack(*layers()).save(tmp_path / "m.keras")
    with pytest.raises(ConversionError, match=words) as caught:
        converter.read(tmp_path / "m.keras", read_hdf5=read_here)
    assert "\n" not in str(caught.value)
    assert "layer '" in str(caught.value)


def test_open_size_and_the_option(tmp_path):
    inputs = keras.Input((3, None, None))
    keras.Model(inputs, L.GlobalMaxPooling2D(**FIRST)(conv()(inputs))).save(tmp_path / "m.keras")
    found = converter.read(tmp_path / "m.keras", input_shape=(9, 8, 3), read_hdf5=read_here)
    assert found.graph.input_shape == (9, 8, 3)
    with pytest.raises(ConversionError, match=r"is \(None, None, 3\), not \(9, 8, 1\)"):
        converter.read(tmp_path / "m.keras", input_shape=(9, 8, 1), read_hdf5=read_here)
