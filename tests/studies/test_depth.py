"""16-bit images: by the bits that they really have, with a note where that was a guess."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.studies.conftest import chunk, png
from tests.studies.views import bits, radiograph, sixteen
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.studies.depth import DEPTHS
from tinycnn.studies.images import read_picture

GRAY, RGB = Preprocessing(color_mode="grayscale"), Preprocessing(color_mode="rgb")


def read(tmp_path, values, preprocessing=GRAY, **options):
    (tmp_path / "a.png").write_bytes(sixteen(np.asarray(values), **options))
    return read_picture(str(tmp_path / "a.png"), np.shape(values)[:2], preprocessing)


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_upper_8_of_the_bits_that_its_brightest_value_needs(tmp_path, depth):
    found = read(tmp_path, bits(depth))
    np.testing.assert_array_equal(found.pixels[..., 0], radiograph())
    said = f"taken as {depth} bits in a 16-bit file: its brightest value is {bits(depth).max()}"
    assert (found.notes, found.refusal) == ((said,), "")


@pytest.mark.parametrize("preprocessing", [GRAY, RGB])
@pytest.mark.parametrize("depth", [9, 10, 11, 12, 13, 14, 15])
def test_a_file_that_says_its_depth_is_believed(tmp_path, depth, preprocessing):
    found = read(tmp_path, bits(depth) // 3, preprocessing, significant=bytes([depth]))
    np.testing.assert_array_equal(found.pixels[..., 0], bits(depth) // 3 >> (depth - 8))
    assert found.notes == (f"{depth} bits in a 16-bit file, as it says",)


def test_values_that_were_scaled_up_as_the_specification_asks(tmp_path):
    """12 bits, the upper 4 of them once more below; the brightest is then beyond 12 bits."""
    scaled = bits(12) << 4 | bits(12) >> 8
    found = read(tmp_path, scaled, significant=b"\x0c")
    np.testing.assert_array_equal(found.pixels[..., 0], radiograph())
    assert found.notes == ()


@pytest.mark.parametrize("significant", [b"", b"\x10", b"\0", b"\x11", b"\x0c\x0c\x0c"])
def test_all_16_bits(tmp_path, significant):
    found = read(tmp_path, bits(16), significant=significant)
    np.testing.assert_array_equal(found.pixels[..., 0], radiograph())
    assert found.notes == ()


def test_the_brightest_value_tells_where_16_bits_are_a_guess(tmp_path):
    """As a real radiograph of 15 bits: more often it is one of 16 bits that is rather dark."""
    found = read(tmp_path, bits(15) // 2 * 2 + 1)
    np.testing.assert_array_equal(found.pixels[..., 0], radiograph() >> 1)
    (note,) = found.notes
    assert note.startswith("taken as 16 bits in a 16-bit file: its brightest value is ")


def test_a_dark_image_that_says_it_has_16_bits_stays_dark(tmp_path):
    found = read(tmp_path, bits(12), significant=b"\x10")
    np.testing.assert_array_equal(found.pixels[..., 0], bits(12) >> 8)
    (note,) = found.notes
    assert note.startswith("hardly any contrast: 100 %")


@pytest.mark.parametrize("levels", [3, 16, 60, 200])
def test_8_bits_that_were_scaled_up_are_what_they_were(tmp_path, levels):
    """However dark: a file of 8 bits and the same with 16 (times 257) have one answer."""
    plain = radiograph(levels, base=0)
    Image.fromarray(plain).save(tmp_path / "plain.png")
    before = read_picture(str(tmp_path / "plain.png"), plain.shape, GRAY)
    found = read(tmp_path, plain.astype(np.uint16) * 257)
    np.testing.assert_array_equal(found.pixels, before.pixels)
    assert (found.notes, found.refusal) == (before.notes, before.refusal)


@given(st.integers(1, 65535), st.integers(0, 255))
def test_no_value_leaves_8_bits_nor_turns_dark(tmp_path_factory, brightest, low):
    values = np.array([[brightest, brightest * low // 255]], np.uint16)
    folder = tmp_path_factory.mktemp("deep")
    found = read(folder, values).pixels.ravel()
    assert found[0] >= found[1]
    # At least a quarter of what the depth allows, unless it is less than 8 bits, or scaled up.
    assert found[0] >= min(brightest, 63) or not (values % 257).any()


@pytest.mark.parametrize("top", [255, 256])
def test_larger_than_a_strip(tmp_path, top):
    values = np.zeros((700, 3), np.uint16)
    values[600:, 1] = 4095 * top // 256
    found = read(tmp_path, values)
    assert found.pixels[..., 0].max() == 4095 * top // 256 >> 4


def colour(values, alpha=None):
    bands = [values] * 3 if alpha is None else [values, np.full_like(values, alpha)]
    return np.stack(bands, axis=2)


@pytest.mark.parametrize(("depth", "refused"), [(8, True), (12, True), (14, False), (16, False)])
@pytest.mark.parametrize("alpha", [None, 65535])
def test_of_several_bands_only_the_upper_bytes_are_read(tmp_path, depth, refused, alpha):
    kind = 2 if alpha is None else 4
    found = read(tmp_path, colour(bits(depth), alpha), colour=kind)
    assert found.refusal.startswith("nearly black: 12 bits or fewer in a 16-bit file") == refused
    assert any(note.startswith("dark, or 14 bits or fewer") for note in found.notes) == (
        depth == 14
    )
    if depth == 16:
        np.testing.assert_array_equal(found.pixels[..., 0], radiograph())


@pytest.mark.parametrize(("depth", "refused"), [(12, True), (14, True), (16, False)])
def test_colour_that_says_its_depth(tmp_path, depth, refused):
    found = read(tmp_path, colour(bits(depth)), colour=2, significant=bytes([depth] * 3))
    assert bool(found.refusal) == refused
    dark = read(tmp_path, colour(bits(12)), colour=2, significant=b"\x10\x10\x10")
    assert dark.refusal == ""


def test_an_sbit_chunk_in_an_8_bit_file_changes_nothing(tmp_path):
    rows = b"".join(b"\0" + row.tobytes() for row in radiograph())
    high, wide = radiograph().shape
    (tmp_path / "a.png").write_bytes(png(wide, high, rows, before=chunk(b"sBIT", b"\4")))
    found = read_picture(str(tmp_path / "a.png"), (high, wide), GRAY)
    np.testing.assert_array_equal(found.pixels[..., 0], radiograph())
    assert found.notes == ()
