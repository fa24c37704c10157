"""An evaluation as one HTML file: no script, no network, nothing beside it.

What stands in the document, "tinycnn-evaluation/1", may come from anyone's file names, and may
lack anything: see `tinycnn.evaluation.markup`. The same document and images give the same page.
"""

from __future__ import annotations

from tinycnn.evaluation import plots, tables
from tinycnn.evaluation.gallery import worst_images, worst_studies
from tinycnn.evaluation.markup import (
    ALL,
    MOST_PARTS,
    UNDEFINED,
    Document,
    below,
    contents,
    count,
    demonstration,
    figure,
    finite,
    models,
    name,
    plain,
    rows,
    section,
    text,
    thresholds,
)
from tinycnn.evaluation.omitted import noted, omitted
from tinycnn.evaluation.remarks import remarks
from tinycnn.evaluation.style import STYLE
from tinycnn.studies.worth import NO_DIAGNOSIS

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)

PATIENTS = (
    '<p class="fine">A patient is positive if any study is, and judged positive if any study is, '
    "be it another one: a false alarm can count as a find.</p>"
)


def page(document: Document, *, gallery: bool = True) -> str:
    """The page of ``document``; with ``gallery`` the images that it names are opened and shown."""
    title = f"Evaluation of {text(_names(document))}"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>\n"
        f"{_header(document)}{_body(document, gallery)}"
        f"{_footer(document, gallery)}</body></html>\n"
    )


def _body(document: Document, with_gallery: bool) -> str:
    body = _sections(document, with_gallery)
    return f"{contents(body)}<main>\n{body}\n</main>"


def _sections(document: Document, with_gallery: bool) -> str:
    studies = images = ""
    if with_gallery:
        studies, images = worst_studies(document), worst_images(document)
    return "\n".join((
        section("headline", "At a glance", _headline(document)),
        section("facts", "Model and data", _facts(document)),
        section("parts", "By body part", _left_out(document), *tables.by_parts(document),
                PATIENTS if below(document, "levels", "patient") else ""),
        section("models", "The models, each alone", _apart(document), *tables.by_model(document)),
        section("kappa", "Beside radiologists", plots.kappas(document)),
        section("roc", "ROC curves", plots.rocs(document)),
        section("rules", "Rules side by side", tables.by_rule(document)),
        section("confusion", "Confusion matrices", tables.confusions(document)),
        section("reliability", "Reliability", plots.reliabilities(document)),
        section("studies", "Studies it got most wrong", studies),
        section("images", "Images it got most wrong", images),
        section("omitted", "Left out", omitted(document)),
        section("notes", "Views with notes", noted(document)),
    ))  # fmt: skip


def _header(document: Document) -> str:
    data = below(document, "dataset")
    seen = ", ".join(f"{count(data.get(key))} {key}" for key in ("studies", "patients", "views"))
    return (
        f"<header><h1>Evaluation of {name(_names(document))}</h1>"
        f'<p class="lead">{seen} · {name(data.get("path", ""))}</p>'
        f"{_caution(document)}{_interrupted(document)}</header>"
    )


def _names(document: Document) -> str:
    """The model's name, or those of several; not escaped."""
    found = [str(model.get("name", "a model")) for model in models(document)]
    return found[0] if len(found) == 1 else f"the mean of {', '.join(found)}"


def _caution(document: Document) -> str:
    said = text(document.get("caution") or NO_DIAGNOSIS, 1000)
    if demonstration(document):
        title = "DEMONSTRATION WEIGHTS, NOT A DIAGNOSIS"
        return f'<div class="alarm" role="note"><p><strong>{title}</strong> {said}</p></div>'
    return f'<div class="note" role="note"><p><strong>Not a diagnosis.</strong> {said}</p></div>'


def _interrupted(document: Document) -> str:
    if not document.get("interrupted"):
        return ""
    return (
        '<div class="note" role="note"><p><strong>Interrupted.</strong> Only the studies that were '
        "judged before are counted here.</p></div>"
    )


def _headline(document: Document) -> str:
    measured = below(document, "levels", "study", ALL)
    if not finite(measured.get("count")):
        return "<p>No labelled study was judged: there is nothing to count.</p>"
    total, positive = finite(measured.get("count")) or 0, finite(measured.get("positive")) or 0
    usual = max(positive, total - positive) / total
    words = "positive" if positive > total - positive else "negative"
    return (
        f"<p>By study: it found {count(measured.get('true_positive'))} of {count(positive)} "
        f"positive studies, and called {count(measured.get('false_positive'))} of "
        f"{count(total - positive)} negative ones positive. Always saying “{words}” would be right "
        f"in {figure(usual, True)}.</p>{tables.tiles(measured)}<p>{_intervals(document)}</p>"
    )


def _intervals(document: Document) -> str:
    bootstrap = below(document, "bootstrap")
    if not bootstrap:
        return ""
    level = figure(bootstrap.get("level"), True).replace(".0", "")
    return (
        f"Intervals: {level} bootstrap by {text(bootstrap.get('by', ''))}, "
        f"{count(bootstrap.get('resamples'))} resamples, seed {plain(bootstrap.get('seed'))}. "
        "Shares of 0 or 100\u202f%, which every resample repeats, have Clopper and Pearson&rsquo;s "
        "instead, each patient counted once. No interval: too few cases to tell. "
        f"{UNDEFINED} stands where a figure is undefined."
    )


def _facts(document: Document) -> str:
    model, data = below(document, "model"), below(document, "dataset")
    labels = ", ".join(str(label) for label in rows(model.get("labels")))
    about = tables.facts("Model", [
        ("Name", model.get("name")), ("SHA-256", model.get("sha256")), ("File", model.get("path")),
        ("Trained on", model.get("trained_on")), ("Labels", labels),
        ("Looks for", model.get("positive")), ("Rule", document.get("rule")),
        ("Threshold", thresholds(document)), *_together(document),
    ])  # fmt: skip
    counted = [
        (title, count(data.get(key)))
        for title, key in (
            ("Studies", "studies"), ("Patients", "patients"), ("Views judged", "views"),
            ("Files refused", "refused"), ("Views with notes", "with_notes"),
            ("Without label", "unlabelled"),
            ("Without verdict", "without_verdict"),
        )
    ]  # fmt: skip
    seconds = below(document, "seconds")
    spent = [
        (title, f"{value:,.1f} s")
        for title, key in (
            ("Time", "total"), ("Images, all threads", "decode"), ("of it resizing", "resize"),
            ("Network", "inference"),
        )
        if (value := finite(seconds.get(key))) is not None
    ]  # fmt: skip
    csv = below(data, "labels")
    labelled = [
        ("Labels from", csv.get("path")), ("Listed, not there", _listed(csv)),
        ("Against folders' names", count(csv.get("contradicting"))),
    ]  # fmt: skip
    found = tables.facts("Data", [("Folder", data.get("path")), *labelled, *counted, *spent])
    return f'<div class="pair">{about}{found}</div>{_remarks(document)}'


def _remarks(document: Document) -> str:
    said = "".join(f"<p>{text(remark, 1000)}</p>" for remark in remarks(document))
    return f'<div class="note" role="note">{said}</div>' if said else ""


def _listed(csv: Document) -> str:
    """How many studies of a CSV are not there, and the first names; not escaped."""
    names = ", ".join(map(str, rows(csv.get("not_there_examples"))))
    return f"{count(csv.get('not_there'))}{f': {names}' if names else ''}"


def _together(document: Document) -> list[tuple[str, object]]:
    """What is averaged: further models, and mirror images."""
    found: list[tuple[str, object]] = [
        ("Averaged with", f"{model.get('name')}, SHA-256 {model.get('sha256')}")
        for model in models(document)[1:]
    ]
    return [*found, *([("Mirror images", "averaged in")] if document.get("flip") is True else [])]


def _apart(document: Document) -> str:
    """How often the verdicts of several models differ."""
    apart = below(document, "disagreement", ALL)
    if not apart or len(models(document)) < 2:
        return ""
    return (
        f"<p>Their verdicts differ on {count(apart.get('differing'))} of "
        f"{count(apart.get('studies'))} studies ({figure(apart.get('share'), True)}). Each is "
        "measured at the threshold and rule of their mean, on the views that all could judge.</p>"
    )


def _left_out(document: Document) -> str:
    named = len(below(document, "levels", "study").keys() - {ALL})
    if named <= MOST_PARTS:
        return ""
    return f"<p>{MOST_PARTS} of {count(named)} body parts are shown; all of them are counted.</p>"


def _footer(document: Document, with_gallery: bool) -> str:
    private = (
        " It contains images of the data set: treat it as you treat those." if with_gallery else ""
    )
    return (
        f"<footer><p>Made by tinycnn {text(document.get('tinycnn', ''))} from a document of schema "
        f"{text(document.get('schema', ''))}.{private}</p><p>{NO_DIAGNOSIS}</p></footer>"
    )
