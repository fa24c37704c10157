"""SIGTERM and SIGHUP end a command as Ctrl-C does: what it has begun is cleaned up."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

ENDING = (signal.SIGTERM, signal.SIGHUP)


class Ended(KeyboardInterrupt):
    """The signal ``number`` asks this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"by {signal.Signals(number).name}")
        self.number = number


@contextmanager
def raised() -> Iterator[None]:
    """While the block runs, each of `ENDING` raises `Ended` in the main thread.

    Not where somebody has chosen otherwise: `nohup` ignores SIGHUP. Only in the main thread.
    """
    try:
        ours = [one for one in ENDING if signal.getsignal(one) is signal.SIG_DFL]
        for one in ours:
            signal.signal(one, _end)
    except ValueError:  # another thread: whoever owns the process decides
        ours = []
    try:
        yield
    finally:
        for one in ours:
            signal.signal(one, signal.SIG_DFL)


def status(interruption: KeyboardInterrupt) -> int:
    """The exit status as shells report it: 128 and the signal's number; 130 for Ctrl-C."""
    return 128 + (interruption.number if isinstance(interruption, Ended) else signal.SIGINT)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise Ended(number)
