"""Random choices that are the same in every version of Python and NumPy, and on every machine."""

from __future__ import annotations

import random
import zlib
from typing import Any

import numpy as np


class Draw:
    """Choices from a seed: all of them by `Random.random`, whose sequence Python guarantees."""

    def __init__(self, seed: str) -> None:
        self._number = random.Random(seed).random

    def below(self, n: int) -> int:
        """One of 0..n-1."""
        return int(self._number() * n)

    def between(self, low: int, high: int) -> int:
        """One of low..high, both included."""
        return low + self.below(high - low + 1)

    def chance(self, probability: float = 0.5) -> bool:
        """True so often."""
        return self._number() < probability

    def pick(self, *values: Any) -> Any:
        """One of the values."""
        return values[self.below(len(values))]

    def real(self, low: float, high: float) -> float:
        """A number with two decimals, which JSON and float32 keep alike."""
        return round(low + (high - low) * self._number(), 2)

    def shuffled(self, values: Any) -> list[Any]:
        """The values in random order."""
        rest = list(values)
        return [rest.pop(self.below(len(rest))) for _ in range(len(rest))]


def array(name: str, shape: tuple[int, ...], low: float = -1.0, high: float = 1.0) -> Any:
    """An array of float32 in [low, high), from a seed of any text.

    By `RandomState`, whose stream is frozen; uniform, as its normal numbers ask the system's log.
    """
    numbers = np.random.RandomState(zlib.crc32(name.encode()))
    return (low + (high - low) * numbers.random_sample(shape)).astype(np.float32)
