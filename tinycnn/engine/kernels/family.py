"""CPU families: how long a vector is, and how many of them a tile keeps in registers.

A tile holds ``rows * vectors`` accumulators, ``vectors`` weights and one broadcast value; that must
stay within the registers (32 of AVX-512 and NEON, 16 of AVX2), or the inner loop spills.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

BLOCK = 16  # channels that lie together: [block][row][column][16]


@dataclass(frozen=True)
class Family:
    """A tile's shape. ``lanes``: multiply by a lane of a vector of inputs, as NEON can."""

    name: str
    vector: int
    rows: int
    vectors: int
    depthwise: int
    lanes: bool = False

    @property
    def panel(self) -> int:
        """Filters whose weights are packed together."""
        return self.vector * self.vectors


FAMILIES = {
    f.name: f
    for f in (
        Family("avx512", 16, rows=10, vectors=2, depthwise=14),
        Family("avx2", 8, rows=6, vectors=2, depthwise=4),
        Family("neon", 4, rows=5, vectors=4, depthwise=4, lanes=True),
    )
}
CURRENT = FAMILIES[os.environ.get("TINYCNN_FAMILY", "avx512")]
