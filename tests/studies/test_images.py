from __future__ import annotations

import contextlib
import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.studies.conftest import chunk, png
from tinycnn.errors import ImageError
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.studies.images import read_picture
from tinycnn.studies.jpeg import read_jpeg
from tinycnn.studies.png import read_png

GRAY, RGB = Preprocessing(color_mode="grayscale"), Preprocessing(color_mode="rgb")
STUDIES = Path(__file__).resolve().parents[3] / "shared" / "studies"


def picture(path, size=(8, 8), preprocessing=GRAY):
    return read_picture(str(path), size, preprocessing)


def written(tmp_path, data, name="image.png"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def sixteen_bit(levels):
    """A 16-bit gray PNG of one row."""
    rows = b"\0" + np.asarray(levels, ">u2").tobytes()
    return png(len(levels), 1, rows, depth=16)


def jpeg_bytes(image=None, **options):
    stream = io.BytesIO()
    if image is None:
        levels = np.random.default_rng(0).integers(0, 256, (40, 56), np.uint8)
        image = Image.fromarray(levels)
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def test_gray_comes_back_as_it_was(tmp_path):
    levels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    found = picture(tmp_path / "a.png")
    assert found.pixels.shape == (8, 8, 1)
    np.testing.assert_array_equal(found.pixels[:, :, 0], levels)
    assert found.notes == ()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("preprocessing", [GRAY, RGB])
def test_every_mode_gives_the_networks_channels(tmp_path, mode, preprocessing):
    Image.new("RGB", (30, 20), (200, 100, 50)).convert(mode).save(tmp_path / "a.png")
    pixels = picture(tmp_path / "a.png", (16, 12), preprocessing).pixels
    assert pixels.shape == (16, 12, preprocessing.channels)
    assert pixels.dtype == np.uint8


def test_alpha_is_dropped_not_blended(tmp_path):
    Image.new("RGBA", (8, 8), (200, 100, 50, 0)).save(tmp_path / "a.png")
    assert picture(tmp_path / "a.png", preprocessing=RGB).pixels[0, 0].tolist() == [200, 100, 50]


def test_16_bit_is_scaled_never_clipped(tmp_path):
    path = written(tmp_path, sixteen_bit([0, 255, 256, 1000, 32768, 65535, 65535, 65535]))
    found = picture(path, (1, 8))
    assert found.pixels.ravel().tolist() == [0, 0, 1, 3, 128, 255, 255, 255]


def test_8_bits_stored_in_16_come_back_exactly(tmp_path):
    levels = np.arange(256)
    path = written(tmp_path, sixteen_bit(levels * 257))
    np.testing.assert_array_equal(picture(path, (1, 256)).pixels.ravel(), levels)


def test_16_bit_gray_and_16_bit_colour_agree(tmp_path):
    values = np.array([0, 255, 256, 40000, 65535, 12345, 999, 65534], ">u2")
    colour = png(8, 1, b"\0" + np.repeat(values, 3).tobytes(), depth=16, colour=2)
    gray = written(tmp_path, sixteen_bit(values), "gray.png")
    pixels = picture(written(tmp_path, colour), (1, 8), RGB).pixels
    np.testing.assert_array_equal(picture(gray, (1, 8), RGB).pixels, pixels)


def test_16_bit_larger_than_a_strip(tmp_path):
    levels = np.random.default_rng(1).integers(0, 65536, (700, 5), np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    path = written(tmp_path, png(5, 700, rows, depth=16))
    np.testing.assert_array_equal(picture(path, (700, 5)).pixels[:, :, 0], levels >> 8)


@pytest.mark.parametrize("orientation", range(9))
def test_exif_rotation_is_applied(tmp_path, orientation):
    levels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(levels).save(tmp_path / "a.png", exif=exif)
    turn = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: a.T[:, ::-1],
        7: lambda a: a[::-1, ::-1].T,
        8: lambda a: a.T[::-1],
    }.get(orientation, lambda a: a)
    expected = turn(levels)
    found = picture(tmp_path / "a.png", expected.shape)
    np.testing.assert_array_equal(found.pixels[:, :, 0], expected)
    assert bool(found.notes) == (orientation > 1)


def test_broken_exif_is_no_reason_to_refuse(tmp_path):
    path = written(tmp_path, png(before=chunk(b"eXIf", b"II*\0\xff\xff\xff\xff garbage")))
    assert picture(path).pixels.shape == (8, 8, 1)


def test_a_jpeg_named_png_is_read_for_what_it_is(tmp_path):
    assert picture(written(tmp_path, jpeg_bytes())).pixels.shape == (8, 8, 1)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 100}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpegs(tmp_path, options, mode):
    data = jpeg_bytes(Image.new("RGB", (50, 40), (9, 99, 199)).convert(mode), **options)
    header = read_jpeg(data)
    assert (header.width, header.height) == (50, 40)
    per_pixel = 1 if mode == "L" else 4
    assert header.decoded_bytes >= 2000 * (per_pixel + 2 * bool(options.get("progressive")))
    assert picture(written(tmp_path, data), preprocessing=RGB).pixels.shape == (8, 8, 3)


def test_data_behind_the_end_is_left_alone(tmp_path):
    picture(written(tmp_path, png() + b"trailer"))
    picture(written(tmp_path, jpeg_bytes() + b"\0" * 40, "a.jpg"))


def test_crop_to_aspect_ratio_takes_the_middle(tmp_path):
    levels = np.zeros((10, 30), np.uint8)
    levels[:, 10:20] = 200
    Image.fromarray(levels).save(tmp_path / "a.png")
    crop = Preprocessing(color_mode="grayscale", crop_to_aspect_ratio=True)
    assert (picture(tmp_path / "a.png", (5, 5), crop).pixels == 200).all()
    Image.new("L", (1, 3)).save(tmp_path / "thin.png")
    with pytest.raises(ImageError, match="too narrow"):
        picture(tmp_path / "thin.png", (2, 8), crop)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (13, 2)])
def test_the_number_of_bytes_that_rows_need(depth, interlace, size):
    """Against libpng's arithmetic: one byte less must be too few."""
    width, height = size
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)]
    passes += [(0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    needed = 0
    for x, y, dx, dy in passes if interlace else [(0, 0, 1, 1)]:
        columns, rows = len(range(x, width, dx)), len(range(y, height, dy))
        needed += rows * (1 + -(-columns * depth // 8)) * bool(columns)
    for missing in (0, 1):
        data = png(width, height, bytes(needed - missing), depth=depth, interlace=interlace)
        if missing:
            with pytest.raises(ImageError, match="truncated"):
                read_png(io.BytesIO(data), len(data))
        else:
            assert read_png(io.BytesIO(data), len(data)).width == width


def test_compressed_data_may_be_cut_into_chunks_anywhere():
    packed = zlib.compress(np.random.default_rng(0).bytes(33 * 33).replace(b"\0", b"\1"))
    whole = png(32, 33, bytes(33 * 33))
    head, tail = whole[:33], chunk(b"IEND", b"")
    parts = b"".join(chunk(b"IDAT", packed[i : i + 1]) for i in range(len(packed)))
    data = head + parts + chunk(b"IDAT", b"") + tail
    assert read_png(io.BytesIO(data), len(data)).height == 33


def test_every_truncation_of_a_png_is_refused(tmp_path):
    data = png(9, 7, before=chunk(b"tEXt", b"a\0b"))
    for length in range(len(data)):
        with pytest.raises(ImageError):
            picture(written(tmp_path, data[:length]))


def test_every_truncation_of_a_jpeg_is_refused(tmp_path):
    data = jpeg_bytes()
    for length in [*range(0, len(data), 7), len(data) - 1]:
        with pytest.raises(ImageError):
            picture(written(tmp_path, data[:length]))


def test_every_flipped_bit_of_a_png_is_refused(tmp_path):
    data = png(4, 4, np.random.default_rng(3).bytes(20).translate(bytes([1]) * 256))
    for position in range(8 * 8, 8 * len(data)):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(ImageError):
            picture(written(tmp_path, bytes(damaged)))


@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_damaged_jpeg_is_read_or_refused(tmp_path, data):
    damaged = bytearray(jpeg_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(3, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ImageError):
        assert picture(written(tmp_path, bytes(damaged))).pixels.shape == (8, 8, 1)


@pytest.mark.skipif(not STUDIES.is_dir(), reason=f"no real studies in {STUDIES}")
def test_real_studies_are_read():
    images = sorted(STUDIES.rglob("*.png"))
    assert len(images) == 6
    for path in images:
        pixels = picture(path, (224, 224)).pixels
        assert pixels.shape == (224, 224, 1)
        assert pixels.std() > 10
