"""Small pictures of radiographs, to be looked at beside a verdict."""

from __future__ import annotations

import io

from PIL import Image

from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.studies.images import read_picture

QUALITY = 80  # of JPEG: a 160-pixel radiograph takes 3 to 6 kB
LOW_QUALITY = 25  # of what takes more than `LARGE` bytes, as noise does
LARGE = 10_000

_GRAY = Preprocessing(color_mode="grayscale", interpolation="box")


def thumbnail(path: str, side: int) -> tuple[bytes, int, int]:
    """The image at ``path`` as a gray JPEG whose longer side has ``side`` pixels; width, height.

    Read with the same suspicion as what is judged: ImageError says why it cannot be shown.
    """
    pixels = read_picture(path, side, _GRAY).pixels[:, :, 0]
    data = _jpeg(Image.fromarray(pixels), QUALITY)
    if len(data) > LARGE:
        data = _jpeg(Image.fromarray(pixels), LOW_QUALITY)
    return data, pixels.shape[1], pixels.shape[0]


def _jpeg(image: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality, optimize=True)
    return stream.getvalue()
