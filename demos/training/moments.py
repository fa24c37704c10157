"""Mean and deviation of a set of images in one pass, in memory that does not grow.

Welford's update in the form for whole batches (Chan, Golub, LeVeque: Updating Formulae and a
Pairwise Algorithm for Computing Sample Variances, 1979). The sum of squares minus the square of
the sum loses all digits where the mean is large and the deviation small; this does not.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Array64 = NDArray[np.float64]


class Moments:
    """Mean and deviation of every pixel over all images seen so far: (H, W, C) float64 each."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count = 0
        self.mean: Array64 = np.zeros(shape)
        self.squares: Array64 = np.zeros(shape)  # sum of squared distances from the mean

    def update(self, batch: NDArray[np.generic]) -> None:
        """Take in a batch (N, H, W, C) of any number type."""
        x = np.asarray(batch, np.float64)
        count = len(x)
        if count == 0:
            return
        mean = x.mean(axis=0)
        distance, total = mean - self.mean, self.count + count
        self.squares += ((x - mean) ** 2).sum(axis=0)
        self.squares += distance**2 * (self.count * count / total)
        self.mean += distance * (count / total)
        self.count = total

    @property
    def deviation(self) -> Array64:
        """The deviation image (H, W, C), of the population, as NumPy's `std`."""
        return np.sqrt(self.squares / max(self.count, 1))

    def per_channel(self) -> tuple[Array64, Array64]:
        """Mean and deviation of all pixels of each channel: (C,) and (C,)."""
        mean = self.mean.mean(axis=(0, 1))
        between = ((self.mean - mean) ** 2).mean(axis=(0, 1))
        within = self.squares.mean(axis=(0, 1)) / max(self.count, 1)
        return mean, np.sqrt(within + between)


def moments_of(batches: Iterable[NDArray[np.generic]], shape: tuple[int, ...]) -> Moments:
    """The moments of all images of `batches`, each (N, *shape)."""
    result = Moments(shape)
    for batch in batches:
        result.update(batch)
    return result
