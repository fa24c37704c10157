"""Measure `cnn5-pneumoniamnist` on the 468 test images, in tinycnn and Keras (if it is there).

    python demos/measure_pneumonia.py pneumoniamnist.npz            # print the table
    python demos/measure_pneumonia.py pneumoniamnist.npz --update   # keep it in README and model

Keras gets the shipped weights in its own layers, and scales the images by itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _checkout  # noqa: F401
import numpy as np
from measure import update_model, update_readme
from numpy.typing import NDArray
from training import networks
from training.config import Network
from training.dataset import Examples, read_medmnist
from training.export import THRESHOLD, figures

import tinycnn
from tinycnn import weights
from tinycnn.engine.session import available_backends
from tinycnn.errors import TinycnnError
from tinycnn.nn import modelfile
from tinycnn.nn.model import Figures

NAME = "cnn5-pneumoniamnist"
EVALUATED_ON = "the test images of PneumoniaMNIST, which it never saw, each taken as a study"
Scores = NDArray[np.float32]


def tinycnn_scores(pixels: NDArray[np.uint8], backend: str) -> Scores:
    """Probabilities of pneumonia (N,) by one of tinycnn's backends."""
    session = tinycnn.load(NAME, backend=backend)
    return session.predict(session.model.preprocessing.normalise(pixels))[:, 0]


def keras_scores(pixels: NDArray[np.uint8]) -> Scores:
    """The same by Keras; ModuleNotFoundError without the extra `train`."""
    model = keras_model()
    return model.predict(pixels.astype(np.float32) / 255, batch_size=64, verbose=0)[:, 0]


def keras_model() -> Any:
    """Keras's five-layer CNN with the shipped weights."""
    import keras

    keras.utils.clear_session()  # the names of layers count from the beginning
    shipped = modelfile.load(weights.find(NAME))
    model = networks.build(Network("cnn5"), shipped.input_shape)
    for layer in model.layers:
        layer.set_weights([shipped.weights[f"{layer.name}/{w.name}"] for w in layer.weights])
    return model


def compare(test: Examples) -> dict[str, Scores]:
    """Scores by every engine that works here, Keras first."""
    working = [name for name, why_not in available_backends().items() if not why_not]
    found = {f"tinycnn, {name}": tinycnn_scores(test.pixels, name) for name in working}
    try:
        return {"Keras": keras_scores(test.pixels), **found}
    except ModuleNotFoundError as error:
        print(f"measure_pneumonia: {error}: without Keras's row", file=sys.stderr)
        return found


def table(test: Examples, scores: dict[str, Scores]) -> str:
    """Markdown: a row per engine, compared with the first."""
    first_name, first = next(iter(scores.items()))
    lines = [
        "| engine | right | accuracy | sensitivity | specificity "
        f"| other verdicts than {first_name} | largest difference |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, values in scores.items():
        other = int(((values >= THRESHOLD) != (first >= THRESHOLD)).sum())
        difference = float(np.abs(values - first).max())
        cells = [name, *_cells(figures(test, values)["all"]), str(other), f"{difference:.0e}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cells(value: Figures) -> list[str]:
    rates = (value.accuracy, value.sensitivity or 0.0, value.specificity or 0.0)
    right = value.true_positive + value.true_negative
    return [f"{right} of {value.studies}", *(f"{100 * rate:.1f} %" for rate in rates)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 measured, 1 something could not be read or written."""
    text, _, more = (__doc__ or "").partition("\n")
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=text, epilog=more, formatter_class=form)
    parser.add_argument("data", type=Path, help="pneumoniamnist.npz, with test_images")
    parser.add_argument(
        "--update",
        action="store_true",
        help="also write weights/",
    )
    options = parser.parse_args(arguments)
    try:
        test = read_medmnist(options.data, "test")
        scores = compare(test)
        print(text := table(test, scores))
        if options.update:
            update_readme(weights.FOLDER / "README.md", text, "pneumonia")
            update_model(NAME, figures(test, list(scores.values())[-1]), EVALUATED_ON)
    except (TinycnnError, OSError) as error:
        print(f"measure_pneumonia: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
