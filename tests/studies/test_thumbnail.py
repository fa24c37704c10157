from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tinycnn.errors import ImageError
from tinycnn.studies.thumbnail import LARGE, thumbnail


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        assert image.mode == "L"
        return np.asarray(image, np.float64)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((320, 240), (160, 120)),
        ((240, 320), (120, 160)),
        ((7, 7), (160, 160)),
        ((1, 900), (1, 160)),
        ((900, 1), (160, 1)),
    ],
)
def test_it_keeps_the_proportions(tmp_path, size, wanted):
    Image.new("L", size, 99).save(tmp_path / "view.png")
    data, width, height = thumbnail(str(tmp_path / "view.png"), 160)
    assert (width, height) == wanted
    assert pixels(data).shape == wanted[::-1]
    assert abs(pixels(data) - 99).max() <= 1


def test_it_shows_the_picture(tmp_path):
    x, y = np.meshgrid(np.linspace(0, 255, 480), np.linspace(0, 1, 320))
    Image.fromarray((x * y).astype(np.uint8)).save(tmp_path / "view.png")
    data, *_ = thumbnail(str(tmp_path / "view.png"), 160)
    small = (x * y).reshape(107 * 3 - 1, 480)[1::3, 1::3]
    assert abs(pixels(data) - small).mean() < 3


def test_exif_turns_it(tmp_path):
    image = Image.new("L", (320, 240), 50)
    image.paste(200, (0, 0, 320, 40))  # bright above; to be turned by a quarter, clockwise
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "view.jpg", exif=exif)
    data, width, height = thumbnail(str(tmp_path / "view.jpg"), 160)
    assert (width, height) == (120, 160)
    shown = pixels(data)
    assert shown[:, -15:].mean() > 180
    assert shown[:, :-30].mean() < 60


def test_noise_is_bounded(tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (160, 160), np.uint8)
    Image.fromarray(noise).save(tmp_path / "view.png")
    data, *_ = thumbnail(str(tmp_path / "view.png"), 160)
    assert len(data) < 1.5 * LARGE


def test_what_is_no_picture_says_so(tmp_path):
    (tmp_path / "view.png").write_bytes(b"GIF89a")
    with pytest.raises(ImageError, match="neither PNG nor JPEG"):
        thumbnail(str(tmp_path / "view.png"), 160)
