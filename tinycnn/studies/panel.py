"""From a file to what the models say of it: one model, or several whose mean counts.

`judge` and `tinycnn evaluate` both read and score views here, so both say the same of a view.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Protocol

import numpy as np

from tinycnn.errors import ImageError, UsageError
from tinycnn.lightclass import dataclass
from tinycnn.nn.model import Decision, Model
from tinycnn.nn.types import Array
from tinycnn.studies.calibrated import scaled
from tinycnn.studies.finder import Entry
from tinycnn.studies.images import Wanted, read_pictures
from tinycnn.studies.result import Row

BATCH = 8  # views that are in memory together, however many a study has
ROUNDING = 1e-4  # how far float32 may leave 0..1

Inputs = tuple[Array, ...]  # of one view: (1, H, W, C) for each model; none if it is refused


class Session(Protocol):
    """What turns (N, H, W, C) float32 into scores (N, classes) float32, and its model."""

    @property
    def model(self) -> Model:
        """The model whose preprocessing, labels and decision rule apply."""

    def predict(self, batch: Array, /) -> Array:
        """Scores (N, classes) of ``batch`` (N, H, W, C)."""


@dataclass(frozen=True)
class Panel:
    """Loaded models that judge together, and the decision that makes their mean a verdict.

    One model is a panel of one. Of several, ``decision`` is a plain one (see
    `tinycnn.studies.ensemble.common_decision`); each keeps the temperature of its calibration.
    """

    sessions: tuple[Session, ...]
    decision: Decision

    @property
    def models(self) -> tuple[Model, ...]:
        """The model of each session."""
        return tuple(session.model for session in self.sessions)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """The decision as each model has it: with its own temperature, if there are several."""
        if len(self.sessions) == 1:
            return (self.decision,)
        rule, threshold = self.decision.rule, self.decision.threshold
        return tuple(
            replace(model.decision, thresholds={}, rule=rule, threshold=threshold)
            for model in self.models
        )

    @cached_property
    def _alike(self) -> tuple[tuple[Model, list[int]], ...]:
        """Models that are given different inputs, and the numbers of all that are given each's."""
        groups: list[tuple[Model, list[int]]] = []
        for number, model in enumerate(self.models):
            for first, numbers in groups:
                same = (model.input_shape, model.preprocessing)
                if same == (first.input_shape, first.preprocessing):
                    numbers.append(number)
                    break
            else:
                groups.append((model, [number]))
        return tuple(groups)

    def read(self, entry: Entry) -> tuple[Row, Inputs, float]:
        """Return the row of ``entry``, and its inputs, empty if it cannot be judged.

        The number: of the time that it took, the seconds after decoding, from resizing on.
        """
        if entry.status != "view":
            return Row(entry.name, entry.status, entry.reason), (), 0.0
        try:
            different, notes, resizing = read_inputs(entry.path, [one[0] for one in self._alike])
        except ImageError as error:
            return Row(entry.name, "refused", str(error)), (), 0.0
        inputs = {i: x for x, alike in zip(different, self._alike, strict=True) for i in alike[1]}
        ordered = tuple(inputs[i] for i in range(len(inputs)))
        return Row(entry.name, "judged", notes=notes), ordered, resizing

    def score(self, rows: Sequence[Row], inputs: Sequence[Inputs]) -> list[Row]:
        """Put into the ``rows`` of views that were read what the models say of their ``inputs``."""
        said: list[list[Row]] = []
        batches = zip(*inputs, strict=True)
        for session, decision, batch in zip(self.sessions, self.decisions, batches, strict=True):
            outputs = session.predict(np.concatenate(batch))
            said.append([
                _scored(row, output, session.model, decision)
                for row, output in zip(rows, outputs, strict=True)
            ])  # fmt: skip
        return [_joined(same) for same in zip(*said, strict=True)]


def read_inputs(path: str, models: Sequence[Model]) -> tuple[list[Array], tuple[str, ...], float]:
    """What each network is given for one image, (1, H, W, C), and what is worth saying about it.

    It is decoded once. The number: the seconds that it took from then on, from resizing.
    ImageError if it cannot be read, or shows nothing that a verdict can rest on.
    """
    wanted: list[Wanted] = []
    for model in models:
        if len(model.input_shape) != 3:
            raise UsageError(f"model {model.name!r} takes {model.input_shape}, not images")
        height, width, _ = model.input_shape
        wanted.append(((height, width), model.preprocessing))
    pictures = read_pictures(path, wanted)
    for picture in pictures:
        if picture.refusal:
            raise ImageError(picture.refusal)
    started = time.perf_counter()
    inputs = [
        model.preprocessing.normalise(picture.pixels[None])
        for model, picture in zip(models, pictures, strict=True)
    ]
    seconds = time.perf_counter() - started + sum(picture.seconds for picture in pictures)
    return inputs, tuple(dict.fromkeys(note for p in pictures for note in p.notes)), seconds


def _scored(row: Row, output: Array, model: Model, decision: Decision) -> Row:
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


def _joined(rows: tuple[Row, ...]) -> Row:
    """Join what the models say of one file: means. What one of them cannot judge is refused."""
    for row in rows:
        if row.status != "judged" or len(rows) == 1:
            return row
    members = tuple(row.probability for row in rows if row.probability is not None)
    scores = tuple(np.mean([row.scores for row in rows], axis=0).tolist())
    return replace(rows[0], scores=scores, probability=float(np.mean(members)), members=members)
