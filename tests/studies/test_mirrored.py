"""`--flip`: the mean of a picture and its mirror image."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.studies.conftest import FakeSession, brightness_model, save_gray
from tests.studies.test_calibrated import CALIBRATED
from tinycnn import predict, weights
from tinycnn.nn.modelfile import save
from tinycnn.studies.mirrored import Mirrored


def left_half(batch):
    """Brightness of the left half."""
    return batch[:, :, :4].mean((1, 2))


def test_the_mean_of_both_sides():
    batch = np.zeros((2, 8, 8, 1), np.float32)
    batch[0, :, :4], batch[1, :, 2:6] = 0.5, 1.0
    session = FakeSession(brightness_model(), left_half)
    assert session.predict(batch).ravel().tolist() == [0.5, 0.5]
    scores = Mirrored(session).predict(batch)
    assert scores.ravel().tolist() == [0.25, 0.5]
    assert scores.dtype == np.float32
    mirrored = np.ascontiguousarray(batch[:, :, ::-1])
    assert (Mirrored(session).predict(mirrored) == scores).all()
    assert Mirrored(session).model is session.model


@pytest.fixture
def probabilities(capsys):
    def call(path, *options):
        arguments = [str(path), "--backend", "numba", "--json", *options]
        assert predict.main(arguments) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["flip"] == ("--flip" in options)
        return [file["probability"] for study in document["studies"] for file in study["files"]]

    return call


def test_the_command(tmp_path, probabilities, capsys):
    """On a shipped model: the mean of what it says of the file, and of the file turned round."""
    study = weights.FOLDER.parent / "demos" / "sample_studies" / "XR_HAND"
    view = next(study.rglob("image1.png"))
    image = Image.open(view).resize((160, 160), Image.Resampling.BILINEAR)
    image.save(tmp_path / "image1.png")
    image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "image2.png")
    plain = probabilities(tmp_path)
    assert plain[0] != plain[1]
    assert probabilities(tmp_path, "--flip") == pytest.approx([sum(plain) / 2] * 2, rel=1e-6)
    assert predict.main([str(tmp_path), "--flip", "--backend", "numba"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.endswith("backend numba; scores: mean of each view and its mirror image")


def test_what_was_measured_without_mirror_images_is_told(tmp_path, capsys):
    study = tmp_path / "XR_HAND" / "patient00001" / "study1_positive"
    save_gray(study / "image1.png", 51)
    save(brightness_model(decision=CALIBRATED), tmp_path / "m.safetensors")
    said = []
    for options in ([], ["--flip"]):
        arguments = [study, "--weights", tmp_path / "m.safetensors", "--backend", "numpy", *options]
        assert predict.main([str(argument) for argument in arguments]) == 0
        said.append(" ".join(capsys.readouterr().out.split()))
    assert "mirror images" not in said[0]
    assert "measured without the mirror images that are averaged here" in said[1]
    assert "calibrated on drawings by tinycnn 0.1.0, without mirror images" in said[1]
