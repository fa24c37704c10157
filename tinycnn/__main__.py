"""``python -m tinycnn``: the console script."""

from tinycnn.cli import script

script()
