"""A journal of the studies that are done, so that a run that was broken off can go on.

JSON lines: the first says which models, decision and data set; each further line is one study,
written as soon as it is known. A last line that is damaged (the power failed) is dropped.
"""

from __future__ import annotations

import json
import os
from types import TracebackType
from typing import IO, Any, Self

from tinycnn.errors import UsageError
from tinycnn.evaluation.records import Record, answered, expected, key, study_id
from tinycnn.nn import strictjson
from tinycnn.nn.model import Decision
from tinycnn.studies.finder import Folder
from tinycnn.studies.names import printable
from tinycnn.studies.reports import Source

SCHEMA = "tinycnn-evaluation-journal/1"
MAX_LINE = 16 << 20


class Journal:
    """Used as ``with Journal(path, root, source, decision) as journal: ...``.

    `recall` gives back what an earlier run wrote about a study, `add` writes. UsageError if the
    file is no journal, or one of other models, another decision or data set.
    """

    def __init__(self, path: str, root: str, source: Source, decision: Decision) -> None:
        self.path, self.root = path, root
        self.header = {
            "schema": SCHEMA,
            "models": [one.model_hash for one in (source, *source.others)],
            "flip": source.flip,
            "rule": decision.rule,
            "threshold": decision.threshold,
            "thresholds": dict(decision.thresholds),
            "positive": decision.positive,
            "dataset": printable(os.path.realpath(root)),
        }
        self.members = len(source.others) + 1 if source.others else 0  # figures of a view
        self.done: dict[str, Any] = {}
        self.stream: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Read what is there, cut off a damaged last line, open for more."""
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
        """Close the file; it stays, whatever happened."""
        if self.stream is not None:
            self.stream.close()

    def _begin(self, stream: IO[bytes]) -> None:
        if not stream.seekable():
            raise UsageError(f"--resume {self.path!r}: not a regular file")
        stream.seek(0)
        good = self._read(stream)
        stream.truncate(good)
        if not good:
            self._write(self.header)

    def recall(self, folder: Folder) -> Record | None:
        """What is known of ``folder``; None if nothing, or if its files are others by now."""
        line = self.done.pop(key(self.root, folder.path), None)
        if line is None:
            return None
        record = Record(
            id=study_id(self.root, folder),
            path=folder.path,
            name=folder.name,
            views=tuple((name, float(probability)) for name, probability in line["views"]),
            refused=tuple((name, reason) for name, reason in line["refused"]),
            seconds=tuple(line["seconds"]),
            members=tuple(tuple(own) for own in line.get("members", ())),
        )
        return record if answered(record) == expected(folder) else None

    def add(self, record: Record) -> None:
        """Write one study, so that it is there even if the next one ends the program."""
        line = {
            "study": key(self.root, record.path),
            "views": record.views,
            "refused": record.refused,
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
        for name, wanted in self.header.items():
            if found.get(name) != wanted:
                raise UsageError(
                    f"--resume {self.path!r}: its {name} is {found.get(name)!r}, here it is "
                    f"{wanted!r}; name another file, or remove this one to begin anew"
                )


def _is_study(value: Any, members: int) -> bool:
    """Whether ``value`` is what `add` writes, with ``members`` figures of each view."""
    names = {"study", "views", "refused", "seconds"} | ({"members"} if members else set())
    if not isinstance(value, dict) or set(value) != names:
        return False
    seconds = value["seconds"]
    return (
        isinstance(value["study"], str)
        and _pairs(value["views"], float)
        and all(0 <= probability <= 1 for _, probability in value["views"])
        and (not members or _rows(value["members"], len(value["views"]), members))
        and _pairs(value["refused"], str)
        and isinstance(seconds, list)
        and len(seconds) == 3
        and all(isinstance(number, float) for number in seconds)
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
