"""The `.keras` archive: a zip with `config.json`, `metadata.json` and `model.weights.h5`.

Also Teachable Machine's, which holds `keras_model.h5` and `labels.txt`. Read into memory under
limits, never unpacked to disk: names cannot lead anywhere, and other members are never read.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinycnn.errors import ConversionError
from tinycnn.nn import strictjson

from .foreign import describe_zip
from .hdf5 import Part
from .teachable import LABELS, MAX_LABELS, MODEL

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MAX_MEMBERS = 1000
MAX_JSON = 16 << 20
MAX_WEIGHTS = 2 << 30
MAX_RATIO = 256  # of texts
MAX_WEIGHTS_RATIO = 32  # Keras does not compress them; pruned ones, by hand, reach 10
SMALL = 1 << 20


@dataclass(frozen=True)
class Archive:
    """What a `.keras` file holds: two JSON documents and an HDF5 file, or where in it that lies."""

    config: Any
    metadata: Any
    weights: bytes | Part


@dataclass(frozen=True)
class Export:
    """What Teachable Machine's zip holds: an HDF5 file, or where it lies, and the labels."""

    model: bytes | Part
    labels: bytes


def read_archive(path: Path) -> Archive | Export:
    """Read a `.keras` file or an export; ConversionError says what is refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if len(infos) > MAX_MEMBERS:
                raise ConversionError(
                    f"{len(infos)} files in the archive; at most {MAX_MEMBERS} are read"
                )
            names = {info.filename for info in infos}
            if MODEL in names and CONFIG not in names:
                members = _members(infos, (MODEL, LABELS), "an export of Teachable Machine")
                return Export(
                    _weights(archive, members[MODEL], path),
                    _content(archive, members[LABELS], MAX_LABELS),
                )
            if CONFIG not in names and (known := describe_zip(names)):
                raise ConversionError(known)
            members = _members(infos, (CONFIG, METADATA, WEIGHTS), "a .keras file")
            return Archive(
                _json(archive, members[CONFIG]),
                _json(archive, members[METADATA]),
                _weights(archive, members[WEIGHTS], path),
            )
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise ConversionError(f"damaged zip archive: {error}") from error
    except (RuntimeError, ValueError, OverflowError) as error:  # encrypted; damaged names
        raise ConversionError(f"a zip archive that cannot be read: {error}") from error


def _members(
    infos: list[zipfile.ZipInfo], wanted: tuple[str, ...], what: str
) -> dict[str, zipfile.ZipInfo]:
    names = [info.filename for info in infos]
    for name in wanted:
        if names.count(name) != 1:
            raise ConversionError(
                f"a zip archive with {names.count(name)} files called {name!r}; {what} has one"
            )
    return {info.filename: info for info in infos if info.filename in wanted}


def _json(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    try:
        return strictjson.loads(_content(archive, info, MAX_JSON))
    except ValueError as error:
        raise ConversionError(f"{info.filename}: {error}") from None


def _weights(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes | Part:
    """Find what Keras stores as it is: in memory once less. Only what is packed is unpacked."""
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > MAX_WEIGHTS:
        return _content(archive, info, MAX_WEIGHTS, MAX_WEIGHTS_RATIO)
    with archive.open(info) as member:  # its checksum
        length = sum(map(len, iter(lambda: member.read(SMALL), b"")))
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        lengths = [int.from_bytes(file.read(2), "little") for _ in range(2)]
    if length != info.file_size:
        raise ConversionError(f"{info.filename}: {length} bytes, {info.file_size} declared")
    return Part(path, info.header_offset + 30 + sum(lengths), length)


def _content(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int, ratio: int = MAX_RATIO
) -> bytes:
    """Read one member, not a byte more than it declares and the limits allow."""
    allowed = min(limit, max(SMALL, info.compress_size * ratio))
    if info.file_size > allowed:
        raise ConversionError(
            f"{info.filename}: {info.file_size} bytes out of {info.compress_size}; "
            f"at most {allowed} are read"
        )
    with archive.open(info) as member:
        data = member.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise ConversionError(f"{info.filename}: {len(data)} bytes, {info.file_size} declared")
    return data
