"""Layers that prepare pictures inside of the network, against Keras 3."""

import numpy as np
import pytest
from tinycnn.convert import keras as converter

from tests.convert.against_keras import check, saved

keras = pytest.importorskip("keras")
pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]
L = keras.layers
ODD, WIDE = (9, 8, 3), (6, 11, 3)


def adapted(**options):
    """A Normalization that has seen pictures."""
    layer = L.Normalization(**options)
    layer.adapt(np.random.default_rng(0).normal(5, 3, size=(20, *ODD)))
    return layer


LAYERS = {
    "rescaling": lambda: L.Rescaling(1 / 127.5, -1),
    "rescaling by channel": lambda: L.Rescaling([1, 2, 3], [0.5, -1, 0]),
    "rescaling by an array": lambda: L.Rescaling(np.float32([1, 2, 3])),
    "normalization": adapted,
    "normalization, inverted": lambda: adapted(invert=True),
    "normalization of all": lambda: adapted(axis=None),
    "normalization, given": lambda: L.Normalization(mean=[1, 2, 3], variance=[4, 5, 6]),
    "normalization, one number": lambda: L.Normalization(axis=None, mean=1.5, variance=2.0),
    "resizing": lambda: L.Resizing(5, 12),
    "resizing, nearest": lambda: L.Resizing(13, 4, interpolation="nearest"),
    "resizing, cropped": lambda: L.Resizing(4, 7, crop_to_aspect_ratio=True),
    "resizing, cropped the other way": lambda: L.Resizing(7, 2, crop_to_aspect_ratio=True),
    "resizing, padded": lambda: L.Resizing(4, 7, pad_to_aspect_ratio=True),
    "resizing, padded the other way": lambda: L.Resizing(7, 2, pad_to_aspect_ratio=True),
    "centre crop": lambda: L.CenterCrop(4, 5),
    "centre crop, odd": lambda: L.CenterCrop(6, 3),
    "centre crop of a small picture": lambda: L.CenterCrop(12, 14),
    "centre crop of a narrow picture": lambda: L.CenterCrop(5, 20),
}


@pytest.mark.parametrize("shape", [ODD, WIDE])
@pytest.mark.parametrize("name", LAYERS)
def test_layer_equals_keras(name, shape, tmp_path):
    layer = LAYERS[name]()
    check(*saved(lambda x: layer(x) * 2, tmp_path, shape=shape))
    check(*saved(lambda x: layer(x) * 2, tmp_path, ".h5", shape=shape))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_what_acts_in_training_only_is_dropped(suffix, tmp_path):
    layers = [
        *(L.RandomFlip("horizontal"), L.RandomRotation(0.1), L.RandomZoom(0.2)),
        *(L.RandomTranslation(0.1, 0.1), L.RandomContrast(0.2)),
        *(L.GaussianNoise(0.1), L.GaussianDropout(0.1), L.SpatialDropout2D(0.1)),
        *(L.AlphaDropout(0.1), L.Dropout(0.1), L.ActivityRegularization(0.1)),
        L.RandomCrop(*ODD[:2]),
        L.Conv2D(2, 3),
    ]
    if suffix == ".keras":  # Keras 3.15 cannot save the first as .h5
        layers[:0] = [L.RandomBrightness(0.2), L.RandomShear(0.1), L.RandomHue(0.1)]

    def random(x):
        for layer in layers:
            x = layer(x)
        return x

    model, found = saved(random, tmp_path, suffix, shape=ODD)
    check(model, found)
    assert found.graph.parameters == model.count_params()


def test_a_pipeline_of_layers(tmp_path):
    pipeline = [L.RandomFlip(), L.Rescaling(2.0, -1.0), L.RandomZoom(0.1)]
    check(*saved(lambda x: L.Conv2D(2, 3)(L.Pipeline(pipeline)(x)), tmp_path))


def test_normalization_within_nested_models(tmp_path):
    """The layers' order decides which weights belong to whom."""
    prepare = keras.Sequential([adapted(), L.RandomFlip(), L.Rescaling(0.5)], name="prepare")
    body = keras.Sequential([L.Conv2D(4, 3), L.BatchNormalization(), L.ReLU()], name="body")
    model = keras.Sequential([keras.Input(ODD), prepare, body, L.GlobalAveragePooling2D()])
    for name in ("m.keras", "m.h5"):
        model.save(tmp_path / name)
        check(model, converter.read(tmp_path / name))
