"""The studies and images that the model got most wrong, as small pictures inside the page."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping

from tinycnn.errors import ImageError
from tinycnn.evaluation import charts
from tinycnn.evaluation.markup import ALL, Document, below, figure, finite, name, rows, text
from tinycnn.studies.names import counted
from tinycnn.studies.thumbnail import thumbnail

SIDE = 160  # pixels of a picture's longer side
MOST = 24  # studies, and images, that are shown
VIEWS = 3  # pictures of one study


def worst_studies(document: Document) -> str:
    """Cards of the studies in ``worst``, most wrong first."""
    known = {str(study.get("id")): study for study in _studies(document)}
    wanted = _wanted(document, "studies")
    cards = (_study(known[key], document) for key in wanted if key in known)
    return _grid(
        cards, f"Wrong verdicts, those furthest from the truth first; {MOST} at most.", "wide"
    )


def worst_images(document: Document) -> str:
    """Cards of the images in ``worst``, most wrong first."""
    wanted = _wanted(document, "images")
    known = _views(document, frozenset(wanted))
    cards = (_image(path, *known.get(path, ({}, {})), document) for path in wanted)
    return _grid(
        cards,
        f"Each view as if it were all there is, {MOST} at most. Many views of a positive study "
        "show nothing abnormal: then the view is right, and the label is its study&rsquo;s alone.",
    )


def _study(study: Document, document: Document) -> str:
    views = [view for view in rows(study.get("views")) if isinstance(view, Mapping)]
    pictures = "".join(_view(view, study) for view in views[:VIEWS])
    more = f"<p>and {counted(len(views) - VIEWS, 'more view')}</p>" if len(views) > VIEWS else ""
    refused = "".join(
        f"<p>{name(row.get('name'))} was refused: {text(row.get('reason'))}</p>"
        for row in rows(study.get("refused"))[:VIEWS]
        if isinstance(row, Mapping)
    )
    words = _judgement(study, study, document)
    return (
        f'<figure class="card"><div class="views">{pictures}</div><figcaption>'
        f"<b>{name(study.get('id'))}</b>{words}{more}{refused}</figcaption></figure>"
    )


def _image(path: str, study: Document, view: Document, document: Document) -> str:
    shown = view.get("name", path)
    words = _judgement(study, view, document)
    words += "".join(f"<p>{text(note)}</p>" for note in rows(view.get("notes"))[:VIEWS])
    picture = _picture(path, shown, study)
    return (
        f'<figure class="card"><div class="views">{picture}</div>'
        f"<figcaption><b>{name(shown)}</b><p>{name(study.get('id', ''))}</p>{words}"
        "</figcaption></figure>"
    )


def _view(view: Document, study: Document) -> str:
    """One of several pictures of a study, with what was said of it alone."""
    picture = _picture(view.get("path"), view.get("name"), study)
    return f"<div>{picture}<small>{figure(view.get('probability'))}</small></div>"


def _threshold(study: Document, document: Document) -> float | None:
    """The threshold that applies to ``study``: its body part's, if the model is calibrated."""
    own = below(document, "thresholds")
    found = own.get(str(study.get("body_part")), own.get(ALL))
    return finite(document.get("threshold") if found is None else found)


def _judgement(study: Document, one: Document, document: Document) -> str:
    """What the folder's name says of ``study``, and what the model says of it or a view of it."""
    value, limit = finite(one.get("probability")), _threshold(study, document)
    said = one.get("verdict_positive")  # a view has none: there the threshold decides
    if said is None and value is not None and limit is not None:
        said = value >= limit
    truth, verdict = _word(study.get("label")), _word(said)
    return (
        f'<p>named {truth},<br><em class="{"agrees" if truth == verdict else "differs"}">'
        f"judged {verdict}</em></p>"
        f"<p>p(positive) {figure(value)}{_members(one)}</p>{charts.score(value, limit)}"
    )


def _members(one: Document) -> str:
    """What each of several models says."""
    own = [figure(value) for value in rows(one.get("members"))[:MOST]]
    return f"<br>the models: {', '.join(own)}" if own else ""


def _word(positive: object) -> str:
    number = finite(float(positive) if isinstance(positive, bool) else positive)
    return {1.0: "positive", 0.0: "negative"}.get(-1.0 if number is None else number, "nothing")


def _picture(path: object, title: object, study: Document) -> str:
    """The image as a data URI, or why it cannot be shown."""
    try:
        data, width, height = thumbnail(str(path), SIDE)
    except (ImageError, ValueError) as error:  # ValueError: a null character in the path
        return f'<p class="missing">{name(title)} cannot be shown: {text(error)}</p>'
    encoded = base64.b64encode(data).decode("ascii")
    return (
        f'<img src="data:image/jpeg;base64,{encoded}" width="{width}" height="{height}" '
        f'alt="View {text(title, 60)} of {text(study.get("id", ""), 60)}">'
    )


def _wanted(document: Document, kind: str) -> list[str]:
    return [key for key in rows(below(document, "worst").get(kind)) if isinstance(key, str)][:MOST]


def _studies(document: Document) -> Iterable[Document]:
    return (study for study in rows(document.get("studies")) if isinstance(study, Mapping))


def _views(document: Document, wanted: frozenset[str]) -> dict[str, tuple[Document, Document]]:
    """Path -> (study, view) of the images that are ``wanted``."""
    return {
        str(view.get("path")): (study, view)
        for study in _studies(document)
        for view in rows(study.get("views"))
        if isinstance(view, Mapping) and str(view.get("path")) in wanted
    }


def _grid(cards: Iterable[str], about: str, kind: str = "") -> str:
    inside = "".join(cards)
    return f'<p>{about}</p><div class="grid cards {kind}">{inside}</div>' if inside else ""
