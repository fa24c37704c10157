"""From the best epoch to a tinycnn model file that says how it was made and what it is worth."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinycnn import load
from tinycnn.errors import ConversionError
from tinycnn.nn.model import Figures
from tinycnn.nn.preprocessing import Preprocessing
from training.config import Config
from training.dataset import Examples

THRESHOLD = 0.5
BLOCK = 32  # images that are judged together


def figures(examples: Examples, scores: NDArray[np.float32]) -> dict[str, Figures]:
    """Verdicts by study, mean of the views at 0.5, per body part, "all" last; `scores`: (N,)."""
    counts: dict[str, NDArray[np.int64]] = {}
    for part, first, last in examples.studies:
        positive = bool(scores[first:last].mean() >= THRESHOLD)
        for key in {part or "all", "all"}:
            counts.setdefault(key, np.zeros((2, 2), np.int64))
            counts[key][int(examples.labels[first]), int(positive)] += 1
    order = sorted(counts, key=lambda key: (key == "all", key))
    return {key: _figures(counts[key]) for key in order}


def _figures(table: NDArray[np.int64]) -> Figures:
    (true_negative, false_positive), (false_negative, true_positive) = table.tolist()
    total = int(table.sum())
    return Figures(total, true_positive, false_positive, true_negative, false_negative)


def convert(
    source: Path,
    output: Path,
    config: Config,
    how: Preprocessing,
    measured: dict[str, Figures],
    said: Mapping[str, str],
) -> None:
    """Convert the Keras file `source` as `tinycnn convert` does; ConversionError if it refuses.

    `said`: options for what only the run knows, "trained-on" and "evaluated-on".
    """
    from tinycnn.convert.__main__ import main

    table = output.with_suffix(".figures.json")
    rows = {key: dataclasses.asdict(value) for key, value in measured.items()}
    table.write_text(json.dumps(rows), encoding="utf-8")
    try:
        status = main(_arguments(source, output, config, how, said, table))
    finally:
        table.unlink()
    if status:
        raise ConversionError(f"{source}: not converted, see above; the Keras model is kept")


def largest_difference(
    model: Path, held: Examples, how: Preprocessing, scores: NDArray[np.float32]
) -> float:
    """The largest difference of the converted model's scores to Keras's `scores` (N,)."""
    session, largest = load(str(model)), 0.0
    for first in range(0, len(scores), BLOCK):
        numbers = np.arange(first, min(first + BLOCK, len(scores)))
        found = session.predict(how.normalise(held.some(numbers)))[:, 0]
        largest = max(largest, float(np.abs(found - scores[numbers]).max()))
    return largest


def _arguments(
    source: Path,
    output: Path,
    config: Config,
    how: Preprocessing,
    run: Mapping[str, str],
    table: Path,
) -> list[str]:
    """What a user would type; `--name=value`, since a value may begin with a minus."""
    origin, labels = config.provenance, config.data.labels
    said: dict[str, Any] = {
        "output": output, "color-mode": how.color_mode, "interpolation": how.interpolation,
        "scale": repr(how.scale), "offset": repr(how.offset),
        "standardization": how.standardization, "labels": ",".join(labels), "positive": labels[1],
        "threshold": THRESHOLD, "licence": origin.licence, "notes": origin.notes, "accuracy": table,
        **run,
    }  # fmt: skip
    if how.standardization == "featurewise":
        said |= {"mean": ",".join(map(repr, how.mean)), "std": ",".join(map(repr, how.std))}
    flags = ["--crop-to-aspect-ratio"] * how.crop_to_aspect_ratio
    flags += ["--demonstration"] * origin.demonstration
    return [str(source), "--force", *flags, *(f"--{name}={value}" for name, value in said.items())]
