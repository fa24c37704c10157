"""Static memory: every value's place is known before the first image, so nothing is allocated."""

from __future__ import annotations

from collections.abc import Mapping

from tinycnn.errors import BackendError
from tinycnn.lightclass import dataclass

ALIGNMENT = 64  # a cache line, and the widest vector
MAX_BYTES = 1 << 30
MAX_CONSTANTS = 3 << 30  # weights (2 GiB at most, see nn.limits) and tables
MAX_TABLES = 64 << 20  # made of options: 200 Lanczos resizings to the tallest picture, 2896 rows
MAX_ROWS = 100_000  # instructions, 32 MB; VGG19 on 1000 x 1000 pixels takes up to 60,000


@dataclass(frozen=True)
class Lifetime:
    """A buffer of ``size`` bytes, in use from step ``first`` to step ``last``, both included."""

    size: int
    first: int
    last: int

    def overlaps(self, other: Lifetime) -> bool:
        """Whether both are in use at some step."""
        return self.first <= other.last and other.first <= self.last


def place(lifetimes: Mapping[str, Lifetime]) -> tuple[dict[str, int], int]:
    """Give every buffer an offset; those in use at the same step do not overlap.

    Greedy by size (Pisarchyk and Lee 2020, section 4.2): the largest first, each into the smallest
    gap that holds it between buffers placed before. Returns (offsets, bytes in all).
    """
    offsets: dict[str, int] = {}
    placed: list[tuple[int, int, int, int]] = []  # plain numbers: there may be thousands
    for name in sorted(lifetimes, key=lambda n: (-lifetimes[n].size, lifetimes[n].first, n)):
        first, last, size = lifetimes[name].first, lifetimes[name].last, lifetimes[name].size
        busy = sorted((b, e) for b, e, since, until in placed if since <= last and first <= until)
        offsets[name] = begin = _smallest_gap(busy, aligned(size))
        placed.append((begin, begin + aligned(size), first, last))
    total = max((end for _, end, _, _ in placed), default=0)
    if total > MAX_BYTES:
        needed, limit = total >> 20, MAX_BYTES >> 20
        raise BackendError(f"the network needs {needed} MB for one image; at most {limit} MB")
    return offsets, total


def aligned(size: int) -> int:
    """Bytes rounded up to whole cache lines."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def _smallest_gap(busy: list[tuple[int, int]], size: int) -> int:
    end, best, best_gap = 0, None, None
    for start, stop in busy:
        gap = start - end
        if gap >= size and (best_gap is None or gap < best_gap):
            best, best_gap = end, gap
        end = max(end, stop)
    return end if best is None else best
