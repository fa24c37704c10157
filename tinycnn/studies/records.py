"""Results for programs: JSON (one document) and CSV (a row per file)."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import IO, Any

from tinycnn.nn.model import Figures
from tinycnn.studies.finder import Entry
from tinycnn.studies.names import printable
from tinycnn.studies.reports import Source, Tally, disagreement, top
from tinycnn.studies.result import Row, StudyResult

SCHEMA = "tinycnn.predict/1"
MOST_SCORES = 20  # best labels of a view that are written

COLUMNS = (
    "study_path",
    "body_part",
    "patient",
    "study",
    "label",
    "file",
    "status",
    "top_label",
    "top_score",
    "probability",
    "reason",
    "verdict",
    "study_probability",
    "caution",
    "rule",
    "threshold",
    "notes",
    "temperature",
    "threshold_of",
    "labels_found",
)


class JsonReport:
    """One strictly valid document: names that are no Unicode are escaped, no NaN, no Infinity."""

    def __init__(self, stream: IO[str], source: Source) -> None:
        self.stream, self.source = stream, source
        self.separator = "\n"

    def begin(self) -> None:
        """Write what holds for all studies."""
        self.stream.write(_dump(_header(self.source))[:-1] + ', "studies": [')

    def study(self, result: StudyResult) -> None:
        """Write one study on a line of its own."""
        self.stream.write(self.separator + _dump(_study(result)))
        self.separator = ",\n"

    def end(self, tally: Tally) -> None:
        """Write the counts, and the files that belong to no study."""
        tail = {
            "ignored": [_entry(entry) for entry in tally.stray],
            "summary": {
                "studies": tally.studies,
                "without_verdict": tally.without_verdict,
                "verdicts": tally.verdicts,
                "judged": tally.judged,
                "refused": tally.refused,
                "ignored": tally.ignored,
                "seconds": tally.seconds,
            },
        }
        self.stream.write("\n], " + _dump(tail)[1:] + "\n")

    def close(self) -> None:
        """Write nothing: each study has its cautions."""


class CsvReport:
    """A row per file that lies in a study; each row repeats the study's verdict."""

    def __init__(self, stream: IO[str], source: Source) -> None:
        self.writer = csv.writer(stream, lineterminator="\n")
        self.stream, self.source = stream, source

    def begin(self) -> None:
        """Write the names of the columns."""
        self.writer.writerow(COLUMNS)

    def study(self, result: StudyResult) -> None:
        """Write the rows of one study; one without a file if it is empty."""
        for row in result.rows or (Row("", "ignored", "an empty folder"),):
            self.writer.writerow([cell(value) for value in _csv_row(row, result)])
        self.stream.flush()

    def end(self, tally: Tally) -> None:
        """Write nothing: files that belong to no study are left to JSON."""

    def close(self) -> None:
        """Write nothing: each row has its caution."""


def _header(source: Source) -> dict[str, Any]:
    several = {"models": [_model(one) for one in (source, *source.others)]}
    return {
        "schema": SCHEMA,
        "tinycnn": source.version,
        "model": _model(source),
        **(several if source.others else {}),
        "backend": source.backend,
        "flip": source.flip,
        "cautions": list(source.cautions),
    }


def _model(source: Source) -> dict[str, Any]:
    model = source.model
    provenance = model.provenance
    positive, calibration = model.decision.positive, model.decision.calibration
    return {
        "name": model.name,
        "file": text(source.model_path),
        "sha256": source.model_hash,
        "unverified": model.unverified,
        "input_shape": list(model.input_shape),
        "preprocessing": asdict(model.preprocessing),
        "labels": list(model.labels),
        "positive": positive,
        "independent": model.independent,
        "calibration": None if calibration is None else asdict(calibration),
        "demonstration": provenance.demonstration,
        "trained_on": provenance.trained_on,
        "evaluated_on": provenance.evaluated_on,
        "source": provenance.source,
        "licence": provenance.licence,
    }


def _study(result: StudyResult) -> dict[str, Any]:
    figures = result.worth.figures
    return {
        "path": text(result.path),
        "body_part": result.body_part,
        "patient": result.patient,
        "study": result.study,
        "label": result.label,
        "verdict": result.verdict,
        "positive": result.positive,
        "probability": result.probability,
        **({"findings": list(map(asdict, result.findings))} if result.findings else {}),
        **_members(result.members),
        "rule": result.decision.rule,
        "threshold": result.decision.threshold,
        "threshold_of": result.threshold_of,
        "temperature": None if result.members else result.decision.temperature,
        "calibration": result.calibration or None,
        "worth": {
            "measured_on": result.worth.measured_on,
            "statement": result.worth.statement,
            "figures": None if figures is None else _figures(figures),
        },
        "cautions": [*result.cautions, *filter(None, [result.doubt])],
        "files": [_file(row, result) for row in result.rows],
        "seconds": {"decode": result.seconds.decode, "inference": result.seconds.inference},
    }


def _file(row: Row, result: StudyResult) -> dict[str, Any]:
    best = top(row, result.labels, MOST_SCORES)
    return {
        "file": text(row.file),
        "status": row.status,
        "reason": row.reason or None,
        "probability": row.probability,
        **_members(row.members),
        "scores": [{"label": label, "score": score} for label, score in best],
        "notes": list(row.notes),
    }


def _members(members: tuple[float, ...]) -> dict[str, Any]:
    """What several models say, each for itself; nothing where there is one."""
    if not members:
        return {}
    names = ("minimum", "maximum", "standard_deviation")
    apart = dict(zip(names, disagreement(members), strict=True))
    return {"members": list(members), "disagreement": apart}


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        **asdict(figures),
        "accuracy": figures.accuracy,
        "sensitivity": figures.sensitivity,
        "specificity": figures.specificity,
    }


def _entry(entry: Entry) -> dict[str, str]:
    return {"path": text(entry.path), "reason": entry.reason}


def _csv_row(row: Row, result: StudyResult) -> Iterable[object]:
    best = top(row, result.labels, 1)
    yield from (result.path, result.body_part, result.patient, result.study, result.label)
    yield from (row.file, row.status)
    yield from best[0] if best else ("", "")
    yield from (row.probability, row.reason, result.verdict, result.probability)
    yield result.cautions[0]
    decision = result.decision
    decided = decision.positive is not None or result.findings
    yield from (decision.rule, decision.threshold) if decided else ("", "")
    yield "; ".join(row.notes)
    one = decision.positive is not None and not result.members  # several have several temperatures
    yield from (decision.temperature if one else "", result.threshold_of)
    yield _found(row, result)


def _found(row: Row, result: StudyResult) -> str:
    """Of independent labels, those that one view shows by itself."""
    pairs = zip(result.labels, row.scores, strict=False) if result.findings else ()
    return "; ".join(label for label, score in pairs if score >= result.decision.threshold)


def cell(value: object) -> object:
    """``value`` as a cell of a CSV file that is safe to open."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    # A spreadsheet would run a file name that begins like a formula.
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def text(name: str) -> str:
    """Return ``name`` as it is, or with escapes if it is not valid Unicode."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return printable(name)
    return name


def _dump(value: object) -> str:
    return json.dumps(value, allow_nan=False)
