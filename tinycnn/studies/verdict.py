"""From the scores of a study's views to one verdict, with what that verdict is worth.

Every file that was seen has a row in the result: a score, the reason it was refused, or why it was
ignored. A study without a usable view has no verdict.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol

import numpy as np

from tinycnn.errors import ImageError, StudyError, UsageError
from tinycnn.nn.model import Decision, Model
from tinycnn.nn.types import Array
from tinycnn.studies.calibrated import remark, scaled
from tinycnn.studies.finder import Entry, Folder, find_studies
from tinycnn.studies.images import read_picture
from tinycnn.studies.names import printable
from tinycnn.studies.result import Row, Seconds, StudyResult
from tinycnn.studies.worth import cautions, worth

BATCH = 8  # views that are in memory together, however many a study has
ROUNDING = 1e-4  # how far float32 may leave 0..1


class Session(Protocol):
    """What turns (N, H, W, C) float32 into scores (N, classes) float32, and its model."""

    @property
    def model(self) -> Model:
        """The model whose preprocessing, labels and decision rule apply."""

    def predict(self, batch: Array, /) -> Array:
        """Scores (N, classes) of ``batch`` (N, H, W, C)."""


def predict_study(
    path: str | os.PathLike[str], model: Session, decision: Decision | None = None
) -> StudyResult:
    """Judge the one study at ``path`` (a folder, or an image) with a loaded ``model``.

    ``decision`` replaces the model's own rule and threshold. StudyError if ``path`` holds no
    study, or several: then use `predict_studies`.
    """
    _check_loaded(model)
    found = list(islice(find_studies(path), 2))
    if not found:
        raise StudyError(f"no image in {printable(os.fspath(path))!r}; PNG and JPEG are read")
    if len(found) > 1:
        raise StudyError(
            f"{printable(os.fspath(path))!r} holds several studies; use predict_studies"
        )
    return judge(found[0], model, decision)


def predict_studies(
    path: str | os.PathLike[str], model: Session, decision: Decision | None = None
) -> Iterator[StudyResult]:
    """Judge every study at or below ``path``, one at a time, in natural order."""
    _check_loaded(model)
    return (judge(folder, model, decision) for folder in find_studies(path))


def read_images(paths: Iterable[str | os.PathLike[str]], model: Session) -> Array:
    """Read image files as ``model.predict`` wants them: (N, H, W, C) float32.

    ImageError, with the file's name, for one that cannot be read.
    """
    _check_loaded(model)
    batch = []
    for path in paths:
        try:
            batch.append(_input(os.fspath(path), model.model)[0])
        except ImageError as error:
            raise ImageError(f"{printable(os.fspath(path))}: {error}") from error
    return np.concatenate([np.empty((0, *model.model.input_shape), np.float32), *batch])


def judge(folder: Folder, session: Session, decision: Decision | None = None) -> StudyResult:
    """Judge the study in ``folder``; UsageError if the model is not one for images.

    What the model's calibration says of the study's body part is applied, and told.
    """
    model, part = session.model, folder.name.body_part
    general = model.decision if decision is None else decision
    decision = general.on(part)
    rows, seconds = _judge_views(folder.entries, session, decision)
    scores = [row.scores for row in rows if row.status == "judged"]
    labels = label_names(model)
    positive, probability, verdict = None, None, None
    mean = tuple(float(value) for value in np.mean(scores, axis=0)) if scores else ()
    if scores and decision.positive is None:
        best = int(np.argmax(mean))
        verdict, probability = labels[best], mean[best]
    elif scores:
        values = [row.probability for row in rows if row.probability is not None]
        positive, probability = decide(values, decision)
        verdict = labels[decision.positive or 0] if positive else opposite(labels, decision)
    return StudyResult(
        path=folder.path,
        body_part=part,
        patient=folder.name.patient,
        study=folder.name.study,
        label=folder.name.label,
        rows=rows,
        labels=labels,
        decision=decision,
        verdict=verdict,
        positive=positive,
        probability=probability,
        scores=mean,
        worth=worth(model, part, decision),
        cautions=cautions(model),
        seconds=seconds,
        threshold_of=general.threshold_of(part),
        calibration=remark(model, part, general),
    )


def decide(values: Sequence[float], decision: Decision) -> tuple[bool, float]:
    """Whether a study with these probabilities (one or more) is positive, and its probability.

    ``values`` have the temperature in them, and ``decision.threshold`` is the body part's.
    """
    if decision.rule == "mean":
        probability = float(np.mean(values))
        return probability >= decision.threshold, probability
    largest = max(values)
    positive = largest >= decision.threshold
    if decision.rule == "max":
        return positive, largest
    return positive, sum(value >= decision.threshold for value in values) / len(values)


def _check_loaded(model: object) -> None:
    if isinstance(model, str | os.PathLike):
        name = os.fspath(model)
        raise UsageError(f"a loaded model is needed, not {name!r}: pass tinycnn.load({name!r})")


def label_names(model: Model) -> tuple[str, ...]:
    """Labels of the model's scores, made up where the model has none; two for one sigmoid unit."""
    if model.labels:
        return model.labels
    if model.decision.positive is not None and model.classes <= 2:
        return ("negative", "positive")[:: 1 if model.decision.positive else -1]
    return tuple(f"class {i}" for i in range(max(model.classes, 2)))


def _judge_views(
    entries: Sequence[Entry], session: Session, decision: Decision
) -> tuple[tuple[Row, ...], Seconds]:
    rows: list[Row] = []
    decode = inference = 0.0
    for first in range(0, len(entries), BATCH):
        started = time.perf_counter()
        read = [read_view(entry, session.model) for entry in entries[first : first + BATCH]]
        decoded = time.perf_counter()
        usable = [x for _, x in read if x is not None]
        scores = iter(session.predict(np.concatenate(usable)) if usable else ())
        inference += time.perf_counter() - decoded
        decode += decoded - started
        for row, x in read:
            rows.append(
                row if x is None else score_view(row, next(scores), session.model, decision)
            )
    return tuple(rows), Seconds(decode, inference)


def read_view(entry: Entry, model: Model) -> tuple[Row, Array | None]:
    """Return the row of ``entry``, and its input (1, H, W, C) if it can be judged."""
    if entry.status != "view":
        return Row(entry.name, entry.status, entry.reason), None
    try:
        x, notes = _input(entry.path, model)
    except ImageError as error:
        return Row(entry.name, "refused", str(error)), None
    return Row(entry.name, "judged", notes=notes), x


def _input(path: str, model: Model) -> tuple[Array, tuple[str, ...]]:
    """What the network is given for one image, (1, H, W, C), and what is worth saying about it."""
    if len(model.input_shape) != 3:
        raise UsageError(f"model {model.name!r} takes {model.input_shape}, not images")
    picture = read_picture(path, model.input_shape[:2], model.preprocessing)
    return model.preprocessing.normalise(picture.pixels[None]), picture.notes


def score_view(row: Row, output: Array, model: Model, decision: Decision) -> Row:
    """Put the network's output (classes,) into ``row``; refuse what is no score."""
    values = [float(value) for value in output]
    if not np.isfinite(values).all():
        return Row(row.file, "refused", "the model's output is not finite", notes=row.notes)
    probabilities = decision.positive is not None or len(values) == 1
    if probabilities and not all(-ROUNDING <= value <= 1 + ROUNDING for value in values):
        reason = f"the model's output {max(values, key=abs):.4g} is no probability"
        return Row(row.file, "refused", reason, notes=row.notes)
    if probabilities:
        values = [min(max(value, 0.0), 1.0) for value in values]
    if len(values) == 1:
        values = [1.0 - values[0], values[0]]
    probability = None
    if decision.positive is not None:
        probability = scaled(values[decision.positive], decision.temperature)
    return Row(row.file, "judged", "", tuple(values), probability, row.notes)


def opposite(labels: tuple[str, ...], decision: Decision) -> str:
    """Return the label of a study that is not positive."""
    positive = decision.positive or 0
    return labels[1 - positive] if len(labels) == 2 else f"not {labels[positive]}"
