"""What a model says it was trained on is what was there; nothing drawn passes for films."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import phantoms
import pytest
from PIL import Image
from training import config, origin
from training.dataset import Examples, find_studies

from tinycnn.nn.model import Figures


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets") / "pneumoniamnist"  # a name that lies
    phantoms.write_dataset(root, studies=8, seed=6)
    return root


@pytest.fixture
def films(drawn: Path, tmp_path: Path) -> Path:
    """The same studies without the mark: to the program, films."""
    for path in drawn.rglob("*.png"):
        copy = tmp_path / "films" / path.relative_to(drawn)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            image.save(copy)
    return tmp_path / "films"


def settled(recipe: str, data: Path, *changes: str) -> config.Config:
    return origin.settled(config.load(recipe, changes), data, find_studies(data))


@pytest.mark.parametrize("recipe", config.recipes())
def test_drawings_are_called_so_whatever_a_recipe_says(recipe: str, drawn: Path) -> None:
    false = ("provenance.trained_on=MURA", "provenance.demonstration=false", "data.name=")
    for changes in ((), false):
        for folder in (drawn, next(drawn.iterdir())):  # a part of the set, too
            found = settled(recipe, folder, *changes)
            assert found.provenance.trained_on == origin.DRAWN
            assert found.provenance.demonstration
            assert found.data.labels == ("negative", "positive")


def test_one_drawing_among_films_is_enough(drawn: Path, films: Path) -> None:
    assert not settled("shoulder-cnn5", films).provenance.demonstration
    path = sorted(drawn.rglob("*.png"))[-1]
    (films / path.relative_to(drawn)).write_bytes(path.read_bytes())
    assert settled("shoulder-cnn5", films).provenance.demonstration


@pytest.mark.parametrize("recipe", config.recipes())
def test_other_data_are_not_said_to_be_the_recipes(recipe: str, films: Path) -> None:
    found = settled(recipe, films)
    assert found.provenance.trained_on == "the images in 'films'"
    assert (found.provenance.licence, found.provenance.notes) == ("", "")
    assert found.data.labels == ("negative", "positive")
    assert origin.settled(found, films) == found


def test_what_a_person_says_of_films_is_kept(films: Path) -> None:
    said = ("provenance.trained_on=ours", 'data.labels=["whole", "broken"]')
    found = settled("shoulder-cnn5", films, *said)
    assert (found.provenance.trained_on, found.data.labels) == ("ours", ("whole", "broken"))
    elsewhere = origin.settled(found, films.with_name("others"))
    assert elsewhere.provenance.trained_on == "the images in 'others'"


@pytest.mark.parametrize("name", ["pneumoniamnist.npz", "PneumoniaMNIST_28.npz", "breastmnist.npz"])
def test_medmnist_makes_demonstrations(name: str) -> None:
    recipe = config.load("pneumonia-cnn5", ("provenance.demonstration=false",))
    found = origin.settled(recipe, Path(name))
    assert found.provenance.demonstration
    same = name.casefold().startswith("pneumonia")
    assert found.provenance.trained_on.startswith("PneumoniaMNIST") == same
    assert found.provenance.licence.startswith("CC BY") == same
    assert ("pneumonia" in found.data.labels) == same


def examples(negative: int, positive: int) -> Examples:
    count = negative + positive
    labels = (np.arange(count) >= negative).astype(np.float32)
    studies = tuple(("XR_HAND", row, row + 1) for row in range(count))
    return Examples(np.zeros((count, 8, 8, 1), np.uint8), labels, studies)


def test_what_was_there_is_counted() -> None:
    said = config.Provenance("ours")
    chosen = config.Config(provenance=said, network=config.Network(weights="a/first.keras"))
    wanted = (
        "ours: 4 images of 3 negative and 1 positive studies of XR_HAND; it began with first.keras"
    )
    assert origin.trained_on(chosen, examples(3, 1)) == wanted


def test_few_studies_and_figures_of_chance_are_doubted() -> None:
    many, few, good = examples(30, 20), examples(30, 19), Figures(50, 15, 5, 25, 5)
    assert not list(origin.doubts(many, many, good))
    assert [text.split()[0] for text in origin.doubts(few, many, good)] == ["training"]
    assert [text.split()[0] for text in origin.doubts(many, few, good)] == ["validation"]
    never = dataclasses.replace(good, true_positive=0, false_positive=0, true_negative=30,
                                false_negative=20)  # fmt: skip
    (doubt,) = origin.doubts(many, many, never)
    assert doubt == (
        "30 of 50 held-out studies are judged rightly, by one answer for all 30: "
        "no better than chance"
    )
