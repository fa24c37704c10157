"""A progress line on standard error, for people only."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

DELAY = 1.5  # seconds before the first line: what is done sooner needs none
INTERVAL = 0.2
BAR = 24


class Progress:
    """Count steps; show them on a terminal, with rate and time left, once it takes long.

    Used as ``with Progress(total, "studies") as progress: ...; progress.advance()``. Without a
    terminal on ``stream`` (standard error) nothing is ever written.
    """

    def __init__(self, total: int, unit: str = "steps", stream: TextIO | None = None) -> None:
        self.total, self.unit = total, unit
        self.stream = sys.stderr if stream is None else stream
        self.done = 0
        self.shown = False
        self.active = total > 1 and self.stream.isatty()
        self.started = time.monotonic()
        self.due = self.started + DELAY

    def __enter__(self) -> Self:
        """Start the clock."""
        self.started = time.monotonic()
        self.due = self.started + DELAY
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave no line behind."""
        self.clear()

    def advance(self, steps: int = 1) -> None:
        """Count ``steps`` as done."""
        self.done += steps
        now = time.monotonic()
        if self.active and now >= self.due:
            self.due = now + INTERVAL
            import shutil

            width = shutil.get_terminal_size().columns - 1
            self.stream.write("\r\x1b[K" + self.line(now - self.started)[:width])
            self.stream.flush()
            self.shown = True

    def clear(self) -> None:
        """Wipe the line, so that something else can be written."""
        if self.shown:
            self.stream.write("\r\x1b[K")
            self.stream.flush()
            self.shown = False

    def line(self, seconds: float) -> str:
        """Text of the line, ``seconds`` after the start."""
        share = min(self.done / self.total, 1.0)
        rate = self.done / max(seconds, 1e-9)
        left = max(self.total - self.done, 0) / rate if rate else 0.0
        bar = "#" * int(share * BAR)
        return (
            f"[{bar:<{BAR}}] {self.done}/{self.total} {self.unit}  {share:4.0%}  "
            f"{rate:.1f}/s  {_clock(left)} left"
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
