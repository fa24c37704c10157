"""Training in real Keras: inputs as the engine's, augmentation, a whole run, resume, folds."""

from __future__ import annotations

import dataclasses
import functools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import phantoms
import pytest
import train
from PIL import Image
from training import config, dataset, export, fitting, networks, origin, pipeline
from training import run as running
from training.config import Augmentation, Config, Network
from training.dataset import Examples

import tinycnn
from tinycnn import weights
from tinycnn.engine.session import Session
from tinycnn.nn import modelfile

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("keras")

DEMOS = Path(train.__file__).parent
SMALL = (
    *("training.epochs=2", "training.batch=8", "training.early_stopping=0"),
    *("image.height=32", "image.width=32"),
)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("films")
    phantoms.write_dataset(root, studies=30, seed=6)
    return root


def some_examples(shape: tuple[int, int, int], count: int = 20) -> Examples:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (count, *shape), np.uint8)
    labels = (np.arange(count) % 3 == 0).astype(np.float32)
    return Examples(pixels, labels, tuple(("XR_HAND", i, i + 1) for i in range(count)))


@pytest.mark.parametrize("standardization", ["none", "samplewise", "featurewise"])
@pytest.mark.parametrize("color_mode", ["grayscale", "rgb"])
def test_batches_are_what_the_engine_will_see(standardization: str, color_mode: str) -> None:
    image = config.Image(
        12, 10, color_mode, scale=1 / 127.5, offset=-1.0, standardization=standardization
    )
    examples = some_examples(image.shape)
    how = pipeline.preprocessing(image, examples)
    batches = list(pipeline.plain_batches(examples, Config(image=image), how))
    x = np.concatenate([x.numpy() for x, _ in batches])
    np.testing.assert_allclose(x, how.normalise(examples.pixels), atol=2e-6)
    assert np.concatenate([y.numpy() for _, y in batches])[:, 0].tolist() == list(examples.labels)


ONE_BY_ONE = [
    {"flip": "horizontal"}, {"crop": 0.2}, {"rotation": 30.0}, {"translation": 0.1}, {"zoom": 0.2},
    {"shear": 0.2}, {"blur": 1.5}, {"contrast": 0.4}, {"brightness": 0.3}, {"noise": 10.0},
]  # fmt: skip


@pytest.mark.parametrize("options", ONE_BY_ONE, ids=lambda options: next(iter(options)))
def test_every_change_changes_images_and_keeps_them_images(options: dict[str, object]) -> None:
    chosen = Config(
        image=config.Image(24, 24), augmentation=Augmentation(**options),  # type: ignore[arg-type]
        training=config.Training(batch=20),
    )  # fmt: skip
    examples = some_examples((24, 24, 1))
    how = pipeline.preprocessing(chosen.image, examples)
    batches = pipeline.training_batches(examples, chosen, how)
    ((x, y),) = list(batches)
    ((again, _),) = list(batches)
    assert not {i.tobytes() for i in x.numpy()} >= {i.tobytes() for i in again.numpy()}
    assert x.shape == (20, 24, 24, 1)
    assert 0.0 <= x.numpy().min() <= x.numpy().max() <= 255.0
    assert sorted(y.numpy()[:, 0]) == sorted(examples.labels)
    originals = examples.pixels.astype(np.float32)
    assert any(not (originals == image).all(axis=(1, 2, 3)).any() for image in x.numpy())


@pytest.mark.parametrize("name", config.NETWORKS)
def test_every_network_ends_in_one_score(name: str) -> None:
    model = networks.build(Network(name), (64, 64, 1))
    assert model.output_shape == (None, 1)


def test_network_begins_with_given_weights(tmp_path: Path) -> None:
    """What fits is taken; a first layer for other channels begins untrained."""
    import keras

    keras.utils.clear_session()
    source = networks.build(Network("conv4"), (64, 64, 1))
    source.save(tmp_path / "given.h5")
    keras.utils.clear_session()
    other = networks.build(Network("conv4", weights=str(tmp_path / "given.h5")), (64, 64, 3))
    assert np.array_equal(other.layers[4].get_weights()[0], source.layers[4].get_weights()[0])
    assert other.layers[0].get_weights()[0].shape == (3, 3, 3, 2)
    with pytest.raises(tinycnn.TinycnnError, match="no layer of it fits"):
        networks.build(Network(weights=str(tmp_path / "given.h5")), (32, 32, 1))
    with pytest.raises(tinycnn.TinycnnError, match="no such file"):
        networks.build(Network("conv4", weights="none.h5"), (64, 64, 1))


def test_network_begins_with_a_shipped_model() -> None:
    """All of its arrays are taken, so that both give the same scores."""
    path = weights.find("mobilenetv2-phantoms")
    chosen = config.load("phantoms-mobilenetv2", (f"network.weights={path}",))
    model = networks.build(chosen.network, chosen.image.shape)
    x = np.random.default_rng(5).uniform(-1, 1, (3, *chosen.image.shape)).astype(np.float32)
    found = Session(modelfile.load(path), backend="numpy").predict(x)
    np.testing.assert_allclose(found, model.predict(x, verbose=0), atol=1e-5)


def test_network_begins_with_the_weights_of_keras_applications(tmp_path: Path) -> None:
    """A file as those of `keras.applications`: weights alone, in HDF5 of Keras 2, by layer."""
    import h5py
    import keras
    from keras.src.legacy.saving import legacy_h5_format

    keras.utils.clear_session()
    source = keras.applications.MobileNetV2((96, 96, 3), weights=None)
    with h5py.File(tmp_path / "mobilenet_v2.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, source)
    keras.utils.clear_session()
    chosen = Network(weights=str(tmp_path / "mobilenet_v2.h5"))
    model = networks.build(chosen, (64, 64, 3))
    taken = [layer for layer in model.layers if layer.weights and layer.name != "positive"]
    assert len(taken) == 104
    for layer in taken:
        for mine, given in zip(layer.get_weights(), source.get_layer(layer.name).get_weights(),
                               strict=True):  # fmt: skip
            assert np.array_equal(mine, given)


def test_mean_and_deviation_images_travel_in_the_network(films: Path, tmp_path: Path) -> None:
    """`pixelwise` trains behind a Normalization of NumPy's own mean and deviation images."""
    out = tmp_path / "mine"
    changes = (*SMALL, "data.body_parts=[]", "image.standardization=pixelwise", "training.epochs=1")
    chosen = config.load("shoulder-cnn5", changes)
    running.run(chosen, films, out)
    model = modelfile.load(out / "mine.safetensors")
    assert model.preprocessing.standardization == "none"
    studies = dataset.find_studies(films)
    training, _ = dataset.split_by_patient(studies, chosen.data.validation, chosen.seed)
    paths = [path for number in training for path in studies[number].images]
    x = tinycnn.read_images(paths, Session(model))  # scaled to 0..1
    mean, variance = (model.weights[f"standardisation/{name}"] for name in ("mean", "variance"))
    np.testing.assert_allclose(mean, x.mean(axis=0), atol=1e-5)
    deviation = np.maximum(x.std(axis=0), 1 / 255)
    np.testing.assert_allclose(np.sqrt(variance), deviation, atol=1e-5)
    _same_scores_as_keras(out, films, "numpy", "numba")


def test_a_run_from_folder_to_model_file(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    changes = [f"--set={change}" for change in (*SMALL, "image.standardization=featurewise")]
    assert train.main(["shoulder-cnn5", str(films), "-o", str(out), *changes,
                       "--set=data.body_parts=[]", "--set=data.validation=0.3"]) == 0  # fmt: skip
    model = modelfile.load(out / "mine.safetensors")
    report = json.loads((out / "report.json").read_text())
    assert model.labels == ("negative", "positive")
    assert model.preprocessing.standardization == "featurewise"
    assert model.provenance.trained_on.startswith(f"{origin.DRAWN}: ")
    assert f"{report['training_images']} images of" in model.provenance.trained_on
    assert model.provenance.demonstration
    assert set(model.provenance.accuracy) == set(report["validation"])
    assert model.provenance.accuracy["all"].studies == report["validation"]["all"]["studies"]
    assert len(report["history"]) == 2
    assert not (out / "pixels.npy").exists()
    assert (out / "curves.png").is_file()
    _same_scores_as_keras(out, films)
    saved = config.load(str(out / "config.toml"))
    assert saved.training.epochs == 2
    assert train.main([str(out / "config.toml"), str(films), "-o", str(out)]) == 1  # finished


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("few")
    phantoms.write_dataset(root, studies=9, seed=6)
    return root


@pytest.mark.parametrize("name", sorted({*config.recipes()} - {"pneumonia-cnn5"}))
def test_every_recipe_runs_to_its_end(
    name: str, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From films to a model file that scores the held-out ones as Keras does; one small epoch.

    Tracing all 169 layers takes a minute: here every block of DenseNet has two.
    """
    import keras
    from keras.src.applications.densenet import DenseNet

    short = functools.partial(DenseNet, [2, 2, 2, 2])
    monkeypatch.setattr(keras.applications, "DenseNet169", short)
    changes = (*SMALL, "training.epochs=1", "data.body_parts=[]", "data.validation=0.4")
    report = running.run(config.load(name, changes), few, tmp_path / name)
    assert report["largest_difference"] < 1e-5
    model = modelfile.load(tmp_path / name / f"{name}.safetensors")
    assert model.provenance.trained_on.startswith(origin.DRAWN)
    assert model.provenance.demonstration
    assert model.provenance.evaluated_on.startswith(f"{report['validation']['all']['studies']} ")


def test_difference_to_keras_is_measured_on_every_image() -> None:
    """In scores that are a model's own but for the last, that one is found."""
    path = weights.find("cnn5-phantoms")
    session = Session(modelfile.load(path))
    examples = some_examples((32, 32, 1), count=37)
    how = session.model.preprocessing
    scores = session.predict(how.normalise(examples.pixels))[:, 0]
    assert export.largest_difference(path, examples, how, scores) < 1e-6
    scores[-1] += np.float32(0.125)
    assert export.largest_difference(path, examples, how, scores) == pytest.approx(0.125, abs=1e-5)


def _same_scores_as_keras(out: Path, films: Path, *backends: str) -> None:
    import keras

    model = modelfile.load(out / "mine.safetensors")
    paths = [str(path) for path in sorted(films.rglob("*.png"))[:8]]
    batch = tinycnn.read_images(paths, Session(model))
    wanted = keras.models.load_model(out / "best.keras").predict(batch, verbose=0)
    for backend in backends or ("numpy",):
        found = Session(model, backend=backend).predict(batch)
        np.testing.assert_allclose(found, wanted, atol=1e-5)


class Killed(BaseException):
    """What Keras does not catch: as if the process had ended."""


def test_a_killed_run_goes_on(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in its third epoch, a run of four does two more: all four are in the history."""
    import keras

    chosen = config.load("shoulder-cnn5", (*SMALL, "training.epochs=4", "data.body_parts=[]"))
    plain = fitting.callbacks

    def deadly(epoch: int, _: object) -> None:
        if epoch == 2:
            raise Killed

    def with_death(*arguments: object) -> list[object]:
        return [*plain(*arguments), keras.callbacks.LambdaCallback(on_epoch_begin=deadly)]

    monkeypatch.setattr(fitting, "callbacks", with_death)
    with pytest.raises(Killed):
        running.run(chosen, films, tmp_path / "out")
    assert len(fitting.history(tmp_path / "out")) == 2
    monkeypatch.setattr(fitting, "callbacks", plain)
    report = running.run(chosen, films, tmp_path / "out")
    assert [row["epoch"] for row in report["history"]] == [0, 1, 2, 3]


def test_another_config_does_not_go_on(films: Path, tmp_path: Path) -> None:
    chosen = config.load("conv4")
    running._claim(chosen, tmp_path / "out")
    with pytest.raises(tinycnn.TinycnnError, match="of another run"):
        running._claim(dataclasses.replace(chosen, seed=2), tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(tinycnn.TinycnnError, match="not empty"):
        running._claim(chosen, tmp_path / "full")


@pytest.mark.parametrize(
    ("optimizer", "schedule"), list(zip(config.OPTIMIZERS, config.SCHEDULES, strict=True))
)
def test_optimizers_and_schedules_train(optimizer: str, schedule: str, tmp_path: Path) -> None:
    """Two epochs on noise run, and the rate is the schedule's."""
    chosen = Config(
        image=config.Image(32, 32), network=Network("cnn5"),
        training=config.Training(
            optimizer, epochs=2, batch=10, schedule=schedule, patience=1, weight_decay=1e-4,
            early_stopping=2,
        ),
    )  # fmt: skip
    examples = some_examples((32, 32, 1))
    how = pipeline.preprocessing(chosen.image, examples)
    model = networks.build(chosen.network, chosen.image.shape)
    best = fitting.fit(model, chosen, examples, examples, how, tmp_path)
    assert best.predict(how.normalise(examples.pixels), verbose=0).shape == (20, 1)
    rows = fitting.history(tmp_path)
    assert len(rows) == 2
    if schedule == "step":
        assert float(model.optimizer.learning_rate) == pytest.approx(1e-4)


def test_folds_are_trained_one_after_the_other(films: Path, tmp_path: Path) -> None:
    changes = (*SMALL, "training.epochs=1", "data.folds=2", "data.body_parts=[]")
    chosen = config.load("shoulder-cnn5", changes)
    report = running.run(chosen, films, tmp_path / "cv")
    assert len(report["folds"]) == 2
    total = sum(fold["validation"]["all"]["studies"] for fold in report["folds"])
    assert total == 30
    for number in (1, 2):
        modelfile.load(tmp_path / "cv" / f"fold{number}" / "cnn5.safetensors")


def test_a_run_begun_with_drawings_does_not_go_on_with_films(films: Path, tmp_path: Path) -> None:
    """Half trained on drawings, a network would end as one of films."""
    real = tmp_path / films.name  # the same name, without the mark
    for path in films.rglob("*.png"):
        copy = real / path.relative_to(films)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            image.save(copy)
    chosen = config.load("conv4", SMALL)
    drawn = origin.settled(chosen, films, dataset.find_studies(films))
    running._claim(drawn, tmp_path / "out")
    with pytest.raises(tinycnn.TinycnnError, match="of another run"):
        running.run(chosen, real, tmp_path / "out")


def test_data_are_looked_at_before_tensorflow_starts(tmp_path: Path) -> None:
    code = (
        "import sys, train\nstatus = train.main(['conv4', 'none', '-o', sys.argv[1]])\n"
        "print(status, 'tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    command = [sys.executable, "-c", code, tmp_path / "out"]
    done = subprocess.run(command, cwd=DEMOS, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False", "False"]
    assert done.stderr == "train: cannot open 'none': No such file or directory\n"
    assert not (tmp_path / "out").exists()


def test_tensorflow_starts_without_a_word() -> None:
    code = "from training.start import start_keras; print(start_keras(1))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=DEMOS, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Keras ")
    assert done.stderr == ""
