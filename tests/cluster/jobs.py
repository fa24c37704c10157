"""Jobs whose workers fail in known ways; the processes of a test's cluster import them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tinycnn import clusterjob
from tinycnn.clusterjob import Records, Verdicts
from tinycnn.evaluation.records import Record
from tinycnn.lightclass import dataclass
from tinycnn.panels import Setup
from tinycnn.studies.finder import Folder
from tinycnn.studies.panel import Panel
from tinycnn.studies.result import StudyResult


@dataclass(frozen=True)
class Slow:
    """Takes a moment for each study."""

    setup: Setup
    seconds: float = 0.02

    def judge(self, folders: Sequence[Folder], panel: Panel) -> Iterable[StudyResult]:
        for result in Verdicts(self.setup).judge(folders, panel):
            time.sleep(self.seconds)
            yield result


@dataclass(frozen=True)
class Deadly:
    """Ends its process at every study that has a view of this name."""

    setup: Setup
    file: str

    def judge(self, folders: Sequence[Folder], panel: Panel) -> Iterable[StudyResult]:
        for folder in folders:
            if any(e.name == self.file and e.status == "view" for e in folder.entries):
                os._exit(1)
        return Verdicts(self.setup).judge(folders, panel)


@dataclass(frozen=True)
class Faulty:
    """Raises what is no refusal."""

    setup: Setup

    def judge(self, folders: Sequence[Folder], panel: Panel) -> Iterable[StudyResult]:
        raise ZeroDivisionError("on\npurpose")


@dataclass(frozen=True)
class Blind:
    """Does not see the data on the worker of this name, or on any."""

    setup: Setup
    worker: int | None = None

    def judge(self, folders: Sequence[Folder], panel: Panel) -> Iterable[StudyResult]:
        from distributed import get_worker

        if self.worker in (None, get_worker().name):
            original = clusterjob.unread

            def unread(folders: Iterable[Folder]) -> tuple[str, ...]:
                clusterjob.unread = original
                return tuple(entry.path for folder in folders for entry in folder.entries)

            clusterjob.unread = unread
            folders = [replace(f, entries=()) for f in folders]
        return Verdicts(self.setup).judge(folders, panel)


@dataclass(frozen=True)
class SlowRecords:
    """Evaluates, and takes a moment for each study."""

    setup: Setup
    root: str

    def judge(self, folders: Sequence[Folder], panel: Panel) -> Iterable[Record]:
        for record in Records(self.setup, self.root).judge(folders, panel):
            time.sleep(0.2)
            yield record
