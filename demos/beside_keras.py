"""Judge a folder of studies with Keras alone, and compare: `tinycnn evaluate` must say the same.

Keras opens, resizes and scales the images by itself, and studies and labels are read from the
folders' names here: nothing of tinycnn takes part but the document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from training.config import Image

BATCH = 64
COUNTS = ("true_positive", "false_positive", "true_negative", "false_negative")


@dataclass(frozen=True)
class Agreement:
    """How far two judgements of the same studies lie apart; 0 and rounding if both are right.

    `other_counts`: names of the confusion matrix's cells, by study, that are not Keras's.
    """

    studies: int
    views: int
    other_verdicts: int
    largest_difference: float
    other_counts: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every verdict and count is the same."""
        return not (self.other_verdicts or self.other_counts)


def compare(document: Mapping[str, Any], model: Path, dataset: Path, image: Image) -> Agreement:
    """Judge `dataset` with the Keras file `model`, mean of the views, and compare each number.

    `document`: of the same folder under the rule "mean", without temperature. ValueError if it
    has other images than the folder.
    """
    theirs = probabilities(model, sorted(dataset.rglob("*.png")), image)
    ours = {Path(v["path"]): v["probability"] for s in document["studies"] for v in s["views"]}
    if ours.keys() != theirs.keys():
        raise ValueError(f"{dataset}: {len(ours)} images were evaluated, of {len(theirs)}")
    verdicts = _by_study(theirs, document["threshold"])
    said = {Path(study["path"]): study["verdict_positive"] for study in document["studies"]}
    measured = document["levels"]["study"]["all"]
    counts = _counts(verdicts)
    return Agreement(
        studies=len(verdicts),
        views=len(theirs),
        other_verdicts=sum(said[folder] != verdict for folder, verdict in verdicts.items()),
        largest_difference=max(abs(ours[path] - theirs[path]) for path in theirs),
        other_counts=tuple(name for name in COUNTS if counts[name] != measured[name]),
    )


def probabilities(model: Path, paths: Sequence[Path], image: Image) -> dict[Path, float]:
    """What Keras says of each image, opened and resized by Keras."""
    import keras

    network = keras.models.load_model(model, compile=False)
    found: list[NDArray[np.float32]] = []
    for first in range(0, len(paths), BATCH):
        pixels = np.stack([_pixels(path, image) for path in paths[first : first + BATCH]])
        found.append(network.predict_on_batch(pixels * image.scale + image.offset)[:, 0])
    return dict(zip(paths, np.concatenate(found).tolist(), strict=True))


def _pixels(path: Path, image: Image) -> NDArray[np.float32]:
    from keras.utils import img_to_array, load_img

    size = (image.height, image.width)
    options = {"color_mode": image.color_mode, "interpolation": image.interpolation}
    return img_to_array(load_img(path, target_size=size, **options))


def _by_study(views: Mapping[Path, float], threshold: float) -> dict[Path, bool]:
    studies: dict[Path, list[float]] = {}
    for path, value in views.items():
        studies.setdefault(path.parent, []).append(value)
    return {folder: bool(np.mean(values) >= threshold) for folder, values in studies.items()}


def _counts(verdicts: Mapping[Path, bool]) -> dict[str, int]:
    pairs = [(folder.name.endswith("_positive"), said) for folder, said in verdicts.items()]
    kinds = ((True, True), (False, True), (False, False), (True, False))
    return {name: pairs.count(kind) for name, kind in zip(COUNTS, kinds, strict=True)}
