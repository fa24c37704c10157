"""SIGTERM and SIGHUP end a command as Ctrl-C does: what it has begun is cleaned up."""

from __future__ import annotations

# What `signal` is made of: its own enumerations take 0.5 ms of every start.
import _signal as system  # type: ignore[import-not-found]
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

ENDING = {system.SIGTERM: "SIGTERM", system.SIGHUP: "SIGHUP"}


class Ended(KeyboardInterrupt):
    """A signal, ``number``, asks this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(*(f"by {name}" for name in [ENDING.get(number)] if name))
        self.number = number


@contextmanager
def raised() -> Iterator[None]:
    """While the block runs, each signal of `ENDING` raises `Ended` in the main thread.

    But not where somebody has chosen otherwise: `nohup` ignores SIGHUP.
    """
    ours = [number for number in ENDING if system.getsignal(number) == system.SIG_DFL]
    try:
        for number in ours:
            system.signal(number, _end)
    except ValueError:  # another thread than the main one: whoever owns that decides
        ours = []
    try:
        yield
    finally:
        for number in ours:
            system.signal(number, system.SIG_DFL)


def status(interruption: KeyboardInterrupt) -> int:
    """The exit status as shells report it: 128 and the signal's number; 130 for Ctrl-C."""
    return 128 + (interruption.number if isinstance(interruption, Ended) else system.SIGINT)


def _end(number: int, frame: object) -> NoReturn:
    raise Ended(number)
