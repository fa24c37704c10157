"""Find studies: folders that hold images, at any depth, in natural order, one at a time.

Only regular files are ever opened. Symbolic links are not followed, neither to files nor to
folders: a study from elsewhere must not reach what lies outside it. (The path that the user gives
may itself be a link.) Hidden files, which include the ``._image1.png`` that macOS leaves and MURA
contains, and files that are no images are *ignored*: they are listed, but need no answer.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import field
from typing import Literal

from tinycnn.errors import StudyError
from tinycnn.lightclass import dataclass
from tinycnn.studies.names import MuraName, natural_key, parse_mura, printable

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif"})
# Images that tinycnn does not read: whoever put them into a study expects an answer about them.
FOREIGN_SUFFIXES = frozenset(
    {".dcm", ".dicom", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".jp2", ".j2k", ".avif"}
)


@dataclass(frozen=True)
class Entry:
    """One thing that lies in a folder: a view to judge, or why it is none."""

    name: str
    path: str
    status: Literal["view", "refused", "ignored"] = "view"
    reason: str = ""

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link, which is never followed."""
        return self.reason.startswith("a symbolic link")


@dataclass(frozen=True)
class Folder:
    """A folder, or a single image given as a study of one view."""

    path: str
    entries: tuple[Entry, ...]
    name: MuraName = field(default_factory=MuraName)

    @property
    def is_study(self) -> bool:
        """Whether an answer is owed: something looks like an image, or the name says study."""
        return self.name.study is not None or any(e.status != "ignored" for e in self.entries)


def find_folders(root: str | os.PathLike[str]) -> Iterator[Folder]:
    """Yield every folder at or below ``root`` that is a study or holds files, depth first.

    Folders above studies that hold nothing else are left out. A folder that cannot be read is a
    study with one refused entry. StudyError if ``root`` is no folder and no regular file.
    """
    path = os.fspath(root)
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise StudyError(f"cannot open {printable(path)!r}: {why}") from error
    if stat.S_ISREG(mode):
        name = os.path.basename(path)
        yield Folder(path, (_regular(name, path),), parse_mura(os.path.dirname(path) or "."))
        return
    if not stat.S_ISDIR(mode):
        raise StudyError(f"{printable(path)!r} is a {_kind(mode)}: give a folder or an image")
    waiting = [path]
    while waiting:
        folder, below = _read_folder(waiting.pop())
        if folder.entries or folder.is_study:
            yield folder
        waiting += below[::-1]


def find_studies(root: str | os.PathLike[str]) -> Iterator[Folder]:
    """Yield the studies at or below ``root``: what `find_folders` yields, without stray files."""
    return (folder for folder in find_folders(root) if folder.is_study)


def _read_folder(path: str) -> tuple[Folder, list[str]]:
    """Sort out the content of a folder: its entries, and the folders to look into next."""
    name = parse_mura(path)
    try:
        with os.scandir(path) as scan:
            found = sorted(scan, key=lambda entry: natural_key(entry.name))
    except OSError as error:
        reason = f"the folder cannot be read: {error.strerror}"
        return Folder(path, (Entry(".", path, "refused", reason),), name), []
    entries, below = [], []
    for item in found:
        if item.is_dir(follow_symlinks=False) and not item.name.startswith("."):
            below.append(item.path)
            if not _looks_like_image(item.name):
                continue
        entries.append(_entry(item))
    return Folder(path, tuple(entries), name), below


def _entry(item: os.DirEntry[str]) -> Entry:
    if item.name.startswith("."):
        return Entry(item.name, item.path, "ignored", "hidden")
    if item.is_file(follow_symlinks=False):
        return _regular(item.name, item.path)
    try:
        kind = _kind(item.stat(follow_symlinks=False).st_mode)
    except OSError:
        kind = "thing that vanished"
    status: Literal["refused", "ignored"] = "ignored"
    if _looks_like_image(item.name):
        status = "refused"
    return Entry(item.name, item.path, status, f"a {kind}, not a regular file")


def _regular(name: str, path: str) -> Entry:
    suffix = os.path.splitext(name)[1].lower()
    if suffix in IMAGE_SUFFIXES:
        return Entry(name, path)
    if suffix in FOREIGN_SUFFIXES:
        reason = f"{suffix} files are not read; save the image as PNG or JPEG"
        return Entry(name, path, "refused", reason)
    return Entry(name, path, "ignored", f"not an image: {printable(suffix) or 'no suffix'}")


def _looks_like_image(name: str) -> bool:
    suffix = os.path.splitext(name)[1].lower()
    return suffix in IMAGE_SUFFIXES or suffix in FOREIGN_SUFFIXES


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "symbolic link",
        stat.S_IFDIR: "folder",
        stat.S_IFIFO: "pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
    }
    return kinds.get(stat.S_IFMT(mode), "special file")
