"""What a model file says of its training data: what was there, not what a recipe was made for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

from radiograph.mark import is_drawn

from tinycnn.nn.model import Figures
from tinycnn.studies.names import counted, printable
from training.config import Config, Data, Provenance
from training.dataset import Examples, Study

DRAWN = "drawings of radiographs (demos/phantoms.py)"
FEW = 20  # studies of a label; calibrate wants as many for a threshold of its own


def settled(config: Config, data: Path, studies: Iterable[Study] = ()) -> Config:
    """`config` with the labels and the provenance that hold for `data`, which `data.name` then is.

    Those of a config for data of another name are left out. MedMNIST makes a demonstration; so
    does one drawn image among the `studies`, with MURA's labels, whatever the config says.
    """
    name = printable(data.resolve().name)
    said, labels = config.provenance, config.data.labels
    if not name.casefold().startswith(config.data.name.casefold()):
        said, labels = Provenance(demonstration=said.demonstration), Data.labels
    if data.suffix == ".npz":  # MedMNIST: 28 to 224 pixels, for research and teaching
        said = dataclasses.replace(said, demonstration=True)
    if any(is_drawn(path) for study in studies for path in study.images):
        said = dataclasses.replace(said, trained_on=DRAWN, demonstration=True)
        labels = Data.labels
    if not said.trained_on:
        said = dataclasses.replace(said, trained_on=f"the images in {name!r}")
    about = dataclasses.replace(config.data, name=name, labels=labels)
    return dataclasses.replace(config, data=about, provenance=said)


def contents(examples: Examples, labels: tuple[str, ...]) -> str:
    """For a person: how many studies with which label, how many images, of which body parts."""
    positive = sum(int(examples.labels[first]) for _, first, _ in examples.studies)
    both = zip((len(examples.studies) - positive, positive), labels, strict=True)
    parts = ", ".join(sorted({part for part, _, _ in examples.studies} - {""}))
    return (
        f"{counted(len(examples.labels), 'image')} of "
        f"{' and '.join(f'{count} {label}' for count, label in both)} studies"
        f"{parts and f' of {parts}'}"
    )


def trained_on(config: Config, training: Examples) -> str:
    """For the model file: whose data, how many, and which weights the network began with."""
    said = f"{config.provenance.trained_on}: {contents(training, config.data.labels)}"
    weights = config.network.weights
    return f"{said}; it began with {printable(Path(weights).name)}" if weights else said


def doubts(training: Examples, held: Examples, measured: Figures) -> Iterator[str]:
    """What a person should know before believing the figures of the held-out studies."""
    for name, examples in (("training", training), ("validation", held)):
        positive = sum(int(examples.labels[first]) for _, first, _ in examples.studies)
        if min(positive, len(examples.studies) - positive) < FEW:
            yield f"{name} has fewer than {FEW} studies of a label: the figures mean little"
    right = measured.true_positive + measured.true_negative
    positive = measured.true_positive + measured.false_negative
    constant = max(positive, measured.studies - positive)
    if right <= constant:
        yield (
            f"{right} of {measured.studies} held-out studies are judged rightly, by one answer "
            f"for all {constant}: no better than chance"
        )
