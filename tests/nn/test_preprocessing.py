"""Grey levels to input, as Keras's ImageDataGenerator does it."""

from __future__ import annotations

import numpy as np
import pytest

from tinycnn.errors import ModelFileError
from tinycnn.nn.preprocessing import Preprocessing

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3) * 10


def test_by_default_nothing_changes():
    x = Preprocessing().normalise(PIXELS)
    assert x.dtype == np.float32
    assert (x == PIXELS).all()


def test_scale_then_offset():
    x = Preprocessing(scale=1 / 127.5, offset=-1.0).normalise(np.array([[[[0]], [[255]]]]))
    assert x.ravel().tolist() == pytest.approx([-1, 1])
    assert Preprocessing(scale=2, offset=(0.0, 1.0, 2.0)).normalise(PIXELS)[0, 0, 1].tolist() == [
        60, 81, 102,
    ]  # fmt: skip


def test_bgr_comes_first():
    x = Preprocessing(bgr=True, offset=(1.0, 2.0, 3.0)).normalise(PIXELS)
    assert x[0, 0, 0].tolist() == [21, 12, 3]


def test_samplewise():
    """Every image by itself; Keras divides by std + 1e-6, so that a flat image becomes 0."""
    pixels = np.stack([np.full((2, 2, 1), 7), np.array([[[1], [1]], [[3], [3]]])])
    x = Preprocessing("grayscale", standardization="samplewise").normalise(pixels)
    assert (x[0] == 0).all()
    assert x[1].ravel().tolist() == pytest.approx([-1, -1, 1, 1], abs=2e-6)
    assert x[1, 0, 0, 0] != -1  # (1 - 2) / (1 + 1e-6)


@pytest.mark.parametrize("mean", [(10.0,), (10.0, 10.0, 10.0)])
def test_featurewise(mean):
    settings = Preprocessing(standardization="featurewise", mean=mean, std=(2.0, 4.0, 5.0))
    x = settings.normalise(PIXELS)
    assert x[0, 0, 1].tolist() == pytest.approx([10, 7.5, 8], rel=1e-5)


def test_the_pixels_stay_as_they_are():
    for dtype in (np.uint8, np.float32, np.float64):
        pixels = PIXELS.astype(dtype)
        pixels.flags.writeable = False
        for bgr in (False, True):
            Preprocessing(bgr=bgr, standardization="samplewise").normalise(pixels)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"standardization": "featurewise"}, "mean needs 3 values"),
        ({"fractional_crop": True}, "fractional_crop needs crop_to_aspect_ratio"),
        ({"standardization": "featurewise", "mean": (1.0,), "std": (1.0, 2.0)}, "std needs 3"),
        ({"mean": (1.0,)}, "mean needs 0 values"),
        ({"standardization": "samplewise", "std": (1.0,)}, "std needs 0"),
        ({"color_mode": "grayscale", "bgr": True}, "bgr"),
        ({"offset": (1.0, 2.0)}, "offset needs 1 or 3"),
        ({"color_mode": "grayscale", "offset": (1.0, 2.0)}, "offset needs 1 or 1"),
        ({"scale": np.nan}, "finite"), ({"offset": np.inf}, "finite"),
        ({"standardization": "featurewise", "mean": (0.0,), "std": (np.inf,)}, "finite"),
        ({"standardization": "featurewise", "mean": (0.0,), "std": (-1e-6,)}, "negative"),
    ],
)  # fmt: skip
def test_what_would_lie(settings, message):
    with pytest.raises(ModelFileError, match=message):
        Preprocessing(**settings)


def test_overflow_is_seen_and_not_warned_about():
    assert np.isinf(Preprocessing(scale=1e38).normalise(PIXELS)).any()


def test_channels():
    assert [Preprocessing(mode).channels for mode in ("grayscale", "rgb")] == [1, 3]
