"""HDF5 read as data only: a file in, a tree of plain strings and float arrays out.

HDF5 can point to other files (external links, external storage, virtual datasets), declare far more
than it holds, and run filter plug-ins. Nothing of that occurs in what Keras writes, so all of it is
refused. Only attributes that Keras's own reader needs are read; the optimizer's state is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO, RawIOBase
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.errors import ConversionError

from .hdf5_tree import MAX_STRINGS, Array, Group, split_path

MAX_OBJECTS = 50_000
MAX_DEPTH = 32
MAX_NAME = 1024
MAX_TEXT = 16 << 20  # bytes of one attribute
MAX_TOTAL = 2 << 30  # bytes of all arrays as float32
MAX_RATIO = 256  # decoded bytes for each byte stored; deflate reaches 1032 on zeros
SMALL = 1 << 20  # bytes that may be decoded from anything: zeros compress well
FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}

ATTRIBUTES = re.compile(
    r"(keras_version|backend|model_config|name|dtype|(layer_names|weight_names)\d*)"
)
OPTIMIZER = frozenset({"optimizer_weights", "optimizer"})

# What h5py was seen to raise on damaged files, beside OSError.
H5PY_ERRORS = (
    *(OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError),
    *(MemoryError, AttributeError, SystemError),
)


@dataclass(frozen=True)
class Part:
    """An HDF5 file that lies within another: ``size`` bytes of ``path`` from ``offset``."""

    path: Path
    offset: int
    size: int


Source = Path | bytes | Part


def size_of(source: Source) -> int:
    """Bytes of an HDF5 file."""
    if isinstance(source, Part):
        return source.size
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def read(source: Source) -> Group:
    """Read a whole file, a path or its bytes; ConversionError says what is refused, and where."""
    import h5py

    size = size_of(source)
    if size > MAX_TOTAL:
        raise ConversionError(f"{size} bytes; at most {MAX_TOTAL} are read")
    try:
        with h5py.File(_opened(source), "r") as file:
            return _Reader(size).group(h5py.h5g.open(file.id, b"/"), "", 0)
    except ConversionError:
        raise
    except H5PY_ERRORS as error:
        raise ConversionError(f"damaged HDF5: {_first_line(error)}") from error


def _opened(source: Source) -> Any:
    if isinstance(source, Part):
        return _Window(source)
    return BytesIO(source) if isinstance(source, bytes) else source


class _Window(RawIOBase):
    """A part of a file as a file of its own, in the manner in which h5py reads."""

    def __init__(self, part: Part) -> None:
        self.part, self.at = part, 0
        self.file = part.path.open("rb", buffering=0)

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, self.part.size)[whence]
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: Any) -> int:
        left = max(0, self.part.size - self.at)
        self.file.seek(self.part.offset + self.at)
        count = self.file.readinto(memoryview(buffer)[:left]) or 0
        self.at += count
        return count

    def close(self) -> None:
        self.file.close()
        super().close()


class _Reader:
    """Counts what was read, so that the limits hold for the whole file."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.total = 0
        self.seen: set[tuple[int, int]] = set()

    def group(self, group: Any, path: str, depth: int) -> Group:
        """Read the members and attributes of a low-level ``GroupID``."""
        from h5py import h5d, h5g, h5l, h5o

        if depth > MAX_DEPTH:
            raise ConversionError(f"{path}: groups are nested deeper than {MAX_DEPTH}")
        if group.get_num_objs() > MAX_OBJECTS:
            raise ConversionError(f"{path or '/'}: more than {MAX_OBJECTS} members")
        result = Group(_attributes(group, path))
        for raw in list(group):
            where = f"{path}/{_name(raw, path)}"
            parts = split_path(where[len(path) :])
            if not path and parts[:1] and parts[0] in OPTIMIZER:
                result.left_out += (parts[0],)
                continue
            if group.links.get_info(raw).type != h5l.TYPE_HARD:
                raise ConversionError(f"{where}: a link to elsewhere, which is never followed")
            member = h5o.open(group, raw)
            self._count(member, where)
            if isinstance(member, h5g.GroupID):
                result.put(parts, self.group(member, where, depth + len(parts)), where)
            elif isinstance(member, h5d.DatasetID):
                result.put(parts, self._array(member, where), where)
            else:
                raise ConversionError(f"{where}: neither a group nor a dataset")
        return result

    def _count(self, member: Any, where: str) -> None:
        from h5py import h5o

        info = h5o.get_info(member)
        if (info.fileno, info.addr) in self.seen:
            raise ConversionError(f"{where}: a second name for an object, as no Keras file has")
        self.seen.add((info.fileno, info.addr))
        if len(self.seen) > MAX_OBJECTS:
            raise ConversionError(f"more than {MAX_OBJECTS} objects")

    def _array(self, dataset: Any, where: str) -> Array:
        """Read a ``DatasetID`` after everything about it was checked."""
        import h5py

        dtype, shape = dataset.dtype, tuple(dataset.shape)
        if dtype.kind not in "fiu" or dtype.itemsize > 8:
            raise ConversionError(f"{where}: holds {dtype}, not numbers")
        decoded = prod(shape) * dtype.itemsize
        self.total += prod(shape) * max(dtype.itemsize, 4)
        if self.total > MAX_TOTAL:
            raise ConversionError(f"{where}: the file declares more than {MAX_TOTAL} bytes")
        _check_storage(dataset, decoded, self.size, where)
        value = h5py.Dataset(dataset)[()]
        with np.errstate(over="ignore"):  # what overflows is refused later, as infinite
            return np.asarray(value, np.float32)


def _check_storage(dataset: Any, decoded: int, size: int, where: str) -> None:
    """Refuse data that lie elsewhere, or are fewer than declared, or need a plug-in."""
    from h5py import h5d

    plan = dataset.get_create_plist()
    layout, stored = plan.get_layout(), dataset.get_storage_size()
    if layout == h5d.VIRTUAL or plan.get_external_count():
        raise ConversionError(f"{where}: its data lie in another file, which is never opened")
    if stored > size:
        raise ConversionError(f"{where}: claims {stored} bytes of a file of {size}")
    if layout != h5d.CHUNKED:
        if stored < decoded:
            raise ConversionError(f"{where}: declares {decoded} bytes and holds {stored}")
        return
    for index in range(plan.get_nfilters()):
        if (code := plan.get_filter(index)[0]) not in FILTERS:
            raise ConversionError(f"{where}: filter {code}; only {list(FILTERS.values())} are read")
    chunk = prod(plan.get_chunk()) * dataset.dtype.itemsize
    if max(decoded, chunk) > max(SMALL, stored * MAX_RATIO) or (decoded and not stored):
        raise ConversionError(f"{where}: declares {decoded} bytes and holds {stored}")


def _attributes(group: Any, path: str) -> dict[str, str | tuple[str, ...]]:
    import h5py
    from h5py import h5a

    result: dict[str, str | tuple[str, ...]] = {}
    if h5a.get_num_attrs(group) > MAX_OBJECTS:
        raise ConversionError(f"{path or '/'}: more than {MAX_OBJECTS} attributes")
    for index in range(h5a.get_num_attrs(group)):
        attribute = h5a.open(group, index=index)
        name = _name(attribute.name, path)
        if ATTRIBUTES.fullmatch(name):
            where = f"{path or '/'} attribute {name!r}"
            _check_strings(attribute, where)
            result[name] = _strings(h5py.Group(group).attrs[name], where)
    return result


def _check_strings(attribute: Any, where: str) -> None:
    """Refuse an attribute that is not text, or too much; an empty list may have any type."""
    from h5py import h5t

    count, kind = prod(attribute.shape), attribute.get_type()
    if count and not isinstance(kind, h5t.TypeStringID):
        raise ConversionError(f"{where}: not text")
    width = 1 if not count or kind.is_variable_str() else kind.get_size()
    if count > MAX_STRINGS or count * width > MAX_TEXT:
        raise ConversionError(f"{where}: too large")


def _strings(value: Any, where: str) -> str | tuple[str, ...]:
    if not isinstance(value, np.ndarray):
        return _text(value, where)
    texts = tuple(_text(item, where) for item in value.ravel())
    if sum(map(len, texts)) > MAX_TEXT:
        raise ConversionError(f"{where}: too large")
    return texts


def _text(value: Any, where: str) -> str:
    if isinstance(value, bytes):
        return value.rstrip(b"\0").decode("utf-8")
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise ConversionError(f"{where}: not text, or too much")
    return value


def _name(raw: bytes, path: str) -> str:
    name = raw.decode("utf-8")
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise ConversionError(f"{path or '/'}: a member's name is empty, too long or unprintable")
    return name


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
