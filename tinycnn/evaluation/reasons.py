"""Why views were refused, and what was noted of others: how often each kind of it occurs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_FIGURE = re.compile(r"\d[\d.]*(?![\d.]|-bit| bits)")  # 28, 0.5, but not those of a depth


def kind(said: str) -> str:
    """What a reason or a note is about, without what is only of this one image.

    "shows nothing: all of it has the value 0" is "shows nothing"; figures become N.
    """
    return _FIGURE.sub("N", said.partition(":")[0].partition(";")[0])


def kinds(said: Iterable[str]) -> dict[str, int]:
    """How often each `kind` occurs, the most frequent first."""
    found = Counter(map(kind, said))
    return {name: found[name] for name in sorted(found, key=lambda name: (-found[name], name))}
