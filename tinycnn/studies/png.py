"""Whether a PNG file is whole, told without decoding it.

Pillow alone does not tell: a PNG without its last 20 bytes, or with half of its rows, loads without
an error, black where data is missing. Source: PNG specification (third edition), 5, 8 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from tinycnn.errors import ImageError
from tinycnn.studies.header import MAX_PARTS, Header, check_size

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BLOCK = 1 << 20

_PALETTE = 3
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# Adam7: x and y of a pass's first pixel, and its steps
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_COMPRESSED = {b"zTXt", b"iTXt", b"iCCP"}  # Pillow inflates each to 1 MB at most


@dataclass
class _Content:
    """What the chunks between header and end add up to."""

    needed: int  # inflated bytes that all rows have together
    palette_missing: bool = False
    inflated: int = 0
    metadata: int = 0  # bytes that Pillow may hold besides the pixels
    significant: bytes = b""  # content of the sBIT chunk
    inflate: Any = field(default_factory=zlib.decompressobj)


def read_png(stream: BinaryIO, size: int) -> Header:
    """Check chunk structure, every checksum, and that all rows are there; ImageError if not.

    ``stream`` stands at the start of a file of ``size`` bytes that begins with `SIGNATURE`. What
    follows the end chunk is left alone. Animated PNGs are refused: no frame is the image.
    """
    stream.seek(len(SIGNATURE))
    width, height, depth, colour, needed = _read_ihdr(stream, size)
    content = _Content(needed, palette_missing=colour == _PALETTE)
    for _ in range(MAX_PARTS):
        if _read_chunk(stream, size, content) == b"IEND":
            break
    else:
        raise ImageError(f"a PNG of more than {MAX_PARTS} chunks")
    if content.palette_missing:
        raise ImageError("damaged: a PNG without the palette that it needs")
    if content.inflated < needed:
        share = content.inflated / needed
        raise ImageError(f"truncated: the data ends after {share:.0%} of the image")
    # Pillow keeps colour and alpha in 4 bytes, 16-bit gray in 2, everything else in 1.
    pixel_bytes = 4 if _CHANNELS[colour] > 1 else 1 + (depth == 16)
    decoded = width * height * pixel_bytes + content.metadata
    colours = 1 if _CHANNELS[colour] < 3 else 3
    return Header("PNG", width, height, decoded, depth, _significant(content, colours, depth))


def _significant(content: _Content, colours: int, depth: int) -> int:
    """Bits of gray, or of the deepest colour, by the sBIT chunk; 0 without a valid one."""
    bits = max(content.significant[:colours], default=0)
    return bits if bits <= depth else 0


def _read_ihdr(stream: BinaryIO, size: int) -> tuple[int, int, int, int, int]:
    """Return width, height, bits of a value, colour type, and bytes of all rows."""
    kind, length = _chunk_start(stream, size)
    if kind != b"IHDR" or length != 13:
        raise ImageError("damaged: a PNG that does not begin with its header")
    data = _exactly(stream, 13)
    _check_crc(stream, kind, zlib.crc32(kind + data))
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">2I5B", data)
    check_size(width, height)
    if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise ImageError(f"damaged: no PNG is of this kind: {data[8:].hex(' ')}")
    channels = _CHANNELS[colour]
    needed = 0
    for x, y, dx, dy in _ADAM7 if interlace else ((0, 0, 1, 1),):
        columns, rows = -((x - width) // dx), -((y - height) // dy)
        if columns > 0 and rows > 0:
            needed += rows * (1 + (columns * channels * depth + 7) // 8)
    return width, height, depth, colour, needed


def _read_chunk(stream: BinaryIO, size: int, content: _Content) -> bytes:
    kind, length = _chunk_start(stream, size)
    if kind == b"acTL":
        raise ImageError("an animated PNG; save the one image that is meant")
    check = zlib.crc32(kind)
    for block in _blocks(stream, length):
        check = zlib.crc32(block, check)
        if kind == b"IDAT" and content.inflated < content.needed:
            content.inflated += _inflated(content.inflate, block, content.needed - content.inflated)
        if kind == b"sBIT":
            content.significant = block
    _check_crc(stream, kind, check)
    content.palette_missing &= kind != b"PLTE"
    if kind != b"IDAT":
        content.metadata += length + (BLOCK if kind in _COMPRESSED else 0)
    return kind


def _chunk_start(stream: BinaryIO, size: int) -> tuple[bytes, int]:
    length, kind = struct.unpack(">I4s", _exactly(stream, 8))
    if not kind.isalpha():
        raise ImageError(f"damaged: {kind!r} is no PNG chunk")
    if length > size - stream.tell():
        raise ImageError(f"truncated: chunk {kind.decode()} goes beyond the end of the file")
    return kind, length


def _blocks(stream: BinaryIO, length: int) -> Iterator[bytes]:
    while length:
        block = _exactly(stream, min(length, BLOCK))
        length -= len(block)
        yield block


def _inflated(inflate: Any, block: bytes, wanted: int) -> int:
    """Return how many bytes ``block`` inflates to, not counting far beyond ``wanted``."""
    count, full = 0, True
    try:
        while full and count < wanted:
            output = inflate.decompress(block, BLOCK)
            block, full = inflate.unconsumed_tail, len(output) == BLOCK
            count += len(output)
    except zlib.error as error:
        raise ImageError("damaged: the compressed data cannot be inflated") from error
    return count


def _check_crc(stream: BinaryIO, kind: bytes, check: int) -> None:
    if _exactly(stream, 4) != struct.pack(">I", check):
        raise ImageError(f"damaged: the checksum of chunk {kind.decode()} is wrong")


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise ImageError("truncated: the file ends before the end of the image")
    return data
