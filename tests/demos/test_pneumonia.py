"""The shipped pneumonia model on the 468 test images: what README and file say, and as Keras."""

from __future__ import annotations

from pathlib import Path

import measure_pneumonia
import numpy as np
import pytest
from training.dataset import Examples, read_medmnist
from training.export import figures

from tests.backends import WORKING
from tinycnn import weights
from tinycnn.nn import modelfile
from tinycnn.nn.model import Decision

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / ".." / "shared" / "corpus" / "pneumoniamnist" / "pneumoniamnist.npz"
needs_data = pytest.mark.skipif(not DATA.is_file(), reason="../shared/corpus is not there")


@pytest.fixture(scope="module")
def images() -> Examples:
    return read_medmnist(DATA, "test")


def test_file_says_where_it_comes_from() -> None:
    path = weights.find(measure_pneumonia.NAME)
    model = modelfile.load(path)
    assert path.stat().st_size < 500_000
    assert model.labels == ("normal", "pneumonia")
    assert model.decision == Decision("mean", 0.5, 1)
    told = model.provenance
    assert told.demonstration
    assert "CC BY 4.0" in told.licence
    assert all(word in told.notes for word in ("Yang", "Kermany", "28x28", "not for diagnosis"))
    assert told.accuracy["all"].studies == 468


@needs_data
@pytest.mark.parametrize("backend", WORKING)
def test_every_backend_reaches_what_the_file_and_the_readme_say(
    images: Examples, backend: str
) -> None:
    scores = measure_pneumonia.tinycnn_scores(images.pixels, backend)
    measured = figures(images, scores)["all"]
    told = modelfile.load(weights.find(measure_pneumonia.NAME)).provenance.accuracy["all"]
    assert measured == told
    page = (weights.FOLDER / "README.md").read_text(encoding="utf-8")
    assert " | ".join(measure_pneumonia._cells(measured)) in page


@needs_data
@pytest.mark.keras
@pytest.mark.filterwarnings("ignore")
def test_every_verdict_is_that_of_keras(images: Examples) -> None:
    pytest.importorskip("keras")
    wanted = measure_pneumonia.keras_scores(images.pixels)
    for backend in WORKING:
        got = measure_pneumonia.tinycnn_scores(images.pixels, backend)
        assert np.abs(got - wanted).max() < 1e-5
        assert np.array_equal(got >= 0.5, wanted >= 0.5)
