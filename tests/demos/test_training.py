"""Training without Keras: configs, statistics in one pass, data sets and who is held out."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import numpy as np
import phantoms
import pytest
from PIL import Image
from training import config, curves, dataset, fitting, start
from training.config import ConfigError
from training.moments import Moments, moments_of
from training.run import across

from tinycnn.errors import StudyError


@pytest.mark.parametrize("name", config.recipes())
def test_recipes_are_sound_and_survive_being_written(name: str) -> None:
    read = config.load(name)
    assert config.parse(tomllib.loads(config.to_toml(read))) == read


def test_recipes_of_the_reports_are_there() -> None:
    wanted = {"humerus-mobilenetv2", "shoulder-cnn5", "conv4", "densenet169-320", "resnet50"}
    assert wanted <= set(config.recipes())


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"sed": 1}, "sed: no such option"),
        ({"image": {"hieght": 1}}, "image.hieght: no such option"),
        ({"epochs": 3}, "epochs: no such option; write training.epochs$"),
        ({"weights": 3}, "write network.weights$"),
        ({"image": 3}, r"expected a section \[image\]"),
        ({"training": {"epochs": 2.5}}, "training.epochs = 2.5: expected int"),
        ({"training": {"epochs": True}}, "training.epochs = True: expected int"),
        ({"training": {"rate": "fast"}}, "expected float"),
        ({"training": {"rate": float("nan")}}, "expected float"),
        ({"training": {"optimizer": "lion"}}, "expected one of adam"),
        ({"augmentation": {"rotation": 400}}, "augmentation.rotation = 400.0"),
        ({"augmentation": {"crop": 1}}, "augmentation.crop"),
        ({"data": {"labels": ["a", "a"]}}, "two different labels"),
        ({"data": {"body_parts": "XR_HAND"}}, "expected a list of texts"),
        ({"data": {"folds": 1}}, "at least 2"),
        ({"image": {"height": 0}}, "image.height = 0: expected a number from 8"),
    ],
)
def test_wrong_options_are_named(table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.parse(table)


def test_changes_are_toml_or_text() -> None:
    changes = ("training.epochs=3", "network.name=conv4", 'data.body_parts=["XR_HAND"]')
    read = config.load("shoulder-cnn5", changes)
    assert (read.training.epochs, read.network.name) == (3, "conv4")
    assert read.data.body_parts == ("XR_HAND",)
    with pytest.raises(ConfigError, match=r"expected section\.option=value"):
        config.load("conv4", ("epochs",))


def test_strange_texts_survive_being_written() -> None:
    notes = 'a "quoted" \\ line\nand\ttab, \x7f, é, \U0001f9b4'
    read = config.parse({"provenance": {"notes": notes.replace("\U0001f9b4", "")}})
    assert config.parse(tomllib.loads(config.to_toml(read))) == read


def test_missing_config_names_the_recipes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the recipes are .*conv4"):
        config.load(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("sizes", [[10], [1] * 10, [3, 0, 6, 1]])
def test_moments_equal_numpys(sizes: list[int]) -> None:
    images = np.random.default_rng(1).integers(0, 256, (10, 5, 4, 3), np.uint8)
    found = moments_of(np.split(images, np.cumsum(sizes)[:-1]), (5, 4, 3))
    np.testing.assert_allclose(found.mean, images.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.deviation, images.std(axis=0), rtol=1e-12)
    mean, deviation = found.per_channel()
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(deviation, images.std(axis=(0, 1, 2)), rtol=1e-12)


def test_moments_keep_their_digits_far_from_zero() -> None:
    """Sums of squares in float64 give a deviation that is wrong in its first digit here."""
    x = 1e9 + np.random.default_rng(2).normal(0, 1, (4000, 1, 1, 1))
    found = moments_of(np.split(x, 100), (1, 1, 1))
    wanted = (x - 1e9).std()
    assert abs(found.deviation.item() - wanted) < 1e-6 * wanted
    naive = (x**2).mean() - x.mean() ** 2
    assert abs(naive - wanted**2) > 0.1 * wanted**2


def test_moments_of_nothing_are_zero() -> None:
    assert not Moments((2, 2, 1)).deviation.any()


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("MURA") / "MURA-v1.1"
    phantoms.write_dataset(root / "train", studies=24, seed=5)
    return root


def test_csvs_find_what_the_folder_holds(films: Path) -> None:
    studies = dataset.find_studies(films / "train")
    assert len(studies) == 24
    images, labels = films / "train_image_paths.csv", films / "train_labeled_studies.csv"
    rows = [Path(path).relative_to(films.parent) for study in studies for path in study.images]
    images.write_text("".join(f"{row.as_posix()}\n" for row in rows))
    folders = [(Path(s.images[0]).parent.relative_to(films.parent), s.label) for s in studies]
    labels.write_text("".join(f"{folder.as_posix()}/,{label}\n" for folder, label in folders))

    def plain(found: list[dataset.Study]) -> set[dataset.Study]:
        resolved = (tuple(str(Path(p).resolve()) for p in s.images) for s in found)
        return {
            dataset.Study(s.body_part, s.patient, s.label, images)
            for s, images in zip(found, resolved, strict=True)
        }

    assert plain(dataset.find_studies(images)) == plain(studies)
    assert plain(dataset.find_studies(labels)) == plain(studies)


def test_body_parts_are_chosen(films: Path) -> None:
    found = dataset.find_studies(films, ("XR_HAND", "XR_WRIST"))
    assert {study.body_part for study in found} == {"XR_HAND", "XR_WRIST"}
    with pytest.raises(StudyError, match="of XR_SKULL with images"):
        dataset.find_studies(films, ("XR_SKULL",))


@pytest.mark.parametrize(
    "row",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "MURA-v1.1/../x/image1.png",
        "MURA-v1.1/XR_HAND/patient1/study1_positive/,2",
        "MURA-v1.1/XR_HAND/patient1/study1_odd/image1.png",
    ],
)
def test_rows_that_lead_elsewhere_or_say_nothing_are_refused(row: str, films: Path) -> None:
    path = films / "rows.csv"
    path.write_text(row + "\n")
    with pytest.raises(StudyError):
        dataset.find_studies(path)


def test_no_patient_is_on_both_sides(films: Path) -> None:
    studies = dataset.find_studies(films)
    training, held = dataset.split_by_patient(studies, 0.25, seed=3)
    assert {studies[i].patient for i in training}.isdisjoint(studies[i].patient for i in held)
    assert sorted(training + held) == list(range(len(studies)))
    assert (training, held) == dataset.split_by_patient(studies, 0.25, seed=3)


def test_every_patient_is_held_out_once(films: Path) -> None:
    studies = dataset.find_studies(films)
    folds = dataset.folds_by_patient(studies, 4, seed=3)
    assert sorted(number for _, held in folds for number in held) == list(range(len(studies)))
    for training, held in folds:
        assert {studies[i].patient for i in training}.isdisjoint(studies[i].patient for i in held)
    with pytest.raises(StudyError, match="cannot make 1000 folds"):
        dataset.folds_by_patient(studies, 1000, seed=3)


def test_subsets_keep_images_labels_and_studies_together(tmp_path: Path) -> None:
    """Every image says which study it is of; a subset of a subset, too."""
    studies = [
        dataset.Study(f"XR_{i}", "patient1", i % 2, tuple(str(i) for _ in range(i + 1)))
        for i in range(5)
    ]
    shape = (2, 2, 1)
    found = dataset.decode(studies, lambda path: np.full(shape, int(path), np.uint8), shape,
                           tmp_path / "pixels.npy")  # fmt: skip
    for examples, wanted in (
        (found, range(5)), (found.subset([4, 1, 2]), (4, 1, 2)),
        (found.subset([4, 1, 2]).subset([2, 0]), (2, 4)),
    ):  # fmt: skip
        assert [part for part, _, _ in examples.studies] == [f"XR_{i}" for i in wanted]
        assert len(examples.labels) == sum(i + 1 for i in wanted)
        for number, (_, first, last) in zip(wanted, examples.studies, strict=True):
            assert last - first == number + 1
            assert (examples.some(np.arange(first, last)) == number).all()
            assert (examples.labels[first:last] == number % 2).all()


def test_medmnist_files_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    images, labels = np.zeros((3, 28, 28), np.uint8), np.array([[0], [1], [1]], np.uint8)
    np.savez(path, train_images=images, train_labels=labels)
    found = dataset.read_medmnist(path, "train")
    assert found.pixels.shape == (3, 28, 28, 1)
    assert found.labels.tolist() == [0, 1, 1]
    with pytest.raises(StudyError, match="test_images"):
        dataset.read_medmnist(path, "test")
    np.savez(path, train_images=images, train_labels=labels + 1)
    with pytest.raises(StudyError, match="expected 0 and 1"):
        dataset.read_medmnist(path, "train")
    np.savez(path, train_images=np.array([{}]), train_labels=labels)
    with pytest.raises(StudyError, match="no MedMNIST"):
        dataset.read_medmnist(path, "train")
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(StudyError, match="no MedMNIST"):
        dataset.read_medmnist(path, "train")


def test_classes_weigh_the_same() -> None:
    labels = np.array([0, 0, 0, 1], np.float32)
    examples = dataset.Examples(np.zeros((4, 8, 8, 1), np.uint8), labels, ())
    weights = fitting.class_weights(examples)
    assert weights[0] * 3 == pytest.approx(weights[1])
    assert weights[0] * 3 + weights[1] == pytest.approx(4)


def test_steps_of_the_rate() -> None:
    chosen = config.Training(rate=1.0, schedule="step", factor=0.5, patience=2)
    assert [fitting.stepped(chosen)(e, 0.0) for e in range(5)] == [1, 1, 0.5, 0.5, 0.25]


def test_curves_are_a_picture_of_both_lines(tmp_path: Path) -> None:
    keys = ("loss", "val_loss", "accuracy", "val_accuracy")
    rows = [dict.fromkeys(keys, 0.1 * e + 0.1) for e in range(5)]
    for length in (1, 5):
        curves.draw(rows[:length], tmp_path / "curves.png")
        with Image.open(tmp_path / "curves.png") as picture:
            assert picture.size == (2 * curves.WIDTH, curves.HEIGHT)
            assert len(picture.getcolors(1 << 20) or []) >= 4
    ends = curves.points([0.0, 1.0], 0, 0.0, 1.0)
    right, bottom = curves.WIDTH - curves.MARGIN, curves.HEIGHT - curves.MARGIN
    assert ends == [(curves.MARGIN, bottom), (right, curves.MARGIN)]


def test_folds_are_summed_up() -> None:
    folds = [{"all": {"accuracy": 0.5}}, {"all": {"accuracy": 0.7}, "XR_HAND": {"accuracy": 1.0}}]
    found = across(folds)
    assert found["all"] == {"accuracy": 0.6, "deviation": 0.1, "folds": [0.5, 0.7]}
    assert found["XR_HAND"]["folds"] == [1.0]


def test_what_is_held_back_is_shown_when_something_fails(capfd: pytest.CaptureFixture[str]) -> None:
    def work(fails: bool) -> None:
        with start.held_back():
            os.write(2, b"the reason\n")
            if fails:
                raise ImportError

    work(fails=False)
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError):
        work(fails=True)
    assert capfd.readouterr().err == "the reason\n"
