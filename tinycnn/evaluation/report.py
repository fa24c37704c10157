"""An evaluation for people (text) and for a spreadsheet (CSV, a row for each view)."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

from tinycnn.evaluation.markup import rule_columns, trained_on
from tinycnn.evaluation.metrics import NAMES
from tinycnn.evaluation.published import comparable
from tinycnn.evaluation.remarks import remarks
from tinycnn.studies.names import counted, printable
from tinycnn.studies.records import cell

WIDTH = 100
CELL = 21  # of kappa beside other figures: -0.12 (-0.34..-0.05), and a space
SHOWN = 10  # of the studies that are most wrong
TITLES = {"study": "BY STUDY", "image": "BY IMAGE", "patient": "BY PATIENT"}
COLUMNS = (
    "study", "body_part", "patient", "label", "file", "path", "status", "probability", "reason",
    "study_probability", "verdict_positive", "correct", "rule", "threshold", "caution",
    "members", "interrupted", "notes",
)  # fmt: skip


def write_text(stream: IO[str], document: Mapping[str, Any]) -> None:
    """Tables by study, image and patient, the rules, what was published, the worst, cautions."""
    for line in _lines(document):
        stream.write(line.rstrip() + "\n")


def models(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Every model that has a part in the figures."""
    return list(document.get("models") or [document["model"]])


def threshold_words(document: Mapping[str, Any]) -> str:
    """The threshold, or those of a calibration and for which body parts."""
    known = {part: f"{printable(part)} {value:g}" for part, value in document["thresholds"].items()}
    plain = f"threshold {document['threshold']:g}"
    if not known:
        return plain
    rest = "" if "all" in known else f", else {document['threshold']:g}"
    return f"thresholds {', '.join(known.values())}{rest}"


def write_csv(stream: IO[str], document: Mapping[str, Any]) -> None:
    """A row for each view, judged or refused, and for a study without a file; no metrics."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for study in document["studies"]:
        for row in _csv_rows(study, document):
            writer.writerow([cell(value) for value in row])


def _csv_rows(study: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    before = (study["id"], study["body_part"], study["patient"], study["label"])
    answer = (study["probability"], study["verdict_positive"], study["correct"])
    after = (*answer, document["rule"], study["threshold"], document["caution"])
    end = document["interrupted"]
    for view in study["views"]:
        own = " ".join(map(str, view.get("members", ())))
        said = (view["name"], view["path"], "judged", view["probability"], "")
        yield (*before, *said, *after, own, end, "; ".join(view["notes"]))
    for view in study["refused"]:
        said = (view["name"], "", "refused", None, view["reason"])
        yield (*before, *said, *after, "", end, "; ".join(view["notes"]))
    if not study["views"] and not study["refused"]:
        said = ("", study["path"], "ignored", None, "no image in the folder")
        yield (*before, *said, *after, "", end, "")


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield from _head(document)
    for level, title in TITLES.items():
        yield ""
        yield from _table(title, document["levels"][level])
    yield from _members(document)
    yield ""
    yield from _rules(document)
    yield from _published(document)
    yield from _worst(document)
    yield from _omitted(document)
    yield ""
    yield from _wrap(document["caution"])
    yield ""
    yield _throughput(document)


def _head(document: Mapping[str, Any]) -> Iterator[str]:
    data, draws = document["dataset"], document["bootstrap"]
    positive = document["model"]["positive"]
    flip = "; scores: mean of each view and its mirror image" if document["flip"] else ""
    for model in models(document):
        yield f"model {printable(model['name'])} (sha256 {model['sha256'][:12]}){flip}"
    if document["interrupted"]:
        yield "INTERRUPTED: the figures are those of the studies done so far"
    text = (
        f"{printable(data['path'])}: {_studies(data['studies'])}, "
        f"{counted(data['patients'], 'patient')}, {counted(data['views'], 'view')}; "
        f"{counted(data['refused'], 'view')} refused"
    )
    if data["without_verdict"]:
        text += f"; {_studies(data['without_verdict'])} without a usable view, left out"
    if data["unlabelled"]:
        text += f"; {_studies(data['unlabelled'])} without a label, left out"
    yield from _wrap(text)
    yield from _kinds("refused", data["refused_by_reason"])
    yield from _kinds(f"notes on {counted(data['with_notes'], 'view')}", data["notes"])
    yield from _labels(data.get("labels"))
    yield from _wrap(
        f"rule {document['rule']}, {threshold_words(document)}; positive is "
        f"{printable(positive)!r}; in brackets {draws['level']:.0%} intervals of "
        f"{draws['resamples']} resamples of patients (seed {draws['seed']}); of shares that are 0 "
        "or 1 Clopper and Pearson's, each patient counted once; (-) where all resamples agree"
    )
    for remark in remarks(document):
        yield from _wrap(remark)


def _kinds(title: str, kinds: Mapping[str, int]) -> Iterable[str]:
    """The count of each kind of reason or note, if there is any."""
    listed = "; ".join(f"{name} ({count})" for name, count in kinds.items())
    return _wrap(f"{title}: {listed}") if listed else ()


def _throughput(document: Mapping[str, Any]) -> str:
    """How fast, and which part of the threads' time went where."""
    seconds = document["seconds"]
    text = f"{seconds['total']:.1f} s, {seconds['studies_per_second'] or 0:.1f} studies/s"
    if document["recalled"]:
        text += f", {_studies(document['recalled'])} from the journal"
    shares = seconds["shares"]
    if shares["decode"] is None:
        return text
    words = {"decode": "decoding", "resize": "resizing", "inference": "network"}
    parts = (f"{word} {shares[name]:.0%}" for name, word in words.items())
    return f"{text}; of the threads' time: {', '.join(parts)}"


def _labels(csv: Mapping[str, Any] | None) -> Iterable[str]:
    """Where labels came from, and what did not fit."""
    if not csv:
        return ()
    said = f"labels and choice of studies: {csv['path']}"
    if csv["left_out"]:
        said += f"; {counted(csv['left_out'], 'folder')} that it does not list left out"
    if csv["not_there"]:
        named = _examples(csv["not_there"], csv["not_there_examples"])
        said += f"; {csv['not_there']} of the studies that it lists ARE NOT THERE: {named}"
    if csv["contradicting"]:
        labels = counted(csv["contradicting"], "label CONTRADICTS", "labels CONTRADICT")
        named = _examples(csv["contradicting"], csv["examples"])
        said += f"; {labels} the folders' names, and {_counts(csv['contradicting'])}: {named}"
    return _wrap(said)


def _counts(count: int) -> str:
    return "counts" if count == 1 else "count"


def _examples(count: int, names: Sequence[str]) -> str:
    return ", ".join([*names, *(["..."] if count > len(names) else [])])


def _studies(count: int) -> str:
    return counted(count, "study", "studies")


def _table(title: str, parts: Mapping[str, Any]) -> Iterator[str]:
    yield f"{title:<12}{'n':>6}{'TP':>6}{'FP':>6}{'TN':>6}{'FN':>6}"
    for part, row in parts.items():
        counts = [row["true_positive"], row["false_positive"]]
        counts += [row["true_negative"], row["false_negative"]]
        yield f"{part:<12}{row['count']:>6}" + "".join(f"{count:>6}" for count in counts)
    yield f"{'':<12}" + "".join(f"{name:<19}" for name in NAMES)
    for part, row in parts.items():
        yield f"{part:<12}" + "".join(f"{_figure(row[name]):<19}" for name in NAMES)


def _members(document: Mapping[str, Any]) -> Iterator[str]:
    """Each of several models beside their mean, and how often their verdicts differ."""
    if "members" not in document:
        return
    yield ""
    shown = ("accuracy", "auroc", "kappa")
    yield f"{'EACH MODEL ALONE, BY STUDY':<32}" + "".join(f"{key:<{CELL}}" for key in shown)
    tables = [("their mean", document["levels"]["study"])]
    tables += [(printable(one["name"]), one["study"]) for one in document["members"]]
    for name, table in tables:
        figures = (f"{_figure(table['all'][key]):<{CELL}}" for key in shown)
        yield f"{name[:30]:<32}" + "".join(figures)
    apart = {
        printable(part): f"{row['differing']} of {row['studies']}"
        for part, row in document["disagreement"].items()
        if row["studies"]
    }
    if not apart:
        return
    share = document["disagreement"]["all"]["share"]
    parts = [f"{part} {words}" for part, words in apart.items() if part != "all"]
    yield from _wrap(
        f"verdicts of the models differ on {apart['all']} studies ({share:.1%}): "
        f"{', '.join(parts)}; all on the views that each of them could judge"
    )


def _rules(document: Mapping[str, Any]) -> Iterator[str]:
    columns = rule_columns(document)
    for title, rule in columns.items():
        yield from _wrap(f"rule {title}: {threshold_words(document['rule_thresholds'][rule])}")
    for name in ("kappa", "sensitivity", "specificity"):
        title = f"{name} by study, by rule"
        yield f"{title:<36}" + "".join(f"{column:<{CELL}}" for column in columns)
        for part in document["rules"]["mean"]:
            tables = (document["rules"][rule][part] for rule in columns.values())
            yield f"{part:<36}" + "".join(f"{_figure(table[name]):<{CELL}}" for table in tables)


def _published(document: Mapping[str, Any]) -> Iterator[str]:
    own = document["levels"]["study"]
    parts = comparable({part: row["count"] for part, row in own.items()})
    if not parts:
        return
    yield ""
    yield "kappa beside what was published with MURA: of other studies, so no contest"
    for said in trained_on(document):
        yield from _wrap(f"Trained on {said}: its kappa says nothing beside a physician's.")
    for part in parts:
        here = _figure(own[part]["kappa"])
        yield f"{part:<12}{'this model':<30}{here}"
        for who, figure in document["published"]["kappa"][part].items():
            who = "baseline (DenseNet-169)" if who == "model" else who
            yield f"{'':<12}{who:<30}{_figure(figure)}"
    yield from _wrap(document["published"]["source"], "  ")


def _worst(document: Mapping[str, Any]) -> Iterator[str]:
    ids = document["worst"]["studies"]
    if not ids:
        return
    named = {study["id"]: study for study in document["studies"]}
    yield ""
    yield f"most wrong ({min(len(ids), SHOWN)} of {_wrong(document)} wrong verdicts)"
    for name in ids[:SHOWN]:
        study = named[name]
        truth = "positive" if study["label"] else "negative"
        yield f"  {study['probability']:.3f}  is {truth}  {printable(study['path'])}"


def _omitted(document: Mapping[str, Any]) -> Iterator[str]:
    """The first files and studies that the figures leave out, and views with notes, by name."""
    studies = document["studies"]
    kinds = {
        "files refused": [
            f"{study['path']}/{row['name']}: {row['reason']}"
            for study in studies
            for row in study["refused"]
        ],
        "views with notes": [
            f"{study['path']}/{row['name']}: {'; '.join(row['notes'])}"
            for study in studies
            for row in (*study["views"], *study["refused"])
            if row["notes"]
        ],
        "studies without a usable view": [s["path"] for s in studies if not s["views"]],
        "studies without a label": [s["path"] for s in studies if s["label"] is None],
    }
    for title, names in kinds.items():
        if names:
            more = f" (the first {SHOWN}; --csv and --json name all)" if names[SHOWN:] else ""
            yield ""
            yield f"{title}: {len(names)}{more}"
            yield from (f"  {printable(name)}" for name in names[:SHOWN])


def _wrong(document: Mapping[str, Any]) -> int:
    row = document["levels"]["study"]["all"]
    return int(row["false_positive"] + row["false_negative"])


def _figure(figure: Mapping[str, float | None]) -> str:
    if figure["value"] is None:
        return "-"
    if figure["low"] is None:
        published = "interval" not in figure
        return f"{figure['value']:.3f}" if published else f"{_rounded(figure['value'])} (-)"
    value, low, high = (_rounded(figure[key]) for key in ("value", "low", "high"))
    return f"{value} ({low}..{high})"


def _rounded(value: float | None) -> str:
    return f"{round(value or 0.0, 2) + 0.0:.2f}"  # -0.001 is 0.00, not -0.00


def _wrap(text: str, indent: str = "") -> Iterable[str]:
    return textwrap.wrap(printable(text), WIDTH, initial_indent=indent, subsequent_indent=indent)
