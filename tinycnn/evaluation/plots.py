"""The charts of an evaluation's page, with what must be said beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tinycnn.evaluation import charts
from tinycnn.evaluation.markup import (
    Document,
    bare_part,
    below,
    figure,
    finite,
    part_title,
    parts,
    text,
    thresholds,
    trained_on,
)
from tinycnn.evaluation.published import comparable

KAPPA_NOTE = (
    "The radiologists and the baseline were measured on MURA&rsquo;s own test set, not on the "
    "studies of this page: read their figures beside this model&rsquo;s only if these studies are "
    "like those."
)


def kappas(document: Document) -> str:
    """Cohen's kappa beside what was published, a chart for each body part that can be compared."""
    published = below(document, "published", "kappa")
    ours = below(document, "levels", "study")
    counts = {part: finite(below(ours, part).get("count")) or 0 for part in ours}
    shown = [part for part in parts(published) if part in comparable(counts)]
    if not shown:
        return ""
    charted = {
        part_title(part): _readers(below(published, part), below(ours, part, "kappa"))
        for part in shown
    }
    alone = [part for part in parts(ours) if part not in shown]
    if alone:  # nobody else's figure is known
        charted["This model alone"] = [
            (bare_part(part), below(ours, part, "kappa"), "model") for part in alone
        ]
    note = KAPPA_NOTE + _no_comparison(document)
    source = text(below(document, "published").get("source", ""), 600)
    return (
        "<p>Cohen&rsquo;s kappa by study, with intervals where they are known: agreement with the "
        f"truth beyond chance; 1 is perfect, 0 is chance.</p><p>{note}</p>"
        f'<div class="grid wide">{_kappa_charts(charted)}</div><p class="fine">Source: {source}</p>'
    )


def _no_comparison(document: Document) -> str:
    """What demonstration models were trained on, which is why their kappa says nothing here."""
    known = "; ".join(text(said) for said in trained_on(document))
    if not known:
        return ""
    return f" <strong>Here they are no comparison: these weights were trained on {known}.</strong>"


def _kappa_charts(charted: dict[str, list[tuple[str, Document, str]]]) -> str:
    lowest = _lowest(measure for readers in charted.values() for _, measure, _ in readers)
    return "".join(
        _chart(title, charts.kappas(title, readers, lowest)) for title, readers in charted.items()
    )


def _lowest(measures: Iterable[Document]) -> float:
    """Where the axis of kappa begins: 0, or below if some interval does."""
    edges = [finite(measure.get(key)) for measure in measures for key in ("low", "value")]
    lowest = min((edge for edge in edges if edge is not None), default=0.0)
    return max(-1.0, math.floor(4 * min(lowest, 0.0)) / 4)


def _readers(published: Document, ours: Document) -> list[tuple[str, Document, str]]:
    readers = [
        ("MURA baseline", below(published, who), "base") if who == "model"
        else (str(who).capitalize(), below(published, who), "peer")
        for who in list(published)[:6]
    ]  # fmt: skip
    return [*readers, ("This model", ours, "model")]


def rocs(document: Document) -> str:
    """A ROC curve for each body part."""
    curves, measured = below(document, "roc"), below(document, "levels", "study")
    figures = [
        _chart(part_title(part), charts.roc(part_title(part), curves[part], below(measured, part)))
        for part in parts(curves)
    ]
    if not figures:
        return ""
    threshold = text(thresholds(document))
    return (
        f"<p>By study, over every threshold. The diamond is the threshold in use, {threshold}; the "
        f'dashed line is chance.</p><div class="grid">{"".join(figures)}</div>'
    )


def reliabilities(document: Document) -> str:
    """How often what was called so probable was true, a chart for each body part."""
    bins = below(document, "reliability")
    figures = [
        _chart(
            part_title(part),
            charts.reliability(part_title(part), bins[part]),
            f"calibration error {figure(charts.calibration_error(bins[part]))}",
        )
        for part in parts(bins)
    ]
    if not figures:
        return ""
    return (
        "<p>Studies in ten bins of probability: how often they were positive. On the dashed line a "
        "probability means what it says. Small dots are bins of few studies (counts below): they "
        "tell little.</p>"
        f'<div class="grid">{"".join(figures)}</div>'
    )


def _chart(title: str, svg: str, more: str = "") -> str:
    small = f"<small>{more}</small>" if more else ""
    return f'<figure class="chart"><figcaption>{title}{small}</figcaption>{svg}</figure>'
