"""From records to cases: by image, study and patient, by body part and over all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from tinycnn.evaluation.metrics import Cases
from tinycnn.evaluation.records import Record
from tinycnn.lightclass import dataclass
from tinycnn.nn.model import Decision, Rule
from tinycnn.studies.verdict import decide

RULES: tuple[Rule, ...] = ("mean", "any", "max")
ALL = "all"


@dataclass(frozen=True)
class Answer:
    """What was said about one image, study or patient, and what is true."""

    true: bool
    said: bool
    score: float
    patient: int
    body_part: str


def counted_records(records: Iterable[Record]) -> list[Record]:
    """The records that metrics are about: labelled, with at least one view that has a score."""
    return [record for record in records if record.truth is not None and record.views]


def verdict(record: Record, decision: Decision) -> tuple[bool, float]:
    """Whether ``record``, which has views, is positive, and its probability; as `judge` does."""
    mine = decision.on(record.name.body_part)
    return decide([probability for _, probability in record.views], mine)


def view_verdicts(record: Record, decision: Decision) -> list[tuple[bool, float]]:
    """Whether each view is positive on its own, and its probability."""
    threshold = decision.on(record.name.body_part).threshold
    return [(p >= threshold, p) for _, p in record.views]


def patients_of(records: Iterable[Record]) -> dict[str, int]:
    """A number for each patient, in order of appearance."""
    return {name: i for i, name in enumerate(dict.fromkeys(r.patient for r in records))}


def images(records: Sequence[Record], decision: Decision) -> list[Answer]:
    """An answer for each view: it carries its study's label, as in MURA."""
    number = patients_of(records)
    return [
        Answer(bool(r.truth), said, p, number[r.patient], r.body_part)
        for r in records
        for said, p in view_verdicts(r, decision)
    ]


def studies(records: Sequence[Record], decision: Decision) -> list[Answer]:
    """An answer for each study, by the rule of ``decision``."""
    number = patients_of(records)
    return [
        Answer(bool(r.truth), *verdict(r, decision), number[r.patient], r.body_part)
        for r in records
    ]


def patients(answers: Iterable[Answer]) -> list[Answer]:
    """An answer for each patient: positive if any of the studies is, with the largest score."""
    groups: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        groups[answer.patient].append(answer)
    return [
        Answer(
            any(a.true for a in group),
            any(a.said for a in group),
            max(a.score for a in group),
            patient,
            group[0].body_part,
        )
        for patient, group in groups.items()
    ]


def by_part(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """All ``answers`` under "all", and those of each body part under its name."""
    parts: dict[str, list[Answer]] = {ALL: list(answers)}
    for part in sorted({answer.body_part for answer in answers}):
        parts[part] = [answer for answer in answers if answer.body_part == part]
    return parts


def members_of(records: Sequence[Record]) -> int:
    """How many models there are, if there are several; else 0."""
    return max((len(own) for record in records for own in record.members), default=0)


def alone(records: Iterable[Record], number: int) -> list[Record]:
    """The ``records`` as they were if only the model of this ``number`` had been there."""
    return [
        replace(
            record,
            views=tuple(
                (name, own[number])
                for (name, _), own in zip(record.views, record.members, strict=True)
            ),
            members=(),
        )
        for record in records
    ]


def cases(answers: Sequence[Answer]) -> Cases:
    """``answers`` as arrays."""
    return Cases(
        np.array([a.true for a in answers], np.bool_),
        np.array([a.said for a in answers], np.bool_),
        np.array([a.score for a in answers], np.float64),
        np.array([a.patient for a in answers], np.intp),
    )


def under_rule(rule: Rule, decision: Decision) -> Decision:
    """``decision`` by another ``rule``: calibrated thresholds stay where they mean the same.

    "any" and "max" both ask whether some view reaches the threshold; a mean is another quantity.
    """
    if rule == decision.rule or "mean" not in (rule, decision.rule):
        return replace(decision, rule=rule)
    return replace(decision, rule=rule, thresholds={})


def all_cases(records: Sequence[Record], decision: Decision) -> dict[tuple[str, str], Cases]:
    """(level or rule, body part) -> cases: image, study, patient, and study by each of `RULES`.

    Of several models also "model 0", "model 1": study by what that one alone says.
    """
    found: dict[tuple[str, str], Cases] = {}
    by_study = by_part(studies(records, decision))
    for part, answers in by_part(images(records, decision)).items():
        found["image", part] = cases(answers)
    for part, answers in by_study.items():
        found["study", part] = cases(answers)
        found["patient", part] = cases(patients(answers))
    for rule in RULES:
        for part, answers in by_part(studies(records, under_rule(rule, decision))).items():
            found[rule, part] = cases(answers)
    for number in range(members_of(records)):
        for part, answers in by_part(studies(alone(records, number), decision)).items():
            found[f"model {number}", part] = cases(answers)
    return found
