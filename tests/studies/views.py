"""Views that show nothing, or are read in another way than they lie in the file; made, not kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tests.studies.conftest import chunk, png

WIDE, HIGH = 120, 96


def radiograph(levels: int = 200, base: int = 20) -> np.ndarray:
    """A blurred bright shape on a dark ground, (HIGH, WIDE) uint8, of so many ``levels``."""
    y, x = np.mgrid[-1 : 1 : HIGH * 1j, -1 : 1 : WIDE * 1j]
    shape = np.exp(-2 * (x + 0.3 * y) ** 2 - y**2)
    return np.round(base + (levels - 1) * shape).astype(np.uint8)


def marked(size: tuple[int, int] = (WIDE, HIGH)) -> Image.Image:
    """Black, with a letter L, a tenth of the height, in white."""
    image = Image.new("L", size)
    draw, step = ImageDraw.Draw(image), max(1, size[1] // 60)
    draw.rectangle((3 * step, 3 * step, 4 * step - 1, 9 * step - 1), fill=255)
    draw.rectangle((3 * step, 8 * step, 6 * step - 1, 9 * step - 1), fill=255)
    return image


def hot(size: tuple[int, int] = (WIDE, HIGH)) -> Image.Image:
    """Black but for one pixel."""
    image = Image.new("L", size)
    image.putpixel((size[0] // 3, size[1] // 3), 255)
    return image


def noise(sigma: float, level: float = 100.0) -> Image.Image:
    """One level, and what a detector or a JPEG makes of it."""
    values = np.random.default_rng(1).normal(level, sigma, (2 * HIGH, 2 * WIDE))
    return Image.fromarray(np.round(values).clip(0, 255).astype(np.uint8))


def sixteen(values: np.ndarray, colour: int = 0, significant: bytes = b"") -> bytes:
    """A 16-bit PNG of ``values`` (H, W) or (H, W, C), with an sBIT chunk if any bits are given."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    before = chunk(b"sBIT", significant) if significant else b""
    return png(width, height, rows, depth=16, colour=colour, before=before)


def bits(count: int) -> np.ndarray:
    """`radiograph` with ``count`` bits instead of 8, the lower ones noise."""
    values = radiograph().astype(np.uint16) << (count - 8)
    return values + np.random.default_rng(2).integers(0, 1 << (count - 8), values.shape, np.uint16)


def _alpha(mode: str, alpha: np.ndarray | int) -> Image.Image:
    image = Image.fromarray(radiograph()).convert(mode)
    image.putalpha(Image.fromarray(np.broadcast_to(np.uint8(alpha), (HIGH, WIDE))))
    return image


def _palette(path: Path) -> None:
    image = Image.fromarray(radiograph()).convert("P")
    image.save(path, transparency=bytes(256))


def _black_with_alpha() -> Image.Image:
    image = Image.new("RGBA", (WIDE, HIGH))
    image.putalpha(Image.fromarray(radiograph()))
    return image


Save = Callable[[Path], object]


def _saved(image: Image.Image, **options: int) -> Save:
    return lambda path: image.save(path, **options)  # type: ignore[arg-type]


def _written(data: bytes) -> Save:
    return lambda path: path.write_bytes(data)


NOTHING, SMALL = "shows nothing: ", "too small: "
THROUGHOUT = f"{NOTHING}the value {{}} throughout, but for noise or a mark"
REFUSED: dict[str, tuple[Save, str]] = {
    "black.png": (_saved(Image.new("L", (WIDE, HIGH))), "all of it has the value 0"),
    "white.jpg": (_saved(Image.new("RGB", (WIDE, HIGH), "white")), "all of it has the value 255"),
    "bilevel.png": (_saved(Image.new("1", (WIDE, HIGH), 1)), "all of it has the value 255"),
    "deep black.png": (_written(sixteen(np.zeros((HIGH, WIDE)))), "all of it has the value 0"),
    "deep gray.png": (_written(sixteen(np.full((HIGH, WIDE), 3000))), "has the value 187"),
    "noise.png": (_saved(noise(2.0)), THROUGHOUT.format(100)),
    "noise 95.jpg": (_saved(noise(2.0), quality=95), THROUGHOUT.format(100)),
    "noise 75.jpg": (_saved(noise(2.0), quality=75), THROUGHOUT.format(100)),
    "nearly.png": (_saved(noise(0.5, 7.5)), NOTHING),
    "nearly white.png": (_saved(noise(1.0, 255)), THROUGHOUT.format(255)),
    "hot.png": (_saved(hot()), NOTHING),
    "hot.jpg": (_saved(hot()), NOTHING),
    "letter.png": (_saved(marked()), NOTHING),
    "letter.jpg": (_saved(marked()), NOTHING),
    "large letter.png": (_saved(marked((1200, 960))), NOTHING),
    "transparent.png": (_saved(_alpha("RGB", 0)), f"{NOTHING}all of it is transparent"),
    "gray transparent.png": (_saved(_alpha("L", 0)), f"{NOTHING}all of it is transparent"),
    "palette.png": (_palette, f"{NOTHING}all of it is transparent"),
    "alpha alone.png": (_saved(_black_with_alpha()), "all of it has the value 0"),
    "1x1.png": (_saved(Image.new("L", (1, 1), 9)), f"{SMALL}1 x 1 pixels"),
    "2x3.png": (_written(png(2, 3, b"\0\1\2\0\x80\xf0\0\xff\7")), f"{SMALL}2 x 3 pixels"),
    "strip.png": (_saved(Image.fromarray(radiograph()[40:42])), f"{SMALL}{WIDE} x 2 pixels"),
    "colour 12.png": (
        _written(sixteen(np.repeat(bits(12)[..., None], 3, axis=2), colour=2)),
        "nearly black: 12 bits or fewer in a 16-bit file: no value is above",
    ),
    "alpha 12.png": (
        _written(sixteen(np.stack([bits(12), np.full((HIGH, WIDE), 65535)], 2), colour=4)),
        "nearly black: 12 bits or fewer",
    ),
}
NOTED: dict[str, tuple[Save, str]] = {
    "12 in 16.png": (_written(sixteen(bits(12))), "taken as 12 bits in a 16-bit file: its bright"),
    "sBIT.png": (_written(sixteen(bits(12), 0, b"\x0c")), "12 bits in a 16-bit file, as it says"),
    "translucent.png": (_saved(_alpha("L", radiograph())), "partly transparent: alpha is ignored"),
}


def save_all(folder: Path, views: dict[str, tuple[Save, str]]) -> None:
    """Write each of ``views`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (save, _) in views.items():
        save(folder / name)
