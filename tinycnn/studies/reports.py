"""Results for people: plain text."""

from __future__ import annotations

import dataclasses
import textwrap
from dataclasses import field
from typing import IO, Protocol

from tinycnn.lightclass import dataclass
from tinycnn.nn.model import Model
from tinycnn.studies.finder import Entry, Folder
from tinycnn.studies.names import counted, printable
from tinycnn.studies.result import Finding, Row, StudyResult
from tinycnn.studies.worth import cautions, mark

MOST_FINDINGS = 20  # of independent labels that are shown of a study
TOP = 3  # labels that are shown of a view where none is looked for
WIDTH = 96
KINDS = {"mean": "mean", "max": "largest"}  # rule -> what of the views' probabilities counts
NAME_WIDTHS = (20, 40)  # of the column of file names
KEPT_STRAY = 1000  # stray files that are remembered; more are only counted


@dataclass(frozen=True)
class Source:
    """Which model, run how, gave the results; ``flip``: with the mean of each mirror image."""

    model: Model
    model_hash: str
    model_path: str
    backend: str
    version: str
    flip: bool = False
    others: tuple[Source, ...] = ()  # further models, where the probabilities are means

    @property
    def models(self) -> tuple[Model, ...]:
        """Every model that has a part in the results."""
        return (self.model, *(other.model for other in self.others))

    @property
    def cautions(self) -> tuple[str, ...]:
        """Sentences that stand beside every verdict."""
        return cautions(*self.models)


@dataclasses.dataclass
class Tally:
    """What was seen so far; constant in size however many studies there are."""

    studies: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    without_verdict: int = 0
    judged: int = 0
    refused: int = 0
    ignored: int = 0
    named: int = 0  # verdicts where the folder's name says what is right
    agreeing: int = 0
    large: int = 0  # studies that have more views than a study has
    largest: tuple[int, str] = (0, "")  # of these: number of views, path
    stray: list[Entry] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, result: StudyResult) -> None:
        """Count one study."""
        self.studies += 1
        if result.verdict is None:
            self.without_verdict += 1
        else:  # of independent labels each is counted: there are as many verdicts as subsets
            found = [finding.label for finding in result.findings if finding.positive]
            for verdict in found or [result.verdict]:
                self.verdicts[verdict] = self.verdicts.get(verdict, 0) + 1
        if result.positive is not None and result.label is not None:
            self.named += 1
            self.agreeing += result.positive == (result.label == "positive")
        self.judged += len(result.judged)
        self.refused += len(result.refused)
        self.ignored += len(result.rows) - len(result.judged) - len(result.refused)
        self.seconds += result.seconds.total
        if result.doubt:
            self.large += 1
            views = len(result.judged) + len(result.refused)
            self.largest = max(self.largest, (views, result.path))

    def add_stray(self, folder: Folder) -> None:
        """Count the files of a folder that is no study."""
        self.ignored += len(folder.entries)
        self.stray += folder.entries[: KEPT_STRAY - len(self.stray)]


class Report(Protocol):
    """What a command needs to write results one study at a time."""

    def begin(self) -> None:
        """Write what comes before the first study."""

    def study(self, result: StudyResult) -> None:
        """Write one study."""

    def end(self, tally: Tally) -> None:
        """Write what comes after the last study."""

    def close(self) -> None:
        """Write what the studies so far need beside them, also if the work was broken off."""


class TextReport:
    """A line per view, the verdict, what the model is worth, and the time.

    ``several``: studies are expected. Then the cautions stand once, at the end, and each verdict
    bears them in short.
    """

    def __init__(self, stream: IO[str], source: Source, several: bool = False) -> None:
        self.stream, self.source, self.several = stream, source, several
        self.owed = False  # a verdict was written that refers to the cautions below

    def begin(self) -> None:
        """Write which model answers."""
        self._write("".join(map(_model, (self.source, *self.source.others))))

    def study(self, result: StudyResult) -> None:
        """Write the block of one study, and let it appear."""
        lines = [_title(result)]
        width = _name_width(result)
        lines += [f"  {_view(row, result, width)}" for row in _answered(result)]
        marked = self.several and result.verdict is not None
        self.owed |= marked
        short = f"  ({mark(*self.source.models)})" if marked else ""
        lines += [f"  => {_verdict(result)}{_apart(result.members)}{short}"]
        lines += _findings(result)
        remarks = [*_remarks(result), *(() if self.several else result.cautions)]
        lines += [line for remark in remarks for line in _wrap(remark)]
        self._write("\n" + "\n".join(lines) + "\n")

    def end(self, tally: Tally) -> None:
        """Write how many of what there were, if there was more than one study."""
        if tally.studies > 1:
            self._write(f"\n{_summary(tally)}")
        if links := sum(entry.is_link for entry in tally.stray):
            self._write(f"not followed: {counted(links, 'symbolic link')}\n")

    def close(self) -> None:
        """Write the cautions that verdicts refer to."""
        if self.owed:
            lines = [line for caution in self.source.cautions for line in _wrap(caution, "")]
            self._write("\n" + "\n".join(lines) + "\n")

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def _model(source: Source) -> str:
    flip = "; scores: mean of each view and its mirror image" if source.flip else ""
    model = f"model {printable(source.model.name)} (sha256 {source.model_hash[:12]})"
    return f"{model}, backend {source.backend}{flip}\n"


def disagreement(members: tuple[float, ...]) -> tuple[float, float, float]:
    """Return the least and the largest of several models' probabilities, and their deviation."""
    mean = sum(members) / len(members)
    variance = sum((value - mean) ** 2 for value in members) / len(members)
    return min(members), max(members), variance**0.5


def _apart(members: tuple[float, ...]) -> str:
    if not members:
        return ""
    low, high, deviation = disagreement(members)
    return f"  [{len(members)} models: {low:.3f} to {high:.3f}, deviation {deviation:.3f}]"


def _title(result: StudyResult) -> str:
    known = [part for part in (result.body_part, result.patient, result.study) if part]
    path = printable(result.path)
    return f"{' '.join(known)}  ({path})" if known else path


def _answered(result: StudyResult) -> list[Row]:
    return [row for row in result.rows if row.status != "ignored"]


def _name_width(result: StudyResult) -> int:
    least, most = NAME_WIDTHS
    lengths = (len(printable(row.file)) for row in _answered(result))
    return min(max((least, *lengths)), most)


def _view(row: Row, result: StudyResult, width: int) -> str:
    name = f"{printable(row.file):<{width}}"
    if row.status == "refused":
        return f"{name}  REFUSED: {row.reason}"
    if row.probability is not None:
        label = printable(result.labels[result.decision.positive or 0])
        text = f"p({label}) {row.probability:.3f}{_apart(row.members)}"
    else:
        form = "p({}) {:.3f}" if result.findings else "{} {:.3f}"
        best = top(row, result.labels, TOP)
        text = ", ".join(form.format(printable(label), score) for label, score in best)
    return "; ".join([f"{name}  {text}", *row.notes])


def top(row: Row, labels: tuple[str, ...], count: int) -> list[tuple[str, float]]:
    """Return the ``count`` best labels of a judged view with their scores, best first."""
    best = sorted(range(len(row.scores)), key=lambda i: -row.scores[i])[:count]
    return [(labels[i], row.scores[i]) for i in best]


def _verdict(result: StudyResult) -> str:
    if result.verdict is None:
        return "NO VERDICT: not one usable view"
    views = counted(len(result.judged), "view")
    if result.refused:
        views += f", {len(result.refused)} more REFUSED"
    label = printable(result.verdict)
    if result.findings:
        found = sum(finding.positive for finding in result.findings)
        return f"{label}  ({found} of {len(result.findings)} independent labels; {views})"
    assert result.probability is not None
    if result.positive is None:
        return f"{label}  (mean score {result.probability:.3f} of {views})"
    rule, threshold = result.decision.rule, f"{result.decision.threshold:g}"
    if rule == "any":
        count = round(result.probability * len(result.judged))
        return f"{label.upper()}  ({count} at or above {threshold}, of {views})"
    kind = KINDS[rule]
    return f"{label.upper()}  ({kind} {result.probability:.3f} of {views}, threshold {threshold})"


def _findings(result: StudyResult) -> list[str]:
    """A line for each of several independent labels; of many, for those most probable."""
    shown = result.findings
    if len(shown) > MOST_FINDINGS:
        shown = tuple(sorted(shown, key=lambda found: -found.probability)[:MOST_FINDINGS])
    width = max((len(printable(found.label)) for found in shown), default=0)
    lines = [
        f"     {printable(found.label):<{width}}  {_reached(found, result)}" for found in shown
    ]
    left = len(result.findings) - len(shown)
    return [*lines, f"     and {left} more labels, which are less probable"] if left else lines


def _reached(found: Finding, result: StudyResult) -> str:
    """What one label reached, by the rule, and what it needs."""
    mark, rule, views = ": FOUND" * found.positive, result.decision.rule, len(result.judged)
    if rule == "any":
        count = round(found.probability * views)
        return f"{count} of {counted(views, 'view')} at or above {found.threshold:g}{mark}"
    return f"{KINDS[rule]} {found.probability:.3f}, threshold {found.threshold:g}{mark}"


def _remarks(result: StudyResult) -> list[str]:
    remarks = [f"WARNING: {result.doubt}."] if result.doubt else []
    if result.label:
        remarks.append(f"The folder's name says: {result.label}.")
    if result.verdict is not None:
        statements = (result.calibration, result.worth.statement)
        remarks += [f"{text[0].upper()}{text[1:]}." for text in statements if text]
    seconds = result.seconds
    remarks.append(
        f"{seconds.total:.3f} s: images {seconds.decode:.3f} s, network {seconds.inference:.3f} s."
    )
    return remarks


def _summary(tally: Tally) -> str:
    parts = [f"{count} {printable(name)}" for name, count in sorted(tally.verdicts.items())]
    if tally.without_verdict:
        parts.append(f"{tally.without_verdict} WITHOUT A VERDICT")
    refused = f"{counted(tally.refused, 'view')} refused"
    text = f"{tally.studies} studies: {', '.join(parts)}; {refused}; {tally.seconds:.2f} s\n"
    if tally.named:
        verdicts = counted(tally.named, "verdict")
        verb = "agrees" if tally.named == 1 else "agree"
        text += f"{tally.agreeing} of {verdicts} {verb} with the folders' names\n"
    return text


def _wrap(text: str, indent: str = "     ") -> list[str]:
    return textwrap.wrap(printable(text), WIDTH, initial_indent=indent, subsequent_indent=indent)
