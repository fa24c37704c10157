"""What an image file declares about itself, and the limits it has to keep before it is decoded."""

from __future__ import annotations

from typing import Literal

from tinycnn.errors import ImageError
from tinycnn.lightclass import dataclass

MAX_FILE_BYTES = 64 << 20
JPEG_SIGNATURE = b"\xff\xd8\xff"
MAX_PIXELS = 50_000_000  # a chest radiograph has 10 to 20 million
MAX_SIDE = 32_767
MAX_PARTS = 20_000  # chunks of a PNG, segments of a JPEG: Python and Pillow handle each one by one


@dataclass(frozen=True)
class Header:
    """Format and size of an image, and the bytes that decoding it will take in Pillow.

    ``depth``: bits of a value; ``significant``: how many of them are used, 0 if unknown.
    """

    format: Literal["PNG", "JPEG"]
    width: int
    height: int
    decoded_bytes: int
    depth: int = 8
    significant: int = 0


def check_size(width: int, height: int) -> None:
    """Refuse an image that is empty or larger than any radiograph."""
    if width < 1 or height < 1:
        raise ImageError(f"declares {width} x {height} pixels")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise ImageError(
            f"declares {width} x {height} pixels; "
            f"at most {MAX_PIXELS} pixels and {MAX_SIDE} on a side are read"
        )
