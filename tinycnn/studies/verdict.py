"""From the scores of a study's views to one verdict, with what that verdict is worth.

Every file that was seen has a row in the result: a score, the reason it was refused, or why it was
ignored. A study without a usable view has no verdict.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from tinycnn.errors import ImageError, StudyError, UsageError
from tinycnn.nn.model import Decision, Model
from tinycnn.nn.types import Array
from tinycnn.studies.calibrated import remark
from tinycnn.studies.finder import Entry, Folder, find_studies
from tinycnn.studies.mirrored import Mirrored, told
from tinycnn.studies.names import printable
from tinycnn.studies.panel import BATCH, Panel, Session, read_inputs
from tinycnn.studies.result import NONE, Finding, Row, Seconds, StudyResult
from tinycnn.studies.worth import cautions, worth


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

    ImageError, with the file's name, for one that cannot be read or shows nothing.
    """
    _check_loaded(model)
    batch = []
    for path in paths:
        try:
            batch += read_inputs(os.fspath(path), [model.model])[0]
        except ImageError as error:
            raise ImageError(f"{printable(os.fspath(path))}: {error}") from error
    return np.concatenate([np.empty((0, *model.model.input_shape), np.float32), *batch])


def judge(folder: Folder, session: Session, decision: Decision | None = None) -> StudyResult:
    """Judge the study in ``folder`` with one model; see `judge_with`."""
    return judge_with(folder, Panel((session,), decision or session.model.decision))


def judge_with(folder: Folder, panel: Panel) -> StudyResult:
    """Judge the study in ``folder``; UsageError if a model is not one for images.

    What a single model's calibration says of the study's body part is applied, and told. Of
    several models the mean of each view's probabilities counts; ``members``, of rows and of the
    study, are the models' own, each at its temperature.
    """
    model, part, general = panel.models[0], folder.name.body_part, panel.decision
    decision = general.on(part)
    rows, seconds = _judge_views(folder.entries, panel)
    scores = [row.scores for row in rows if row.status == "judged"]
    labels = label_names(model)
    positive, probability, verdict = None, None, None
    findings: tuple[Finding, ...] = ()
    mean = tuple(float(value) for value in np.mean(scores, axis=0)) if scores else ()
    if scores and decision.positive is None and model.independent:
        findings = _findings(labels, scores, decision)
        verdict = _named(findings)
    elif scores and decision.positive is None:
        best = int(np.argmax(mean))
        verdict, probability = labels[best], mean[best]
    elif scores:
        values = [row.probability for row in rows if row.probability is not None]
        positive, probability = decide(values, decision)
        verdict = labels[decision.positive or 0] if positive else opposite(model, decision)
    result = StudyResult(
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
        cautions=cautions(*panel.models),
        seconds=seconds,
        threshold_of=general.threshold_of(part),
        calibration=remark(model, part, general),
        findings=findings,
    )
    if len(panel.models) > 1:
        from tinycnn.studies.ensemble import of_several

        result = of_several(result, panel.models)
    mirrored = any(isinstance(session, Mirrored) for session in panel.sessions)
    return told(result) if mirrored else result


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
    if model.decision.positive is not None and model.classes <= 2 and not model.independent:
        return ("negative", "positive")[:: 1 if model.decision.positive else -1]
    return tuple(f"class {i}" for i in range(max(model.classes, 2)))


def _judge_views(entries: Sequence[Entry], panel: Panel) -> tuple[tuple[Row, ...], Seconds]:
    rows: list[Row] = []
    decode = inference = 0.0
    for first in range(0, len(entries), BATCH):
        started = time.perf_counter()
        read = [panel.read(entry) for entry in entries[first : first + BATCH]]
        decoded = time.perf_counter()
        usable = [(row, inputs) for row, inputs, _ in read if inputs]
        scored = iter(panel.score(*zip(*usable, strict=True)) if usable else ())
        inference += time.perf_counter() - decoded
        decode += decoded - started
        rows += [next(scored) if inputs else row for row, inputs, _ in read]
    return tuple(rows), Seconds(decode, inference)


def opposite(model: Model, decision: Decision) -> str:
    """Return what a study is called that is not positive."""
    labels, positive = label_names(model), decision.positive or 0
    two = len(labels) == 2 and not model.independent
    return labels[1 - positive] if two else f"not {labels[positive]}"


def _findings(
    labels: Sequence[str], scores: Sequence[tuple[float, ...]], decision: Decision
) -> tuple[Finding, ...]:
    """Decide on each label by itself; ``scores``: of each view, one for each label."""
    decided = [decide(values, decision) for values in zip(*scores, strict=True)]
    return tuple(
        Finding(label, probability, decision.threshold, positive)
        for label, (positive, probability) in zip(labels, decided, strict=True)
    )


def _named(findings: Sequence[Finding]) -> str:
    return " + ".join(found.label for found in findings if found.positive) or NONE
