"""Processes of our own import the same tinycnn as the one that starts them, wherever that lies."""

from __future__ import annotations

import os
import sys

HOME = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def command(module: str, *arguments: str) -> list[str]:
    """How to start ``tinycnn.MODULE``; with -P nothing is imported from the current directory."""
    return [sys.executable, "-P", "-m", f"tinycnn.{module}", *arguments]


def environment(**more: str) -> dict[str, str]:
    """This process's variables, ``more``, and where tinycnn is found: in a checkout, too."""
    paths = [HOME, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **more, "PYTHONPATH": os.pathsep.join(paths)}
