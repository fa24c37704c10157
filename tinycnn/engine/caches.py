"""How much of a picture or of weights to work on at a time: shares of the second-level cache.

The shares were measured on a core with 1 MB; other sizes scale them. More than that was never
measured to help, and less than 256 KB no 64-bit machine has. They depend on nothing else, so any
number of threads computes the same bits.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

SYSTEM = Path("/sys/devices/system/cpu/cpu0/cache")
LEAST, MOST = 256 << 10, 1 << 20
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20}


@functools.cache
def second_level() -> int:
    """Bytes of the second-level cache of the first core, within `LEAST` and `MOST`.

    `MOST` where Linux does not tell, as on some Raspberry Pi 4, which has that.
    """
    for folder in sorted(SYSTEM.glob("index*")):
        try:
            level, size = ((folder / name).read_text().strip() for name in ("level", "size"))
        except OSError:
            continue
        found = re.fullmatch(r"(\d+)([KM]?)", size)
        if level == "2" and found and int(found[1]):
            return min(max(int(found[1]) * UNITS[found[2]], LEAST), MOST)
    return MOST


def group_bytes() -> int:
    """Of a picture: stays while all filters pass over it."""
    return second_level() // 4


def winograd_bytes() -> int:
    """Of transformed pictures, before and after the products."""
    return second_level() * 3 // 4


def least_expanded_bytes() -> int:
    """Of an expanded picture: from here on an inverted residual is worth fusing."""
    return second_level() * 3 // 8


def most_fused_weights() -> int:
    """Bytes of both 1x1 kernels of a fused inverted residual: they pass once for each row."""
    return second_level() // 8
