"""A journal of the studies that are done, so that a run that was broken off can go on.

JSON lines: the first says which models and data set; each further line is one study, written as
soon as it is known: what the models say of its views, before any rule or threshold, and which files
that was about. A last line that is damaged (the power failed) is dropped.

A view that an earlier version scored may be refused by now, or be decoded in another way; its old
score must not be carried over. So `SCHEMA` changes whenever the same file gives another answer.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, Self

from tinycnn.errors import UsageError
from tinycnn.evaluation.records import EACH, Record, key, study_id
from tinycnn.nn import strictjson
from tinycnn.studies.finder import Folder
from tinycnn.studies.names import printable
from tinycnn.studies.reports import Source

SCHEMA = "tinycnn-evaluation-journal/3"
MAX_LINE = 16 << 20
SHOWN = 12  # digits of a model's SHA-256, as in reports

Files = list[
    list[str | int]
]  # name, size in bytes, time of the last change in ns; -1 without a file


class Journal:
    """Used as ``with Journal(path, root, source) as journal: ...``.

    `recall` gives back what an earlier run wrote about a study, `add` writes. UsageError if the
    file is no journal, one of other models or another data set, or in use by another run.
    """

    def __init__(self, path: str, root: str, source: Source) -> None:
        self.path, self.root = path, root
        self.header = {
            "schema": SCHEMA,
            "models": [one.model_hash for one in (source, *source.others)],
            "flip": source.flip,
            "dataset": printable(os.path.realpath(root)),
        }
        self.members = len(source.others) + 1 if source.others else 0  # figures of a view
        self.done: dict[str, Any] = {}
        self.asked: dict[str, Files] = {}  # what is not done, as its files were before the work
        self.stream: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Lock the file, read what is there, cut off a damaged last line, open for more."""
        try:
            self.stream = open(self.path, "a+b")
            try:
                self._begin(self.stream)
            except BaseException:
                self.stream.close()
                raise
        except OSError as error:
            raise UsageError(f"--resume {self.path!r}: {error.strerror or error}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file, which unlocks it; it stays, whatever happened."""
        if self.stream is not None:
            self.stream.close()

    def _begin(self, stream: IO[bytes]) -> None:
        if not stream.seekable():
            raise UsageError(f"--resume {self.path!r}: not a regular file")
        self._lock(stream)
        stream.seek(0)
        good = self._read(stream)
        stream.truncate(good)
        if not good:
            self._write(self.header)

    def _lock(self, stream: IO[bytes]) -> None:
        """Keep other runs away until the file is closed, also by the end of the process."""
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"--resume {self.path!r}: in use by another run; wait for it, or name another file"
            ) from None
        except OSError:  # a file system without locks
            pass

    def recall(self, folder: Folder) -> Record | None:
        """What is known of ``folder``; None if nothing, or if its files are others by now."""
        study, files = key(self.root, folder.path), _files(folder)
        line = self.done.pop(study, None)
        if line is None or line["files"] != files:
            self.asked[study] = files
            return None
        return Record(
            id=study_id(self.root, folder),
            path=folder.path,
            name=folder.name,
            views=tuple((name, float(probability)) for name, probability in line["views"]),
            refused=tuple((name, reason) for name, reason in line["refused"]),
            seconds=tuple(line["seconds"]),
            members=tuple(tuple(own) for own in line.get("members", ())),
            notes=tuple((name, note) for name, note in line["notes"]),
        )

    def add(self, record: Record) -> None:
        """Write one study that `recall` did not know, so that it is there whatever comes next."""
        study = key(self.root, record.path)
        line = {
            "study": study,
            "files": self.asked.pop(study, []),
            "views": record.views,
            "refused": record.refused,
            "notes": record.notes,
            "seconds": record.seconds,
        }
        self._write(line | ({"members": record.members} if self.members else {}))

    def _write(self, line: object) -> None:
        assert self.stream is not None
        self.stream.write(json.dumps(line, allow_nan=False).encode() + b"\n")
        self.stream.flush()

    def _read(self, stream: IO[bytes]) -> int:
        """Fill `done`; return how many bytes are sound."""
        good, number = 0, 0
        while line := stream.readline(MAX_LINE):
            number += 1
            problem = self._take(line, number)
            if problem and (number == 1 or stream.readline(1)):
                raise UsageError(
                    f"--resume {self.path!r}: line {number}: {problem}; name another file"
                )
            if problem:
                return good
            good += len(line)
        return good

    def _take(self, line: bytes, number: int) -> str:
        """Note one line; return what is wrong with it."""
        try:
            value = strictjson.loads(line)
        except ValueError:
            return "damaged, or no journal of `evaluate`"
        if not line.endswith(b"\n"):
            return "cut off"
        if number == 1:
            self._check_header(value)
            return ""
        if not _is_study(value, self.members):
            return "not the record of a study"
        self.done[value["study"]] = value
        return ""

    def _check_header(self, value: Any) -> None:
        found = value if isinstance(value, dict) else {}
        if found.get("schema") != SCHEMA or set(found) != set(self.header):
            problem = "is no journal of this version of tinycnn"
        elif other := [name for name, here in self.header.items() if found[name] != here]:
            problem = _OTHER[other[0]](found[other[0]], self.header[other[0]])
        else:
            return
        raise UsageError(
            f"--resume {self.path!r}: {problem}; name another file, or remove this one to begin "
            "anew"
        )


def _files(folder: Folder) -> Files:
    """What the answers about ``folder`` depend on: each file's name, size and time."""
    found: Files = []
    for entry in folder.entries:
        if entry.status in EACH:
            size = time = -1
            with suppress(OSError, ValueError):
                status = os.lstat(entry.path)
                size, time = status.st_size, status.st_mtime_ns
            found.append([printable(entry.name), size, time])
    return found


def _other_models(there: Any, here: list[str]) -> str:
    if not isinstance(there, list):
        return "is damaged"
    if sorted(map(str, there)) == sorted(here):
        return "its models are these, but in another order"
    digits = (", ".join(str(one)[:SHOWN] for one in models) for models in (there, here))
    return "was begun with other models (sha256 {}, here {})".format(*map(printable, digits))


def _other_flip(there: Any, here: bool) -> str:
    return "was begun without --flip" if here else "was begun with --flip"


def _other_dataset(there: Any, here: str) -> str:
    return f"is of the data set {printable(str(there))!r}, not of {here!r}"


_OTHER: dict[str, Callable[[Any, Any], str]] = {
    "models": _other_models,
    "flip": _other_flip,
    "dataset": _other_dataset,
}


def _is_study(value: Any, members: int) -> bool:
    """Whether ``value`` is what `add` writes, with ``members`` figures of each view."""
    names = {"study", "files", "views", "refused", "notes", "seconds"}
    names |= {"members"} if members else set()
    if not isinstance(value, dict) or set(value) != names:
        return False
    seconds = value["seconds"]
    return (
        isinstance(value["study"], str)
        and _pairs(value["views"], float)
        and all(0 <= probability <= 1 for _, probability in value["views"])
        and (not members or _rows(value["members"], len(value["views"]), members))
        and _pairs(value["refused"], str)
        and _pairs(value["notes"], str)
        and isinstance(seconds, list)
        and len(seconds) == 3
        and all(isinstance(number, float) for number in seconds)
        and _answers(value)
    )


def _answers(study: dict[str, Any]) -> bool:
    """Whether each of the files has its answer: figures, or why it was refused."""
    files = study["files"]
    return (
        isinstance(files, list)
        and all(
            isinstance(file, list) and list(map(type, file)) == [str, int, int] for file in files
        )
        and sorted(file[0] for file in files)
        == sorted(name for name, _ in study["views"] + study["refused"])
    )


def _rows(value: Any, rows: int, columns: int) -> bool:
    """Whether ``value`` is a table of probabilities."""
    return (
        isinstance(value, list)
        and len(value) == rows
        and all(isinstance(row, list) and len(row) == columns for row in value)
        and all(isinstance(p, float) and 0 <= p <= 1 for row in value for p in row)
    )


def _pairs(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], kind)
        for pair in value
    )
