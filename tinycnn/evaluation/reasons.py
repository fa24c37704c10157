"""Counts of the reasons why views were refused, and of the notes on views, by kind."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_FIGURE = re.compile(r"\d[\d.]*(?![\d.]|-bit| bits)")  # 28 and 0.5, but not 12 bits and 16-bit


def kind(text: str) -> str:
    """The part of a reason or a note that is the same for other images.

    "shows nothing: all of it has the value 0" is "shows nothing"; figures become N.
    """
    return _FIGURE.sub("N", text.partition(":")[0].partition(";")[0])


def kinds(texts: Iterable[str]) -> dict[str, int]:
    """The count of each `kind` of ``texts``, the most frequent first."""
    found = Counter(map(kind, texts))
    return {name: found[name] for name in sorted(found, key=lambda name: (-found[name], name))}
