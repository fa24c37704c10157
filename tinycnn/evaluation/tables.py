"""The tables of an evaluation's page: by body part, by rule, and the confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping

from tinycnn.evaluation import charts
from tinycnn.evaluation.markup import (
    ALL,
    MEASURES,
    MOST_PARTS,
    UNDEFINED,
    Document,
    below,
    bounds,
    cell,
    count,
    figure,
    finite,
    name,
    part_title,
    parts,
    rows,
    rule_columns,
    table,
    text,
    thresholds,
)

LEVELS = ("study", "patient", "image")
IN_RULES = ("sensitivity", "specificity", "kappa")


def tiles(measured: Document) -> str:
    """The five figures of all studies in large, each with its interval."""
    shown = "".join(
        f"<div><dt>{title}</dt><dd>{figure(measure.get('value'), percent)}{charts.bar(measure)}"
        f"<small>{bounds(measure, percent) or 'no interval'}</small></dd></div>"
        for key, (title, percent) in MEASURES.items()
        for measure in [below(measured, key)]
    )
    return f'<dl class="tiles">{shown}</dl>'


def by_parts(document: Document) -> list[str]:
    """A table per level: every measure with its interval, a row per body part."""
    return [_by_part(document, level) for level in LEVELS]


def _by_part(document: Document, level: str) -> str:
    measured = below(document, "levels", level)
    titles = "".join(f'<th scope="col">{title}</th>' for title, _ in MEASURES.values())
    head = f'<tr><th scope="col">Body part</th><th scope="col">Count</th>{titles}</tr>'
    body = [_part_row(part, below(measured, part)) for part in parts(measured)]
    return table(f"By {level}", head, body, "figures") if body else ""


def _part_row(part: str, measured: Document) -> str:
    positive = f"<small>{count(measured.get('positive'))} positive</small>"
    cells = (cell(below(measured, key), percent) for key, (_, percent) in MEASURES.items())
    return (
        f'<tr{_total(part)}><th scope="row">{part_title(part)}</th>'
        f"<td>{count(measured.get('count'))}{positive}</td>{''.join(cells)}</tr>"
    )


def by_model(document: Document) -> list[str]:
    """Each of several models beside their mean: over all body parts, and kappa by body part."""
    members = [one for one in rows(document.get("members")) if isinstance(one, Mapping)]
    if not members:
        return []
    columns = [("Their mean", below(document, "levels", "study"))]
    columns += [(name(one.get("name", "")), below(one, "study")) for one in members[:MOST_PARTS]]
    titles = "".join(f'<th scope="col">{title}</th>' for title, _ in MEASURES.values())
    head = f'<tr><th scope="col">Model</th>{titles}</tr>'
    body = [
        f'<tr{" class=total" * (i == 0)}><th scope="row">{title}</th>'
        + "".join(cell(below(own, ALL, key), percent) for key, (_, percent) in MEASURES.items())
        + "</tr>"
        for i, (title, own) in enumerate(columns)
    ]
    return [
        table("Each model alone, by study, all body parts", head, body, "figures"),
        _kappa_by_model(document, columns),
    ]


def _kappa_by_model(document: Document, columns: list[tuple[str, Document]]) -> str:
    titles = "".join(f'<th scope="col">{title}</th>' for title, _ in columns)
    head = f'<tr><th scope="col">Body part</th>{titles}<th scope="col">Verdicts differ</th></tr>'
    body = []
    for part in parts(columns[0][1]):
        apart = below(document, "disagreement", part)
        cells = "".join(cell(below(own, part, "kappa")) for _, own in columns)
        of = f"<small>{count(apart.get('differing'))} of {count(apart.get('studies'))}</small>"
        body.append(
            f'<tr{_total(part)}><th scope="row">{part_title(part)}</th>{cells}'
            f"<td>{figure(apart.get('share'), True)}{of}</td></tr>"
        )
    return table("Cohen&rsquo;s kappa of each model alone, by study", head, body, "figures")


def by_rule(document: Document) -> str:
    """Sensitivity, specificity and kappa of every rule side by side; the best kappa is marked."""
    rules = below(document, "rules")
    columns = rule_columns(document)
    names = list(columns.values())
    if not names:
        return ""
    shown = parts(below(rules, names[0]))
    groups = "".join(_rule_head(title, rule, document) for title, rule in columns.items())
    titles = "".join(f'<th scope="col">{MEASURES[key][0]}</th>' for key in IN_RULES) * len(names)
    head = f'<tr><th rowspan="2" scope="col">Body part</th>{groups}</tr><tr>{titles}</tr>'
    body = (_rule_row(part, [below(rules, rule, part) for rule in names]) for part in shown)
    return table("By study, under each rule; the highest kappa in bold", head, body, "figures")


def _rule_head(title: str, rule: str, document: Document) -> str:
    """The head of a rule's columns, with the thresholds that it was measured at."""
    used = str(document.get("rule")) in title.split()
    limits = below(document, "rule_thresholds", rule)
    at = f"<small>threshold {text(thresholds(limits))}</small>" if limits else ""
    columns = len(IN_RULES)
    return f'<th scope="colgroup" colspan="{columns}">{title}{" (in use)" * used}{at}</th>'


def _rule_row(part: str, measured: list[Document]) -> str:
    values = [finite(below(one, "kappa").get("value")) for one in measured]
    values = [None if value is None else round(value, 2) for value in values]  # as it is shown
    best = max((value for value in values if value is not None), default=None)
    cells = ""
    for one, value in zip(measured, values, strict=True):
        for key in IN_RULES:
            measure = below(one, key)
            if key == "kappa":
                cells += cell(measure, kind="best" if value is not None and value == best else "")
            else:
                cells += f"<td>{figure(measure.get('value'), MEASURES[key][1])}</td>"
    return f'<tr{_total(part)}><th scope="row">{part_title(part)}</th>{cells}</tr>'


def confusion(caption: str, measured: Document) -> str:
    """Counts of what is and what was said; the shade is the share of the row. Escaped caption."""
    counts = [
        [finite(measured.get(key)) for key in ("true_positive", "false_negative")],
        [finite(measured.get(key)) for key in ("false_positive", "true_negative")],
    ]
    body = ""
    for i, (truth, row) in enumerate(zip(("positive", "negative"), counts, strict=True)):
        total = sum(value or 0 for value in row)
        cells = "".join(_shaded(value, total, i == j) for j, value in enumerate(row))
        body += f'<tr><th scope="row">is {truth}</th>{cells}</tr>'
    return (
        f'<table class="confusion"><caption>{caption}</caption><thead><tr><td></td>'
        '<th scope="col">judged positive</th><th scope="col">judged negative</th></tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _shaded(value: float | None, total: float, right: bool) -> str:
    share = (value or 0) / total if total else 0.0
    shown = f"<small>{figure(share, True)}</small>" if total and value is not None else ""
    kind = "right" if right else "wrong"
    return f'<td class="{kind}" style="--share:{share:.2f}">{count(value)}{shown}</td>'


def confusions(document: Document) -> str:
    """A matrix per level for all body parts, then one per body part by study."""
    per_level = (
        confusion(f"By {level}, all body parts", below(document, "levels", level, ALL))
        for level in LEVELS
        if below(document, "levels", level, ALL)
    )
    studies = below(document, "levels", "study")
    per_part = (
        confusion(f"{part_title(part)}, by study", below(studies, part))
        for part in parts(studies)
        if part != ALL
    )
    grids = ("".join(per_level), "".join(per_part))
    return "".join(f'<div class="grid matrices">{grid}</div>' for grid in grids if grid)


def facts(title: str, entries: list[tuple[str, object]]) -> str:
    """A list of what is known, without what is not; values are escaped here."""
    known = [(key, value) for key, value in entries if value not in (None, "", UNDEFINED)]
    inside = "".join(
        f"<div><dt>{key}</dt><dd><bdi>{text(value)}</bdi></dd></div>" for key, value in known
    )
    return f'<div class="facts"><h3>{title}</h3><dl>{inside}</dl></div>'


def _total(part: str) -> str:
    return ' class="total"' if part == ALL else ""
