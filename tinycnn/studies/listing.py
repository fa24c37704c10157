"""MURA's CSVs: which studies there are and what they are labelled, or which images.

``valid_labeled_studies.csv`` has rows "MURA-v1.1/valid/XR_WRIST/patient11185/study1_positive/,1",
``valid_image_paths.csv`` rows "MURA-v1.1/valid/.../study1_positive/image1.png". No path of a row is
ever opened: folders that are found are looked up in the rows.
"""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import IO

from tinycnn.errors import StudyError
from tinycnn.lightclass import dataclass
from tinycnn.studies.finder import Entry, Folder
from tinycnn.studies.names import TruthLabel, parse_mura, printable

MAX_BYTES = 128 << 20  # of a file; MURA's largest has 3 MB
MAX_ROWS = 2_000_000
MAX_LINE = 4096  # characters

LABELS: dict[str, TruthLabel] = {"0": "negative", "1": "positive"}


@dataclass(frozen=True)
class Listing:
    """What a CSV says: labels by study, the images of studies; studies as "a/b/study1_positive".

    A row's path begins in the CSV's folder, or with that folder's name, or with the names of
    folders that lie above the data set. If all rows begin with the same folder, "MURA-v1.1", the
    one that holds the CSV, or the data set itself, may stand for it under another name.
    """

    path: str
    labels: dict[str, TruthLabel]
    images: dict[str, tuple[str, ...]]

    @property
    def studies(self) -> Iterable[str]:
        """The studies of all rows, in their order."""
        return dict.fromkeys((*self.labels, *self.images))

    @property
    def top(self) -> str:
        """The folder with which all rows begin; empty if they begin differently."""
        tops = {study.partition("/")[0] for study in self.studies}
        return tops.pop() if len(tops) == 1 else ""

    def start(self) -> str:
        """The folder in which to search: the CSV's, or the one below it where all studies lie."""
        home = os.path.dirname(self.path)
        parts = self._shared()
        for below in (parts, parts[1:]):
            folder = os.path.join(home, *below)
            real = os.path.join(os.path.realpath(home), *below)  # a link could lead elsewhere
            if below and os.path.isdir(folder) and os.path.realpath(folder) == real:
                return folder
        return home or "."

    def _shared(self) -> list[str]:
        """The folders with which the paths of all studies begin.

        What the first and the last in order share, all share; for `commonpath` of a million rows
        it takes 0.6 GB to split them all.
        """
        above = {f"/{os.path.dirname(study)}/" for study in self.studies}
        common = os.path.commonpath([min(above), max(above)]).strip("/")
        return common.split("/") if common else []


class Lookup:
    """Finds the rows of a `Listing` that are about a folder at or below ``root``."""

    def __init__(self, listing: Listing, root: str) -> None:
        self.listing = listing
        self.root = os.path.abspath(root)
        self.home = os.path.dirname(os.path.abspath(listing.path))
        self.known = frozenset(listing.studies)
        self.top = listing.top

    def study(self, folder: str) -> str | None:
        """What the rows call ``folder``; None if no row is about it."""
        return next((key for key in self._keys(os.path.abspath(folder)) if key in self.known), None)

    def _keys(self, folder: str) -> Iterator[str]:
        parts = folder.strip(os.sep).split(os.sep)
        above = len(self.root.strip(os.sep).split(os.sep))
        for first in range(min(above, len(parts) - 1) + 1):
            yield "/".join(parts[first:])
        for base in (self.home, self.root):
            if folder.startswith(base + os.sep):
                below = folder[len(base) + 1 :].replace(os.sep, "/")
                yield from (below, f"{self.top}/{below}")

    def select(self, folder: Folder) -> Folder | None:
        """``folder`` with the label and the images of its rows; None if it has none."""
        key = self.study(folder.path)
        return None if key is None else of_rows(folder, key, self.listing)


def of_rows(folder: Folder, study: str, listing: Listing) -> Folder:
    """``folder`` with what the rows of ``study`` say: its label, and which images count."""
    if study in listing.labels:
        folder = replace(folder, name=replace(folder.name, label=listing.labels[study]))
    if study not in listing.images:
        return folder
    there = {entry.name: entry for entry in folder.entries}
    missing = f"listed in {printable(os.path.basename(listing.path))}, but there is no such file"
    entries = (
        there.get(name) or Entry(name, os.path.join(folder.path, name), "refused", missing)
        for name in listing.images[study]
    )
    return replace(folder, entries=tuple(entries))


def absent(study: str, listing: Listing) -> Folder:
    """A study that has rows, but no folder: all that is known is that it cannot be judged."""
    path = os.path.join(os.path.dirname(listing.path), study)
    reason = f"listed in {printable(os.path.basename(listing.path))}, but there is no such folder"
    folder = Folder(path, (Entry(".", path, "refused", reason),), parse_mura(path))
    label = listing.labels.get(study, folder.name.label)
    return replace(folder, name=replace(folder.name, label=label))


def read_listing(path: str | os.PathLike[str]) -> Listing:
    """Read one of MURA's CSVs; StudyError, with the row, for what is none."""
    path = os.fspath(path)
    listing = Listing(path, {}, {})
    try:
        mode = os.stat(path)
        if not stat.S_ISREG(mode.st_mode) or mode.st_size > MAX_BYTES:
            raise StudyError(f"{printable(path)!r}: not a file of at most {MAX_BYTES >> 20} MB")
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            _fill(listing, file)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        why = getattr(error, "strerror", None) or str(error)
        raise StudyError(f"cannot open {printable(path)!r}: {why}") from error
    except csv.Error as error:
        raise StudyError(f"{printable(path)!r}: no CSV: {error}") from error
    if not listing.studies:
        raise StudyError(f"{printable(path)!r}: no row; expected MURA's STUDY_FOLDER/,1 or IMAGE")
    return listing


def _fill(listing: Listing, file: IO[str]) -> None:
    images: dict[str, dict[str, None]] = {}
    for number, row in enumerate(csv.reader(_lines(file)), start=1):
        place = f"{printable(listing.path)!r}, row {number}"
        if number > MAX_ROWS:
            raise StudyError(f"{place}: at most {MAX_ROWS:,} rows are read")
        if not any(row):
            continue
        parts = _parts(row[0], place)
        if len(row) == 1 and row[0].rstrip().endswith((";0", ";1")):
            raise StudyError(f"{place}: {_short(row[0])}: put a comma, no semicolon")
        if len(row) > 1:
            _label(listing.labels, "/".join(parts), row[1:], place)
        else:
            images.setdefault("/".join(parts[:-1]), {})[parts[-1]] = None
    listing.images.update((study, tuple(names)) for study, names in images.items())


def _lines(file: IO[str]) -> Iterator[str]:
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise csv.Error(f"a line of {MAX_LINE:,} characters or more")
        yield line


def _parts(text: str, place: str) -> list[str]:
    text = text.strip()
    parts = [part for part in text.split("/") if part not in ("", ".")]
    odd = min(text, default=" ") < " " or len(text) >= MAX_LINE  # a line's end within quotes, say
    if text.startswith("/") or ".." in parts or odd or not parts:
        raise StudyError(f"{place}: {_short(text)} is no path below a data set")
    return parts


def _label(labels: dict[str, TruthLabel], study: str, cells: list[str], place: str) -> None:
    label = LABELS.get(cells[0].strip()) if len(cells) == 1 else None
    if label is None:
        titles = "; leave out a row of titles" if place.endswith(", row 1") else ""
        raise StudyError(f"{place}: label {_short(','.join(cells))}: expected 0 or 1{titles}")
    if labels.setdefault(study, label) != label:
        raise StudyError(f"{place}: {_short(study)} is labelled 0 and 1")


def _short(text: str) -> str:
    return repr(printable(text[:60])) + "..." * (len(text) > 60)
