"""Against real Keras: the very arrays that a network saw in training."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.studies.images import read_picture

pytestmark = pytest.mark.keras

FILTERS = ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
MODES = ["1", "L", "LA", "P", "P+transparency", "RGB", "RGBA", "JPEG L", "JPEG RGB", "JPEG CMYK"]


@pytest.fixture(scope="module")
def keras():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras", reason="needs the extra 'train'")


@pytest.fixture(scope="module")
def image_of(tmp_path_factory):
    """Save an image with structure and noise in ``mode``; return its path."""
    folder = tmp_path_factory.mktemp("images")

    def make(mode, size=(67, 93)):
        random = np.random.default_rng(5)
        smooth = np.linspace(0, 200, size[0] * size[1] * 4).reshape(*size, 4)
        image = Image.fromarray((smooth + random.integers(0, 56, smooth.shape)).astype(np.uint8))
        options = {}
        if mode == "P+transparency":
            options["transparency"] = bytes(range(256))
        form, _, kind = mode.rpartition(" ")
        image = image.convert(kind.split("+")[0])
        path = folder / f"{mode} {size}.{form.lower() or 'png'}"
        image.save(path, **options)
        return path

    return make


def ours(path, size, **settings):
    return read_picture(str(path), size, Preprocessing(**settings)).pixels.astype(np.float32)


def theirs(keras, path, size, color_mode, interpolation, crop=False):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = keras.utils.load_img(
            path,
            color_mode=color_mode,
            target_size=size,
            interpolation=interpolation,
            keep_aspect_ratio=crop,
        )
    return keras.utils.img_to_array(image)


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("color_mode", ["grayscale", "rgb"])
@pytest.mark.parametrize("mode", MODES)
def test_equal_to_load_img(keras, image_of, mode, color_mode, interpolation, crop):
    path = image_of(mode)
    for size in ((32, 32), (80, 48), (200, 131), (67, 93)):
        expected = theirs(keras, path, size, color_mode, interpolation, crop)
        found = ours(
            path,
            size,
            color_mode=color_mode,
            interpolation=interpolation,
            crop_to_aspect_ratio=crop,
        )
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bits", [16, 12])
def test_16_bit_differs_as_documented(keras, tmp_path, bits):
    """Keras gives the raw values, 0 to 65535; tinycnn the upper 8 of the bits that are used."""
    levels = (np.arange(64, dtype=np.uint16) * 1040 >> (16 - bits)).reshape(8, 8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    raw = theirs(keras, tmp_path / "a.png", (8, 8), "grayscale", "nearest")
    found = ours(tmp_path / "a.png", (8, 8), color_mode="grayscale")
    np.testing.assert_array_equal(raw // 2 ** (bits - 8), found)
    assert len(np.unique(found)) == 64
