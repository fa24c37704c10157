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
from tinycnn.studies.images import read_picture
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
    def _first_alike(self) -> tuple[int, ...]:
        """For each model the number of the first that is given the same input: one decoding."""
        wanted = [(model.input_shape, model.preprocessing) for model in self.models]
        return tuple(wanted.index(one) for one in wanted)

    def read(self, entry: Entry) -> tuple[Row, Inputs, float]:
        """Return the row of ``entry``, and its inputs, empty if it cannot be judged.

        The number: of the time that it took, the seconds after decoding, from resizing on.
        """
        if entry.status != "view":
            return Row(entry.name, entry.status, entry.reason), (), 0.0
        inputs: list[Array] = []
        notes: dict[str, None] = {}
        resizing = 0.0
        try:
            for i, first in enumerate(self._first_alike):
                if first < i:
                    inputs.append(inputs[first])
                    continue
                x, said, seconds = read_input(entry.path, self.models[i])
                inputs.append(x)
                notes |= dict.fromkeys(said)
                resizing += seconds
        except ImageError as error:
            return Row(entry.name, "refused", str(error)), (), resizing
        return Row(entry.name, "judged", notes=tuple(notes)), tuple(inputs), resizing

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


def read_input(path: str, model: Model) -> tuple[Array, tuple[str, ...], float]:
    """What the network is given for one image, (1, H, W, C), and what is worth saying about it.

    The number: the seconds that it took from resizing on, when the image was decoded.
    """
    if len(model.input_shape) != 3:
        raise UsageError(f"model {model.name!r} takes {model.input_shape}, not images")
    picture = read_picture(path, model.input_shape[:2], model.preprocessing)
    started = time.perf_counter()
    x = model.preprocessing.normalise(picture.pixels[None])
    return x, picture.notes, picture.seconds + time.perf_counter() - started


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
