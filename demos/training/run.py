"""A run from data to model file: one split, or one after the other all folds."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinycnn.errors import UsageError
from tinycnn.nn.model import Figures
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.progress import Progress
from tinycnn.studies.images import read_picture
from training import curves, export, fitting, networks, origin, pipeline
from training.config import Config, Image, to_toml
from training.dataset import (
    Examples,
    Split,
    Study,
    decode,
    find_studies,
    folds_by_patient,
    read_medmnist,
    split_by_patient,
)
from training.start import need_keras, start_keras

CONFIG, REPORT, CACHE = "config.toml", "report.json", "pixels.npy"


def run(config: Config, data: Path, output: Path) -> dict[str, Any]:
    """Train on `data` into the folder `output`; the same call again goes on after a kill."""
    need_keras()
    if config.training.tensorboard and find_spec("tensorboard") is None:
        raise UsageError("training.tensorboard = true needs a package: pip install tensorboard")
    if data.suffix == ".npz":
        sides = (read_medmnist(data, "train"), read_medmnist(data, "val"))
        config = _begin(origin.settled(config, data), output)
        return _train(config, *sides, output)
    studies = find_studies(data, config.data.body_parts)
    config = _begin(origin.settled(config, data, studies), output)
    examples = _decoded(config.image, studies, output / CACHE)
    if config.data.folds:
        splits = folds_by_patient(studies, config.data.folds, config.seed)
        report = _train_folds(config, examples, splits, output)
    else:
        split = split_by_patient(studies, config.data.validation, config.seed)
        report = _train_split(config, examples, split, output)
    (output / CACHE).unlink()
    return report


def _claim(config: Config, output: Path) -> None:
    """Write the config into `output`, or refuse a folder that holds something else."""
    output.mkdir(parents=True, exist_ok=True)
    text, path = to_toml(config), output / CONFIG
    if not path.exists() and any(output.iterdir()):
        raise UsageError(f"{output} is not empty and holds no run; give an empty folder")
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise UsageError(f"{path} is of another run; take its options, or another folder")
    if (output / REPORT).exists():
        raise UsageError(f"{output} holds a finished run; give another folder")
    path.write_text(text, encoding="utf-8")


def _begin(config: Config, output: Path) -> Config:
    """Claim the folder, start Keras; returns `config`, of which the person was told."""
    _claim(config, output)
    print(start_keras(config.threads))
    import keras

    keras.utils.set_random_seed(config.seed)
    note = " (DEMONSTRATION ONLY)" * config.provenance.demonstration
    print(f"the model will say: trained on {config.provenance.trained_on}{note}")
    return config


def _train_folds(
    config: Config, examples: Examples, splits: Sequence[Split], output: Path
) -> dict[str, Any]:
    """One after the other; what an earlier call finished is not done again."""
    reports = []
    for number, split in enumerate(splits, start=1):
        folder = output / f"fold{number}"
        folder.mkdir(exist_ok=True)
        finished = folder / REPORT
        if finished.exists():
            reports.append(json.loads(finished.read_text(encoding="utf-8")))
        else:
            reports.append(_train_split(config, examples, split, folder))
    measured = across([report["validation"] for report in reports])
    return _keep(output, {"validation": measured, "folds": reports})


def _train_split(config: Config, examples: Examples, split: Split, folder: Path) -> dict[str, Any]:
    training, held = (examples.subset(numbers) for numbers in split)
    return _train(config, training, held, folder)


def _decoded(image: Image, studies: Sequence[Study], cache: Path) -> Examples:
    """Decode as the engine will, so that the network is trained on what it will see."""
    how = Preprocessing(
        color_mode=image.color_mode,  # type: ignore[arg-type]
        interpolation=image.interpolation,  # type: ignore[arg-type]
        crop_to_aspect_ratio=image.crop_to_aspect_ratio,
    )

    def read(path: str) -> NDArray[np.uint8]:
        return read_picture(path, image.shape[:2], how).pixels

    with Progress(sum(len(study.images) for study in studies), "images") as progress:
        return decode(studies, read, image.shape, cache, progress.advance)


def _train(config: Config, training: Examples, held: Examples, folder: Path) -> dict[str, Any]:
    if training.pixels.shape[1:] != config.image.shape:
        found, wanted = training.pixels.shape[1:], config.image.shape
        raise UsageError(f"images are {found}, the config says {wanted}; change [image]")
    labels = config.data.labels
    print(f"training with {origin.contents(training, labels)}")
    print(f"validation with {origin.contents(held, labels)}")
    import keras

    keras.utils.clear_session()  # of the fold before, and its names of layers
    how = pipeline.preprocessing(config.image, training)
    model = networks.build(config.network, config.image.shape)
    if config.image.standardization == "pixelwise":
        found = pipeline.moments(training, how)
        model = networks.standardised(model, found.mean, found.deviation, grey_level=how.scale)
    best = fitting.fit(model, config, training, held, how, folder)
    scores = best.predict(pipeline.plain_batches(held, config, how), verbose=0)
    measured = export.figures(held, scores[:, 0])
    said = {
        "trained-on": origin.trained_on(config, training),
        "evaluated-on": f"{len(held.studies)} held-out studies of the same data, from which the "
        "best epoch was chosen",
    }
    name = folder.name if not folder.name.startswith("fold") else config.network.name
    model_file = folder / f"{name}.safetensors"
    export.convert(folder / fitting.BEST, model_file, config, how, measured, said)
    report = _report(folder, training, measured, best.count_params())
    difference = export.largest_difference(model_file, held, how, scores[:, 0])
    print(f"tinycnn and Keras differ by at most {difference:.1e} on {len(scores)} held-out images")
    for doubt in origin.doubts(training, held, measured["all"]):
        print(f"warning: {doubt}", file=sys.stderr)
    return _keep(folder, {**report, "largest_difference": difference})


def _report(
    folder: Path, training: Examples, measured: dict[str, Figures], parameters: int
) -> dict[str, Any]:
    history = fitting.history(folder)
    curves.draw(history, folder / "curves.png")
    return {
        "parameters": parameters,
        "training_studies": len(training.studies),
        "training_images": len(training.labels),
        "best_epoch": 1 + min(range(len(history)), key=lambda i: history[i]["val_loss"]),
        "validation": {
            part: {**dataclasses.asdict(value), "accuracy": round(value.accuracy, 4)}
            for part, value in measured.items()
        },
        "history": history,
    }


def across(folds: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Per body part: the accuracy of each fold that has studies of it, mean and deviation."""
    parts = dict.fromkeys(part for fold in folds for part in fold)
    result = {}
    for part in parts:
        each = [fold[part]["accuracy"] for fold in folds if part in fold]
        mean, deviation = round(float(np.mean(each)), 4), round(float(np.std(each)), 4)
        result[part] = {"accuracy": mean, "deviation": deviation, "folds": each}
    return result


def _keep(folder: Path, report: dict[str, Any]) -> dict[str, Any]:
    """Write the report; from now on the run counts as finished."""
    draft = folder / f".{REPORT}"
    draft.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, folder / REPORT)
    return report
