"""Whether a JPEG file is whole, as far as can be told without decoding it.

The coded data of a JPEG has no checksum and no length. A file that was cut is recognised by the
missing end marker. One that was cut and given an end marker again is recognised only if the rest
is too short for any image of that size; otherwise the decoder fills what is missing with gray.
Source: ITU-T T.81, annexes B and F.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tinycnn.errors import ImageError
from tinycnn.studies.header import MAX_PARTS, Header, check_size

MAX_SCANS = 64  # progressive encoders make about ten; each costs a pass over the whole image

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_AFTER_SCAN = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")  # not a stuffed zero, not a restart
_BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_HUFFMAN = {0xC0, 0xC1, 0xC2}
_SCAN, _END = 0xDA, 0xD9


@dataclass
class _Content:
    """What the segments say."""

    width: int = 0
    height: int = 0
    components: int = 0
    samples: float = 0.0  # per pixel, after chroma subsampling
    kind: int = 0
    scans: int = 0
    coded: int = 0  # bytes of all scans
    metadata: int = 0


def read_jpeg(data: bytes) -> Header:
    """Check the marker structure of ``data`` up to the end marker; ImageError if it is damaged.

    ``data`` begins with `JPEG_SIGNATURE`. What follows the end marker (cameras put previews there)
    is left alone.
    """
    at, content = 2, _Content()
    for _ in range(MAX_PARTS):
        marker = _MARKER.match(data, at)
        if marker is None:
            raise ImageError(_broken(data, at))
        code, at = marker[1][0], marker.end()
        if code == _END:
            return _header(content)
        if code not in _BARE:
            at = _read_segment(data, at, code, content)
    raise ImageError(f"a JPEG of more than {MAX_PARTS} segments")


def _read_segment(data: bytes, at: int, code: int, content: _Content) -> int:
    """Take note of a segment whose length stands at ``at``; return where the next one begins."""
    end = at + int.from_bytes(data[at : at + 2])
    if end < at + 2 or end > len(data):
        raise ImageError(_broken(data, end))
    if code in _FRAMES:
        _read_frame(data[at + 2 : end], code, content)
    elif code != _SCAN:
        content.metadata += end - at
    else:
        content.scans += 1
        following = _AFTER_SCAN.search(data, end)
        if following is None:
            raise ImageError("truncated: a JPEG without its end marker")
        if content.scans > MAX_SCANS:
            raise ImageError(f"a JPEG of more than {MAX_SCANS} scans")
        content.coded += following.start() - end
        end = following.start()
    return end


def _read_frame(body: bytes, code: int, content: _Content) -> None:
    if content.components:
        raise ImageError("a JPEG of several frames")
    if len(body) < 6 or len(body) != 6 + 3 * body[5] or not body[5]:
        raise ImageError("damaged: a JPEG frame header of the wrong length")
    content.height, content.width = int.from_bytes(body[1:3]), int.from_bytes(body[3:5])
    check_size(content.width, content.height)
    factors = [(f >> 4, f & 15) for f in body[7::3]]
    widest, tallest = max(h for h, _ in factors), max(v for _, v in factors)
    content.components = body[5]
    content.samples = sum(h * v for h, v in factors) / max(widest * tallest, 1)
    content.kind = code


def _header(content: _Content) -> Header:
    if not content.components or not content.scans:
        raise ImageError("a JPEG without image data")
    _check_coded(content)
    per_pixel = 1.0 if content.components == 1 else 4.0
    if (
        content.kind in _PROGRESSIVE or content.scans > 1
    ):  # then libjpeg keeps 16-bit coefficients of all
        per_pixel += 2 * content.samples
    pixels = content.width * content.height
    # Pillow keeps the metadata as segments and once more as what they mean.
    decoded = int(pixels * per_pixel) + 2 * content.metadata
    return Header("JPEG", content.width, content.height, decoded)


def _check_coded(content: _Content) -> None:
    """Refuse data too short for its blocks: each takes a bit for its mean, and one for the rest."""
    blocks = content.width * content.height * content.samples / 64
    bits = 1 if content.kind in _PROGRESSIVE else 2
    if content.kind in _HUFFMAN and content.coded * 8 < int(blocks * bits):
        raise ImageError(
            f"truncated: {content.coded} bytes cannot hold "
            f"{content.width} x {content.height} pixels"
        )


def _broken(data: bytes, at: int) -> str:
    if at >= len(data):
        return "truncated: a JPEG without its end marker"
    return f"damaged: no JPEG marker at byte {at}"
