"""The answer to one study, as plain frozen data."""

from __future__ import annotations

from typing import Literal

from tinycnn.lightclass import dataclass
from tinycnn.nn.model import Decision, Figures
from tinycnn.studies.doubts import too_many
from tinycnn.studies.names import TruthLabel

NONE = "none of the labels"  # the verdict where each is independent, and none is positive


@dataclass(frozen=True)
class Row:
    """One file of a study. ``scores`` has one value per label; empty if it was not judged.

    ``probability`` is the score of the label that is looked for, at the temperature of the
    decision; None if there is no such label. Scores are as the network gave them.
    ``members``: the probabilities of several models, of which it is the mean.
    """

    file: str
    status: Literal["judged", "refused", "ignored"]
    reason: str = ""
    scores: tuple[float, ...] = ()
    probability: float | None = None
    notes: tuple[str, ...] = ()
    members: tuple[float, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What is said of one of several labels that are independent: ``probability`` by the rule.

    ``positive``: whether that is enough, by ``threshold``. See `Decision`.
    """

    label: str
    probability: float
    threshold: float
    positive: bool


@dataclass(frozen=True)
class Worth:
    """What the model was measured to be worth where this verdict was given.

    ``figures`` are None where nothing was measured; ``measured_on`` says on which body part
    ("all": the body part of the study is unknown), ``statement`` says it in words.
    """

    measured_on: str | None
    figures: Figures | None
    statement: str


@dataclass(frozen=True)
class Seconds:
    """Where the time went: reading and preprocessing the images, running the network."""

    decode: float
    inference: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.decode + self.inference


@dataclass(frozen=True)
class StudyResult:
    """The answer to one study.

    ``verdict`` is a label of the model, None without a usable view; ``positive`` says whether it
    is the label that is looked for (None where there is none). ``probability``: as `Decision`
    defines it for the rule; for a classifier without a positive label the mean score of the
    verdict. ``body_part``, ``patient``, ``study`` and ``label`` are what MURA names tell.
    ``decision`` has the threshold that was used: that of ``threshold_of`` (a body part, or "all"),
    None if it is no calibrated one. ``calibration`` says so in words, "" if there is none.
    ``members``: what each of several models alone would have for ``probability``.
    ``findings``: of a model whose labels are independent, and which looks for none of them, one for
    each label. Then ``verdict`` names those that are positive, and ``probability`` is None.
    """

    path: str
    body_part: str | None
    patient: str | None
    study: str | None
    label: TruthLabel | None
    rows: tuple[Row, ...]
    labels: tuple[str, ...]
    decision: Decision
    verdict: str | None
    positive: bool | None
    probability: float | None
    scores: tuple[float, ...]
    worth: Worth
    cautions: tuple[str, ...]
    seconds: Seconds
    threshold_of: str | None = None
    calibration: str = ""
    members: tuple[float, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def judged(self) -> tuple[Row, ...]:
        """Rows of the views that have a score."""
        return tuple(row for row in self.rows if row.status == "judged")

    @property
    def refused(self) -> tuple[Row, ...]:
        """Rows of what looks like a view but could not be judged."""
        return tuple(row for row in self.rows if row.status == "refused")

    @property
    def doubt(self) -> str:
        """Why this is hardly one study; "" if it may be."""
        return too_many(len(self.judged) + len(self.refused))
