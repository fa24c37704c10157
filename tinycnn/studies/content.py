"""Whether an image shows anything that a verdict could rest on.

The limits are not fitted to images; docs/decisions/014-views-that-show-nothing.md says where each
comes from, and how far from them real images are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tinycnn.lightclass import dataclass

# A lead letter is an inch high at most, a seventh of the smallest cassette (18 x 24 cm): two of
# 14 cells. Wherever it lies, it reaches into no more than three of them in either direction.
CELLS = 14  # of a side
MARK = 3
COVERED = MARK * MARK / (CELLS * CELLS)  # share of the image that a mark can reach into
# Noise of up to 14 levels (three standard deviations) is within one level, which is what rounding
# makes of one shade of gray, in the mean of 14 x 14 pixels.
NOISE = 14
STRIDE = 32  # of the last feature map of MobileNet, ResNet, DenseNet, VGG and EfficientNet
LEAST = 3  # with fewer pixels on a side, none has a neighbour on either side: no line, no spot
SMALL = 4  # times smaller than what the network takes, an image is remarked upon


@dataclass(frozen=True)
class Said:
    """Why no verdict may rest on an image, "" if one may; and what is worth saying about it."""

    refusal: str = ""
    notes: tuple[str, ...] = ()

    def __add__(self, other: Said) -> Said:
        """Both; the first refusal counts."""
        return Said(self.refusal or other.refusal, self.notes + other.notes)


def too_small(image: tuple[int, int], wanted: tuple[int, int], cropped: bool) -> Said:
    """What to say of the size (width, height) of an image, of which (height, width) is ``wanted``.

    It is too small if one of its pixels covers all that the network's last feature map has as one
    place, or if there are fewer than `LEAST` on a side. What is as large as the network's input is
    large enough. ``cropped``: to the proportions of that input, not stretched.
    """
    (width, height), (rows, columns) = image, wanted
    scale = max(rows / height, columns / width)
    shown = (rows / scale, columns / scale) if cropped else (height, width)
    said = f"{width} x {height} pixels, for a network of {columns} x {rows}"
    for pixels, side in zip(shown, wanted, strict=True):
        if pixels < min(side, LEAST) or STRIDE * pixels <= side:
            return Said(f"too small: {said}")
    return Said(notes=(f"only {said}",) if SMALL * max(image) <= min(wanted) else ())


def transparent(image: Image.Image) -> Said:
    """What to say of the alpha channel of ``image``, which is as it was decoded."""
    lowest, highest = _alpha(image)
    if highest == 0:
        return Said("shows nothing: all of it is transparent")
    return Said(notes=("partly transparent: what lies beneath counts",) if lowest < 255 else ())


def _alpha(image: Image.Image) -> tuple[int, int]:
    """The lowest and the highest alpha of the pixels of ``image``, from 0 to 255."""
    if "A" in image.getbands():
        extrema: Any = image.getextrema()  # (lowest, highest) of each band
        lowest, highest = extrema[-1]
        return lowest, highest
    key = image.info.get("transparency")
    if image.mode != "P" or key is None:  # of other modes one colour is transparent, at most
        return 255, 255
    alphas = (key if isinstance(key, bytes) else b"\xff" * key + b"\0").ljust(256, b"\xff")
    used = [alphas[index] for index, count in enumerate(image.histogram()) if count]
    return min(used), max(used)


def uniform(prepared: Image.Image, image: Image.Image, cropped: bool) -> Said:
    """What to say of an ``image`` ("L" or "RGB") that is one gray level, or colour, or nearly.

    ``prepared``: what the network is given of it, the middle alone if it is ``cropped``.
    """
    counts = prepared.histogram()
    bands = [counts[first : first + 256] for first in range(0, len(counts), 256)]
    levels = [band.index(max(band)) for band in bands]
    value = ", ".join(map(str, levels))
    near = [sum(b[max(v - NOISE, 0) : v + NOISE + 1]) for b, v in zip(bands, levels, strict=True)]
    share = min(near) / (prepared.width * prepared.height)
    if share < 1 - COVERED:
        return Said()
    if all(max(band) == sum(band) for band in bands):
        given = f"at {prepared.width} x {prepared.height} pixels "
        given *= image.getextrema() != prepared.getextrema()  # the file itself has more
        return Said(f"shows nothing: {given}all of it has the value {value}")
    if _even_but_for_a_mark(prepared if cropped else image):
        return Said(f"shows nothing: the value {value} throughout, but for noise or a mark")
    percent = int(1000 * share) / 10
    return Said(notes=(f"hardly any contrast: {percent:g} % of it is within {NOISE} of {value}",))


def _even_but_for_a_mark(image: Image.Image) -> bool:
    """Whether the means of the cells differ by no more than rounding, but for those of a mark."""
    side = CELLS * NOISE
    seen = np.asarray(image.resize((side, side), Image.Resampling.BOX), np.float64)
    means = seen.reshape(CELLS, NOISE, CELLS, NOISE, -1).mean(axis=(1, 3))
    other = (np.abs(means - np.median(means, axis=(0, 1))) > 1.0).any(axis=-1)
    return all(_extent(other.any(axis=axis)) <= MARK for axis in (0, 1))


def _extent(marked: npt.NDArray[np.bool_]) -> int:
    """From the first to the last that is true of ``marked`` (n,) bool."""
    places = np.flatnonzero(marked)
    return int(places[-1] - places[0]) + 1 if len(places) else 0
