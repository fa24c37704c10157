"""Views that show nothing take no part in a verdict; what shows something, however little, does."""

from __future__ import annotations

import csv
import io
import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import tinycnn
from tests.studies.conftest import FakeSession, brightness_model, save_gray
from tests.studies.views import NOTED, REFUSED, hot, marked, radiograph, save_all
from tinycnn import predict
from tinycnn.errors import ImageError
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.studies.content import CELLS, NOISE, check_size
from tinycnn.studies.images import read_picture

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
SAMPLES = ROOT / "demos" / "sample_studies"
POSITIVE = SAMPLES / "XR_WRIST" / "patient00014" / "study1_positive"
GRAY, RGB = Preprocessing(color_mode="grayscale"), Preprocessing(interpolation="bilinear")
NETWORKS = [((160, 160), GRAY), ((28, 28), GRAY), ((224, 224), RGB)]


def refusal(path, size=(160, 160), preprocessing=GRAY):
    return read_picture(str(path), size, preprocessing).refusal


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize(("size", "preprocessing"), NETWORKS)
def test_what_shows_nothing_is_refused_with_the_reason(tmp_path, name, size, preprocessing):
    save, reason = REFUSED[name]
    save(tmp_path / name)
    said = refusal(tmp_path / name, size, preprocessing)
    if preprocessing is RGB:
        said = said.replace("0, 0, 0", "0").replace("255, 255, 255", "255")
        said = said.replace("100, 100, 100", "100").replace("187, 187, 187", "187")
    assert reason in said


@pytest.mark.parametrize("form", ["text", "csv", "json"])
def test_a_positive_study_stays_positive(tmp_path, capsys, form):
    """Its views say 0.996 and 0.956; with what is in `REFUSED` as views it would be negative."""
    study = tmp_path / "XR_WRIST" / "patient00014" / "study1_positive"
    shutil.copytree(POSITIVE, study)
    save_all(study, REFUSED)
    session = tinycnn.load("mobilenetv2-phantoms", backend="numpy")
    alone = tinycnn.predict_study(POSITIVE, session)
    options = [] if form == "text" else [f"--{form}"]
    assert predict.main([str(study), "--backend", "numpy", *options]) == 0
    out = capsys.readouterr().out
    if form == "text":
        assert out.count("REFUSED: ") == len(REFUSED)
        assert f"=> POSITIVE  (mean 0.976 of 2 views, {len(REFUSED)} more REFUSED, " in out
    elif form == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert {row["verdict"] for row in rows} == {"positive"}
        found = {row["file"]: row["reason"] for row in rows if row["status"] == "refused"}
        assert all(REFUSED[name][1] in reason for name, reason in found.items())
        assert found.keys() == REFUSED.keys()
    else:
        (found,) = json.loads(out)["studies"]
        assert (found["verdict"], found["probability"]) == ("positive", alone.probability)


def test_nothing_but_such_views_is_no_verdict(tmp_path, capsys):
    save_all(tmp_path / "study", REFUSED)
    assert predict.main([str(tmp_path), "--backend", "numpy"]) == 1
    assert "=> NO VERDICT: not one usable view" in capsys.readouterr().out


@pytest.mark.parametrize("name", NOTED)
def test_what_is_read_in_another_way_has_a_note_and_counts(tmp_path, name):
    save, note = NOTED[name]
    save(tmp_path / name)
    Image.fromarray(radiograph()).save(tmp_path / "plain.png")
    session = FakeSession(brightness_model())
    result = tinycnn.predict_study(tmp_path, session)
    found = {row.file: row for row in result.rows}
    assert [note in said for said in found[name].notes] == [True]
    assert found[name].probability == found["plain.png"].probability
    assert found["plain.png"].notes == ()


def test_read_images_says_it_too(tmp_path):
    path = tmp_path / "a.png"
    hot().save(path)
    with pytest.raises(ImageError, match=r"a\.png: shows nothing"):
        tinycnn.read_images([path], FakeSession(brightness_model()))


@pytest.mark.parametrize(("size", "preprocessing"), NETWORKS)
@pytest.mark.parametrize("levels", [5, 8, 16, 64, 200])
@pytest.mark.parametrize("base", [0, 3, 120])
def test_a_narrow_range_is_not_refused(tmp_path, size, preprocessing, levels, base):
    if base + levels > 256:
        base = 256 - levels
    Image.fromarray(radiograph(levels, base)).save(tmp_path / "a.png")
    found = read_picture(str(tmp_path / "a.png"), size, preprocessing)
    assert found.refusal == ""
    assert bool(found.notes) == (levels <= 16)
    assert all(note.startswith("hardly any contrast: ") for note in found.notes)


@pytest.mark.parametrize("period", [2, 4, 7, 14])
@pytest.mark.parametrize("side", [160, 196, 392, 500])
@pytest.mark.parametrize("other", [15, 255])
def test_a_fine_pattern_is_not_refused(tmp_path, period, side, other):
    """Its cells are all alike in the mean, but its values are not those of noise."""
    levels = np.where(np.indices((side, side))[1] % period < period / 2, 0, other)
    Image.fromarray(levels.astype(np.uint8)).save(tmp_path / "a.png")
    found = read_picture(str(tmp_path / "a.png"), (224, 224), GRAY)
    assert (len(np.unique(found.pixels)), found.refusal) == (2, "")


def test_a_digit_is_more_than_a_mark(tmp_path):
    """As in MNIST: 20 of 28 pixels high, and the thinnest of them, a one."""
    levels = np.zeros((28, 28), np.uint8)
    levels[4:24, 13:15] = 255
    Image.fromarray(levels).save(tmp_path / "one.png")
    for size in ((28, 28), (32, 32), (160, 160)):
        assert refusal(tmp_path / "one.png", size) == ""


def test_marks_in_two_corners_are_noted(tmp_path):
    image = marked()
    image.paste(image.crop((0, 0, 30, 30)), (80, 60))
    image.save(tmp_path / "a.png")
    (note,) = read_picture(str(tmp_path / "a.png"), (160, 160), GRAY).notes
    assert note.startswith("hardly any contrast: 99")


def test_what_the_crop_leaves_of_it_counts(tmp_path):
    levels = np.full((60, 180), 7, np.uint8)
    levels[:, :40] = radiograph()[:60, :40]
    Image.fromarray(levels).save(tmp_path / "a.png")
    cropped = Preprocessing(color_mode="grayscale", crop_to_aspect_ratio=True)
    assert refusal(tmp_path / "a.png", (32, 32)) == ""
    said = "shows nothing: at 32 x 32 pixels all of it has the value 7"
    assert refusal(tmp_path / "a.png", (32, 32), cropped) == said
    levels[28:31, 90:93] = 255
    Image.fromarray(levels).save(tmp_path / "a.png")
    said = "shows nothing: the value 7 throughout, but for noise or a mark"
    assert refusal(tmp_path / "a.png", (32, 32), cropped) == said


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.0, 4.0])
def test_noise_is_within_one_level_in_the_mean_of_a_cell(tmp_path, sigma):
    assert 3 * sigma <= NOISE
    levels = np.random.default_rng(4).normal(90, sigma, (400, 400)).round().astype(np.uint8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    assert "throughout, but for noise or a mark" in refusal(tmp_path / "a.png")


def test_noise_of_all_levels_is_not_refused(tmp_path):
    levels = np.random.default_rng(4).integers(0, 256, (400, 400), np.uint8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    assert refusal(tmp_path / "a.png") == ""


@pytest.mark.parametrize("place", range(0, 196, 9))
def test_a_seventh_of_the_side_is_a_mark_wherever_it_lies(tmp_path, place):
    side = 196
    for cells, refused in ((2, True), (4, False)):
        mark = cells * side // CELLS
        levels = np.full((side, side), 200, np.uint8)
        start = min(place, side - mark)
        levels[start : start + mark, :mark] = 0
        Image.fromarray(levels).save(tmp_path / "a.png")
        assert bool(refusal(tmp_path / "a.png", (196, 196))) == refused, cells


@pytest.mark.parametrize(
    ("image", "wanted", "cropped", "refused", "noted"),
    [
        ((1, 1), (8, 8), False, True, False),
        ((2, 3), (8, 8), False, True, False),
        ((3, 3), (8, 8), False, False, False),
        ((2, 2), (2, 2), False, False, False),  # as large as what the network takes
        ((64, 1), (1, 64), False, False, False),
        ((7, 7), (224, 224), False, True, False),
        ((8, 8), (224, 224), False, False, True),
        ((5, 500), (160, 160), False, True, False),
        ((500, 6), (160, 160), False, False, False),
        ((28, 28), (224, 224), False, False, True),
        ((28, 28), (28, 28), False, False, False),
        ((28, 28), (600, 600), False, False, True),
        ((900, 8), (224, 224), True, False, False),
        ((9, 3), (8, 8), True, False, False),
        ((900, 3), (8, 300), False, False, False),
        ((4, 12), (8, 300), True, True, False),  # two of its rows are shown, or fewer
    ],
)
def test_small_images(image, wanted, cropped, refused, noted):
    found = check_size(image, wanted, cropped)
    assert (bool(found.refusal), bool(found.notes)) == (refused, noted)


@given(*[st.integers(1, 400)] * 4, st.booleans())
def test_small_images_to_the_pixel(width, height, columns, rows, cropped):
    """Against fractions: an image of three rows has three, however they are cropped."""
    scale = max(Fraction(rows, height), Fraction(columns, width))
    shown = (rows / scale, columns / scale) if cropped else (height, width)
    sides = zip(shown, (rows, columns), strict=True)
    small = any(pixels < min(side, 3) or 32 * pixels <= side for pixels, side in sides)
    found = check_size((width, height), (rows, columns), cropped)
    assert bool(found.refusal) == small
    assert not (small and width >= columns and height >= rows)


def real_images():
    yield from sorted(SAMPLES.rglob("*.png"))
    yield from sorted((SHARED / "studies").rglob("*.png"))
    yield from sorted((SHARED / "corpus" / "tinymaix").glob("*.jpg"))


@pytest.mark.parametrize(("size", "preprocessing"), [*NETWORKS, ((32, 32), RGB)])
def test_real_images_are_not_refused(size, preprocessing):
    images = list(real_images())
    assert len(images) >= 11
    for path in images:
        found = read_picture(str(path), size, preprocessing)
        assert (found.refusal, found.notes) == ("", ()), path


def test_real_images_of_28_pixels_are_not_refused(tmp_path):
    file = SHARED / "corpus" / "pneumoniamnist" / "pneumoniamnist.npz"
    if not file.is_file():
        pytest.skip(f"no images in {file}")
    with np.load(file) as images:
        levels = images["test_images"]
    for image in levels:
        Image.fromarray(image).save(tmp_path / "a.png")
        for size, preprocessing in NETWORKS:
            found = read_picture(str(tmp_path / "a.png"), size, preprocessing)
            assert found.refusal == ""
            assert len(found.notes) == (size != (28, 28))  # only 28 x 28 pixels


def test_an_image_that_is_only_looked_at_is_never_refused(tmp_path):
    save_all(tmp_path, REFUSED)
    for name in REFUSED:
        assert read_picture(str(tmp_path / name), 160, GRAY).pixels.size, name


def test_a_study_of_two_with_one_such_view(tmp_path):
    """By the rule "any" too: what is refused is none of the views."""
    save_gray(tmp_path / "a.png", 230)
    hot().save(tmp_path / "b.png")
    result = tinycnn.predict_study(tmp_path, FakeSession(brightness_model()))
    assert (result.positive, len(result.judged), len(result.refused)) == (True, 1, 1)
