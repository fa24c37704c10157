"""The standard streams, which may be closed, and lines on standard error.

Daemons and init scripts start programs with standard streams closed (``>&-``). Python then has no
stream (`sys.stderr` is None), and the next file that is opened takes the stream's number.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))  # in the order of their numbers


def open_streams() -> None:
    """Put /dev/null where a standard stream is closed."""
    for name, mode in STREAMS:
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest free number: the stream's own
            os.set_inheritable(null, True)
            setattr(sys, name, os.fdopen(null, mode, encoding="utf-8"))


def say(line: str) -> None:
    """Write a line to standard error: in vain where that is closed, full, or a reader has left."""
    if sys.stderr is not None:
        try:
            print(line, file=sys.stderr, flush=True)
        except OSError:
            let_go(sys.stderr)


def let_go(stream: TextIO) -> None:
    """Send what ``stream`` still holds to /dev/null: Python would try again to write it at exit."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
