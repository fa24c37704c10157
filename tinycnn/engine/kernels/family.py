"""CPU families: how long a vector is, and how many of them a tile keeps in registers.

A tile holds ``rows * vectors`` accumulators, ``vectors`` weights and one broadcast value; that must
stay within the registers (32 of AVX-512 and NEON, 16 of AVX2), or the inner loop spills.
"""

from __future__ import annotations

import itertools
import os
import platform
from pathlib import Path
from typing import NamedTuple

BLOCK = 16  # channels that lie together: [block][row][column][16]
CPUINFO = Path("/proc/cpuinfo")


class Family(NamedTuple):
    """A tile's shape.

    ``lanes``: multiply by a lane of a vector of inputs, as NEON can. ``depthwise``: pixels of a
    depthwise tile, each of ``across`` vectors of channels; Arm loads two with one instruction.
    ``prefetch``: ask for the next panel of weights while multiplying by one; measured on x86 only.
    """

    name: str
    vector: int
    rows: int
    vectors: int
    depthwise: int
    lanes: bool = False
    across: int = 1
    prefetch: bool = False

    @property
    def panel(self) -> int:
        """Filters whose weights are packed together."""
        return self.vector * self.vectors


FAMILIES = {
    f.name: f
    for f in (
        Family("avx512", 16, rows=10, vectors=2, depthwise=14, prefetch=True),
        Family("avx2", 8, rows=6, vectors=2, depthwise=4, prefetch=True),
        Family("neon", 4, rows=5, vectors=4, depthwise=7, lanes=True, across=2),
        Family("generic", 4, rows=5, vectors=2, depthwise=4),
    )
}


def cpu_identity() -> tuple[str, str]:
    """(model, features) of this machine's first core as Linux tells them, features in order."""
    wanted = {"model name": "", "CPU part": "", "flags": "", "Features": ""}
    for line in _first_core():
        name, _, value = line.partition(":")
        if name.strip() in wanted:
            wanted[name.strip()] = value.strip()
    features = " ".join(sorted((wanted["flags"] or wanted["Features"]).split()))
    return f"{platform.machine()} {wanted['model name'] or wanted['CPU part']}", features


def _first_core() -> list[str]:
    """Lines of /proc/cpuinfo up to the first empty one: of 128 cores it takes long to write."""
    try:
        with CPUINFO.open(errors="replace") as file:
            return list(itertools.takewhile(str.strip, file))
    except OSError:
        return []


def of_host() -> str:
    """Name of the family that this machine's CPU belongs to."""
    if platform.machine() == "aarch64":
        return "neon"
    flags = set(cpu_identity()[1].split())
    if {"avx512f", "avx512vl", "avx512bw", "avx512dq"} <= flags:
        return "avx512"
    return "avx2" if {"avx2", "fma"} <= flags else "generic"


# TINYCNN_FAMILY forces another one: for tests, and for compiling for other machines.
CURRENT = FAMILIES[os.environ.get("TINYCNN_FAMILY") or of_host()]
