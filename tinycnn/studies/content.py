"""Checks whether an image shows anything that a verdict can rest on.

No limit is fitted to images. docs/decisions/014-views-that-show-nothing.md says where each one
comes from, and how far real images are from it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tinycnn.lightclass import dataclass

# A lead letter is at most an inch high: a seventh of the smallest cassette (18 x 24 cm), 2 of 14
# cells. Wherever it lies, it touches at most 3 cells in either direction.
CELLS = 14  # of a side
MARK = 3
COVERED = MARK * MARK / (CELLS * CELLS)  # the largest share of an image that a mark touches
# The mean of 14 x 14 pixels is within one level where noise is within 14 levels (3 sigma), and one
# level is what rounding makes of a single shade of gray.
NOISE = 14
STRIDE = 32  # of the last feature map of MobileNet, ResNet, DenseNet, VGG and EfficientNet
LEAST = 3  # pixels of a side: with fewer, no pixel has a neighbour on either side
SMALL = 4  # an image this many times smaller than the network's input has a note


@dataclass(frozen=True)
class Findings:
    """Why no verdict can rest on an image ("" if one can), and notes on it."""

    refusal: str = ""
    notes: tuple[str, ...] = ()

    def __add__(self, other: Findings) -> Findings:
        """Both; the first refusal counts."""
        return Findings(self.refusal or other.refusal, self.notes + other.notes)


def check_size(image: tuple[int, int], wanted: tuple[int, int], cropped: bool) -> Findings:
    """Findings on an image of (width, height) pixels for a network input of (height, width).

    An image is too small if one pixel of it fills a whole place of the network's last feature map,
    or if it has fewer than `LEAST` pixels on a side. It is large enough where it has as many as the
    network's input. ``cropped``: to the proportions of the input, not stretched.
    """
    (width, height), (rows, columns) = image, wanted
    shown: tuple[float, float] = (height, width)
    if cropped:
        shown = (min(height, width * rows / columns), min(width, height * columns / rows))
    text = f"{width} x {height} pixels, for a network of {columns} x {rows}"
    for pixels, side in zip(shown, wanted, strict=True):
        if pixels < min(side, LEAST) or STRIDE * pixels <= side:
            return Findings(f"too small: {text}")
    return Findings(notes=(f"only {text}",) if SMALL * max(image) <= min(wanted) else ())


def check_alpha(image: Image.Image) -> Findings:
    """Findings on the transparency of ``image``, which is in the mode of its file."""
    lowest, highest = _alpha(image)
    if highest == 0:
        return Findings("shows nothing: all of it is transparent")
    return Findings(notes=("partly transparent: alpha is ignored",) if lowest < 255 else ())


def _alpha(image: Image.Image) -> tuple[int, int]:
    """The lowest and the highest alpha of all pixels, 0 to 255."""
    if "A" in image.getbands():
        extrema: Any = image.getextrema()  # (lowest, highest) of each band
        lowest, highest = extrema[-1]
        return lowest, highest
    key = image.info.get("transparency")
    if image.mode != "P" or key is None:  # in other modes at most one colour is transparent
        return 255, 255
    alphas = (key if isinstance(key, bytes) else b"\xff" * key + b"\0").ljust(256, b"\xff")
    used = [alphas[index] for index, count in enumerate(image.histogram()) if count]
    return min(used), max(used)


def check_levels(prepared: Image.Image, image: Image.Image, cropped: bool) -> Findings:
    """Findings on an ``image`` ("L" or "RGB") of one gray level or colour, or nearly.

    ``prepared``: the network's input, which is the middle of ``image`` if it is ``cropped``.
    """
    counts = prepared.histogram()
    bands = [counts[first : first + 256] for first in range(0, len(counts), 256)]
    levels = [band.index(max(band)) for band in bands]
    near = [sum(b[max(v - NOISE, 0) : v + NOISE + 1]) for b, v in zip(bands, levels, strict=True)]
    share = min(near) / (prepared.width * prepared.height)
    if share < 1 - COVERED:
        return Findings()
    value = ", ".join(map(str, levels))
    if all(max(band) == sum(band) for band in bands):
        where = f"at {prepared.width} x {prepared.height} pixels "
        where *= image.getextrema() != prepared.getextrema()  # the file itself has more levels
        return Findings(f"shows nothing: {where}all of it has the value {value}")
    if _even_but_for_a_mark(prepared if cropped else image):
        return Findings(f"shows nothing: the value {value} throughout, but for noise or a mark")
    percent = int(1000 * share) / 10
    text = f"{percent:g} % of it is within {NOISE} levels of {value}"
    return Findings(notes=(f"hardly any contrast: {text}",))


def _even_but_for_a_mark(image: Image.Image) -> bool:
    """Whether the means of all cells are within one level, those under one mark excepted."""
    side = CELLS * NOISE
    seen = np.asarray(image.resize((side, side), Image.Resampling.BOX), np.float64)
    means = seen.reshape(CELLS, NOISE, CELLS, NOISE, -1).mean(axis=(1, 3))
    other = (np.abs(means - np.median(means, axis=(0, 1))) > 1.0).any(axis=-1)
    return all(_extent(other.any(axis=axis)) <= MARK for axis in (0, 1))


def _extent(marked: npt.NDArray[np.bool_]) -> int:
    """The number of places from the first true one of ``marked`` (n,) bool to the last."""
    places = np.flatnonzero(marked)
    return int(places[-1] - places[0]) + 1 if len(places) else 0
