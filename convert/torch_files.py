"""The files of `torch.save`: the zip archive (since 1.6, 2020), and what came before it.

Neither is unpacked to disk, and nothing in them is executed.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

from tinycnn.errors import ConversionError

from .torch_pickle import MAX_BYTES, read_pickle
from .torch_tensors import NAMES, ElementType, Storage, is_count

MAX_MEMBERS = 20_000
MAX_FILE = 2 << 30
LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
LEGACY_VERSION = 1001


@dataclass(frozen=True)
class Saved:
    """What was saved: dicts, lists and tensors; and in which kind of file."""

    value: Any
    origin: str


def is_archive(names: list[str]) -> bool:
    """Whether a zip archive with these files is PyTorch's."""
    return any(name.endswith("/data.pkl") for name in names)


def read_archive(file: IO[bytes]) -> Saved:
    """Read a zip archive of `torch.save`. Its tensors can be read as long as ``file`` is open."""
    try:
        archive = zipfile.ZipFile(file)
        members = _members(archive, _size(file))
        roots = [name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise ConversionError(f"a zip archive with {len(roots)} files called data.pkl, not 1")
        return _from_members(_Members(archive, members, roots[0]))
    except UNREADABLE as error:
        raise ConversionError(f"a zip archive that cannot be read: {error}") from None


# What Python's reader was seen to raise for damaged archives. RuntimeError: encrypted, or
# compressed as nobody does; OSError: a place before the file's beginning.
UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError),
    *(ValueError, OverflowError, LookupError, AttributeError),
)


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise ConversionError(f"{len(infos)} files in the archive; at most {MAX_MEMBERS} are read")
    members = {info.filename: info for info in infos}
    if len(members) != len(infos):
        raise ConversionError("a zip archive in which two files have one name")
    if any(name.endswith("/constants.pkl") for name in members):
        raise ConversionError(
            "a TorchScript program; in Python: torch.save(model.state_dict(), 'NAME.pth'), "
            "and convert that"
        )
    # torch.save compresses nothing, so that no archive is larger inside than outside.
    if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
        raise ConversionError("a compressed zip archive, which torch.save does not write")
    if sum(info.file_size for info in infos) > size:
        raise ConversionError("a zip archive whose files are larger than itself, or overlap")
    return members


@dataclass(frozen=True)
class _Members:
    archive: zipfile.ZipFile
    infos: Mapping[str, zipfile.ZipInfo]
    root: str

    def size(self, name: str) -> int:
        info = self.infos.get(self.root + name)
        if info is None:
            raise ConversionError(f"the archive has no {self.root + name!r}")
        return info.file_size

    def read(self, name: str) -> bytes:
        size = self.size(name)
        try:
            with self.archive.open(self.infos[self.root + name]) as member:
                data = member.read(size + 1)
        except UNREADABLE as error:
            raise ConversionError(f"{self.root + name}: damaged: {error}") from None
        if len(data) != size:
            raise ConversionError(f"{self.root + name}: {len(data)} bytes, {size} declared")
        return data


def _from_members(members: _Members) -> Saved:
    order = b"little"
    if f"{members.root}byteorder" in members.infos:
        order = members.read("byteorder") if members.size("byteorder") < 10 else b"?"
    if order not in (b"little", b"big"):
        raise ConversionError(f"byte order {order!r}; little and big are known")
    storages: dict[str, Storage] = {}

    def persistent(description: Any) -> Storage:
        kind, key, count = described(description)
        storage = storages.get(key)
        if storage is None:
            size = members.size(f"data/{key}")
            if size != count * kind.size:
                raise ConversionError(f"storage {key!r}: {size} bytes for {count} {kind.name}")
            load = _loader(members, f"data/{key}")
            storage = storages[key] = Storage(kind, count, load, order == b"little")
        return _same(storage, kind, count)

    if members.size("data.pkl") > MAX_BYTES:
        raise ConversionError(f"data.pkl: over {MAX_BYTES} bytes")
    return Saved(read_pickle(members.read("data.pkl"), NAMES, persistent).value, "PyTorch")


def _loader(members: _Members, name: str) -> Callable[[], bytes]:
    return lambda: members.read(name)


def described(description: Any) -> tuple[ElementType, str, int]:
    """Check what a pickle says of a storage: (kind, key, number of elements)."""
    if not isinstance(description, tuple) or len(description) not in (5, 6):
        raise ValueError("a storage that is described by no row of five")
    word, kind, key, _, count, *view = description
    if word != "storage" or not isinstance(kind, ElementType) or not is_count(count):
        raise ValueError("a storage without type or size")
    if type(key) is not str or not 0 < len(key) < 100 or not key.isprintable():
        raise ValueError("a storage without a name")
    if view not in ([], [None]):
        raise ConversionError("a storage that is part of another one; load it and save it again")
    return kind, key, count


def _same(storage: Storage, kind: ElementType, count: int) -> Storage:
    if (storage.kind, storage.count) != (kind, count):
        raise ValueError("a storage that is described in two ways")
    return storage


def read_legacy(file: IO[bytes]) -> Saved:
    """Read a file of PyTorch 0.1.10 to 1.5: five pickles, then the storages one after another."""
    size, data = _size(file), file.read(5 * MAX_BYTES)
    header = read_pickle(data, NAMES, _refuse, len(LEGACY_MAGIC))
    system = read_pickle(data, NAMES, _refuse, header.end)
    if header.value != LEGACY_VERSION or not isinstance(system.value, dict):
        raise ConversionError("a PyTorch file of an unknown version")
    if system.value.get("little_endian") is not True:
        raise ConversionError("a PyTorch file of a big-endian machine; load it and save it again")
    storages: dict[str, tuple[Storage, list[int]]] = {}

    def persistent(description: Any) -> Storage:
        kind, key, count = described(description)
        if key not in storages:
            place: list[int] = []  # known only after the pickle
            load = _reader(file, place, count * kind.size)
            storages[key] = Storage(kind, count, load), place
        return _same(storages[key][0], kind, count)

    saved = read_pickle(data, NAMES, persistent, system.end)
    keys = read_pickle(data, NAMES, _refuse, saved.end)
    listed: list[Any] = keys.value if isinstance(keys.value, list) else [None]
    if not all(isinstance(key, str) for key in listed) or sorted(listed) != sorted(storages):
        raise ConversionError("damaged: the list of storages is not that of the tensors'")
    _place(file, size, keys.end, [storages[key] for key in listed])
    return Saved(saved.value, "PyTorch before 1.6")


def _place(
    file: IO[bytes], size: int, at: int, storages: list[tuple[Storage, list[int]]]
) -> None:  # fmt: skip
    """Find out where each storage lies: its number of elements stands before it."""
    for storage, place in storages:
        file.seek(at)
        count = int.from_bytes(file.read(8), "little", signed=True)
        if count != storage.count:
            raise ConversionError(f"a storage of {count} elements, {storage.count} declared")
        place.append(at + 8)
        at += 8 + count * storage.kind.size
    if at != size:
        raise ConversionError(f"{size} bytes, but its tensors end at {at}: cut off or damaged")


def _reader(file: IO[bytes], place: list[int], size: int) -> Callable[[], bytes]:
    def load() -> bytes:
        file.seek(place[0])
        return file.read(size)

    return load


def _refuse(description: Any) -> Any:
    raise ConversionError("damaged: a tensor where none can be")


def _size(file: IO[bytes]) -> int:
    size = file.seek(0, 2)
    file.seek(0)
    if size > MAX_FILE:
        raise ConversionError(f"{size} bytes; at most {MAX_FILE} are read")
    return size
