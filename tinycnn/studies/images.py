"""From an image file to the pixels that Keras would have made of it.

Equal to ``img_to_array(load_img(path, color_mode, target_size, interpolation,
keep_aspect_ratio))``, with two exceptions, where Keras loses or turns what the image shows:

- 16-bit gray becomes 8-bit by its upper byte (65535 -> 255), as libpng, TensorFlow's
  ``decode_png`` and Pillow's 16-bit colour do it, or by the upper 8 of the bits that it really
  has: see `tinycnn.studies.depth`. Keras keeps 0..65535 for "grayscale", which no network for
  0..255 was trained on, and older Pillow clips at 255 for "rgb".
- The rotation in EXIF is applied.

Alpha is dropped, not blended, as in Keras.
"""

from __future__ import annotations

import importlib
import os
import stat
import time
import warnings
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from tinycnn.errors import ImageError
from tinycnn.lightclass import dataclass
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.studies.content import Findings, check_alpha, check_levels, check_size
from tinycnn.studies.header import JPEG_SIGNATURE, MAX_FILE_BYTES, Header
from tinycnn.studies.names import printable
from tinycnn.studies.png import SIGNATURE as PNG_SIGNATURE
from tinycnn.studies.png import read_png

MAX_MEMORY = 128_000_000  # bytes while decoding; with Python, NumPy and Pillow below 200 MB

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Picture:
    """``pixels`` (H, W, C) uint8 as the network wants them, and what is worth saying about them.

    ``seconds``: what bringing them to colour mode and size took; the rest was decoding.
    ``refusal``: why no verdict can rest on them; "" if one can.
    """

    pixels: npt.NDArray[np.uint8]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    refusal: str = ""


Wanted = tuple[tuple[int, int] | int, Preprocessing]  # a size, as `read_picture` has it, and how


def read_picture(path: str, size: tuple[int, int] | int, preprocessing: Preprocessing) -> Picture:
    """Decode the image at ``path``, bring it to the colour mode and to ``size`` (height, width).

    One number as ``size`` is the longer side, and the image keeps its proportions.
    ImageError with the reason if it is no PNG or JPEG, damaged, truncated, or too large.
    """
    return read_pictures(path, [(size, preprocessing)])[0]


def read_pictures(path: str, wanted: Sequence[Wanted]) -> list[Picture]:
    """Decode the image at ``path`` once, for several sizes and ways; see `read_picture`."""
    try:
        with _open_regular(path) as stream:
            header = _read_header(stream)
            _check_memory(header, max(preprocessing.channels for _, preprocessing in wanted))
            stream.seek(0)
            image, orientation = _decode(stream, header)
            image, findings = _eight_bits(image, header)
            return [_picture(image, orientation, findings, *one) for one in wanted]
    except OSError as error:  # Pillow's own have no number
        reason = error.strerror or _plain(error)
        raise ImageError(f"cannot be read: {reason}") from error


def _open_regular(path: str) -> BinaryIO:
    # Between listing and opening, a file can become a link or a pipe; the latter would block.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    stream = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise ImageError("not a regular file")
    return stream


def _read_header(stream: BinaryIO) -> Header:
    size = os.fstat(stream.fileno()).st_size
    if size == 0:
        raise ImageError("the file is empty")
    if size > MAX_FILE_BYTES:
        raise ImageError(f"the file has {size} bytes; at most {MAX_FILE_BYTES} are read")
    start = stream.read(8)
    stream.seek(0)
    if start == PNG_SIGNATURE:
        return read_png(stream, size)
    if start.startswith(JPEG_SIGNATURE):
        from tinycnn.studies.jpeg import read_jpeg

        return read_jpeg(stream.read(MAX_FILE_BYTES))
    raise ImageError(f"neither PNG nor JPEG: it begins with {start!r}")


def _check_memory(header: Header, channels: int) -> None:
    converted = header.width * header.height * (1 if channels == 1 else 4)
    needed = header.decoded_bytes + converted
    if needed > MAX_MEMORY:
        raise ImageError(
            f"decoding its {header.width} x {header.height} pixels would take "
            f"{needed / 1e6:.0f} MB; at most {MAX_MEMORY / 1e6:.0f} MB are used"
        )


def _decode(stream: BinaryIO, header: Header) -> tuple[Image.Image, Any]:
    """The image as it lies in the file, and how its EXIF data wants it turned."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on odd EXIF and the like: the pixels are what counts
            image = _open(stream, header.format)
            if image.size != (header.width, header.height):
                raise ImageError("damaged: its header can be read in two ways")
            image.load()
            return image, _orientation(image)
    except (ImageError, OSError):
        raise
    except Exception as error:  # Pillow's parsers raise whatever a damaged file provokes
        raise ImageError(f"damaged: {_plain(error)}") from error


def _picture(
    image: Image.Image,
    orientation: Any,
    findings: Findings,
    size: tuple[int, int] | int,
    preprocessing: Preprocessing,
) -> Picture:
    decoded = time.perf_counter()
    image = _to_color_mode(image, preprocessing)
    if orientation in _TURNS:
        image = image.transpose(_TURNS[orientation])
        findings += Findings(notes=("turned as its EXIF data asks",))
    prepared = _resize(image, size, preprocessing)
    if isinstance(size, tuple):  # one number: no network's input, a thumbnail
        cropped = preprocessing.crop_to_aspect_ratio
        findings += check_size(image.size, size, cropped)
        findings += check_levels(prepared, image, cropped)
    pixels = np.asarray(prepared, np.uint8)
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    seconds = time.perf_counter() - decoded
    return Picture(pixels, findings.notes, seconds, findings.refusal)


def _open(stream: BinaryIO, form: str) -> Image.Image:
    """`Image.open` for one format, which would first import the readers of five: 3 ms."""
    importlib.import_module(f"PIL.{form.title()}ImagePlugin")
    reader, _ = Image.OPEN[form]
    try:
        image: Image.Image = reader(stream, "")
    except SyntaxError as error:  # how readers say that it is none of theirs
        raise ImageError(f"damaged: {_plain(error)}") from error
    return image


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # broken EXIF data says nothing about the pixels
        return None


def _eight_bits(image: Image.Image, header: Header) -> tuple[Image.Image, Findings]:
    """``image`` with 8 bits per value, and the findings on its alpha and its depth."""
    findings = check_alpha(image)
    if header.depth <= 8:
        return image, findings
    from tinycnn.studies.depth import eight_bits

    image, more = eight_bits(image, header)
    return image, findings + more


def _to_color_mode(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    image.info.pop("transparency", None)  # only makes Pillow warn: alpha is dropped anyway
    mode = "L" if preprocessing.color_mode == "grayscale" else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _resize(
    image: Image.Image, size: tuple[int, int] | int, preprocessing: Preprocessing
) -> Image.Image:
    height, width = size if isinstance(size, tuple) else _fitting(image, size)
    if image.size == (width, height):
        return image
    box = None
    resample = Image.Resampling[preprocessing.interpolation.upper()]
    if preprocessing.fractional_crop:
        from PIL import ImageOps  # 1 ms, which few models need

        return ImageOps.fit(image, (width, height), resample)
    if preprocessing.crop_to_aspect_ratio:
        across = min(image.width, image.height * width // height)
        down = min(image.height, image.width * height // width)
        if not across or not down:
            raise ImageError(f"{image.width} x {image.height} pixels are too narrow to be cropped")
        left, top = (image.width - across) // 2, (image.height - down) // 2
        box = (left, top, left + across, top + down)
    return image.resize((width, height), resample, box=box)


def _fitting(image: Image.Image, longest: int) -> tuple[int, int]:
    """(height, width) in the proportions of ``image``, the longer of them ``longest``."""
    ratio = longest / max(image.size)
    return max(1, round(image.height * ratio)), max(1, round(image.width * ratio))


def _plain(error: Exception) -> str:
    """Message of ``error`` on one line, safe to print."""
    return printable(" ".join(str(error).split()))[:200] or type(error).__name__
