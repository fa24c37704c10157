"""Several models as one: which decision they share, and what each alone would say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tinycnn.errors import UsageError
from tinycnn.nn.model import Decision, Model
from tinycnn.studies.result import StudyResult, Worth
from tinycnn.studies.verdict import decide, label_names

NEVER_MEASURED = "how good these models are together was never measured"


def common_decision(models: Sequence[Model], rule: str | None, threshold: float | None) -> Decision:
    """Return the plain decision of all ``models``, or the one that is given.

    UsageError where they look for different things, or decide differently and nothing is given. A
    calibration's thresholds hold for one model alone: they are left out. Its temperature is kept
    by `Panel.decisions`.
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


def of_several(result: StudyResult, models: Sequence[Model]) -> StudyResult:
    """Give a ``result`` of several ``models`` what such a one has: nobody measured them together.

    ``members``: what each alone would have for ``probability``.
    """
    decision = result.decision
    return replace(
        result,
        worth=Worth(None, None, NEVER_MEASURED),
        threshold_of=None,
        calibration=_calibration(models, decision),
        members=tuple(p for _, p in of_members([row.members for row in result.judged], decision)),
    )


def of_members(
    views: Sequence[Sequence[float]], decision: Decision
) -> tuple[tuple[bool, float], ...]:
    """Whether each model alone would call a study positive, and its probability.

    ``views``: the models' probabilities of each view; without a view there is no answer.
    """
    return tuple(decide(own, decision) for own in zip(*views, strict=True))


def _calibration(models: Sequence[Model], decision: Decision) -> str:
    if all(model.decision.calibration is None for model in models):
        return ""
    temperatures = ", ".join(f"{model.decision.temperature:g}" for model in models)
    return (
        f"threshold {decision.threshold:g}: calibrated ones hold for a model alone; "
        f"probabilities at temperatures {temperatures}"
    )
