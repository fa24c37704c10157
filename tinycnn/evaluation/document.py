"""The document of an evaluation: plain data, ready for JSON, text and a page."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from tinycnn.evaluation import levels, members, metrics
from tinycnn.evaluation.published import comparable, published
from tinycnn.evaluation.reasons import kinds
from tinycnn.evaluation.records import Record
from tinycnn.lightclass import dataclass
from tinycnn.nn.model import Decision, Rule
from tinycnn.studies.names import natural_key, printable
from tinycnn.studies.records import text
from tinycnn.studies.reports import Source
from tinycnn.studies.verdict import label_names

SCHEMA = "tinycnn-evaluation/1"
LEVEL = 0.95
WORST = 24  # studies, and images, that are named as most wrong
LEVELS = ("image", "study", "patient")


@dataclass(frozen=True)
class Run:
    """What was evaluated, and how: what the records do not say."""

    dataset: str
    decision: Decision
    resamples: int = 1000
    seed: int = 1
    interrupted: bool = False
    seconds: float = 0.0
    recalled: int = 0  # studies that an earlier run judged: they took none of these seconds
    labels: Mapping[str, Any] = field(default_factory=dict)  # what `Dataset.count` says of a CSV


def document(records: Iterable[Record], source: Source, run: Run) -> dict[str, Any]:
    """Everything that is known about ``records``; the same whatever their order."""
    every = sorted(records, key=lambda r: (natural_key(r.id), natural_key(r.path)))
    used = levels.counted_records(every)
    groups = levels.all_cases(used, run.decision)
    tables = _tables(groups, len(levels.patients_of(used)), run)
    parts = list(dict.fromkeys(part for _, part in groups))
    judged = {part: tables["study", part]["count"] for part in parts}
    studies = [_study(record, run.decision) for record in every]
    models = [_model(one, run) for one in (source, *source.others)]
    return {
        "schema": SCHEMA,
        "tinycnn": source.version,
        "model": models[0],
        **({"models": models} if source.others else {}),
        "flip": source.flip,
        "dataset": _dataset(every, run),
        "interrupted": run.interrupted,
        "recalled": run.recalled,
        "rule": run.decision.rule,
        "threshold": run.decision.threshold,
        "thresholds": dict(run.decision.thresholds),
        "temperature": None if source.others else run.decision.temperature,
        "bootstrap": {
            "seed": run.seed,
            "resamples": run.resamples,
            "by": "patient",
            "level": LEVEL,
        },
        "levels": {level: {part: tables[level, part] for part in parts} for level in LEVELS},
        "rules": {rule: {part: tables[rule, part] for part in parts} for rule in levels.RULES},
        "rule_thresholds": {rule: _thresholds(rule, run.decision) for rule in levels.RULES},
        **members.of_all(used, run.decision, tables, models),
        "published": published() | {"compared": comparable(judged)},
        "roc": {p: metrics.roc(groups["study", p].true, groups["study", p].score) for p in parts},
        "reliability": {
            p: metrics.reliability(groups["study", p].true, groups["study", p].score) for p in parts
        },
        "studies": studies,
        "worst": {"studies": _worst_studies(studies), "images": _worst_images(used, run.decision)},
        "seconds": _seconds(every, run),
        "caution": " ".join(source.cautions),
    }


def _tables(
    groups: Mapping[tuple[str, str], metrics.Cases], patients: int, run: Run
) -> dict[tuple[str, str], dict[str, Any]]:
    """Counts and metrics of each group; one draw of patients serves them all."""
    resampled: dict[tuple[str, str], list[dict[str, metrics.Floats]]] = {g: [] for g in groups}
    largest = max(len(cases.true) for cases in groups.values())
    if patients:
        for weights in metrics.resampled(patients, run.resamples, run.seed, largest):
            for name, cases in groups.items():
                resampled[name].append(cases.metrics(weights))
    once = np.ones((max(patients, 1), 1))
    return {
        name: _table(cases, cases.metrics(once), resampled[name]) for name, cases in groups.items()
    }


def _table(
    cases: metrics.Cases,
    values: Mapping[str, metrics.Floats],
    resampled: Sequence[Mapping[str, metrics.Floats]],
) -> dict[str, Any]:
    names = ("true_positive", "false_positive", "true_negative", "false_negative")
    counts = dict(zip(names, cases.confusion(), strict=True))
    table: dict[str, Any] = {"count": len(cases.true), "positive": int(cases.true.sum()), **counts}
    for name in metrics.NAMES:
        draws = [block[name] for block in resampled]
        table[name] = _estimate(float(values[name][0]), draws, cases.patients(name))
    return table


def _estimate(value: float, resampled: Sequence[metrics.Floats], patients: int) -> dict[str, Any]:
    """A figure with its interval; ``interval`` says of which kind that is, None for none."""
    if not np.isfinite(value):
        return {"value": None, "low": None, "high": None, "interval": None}
    found, kind = metrics.exact_interval(value, patients, LEVEL), "exact"
    if found is None and resampled:
        found, kind = metrics.interval(np.concatenate(resampled), LEVEL), "bootstrap"
    low, high = found or (None, None)
    return {"value": value, "low": low, "high": high, "interval": kind if found else None}


def _thresholds(rule: Rule, decision: Decision) -> dict[str, Any]:
    own = levels.under_rule(rule, decision)
    return {"threshold": own.threshold, "thresholds": dict(own.thresholds)}


def _model(source: Source, run: Run) -> dict[str, Any]:
    model = source.model
    return {
        "name": model.name,
        "sha256": source.model_hash,
        "unverified": model.unverified,
        "path": text(source.model_path),
        "trained_on": model.provenance.trained_on,
        "demonstration": model.provenance.demonstration,
        "labels": list(label_names(model)),
        "positive": label_names(model)[model.decision.positive or 0],
        "measured_on": sorted(model.provenance.accuracy),
        "calibration": _calibration(model.decision, run),
    }


def _calibration(decision: Decision, run: Run) -> dict[str, Any] | None:
    """What the model's file says; ``same_name``: of a data set that is called as this one is."""
    known = decision.calibration
    if known is None:
        return None
    return {
        "dataset": known.dataset,
        "target": known.target,
        "rule": known.rule,
        "temperature": decision.temperature,
        "thresholds": dict(decision.thresholds),
        "same_name": known.dataset == printable(os.path.basename(os.path.abspath(run.dataset))),
    }


def _seconds(records: Sequence[Record], run: Run) -> dict[str, Any]:
    """Where the time went; all threads together, so that the parts may exceed the total."""
    decode, resize, inference = (sum(record.seconds[i] for record in records) for i in range(3))
    work = decode + resize + inference
    parts = {"decode": decode, "resize": resize, "inference": inference}
    judged = len(records) - run.recalled
    return {
        "total": run.seconds,
        "decode": decode + resize,
        "resize": resize,  # a part of decode
        "inference": inference,
        "shares": {name: value / work if work else None for name, value in parts.items()},
        "studies_per_second": judged / run.seconds if run.seconds else None,
    }


def _dataset(records: Sequence[Record], run: Run) -> dict[str, Any]:
    return {
        "path": text(run.dataset),
        "studies": len(records),
        "patients": len(levels.patients_of(records)),
        "views": sum(len(record.views) for record in records),
        "refused": sum(len(record.refused) for record in records),
        "refused_by_reason": kinds(reason for record in records for _, reason in record.refused),
        "with_notes": sum(len({name for name, _ in record.notes}) for record in records),
        "notes": kinds(note for record in records for _, note in record.notes),
        "unlabelled": sum(record.truth is None for record in records),
        "without_verdict": sum(not record.views for record in records),
        **({"labels": dict(run.labels)} if run.labels else {}),
    }


def _study(record: Record, decision: Decision) -> dict[str, Any]:
    said, probability = levels.verdict(record, decision) if record.views else (None, None)
    known = record.truth is not None and said is not None
    return {
        "id": record.id,
        "path": text(record.path),
        "body_part": record.name.body_part,
        "patient": record.name.patient,
        "label": None if record.truth is None else int(record.truth),
        "probability": probability,
        "threshold": decision.on(record.name.body_part).threshold,
        "verdict_positive": said,
        "correct": said == record.truth if known else None,
        **members.of_study(record, decision),
        "views": [_view(record, number) for number in range(len(record.views))],
        "refused": [
            {"name": name, "reason": reason, "notes": record.notes_on(name)}
            for name, reason in record.refused
        ],
    }


def _view(record: Record, number: int) -> dict[str, Any]:
    name, value = record.views[number]
    path = text(os.path.join(record.path, name))
    own = {"members": list(record.members[number])} if record.members else {}
    return {
        "name": name, "path": path, "probability": value, **own, "notes": record.notes_on(name)
    }  # fmt: skip


def _worst_studies(studies: Sequence[dict[str, Any]]) -> list[str]:
    """Ids of the studies whose verdict is wrong, by how far their probability is off."""
    wrong = [study for study in studies if study["correct"] is False]
    wrong.sort(key=lambda study: -abs(study["label"] - study["probability"]))
    return [study["id"] for study in wrong[:WORST]]


def _worst_images(records: Sequence[Record], decision: Decision) -> list[str]:
    """Paths of the images that would be judged wrongly on their own, likewise."""
    wrong = [
        (abs(bool(record.truth) - probability), os.path.join(record.path, name))
        for record in records
        for (said, probability), (name, _) in zip(
            levels.view_verdicts(record, decision), record.views, strict=True
        )
        if said != record.truth
    ]
    wrong.sort(key=lambda pair: -pair[0])
    return [text(path) for _, path in wrong[:WORST]]
