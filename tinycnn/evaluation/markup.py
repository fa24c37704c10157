"""What stands in an evaluation's document as HTML: names made harmless, figures made readable.

Every text of the document may come from a file's name or a model file, and so from anyone. It
reaches the page through `text` or `name` only.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tinycnn.studies.names import natural_key, printable

Document = Mapping[str, Any]

LONGEST = 160  # characters of a name that are shown
MOST_PARTS = 24  # body parts that are shown (MURA has 7); a folder could name thousands
UNDEFINED = "\N{EN DASH}"  # as sensitivity is where nothing is positive
ALL = "all"
HEADING = re.compile(r'<h2 id="([a-z]+)">([^<]*)</h2>')  # as `section` writes it
MEASURES = {  # key in the document -> title, and whether it is shown as a percentage
    "accuracy": ("Accuracy", True),
    "sensitivity": ("Sensitivity", True),
    "specificity": ("Specificity", True),
    "auroc": ("AUROC", False),
    "kappa": ("Cohen&rsquo;s kappa", False),
}


def text(value: object, longest: int = LONGEST) -> str:
    """``value`` escaped for HTML, attributes included, without characters that steer or reorder."""
    shown = printable(str(value))
    if len(shown) > longest:
        half = (longest - 1) // 2
        shown = f"{shown[:half]}…{shown[-half:]}"
    return html.escape(shown, quote=True)


def name(value: object) -> str:
    """`text`, kept together: letters that run from right to left do not turn what is beside.

    Where it is too long for its place, it is broken after a slash.
    """
    return f"<bdi>{text(value)}</bdi>".replace("/", "/<wbr>").replace("</<wbr>", "</")


def finite(value: object) -> float | None:
    """``value`` if it is a finite number, else None."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value) if math.isfinite(value) else None
        except OverflowError:  # an int of 400 digits
            return None
    return None


def count(value: object) -> str:
    """A whole number with its thousands apart: 1,200."""
    number = finite(value)
    return UNDEFINED if number is None else f"{number:,.0f}"


def plain(value: object) -> str:
    """A number as it is written, 0.5 or 1: for thresholds, seeds."""
    number = finite(value)
    return UNDEFINED if number is None else f"{number:g}"


def below(document: object, *keys: str) -> Document:
    """The mapping under ``keys``, empty where there is none."""
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document if isinstance(document, Mapping) else {}


def rows(value: object) -> Sequence[Any]:
    """``value`` if it is a list, else nothing."""
    return value if isinstance(value, list | tuple) else ()


def models(document: Document) -> list[Document]:
    """Every model that has a part in the figures; the first ones, where there are very many."""
    several = [one for one in rows(document.get("models")) if isinstance(one, Mapping)]
    return several[:MOST_PARTS] or [below(document, "model")]


def demonstration(document: Document) -> bool:
    """Whether some model was made to show the program only."""
    return any(bool(model.get("demonstration")) for model in models(document))


def trained_on(document: Document) -> list[str]:
    """What each demonstration model was trained on; not escaped."""
    shown = (model for model in models(document) if model.get("demonstration"))
    return list(dict.fromkeys(str(m.get("trained_on") or "unknown data") for m in shown))


def thresholds(document: Document) -> str:
    """The threshold, or those of a calibration by body part; not escaped."""
    own = [f"{part} {plain(value)}" for part, value in below(document, "thresholds").items()]
    return ", ".join(own) or plain(document.get("threshold"))


def rule_columns(document: Document) -> dict[str, str]:
    """The title of each different rule's column, and the rule that is shown there.

    At the same thresholds "any" and "max" give the same verdicts: they are one column.
    """
    rules, limits = below(document, "rules"), below(document, "rule_thresholds")
    columns = {rule: rule for rule in ("mean", "any", "max") if below(rules, rule)}
    if {"any", "max"} <= columns.keys() and limits and limits.get("any") == limits.get("max"):
        del columns["any"], columns["max"]
        columns["any or max"] = "any"
    return columns


def parts(table: Document) -> list[str]:
    """The body parts of ``table`` as they are shown: by name, and all of them together last."""
    named = sorted((key for key in table if key != ALL), key=natural_key)[:MOST_PARTS]
    return named + [ALL] * (ALL in table)


def bare_part(part: str) -> str:
    """XR_WRIST as Wrist; not escaped."""
    bare = part.removeprefix("XR_")
    return "All body parts" if part == ALL else bare.capitalize() if bare.isascii() else bare


def part_title(part: str) -> str:
    """`bare_part`, escaped."""
    return text(bare_part(part), 40)


def figure(value: object, percent: bool = False, digits: int = 2) -> str:
    """0.8125 as 81.2 % or 0.81, and what is no number as a dash."""
    number = finite(value)
    if number is None:
        return UNDEFINED
    if not percent:
        number = round(number, digits) + 0.0  # -0.001 is 0.00, not -0.00
    shown = f"{100 * number:.1f}\u202f%" if percent else f"{number:.{digits}f}"
    return shown.replace("-", "\u2212")


def bounds(measure: Document, percent: bool = False) -> str:
    """The interval of ``measure`` as 0.61 to 0.70, empty if it has none."""
    low, high = finite(measure.get("low")), finite(measure.get("high"))
    if low is None or high is None:
        return ""
    first = figure(low, percent).removesuffix("\u202f%")
    return f"{first} to {figure(high, percent)}"


def cell(measure: Document, percent: bool = False, kind: str = "") -> str:
    """A table's cell: the figure, and below it the interval in small."""
    interval = bounds(measure, percent)
    below_it = f"<small>{interval}</small>" if interval else ""
    return f'<td class="{kind}">{figure(measure.get("value"), percent)}{below_it}</td>'


def table(caption: str, head: str, body: Iterable[str], kind: str = "") -> str:
    """A table that scrolls by itself on a narrow screen, from HTML; ``caption`` has no tags."""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">'
        f'<table class="{kind}"><caption>{caption}</caption>'
        f"<thead>{head}</thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def contents(body: str) -> str:
    """Links to the sections of ``body``: no name in it can be a heading, since all are escaped."""
    links = (f'<li><a href="#{i}">{title}</a></li>' for i, title in HEADING.findall(body))
    return f'<nav aria-label="Contents"><ul>{"".join(links)}</ul></nav>'


def section(identity: str, title: str, *content: str) -> str:
    """A section of the page under its heading, empty if it has no content."""
    inside = "".join(content)
    if not inside:
        return ""
    return (
        f'<section aria-labelledby="{identity}"><h2 id="{identity}">{title}</h2>{inside}</section>'
    )
