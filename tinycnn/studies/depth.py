"""Scaling of 16-bit images to 8 bits, by the bits that their values really have.

The raw values of a detector of 10, 12 or 14 bits in a 16-bit file are nearly black if the upper
byte is taken. Source: PNG specification (third edition), 11.3.2.5: sBIT tells the real depth. By
the specification values are scaled up to 16 bits in spite of it; many programs do not do that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tinycnn.studies.content import Findings
from tinycnn.studies.header import Header

STRIP = 256  # rows that are scaled at a time, to spare memory
DEPTHS = (8, 10, 12, 14)  # bits of what is written into 16 unscaled
SCALED_UP = 257  # 8 bits become 16 by this factor: 255 * 257 is 65535


def eight_bits(image: Image.Image, header: Header) -> tuple[Image.Image, Findings]:
    """The ``image`` of a file of 16 bits per value with 8 bits, and findings on it."""
    if not image.mode.startswith("I"):
        return image, _several_bands(image, header)
    extrema: Any = image.getextrema()
    brightest = int(extrema[1])
    bits, note = _bits(image, brightest, header.significant)
    return _upper_byte(image, bits), Findings(notes=(note,) if note else ())


def _bits(image: Image.Image, brightest: int, told: int) -> tuple[int, str]:
    """The number of bits of the values of ``image``, and a note if they are not plainly 16."""
    if told:
        bits = max(told, DEPTHS[0])
        fits = bits < 16 and brightest < 1 << bits
        return (bits, f"{told} bits in a 16-bit file, as it says") if fits else (16, "")
    if brightest >= 1 << 15 or not any((strip % SCALED_UP).any() for _, strip in _strips(image)):
        return 16, ""
    bits = next((depth for depth in DEPTHS if brightest < 1 << depth), 16)
    return bits, f"taken as {bits} bits in a 16-bit file: its brightest value is {brightest}"


def _several_bands(image: Image.Image, header: Header) -> Findings:
    """Findings on 16-bit colour, or gray with alpha, of which Pillow decodes the upper bytes."""
    extrema: Any = image.getextrema()  # (lowest, highest) of each band
    pairs = zip(image.getbands(), extrema, strict=True)
    limit = 256 * max(high for band, (_, high) in pairs if band != "A") + 255
    bits = header.significant or next((d for d in DEPTHS[2:] if limit < 1 << d), 16)
    if bits == 16 or limit >= 1 << bits:
        return Findings()
    text = f"{bits} bits or fewer in a 16-bit file: no value is above {limit}"
    if bits == DEPTHS[-1] and not header.significant:
        return Findings(notes=(f"dark, or {text}",))
    return Findings(f"nearly black: {text}; save it as 8-bit, or as 16-bit gray without alpha")


def _strips(image: Image.Image) -> Iterator[tuple[tuple[int, int, int, int], npt.NDArray[Any]]]:
    """The box of each strip of ``image``, and its values."""
    for top in range(0, image.height, STRIP):
        box = (0, top, image.width, min(top + STRIP, image.height))
        yield box, np.asarray(image.crop(box))


def _upper_byte(image: Image.Image, bits: int) -> Image.Image:
    """The upper 8 of the ``bits`` of each value."""
    scaled = Image.new("L", image.size)
    for box, strip in _strips(image):
        scaled.paste(Image.fromarray((strip >> (bits - 8)).astype(np.uint8)), box)
    return scaled
