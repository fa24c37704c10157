"""What an evaluation's figures leave out, by name: files, and studies without label or view.

Also the notes on views that the figures include.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tinycnn.evaluation.markup import Document, below, count, name, rows, text

MOST = 24  # of each kind that are named


def omitted(document: Document) -> str:
    """Refused files with the reasons, studies without a label, studies without a view."""
    studies = [study for study in rows(document.get("studies")) if isinstance(study, Mapping)]
    return (
        _listed("Files refused", _refused(studies))
        + _kinds(below(document, "dataset", "refused_by_reason"))
        + _listed("Studies without a label", (_id(s) for s in studies if s.get("label") is None))
        + _listed("Studies without a usable view", (_id(s) for s in studies if not s.get("views")))
    )


def noted(document: Document) -> str:
    """Views with notes, and the count of each kind of note."""
    studies = [study for study in rows(document.get("studies")) if isinstance(study, Mapping)]
    listed = _listed("Views with notes", _notes(studies))
    return listed + (_kinds(below(document, "dataset", "notes")) if listed else "")


def _kinds(kinds: Document) -> str:
    """The count of each kind of reason or note."""
    items = list(kinds.items())[:MOST]
    listed = "; ".join(f"{text(kind)} ({count(number)})" for kind, number in items)
    return f"<p>Of each kind: {listed}.</p>" if listed else ""


def _notes(studies: Iterable[Document]) -> Iterator[str]:
    for study in studies:
        for row in (*rows(study.get("views")), *rows(study.get("refused"))):
            notes = rows(row.get("notes")) if isinstance(row, Mapping) else ()
            if notes:
                yield f"{_id(study)}, {name(row.get('name'))}: {'; '.join(map(text, notes))}"


def _refused(studies: Iterable[Document]) -> Iterator[str]:
    for study in studies:
        for row in rows(study.get("refused")):
            if isinstance(row, Mapping):
                yield f"{_id(study)}, {name(row.get('name'))}: {text(row.get('reason'))}"


def _id(study: Document) -> str:
    return name(study.get("id", ""))


def _listed(title: str, items: Iterable[str]) -> str:
    found = list(items)
    if not found:
        return ""
    inside = "".join(f"<li>{item}</li>" for item in found[:MOST])
    more = f"<li>and {count(len(found) - MOST)} more</li>" if len(found) > MOST else ""
    return f"<h3>{title}: {count(len(found))}</h3><ul>{inside}{more}</ul>"
