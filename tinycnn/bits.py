"""A 32-bit system is refused before anything else happens."""

from __future__ import annotations

import sys

from tinycnn.errors import BackendError


def need_64_bits() -> None:
    """BackendError unless this Python has 64 bits: kernels pass addresses as 64-bit integers."""
    if sys.maxsize <= 1 << 32:
        raise BackendError(
            "this is a 32-bit Python, and tinycnn needs 64 bits: install the 64-bit Raspberry Pi OS"
        )
