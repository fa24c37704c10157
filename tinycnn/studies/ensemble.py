"""Several models as one: the mean of their probabilities, and how far they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tinycnn.errors import UsageError
from tinycnn.nn.model import Decision, Model
from tinycnn.studies.finder import Folder
from tinycnn.studies.result import Row, Seconds, StudyResult, Worth
from tinycnn.studies.verdict import Session, decide, judge, label_names, opposite
from tinycnn.studies.worth import cautions

NEVER_MEASURED = "how good these models are together was never measured"


def common_decision(models: Sequence[Model], rule: str | None, threshold: float | None) -> Decision:
    """Return the plain decision of all ``models``, or the one that is given.

    UsageError where they look for different things, or decide differently and nothing is given. A
    calibration's thresholds hold for one model alone: they are left out. Its temperature is kept
    by `judge_together`.
    """
    first = models[0]
    for model in models:
        own = model.decision
        if own.positive is None:
            raise UsageError(f"model {model.name!r} looks for no label: it cannot be averaged")
        if (label_names(model), own.positive) != (label_names(first), first.decision.positive):
            raise UsageError(f"models {first.name!r} and {model.name!r} have different labels")
    decisions = {
        (rule or model.decision.rule, threshold or model.decision.threshold) for model in models
    }
    if len(decisions) > 1:
        raise UsageError("these models have different rules or thresholds: give both as options")
    found_rule, found_threshold = decisions.pop()
    return Decision(found_rule, found_threshold, first.decision.positive)  # type: ignore[arg-type]


def judge_together(folder: Folder, sessions: Sequence[Session], decision: Decision) -> StudyResult:
    """Judge the study in ``folder`` by the mean of the models' probabilities of each view.

    A view that one of them cannot judge is refused. ``members``, of rows and of the study, are the
    models' own probabilities, each at its temperature.
    """
    results = [judge(folder, s, _of_one(s.model, decision)) for s in sessions]
    rows = tuple(_row(same) for same in zip(*(result.rows for result in results), strict=True))
    first, models = results[0], [session.model for session in sessions]
    judged = [row for row in rows if row.status == "judged"]
    answer = replace(
        first,
        rows=rows,
        decision=decision,
        scores=tuple(np.mean([row.scores for row in judged], axis=0).tolist()) if judged else (),
        worth=Worth(None, None, NEVER_MEASURED),
        cautions=cautions(*models),
        seconds=Seconds(
            sum(r.seconds.decode for r in results), sum(r.seconds.inference for r in results)
        ),
        threshold_of=None,
        calibration=_calibration(models, decision),
    )
    if not judged:
        return replace(answer, verdict=None, positive=None, probability=None)
    views = [[row.members[i] for row in judged] for i in range(len(models))]
    positive, probability = decide(np.mean(views, axis=0).tolist(), decision)
    label = first.labels[decision.positive or 0]
    return replace(
        answer,
        verdict=label if positive else opposite(first.labels, decision),
        positive=positive,
        probability=probability,
        members=tuple(decide(own, decision)[1] for own in views),
    )


def _of_one(model: Model, decision: Decision) -> Decision:
    """The common ``decision`` at the temperature of ``model``."""
    own = replace(model.decision, thresholds={})
    return replace(own, rule=decision.rule, threshold=decision.threshold)


def _row(rows: tuple[Row, ...]) -> Row:
    """Join what the models say of one file."""
    for row in rows:
        if row.status != "judged":
            return row
    members = tuple(row.probability for row in rows if row.probability is not None)
    scores = tuple(np.mean([row.scores for row in rows], axis=0).tolist())
    return replace(rows[0], scores=scores, probability=float(np.mean(members)), members=members)


def _calibration(models: Sequence[Model], decision: Decision) -> str:
    if all(model.decision.calibration is None for model in models):
        return ""
    temperatures = ", ".join(f"{model.decision.temperature:g}" for model in models)
    return (
        f"threshold {decision.threshold:g}: calibrated ones hold for a model alone; "
        f"probabilities at temperatures {temperatures}"
    )
