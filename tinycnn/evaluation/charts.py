"""The charts of an evaluation: ROC, reliability, kappa beside its peers, and interval bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinycnn.evaluation.markup import (
    Document,
    below,
    bounds,
    count,
    figure,
    finite,
    plain,
    rows,
    text,
)
from tinycnn.evaluation.svg import (
    Axes,
    diamond,
    dot,
    drawing,
    label,
    line,
    path,
    rectangle,
    upright,
)

SQUARE = Axes(left=44, top=10, width=206, height=206)
COUNTS = Axes(left=44, top=226, width=206, height=34)
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def roc(title: str, points: object, measured: Document) -> str:
    """The ROC curve through ``points`` and, marked, where the threshold in use lies on it."""
    curve = [
        (SQUARE.x(pair[0]), SQUARE.y(pair[1]))
        for pair in map(_finite, rows(points))
        if len(pair) >= 2
    ]
    area = below(measured, "auroc")
    words = f"AUROC {figure(area.get('value'))}"
    content = _frame("1 &minus; specificity", "sensitivity")
    content += line(SQUARE.left, SQUARE.bottom, SQUARE.right, SQUARE.top, "chance")
    if len(curve) > 1:
        content += path(curve, "curve")
        content += _operating_point(measured)
    else:
        middle = SQUARE.left + SQUARE.width / 2
        content += label("undefined: one class only", middle, 90, "soft", "middle")
    content += label(words, SQUARE.right - 6, SQUARE.bottom - 22, "strong", "end")
    content += label(bounds(area), SQUARE.right - 6, SQUARE.bottom - 7, "soft", "end")
    return drawing(260, 258, f"ROC curve, {title}: {words} {bounds(area)}", content)


def _operating_point(measured: Document) -> str:
    specificity, sensitivity = (
        finite(below(measured, key).get("value")) for key in ("specificity", "sensitivity")
    )
    if specificity is None or sensitivity is None:
        return ""
    return diamond(SQUARE.x(1 - specificity), SQUARE.y(sensitivity), "model")


def reliability(title: str, bins: object) -> str:
    """How often studies of a probability were positive, and below it how many there are of each."""
    filled = [bin_ for bin_ in rows(bins) if isinstance(bin_, dict) and _bin(bin_)]
    most = max((int(bin_["count"]) for bin_ in filled), default=1)
    content = _frame("", "fraction positive")
    content += line(SQUARE.left, SQUARE.bottom, SQUARE.right, SQUARE.top, "chance")
    spots = []
    for bin_ in filled:
        mean, fraction, number = _bin(bin_)
        spots.append((SQUARE.x(mean), SQUARE.y(fraction), 2 + 4.5 * math.sqrt(number / most)))
        content += _column(bin_, number / most)
    content += path((spot[:2] for spot in spots), "curve thin")
    content += "".join(dot(x, y, "model", radius) for x, y, radius in spots)
    content += label("probability", SQUARE.left + SQUARE.width / 2, 288, "soft", "middle")
    content += label("counts", SQUARE.left - 6, COUNTS.bottom, "soft tiny", "end")
    for tick in TICKS[::2]:
        content += label(f"{tick:g}", COUNTS.x(tick), COUNTS.bottom + 13, "soft tiny", "middle")
    return drawing(260, 294, f"Reliability diagram, {title}. {_spoken(filled)}", content)


def _bin(bin_: Document) -> tuple[float, ...]:
    """(mean probability, fraction positive, count), or nothing where a bin is empty."""
    keys = ("mean_probability", "fraction_positive", "count")
    values = _finite([bin_.get(key) for key in keys])
    return values if len(values) == 3 and values[2] > 0 else ()


def _column(bin_: Document, share: float) -> str:
    edges = _finite([bin_.get("low"), bin_.get("high")])
    if len(edges) < 2:
        return ""
    left, right = COUNTS.x(edges[0]), COUNTS.x(edges[1])
    height = max(1.0, share * (COUNTS.height - 9))
    top = COUNTS.bottom - height
    column = rectangle(left + 1, top, max(1.0, right - left - 2), height, "count")
    return column + label(count(bin_["count"]), (left + right) / 2, top - 2, "soft tiny", "middle")


def _spoken(filled: Sequence[Document]) -> str:
    parts = (
        f"{figure(_bin(bin_)[0])}: {figure(_bin(bin_)[1])} of {count(bin_['count'])}"
        for bin_ in filled
    )
    return "Mean probability and fraction positive: " + "; ".join(parts)


def calibration_error(bins: object) -> float | None:
    """Expected calibration error: the gap of each bin, weighted by its count (Naeini, 2015)."""
    filled = [found for bin_ in rows(bins) if isinstance(bin_, dict) and (found := _bin(bin_))]
    total = sum(number for _, _, number in filled)
    gaps = sum(abs(mean - fraction) * number for mean, fraction, number in filled)
    return gaps / total if total else None


def kappas(title: str, measures: Sequence[tuple[str, Document, str]], lowest: float) -> str:
    """One line per reader: (name, kappa with interval, CSS class), from ``lowest`` to 1."""
    axes = Axes(176, 6, 142, 22 * len(measures), (lowest, 1.0))
    content = ""
    for tick in (i / 2 for i in range(math.ceil(2 * lowest), 3)):
        x = axes.x(tick)
        content += line(x, axes.top, x, axes.bottom, "grid" if tick else "grid zero")
        content += label(plain(tick), x, axes.bottom + 14, "soft tiny", "middle")
    for i, (who, measure, kind) in enumerate(measures):
        content += _reader(axes, axes.top + 22 * i + 11, who, measure, kind)
    spoken = "; ".join(f"{text(who)} {figure(m.get('value'), digits=3)}" for who, m, _ in measures)
    return drawing(384, axes.bottom + 20, f"Cohen&rsquo;s kappa, {title}: {spoken}", content)


def _reader(axes: Axes, y: float, who: str, measure: Document, kind: str) -> str:
    words = "strong" if kind == "model" else "soft"
    content = label(text(who, 27), axes.left - 8, y + 4, words, "end")
    content += label(figure(measure.get("value"), digits=3), axes.right + 10, y + 4, words)
    edges = _finite([measure.get("low"), measure.get("high")])
    if len(edges) == 2:
        content += line(axes.x(edges[0]), y, axes.x(edges[1]), y, f"range {kind}")
    value = finite(measure.get("value"))
    if value is not None:
        content += (diamond if kind == "model" else dot)(axes.x(value), y, kind)
    return content


def bar(measure: Document) -> str:
    """A figure from 0 to 1 as a mark on a track, with its interval; decoration beside the text."""
    axes = Axes(3, 0, 134, 14)
    content = rectangle(axes.left, 6, axes.width, 2, "track")
    edges = _finite([measure.get("low"), measure.get("high")])
    if len(edges) == 2:
        left, right = axes.x(edges[0]), axes.x(edges[1])
        content += rectangle(left, 4, max(1.0, right - left), 6, "band")
    value = finite(measure.get("value"))
    if value is not None:
        content += rectangle(axes.x(value) - 1.5, 1, 3, 12, "model")
    return f'<svg viewBox="0 0 140 14" class="bar" aria-hidden="true">{content}</svg>'


def score(probability: object, threshold: object) -> str:
    """A probability as a filled track, with a tick at the threshold; decoration too."""
    axes = Axes(0, 0, 160, 10)
    content = rectangle(0, 3, 160, 4, "track")
    value, limit = finite(probability), finite(threshold)
    if value is not None:
        content += rectangle(0, 3, axes.x(value), 4, "model")
    if limit is not None:
        content += line(axes.x(limit), 0, axes.x(limit), 10, "limit")
    return f'<svg viewBox="0 0 160 10" class="score" aria-hidden="true">{content}</svg>'


def _frame(across: str, upwards: str) -> str:
    """The square from 0 to 1 both ways, with its grid and the names of its axes."""
    content = ""
    for tick in TICKS:
        x, y = SQUARE.x(tick), SQUARE.y(tick)
        content += line(x, SQUARE.top, x, SQUARE.bottom, "grid")
        content += line(SQUARE.left, y, SQUARE.right, y, "grid")
        content += label(f"{tick:g}", SQUARE.left - 6, y + 3, "soft tiny", "end")
        if across:
            content += label(f"{tick:g}", x, SQUARE.bottom + 14, "soft tiny", "middle")
    content += upright(upwards, 10, SQUARE.top + SQUARE.height / 2, "soft")
    middle = SQUARE.left + SQUARE.width / 2
    return content + (label(across, middle, SQUARE.bottom + 32, "soft", "middle") if across else "")


def _finite(values: Any) -> tuple[float, ...]:
    """The finite numbers at the start of ``values``."""
    found: list[float] = []
    for value in rows(values):
        number = finite(value)
        if number is None:
            break
        found.append(number)
    return tuple(found)
