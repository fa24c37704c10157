"""What a worker of a Dask cluster does: opens the models it is sent, once, and judges studies.

A job is plain data. What it needs of models travels beside it, as the bytes of their files.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import tinycnn
from tinycnn.errors import TinycnnError
from tinycnn.evaluation.records import Record
from tinycnn.lightclass import dataclass
from tinycnn.panels import Setup, open_panel, pinned
from tinycnn.studies.finder import Folder
from tinycnn.studies.panel import Panel
from tinycnn.studies.reports import Source
from tinycnn.studies.result import StudyResult

KEPT = 2  # panels that a process keeps open: of the job that runs, and of the one before

T = TypeVar("T", covariant=True)


class Job(Protocol[T]):
    """What is to be done with each study."""

    @property
    def setup(self) -> Setup:
        """The models, pinned to the hashes of their files."""

    def judge(self, folders: Sequence[Folder], panel: Panel) -> Iterable[T]:
        """One answer for each of ``folders``, in their order; it has a field ``path``."""


@dataclass(frozen=True)
class Verdicts:
    """The job of `tinycnn predict`."""

    setup: Setup

    def judge(self, folders: Sequence[Folder], panel: Panel) -> Iterable[StudyResult]:
        """See `Job`."""
        from tinycnn.studies.verdict import judge_with

        return (judge_with(folder, panel) for folder in folders)


@dataclass(frozen=True)
class Records:
    """The job of `tinycnn evaluate`; ``root``: the absolute path of the data set."""

    setup: Setup
    root: str

    def judge(self, folders: Sequence[Folder], panel: Panel) -> Iterable[Record]:
        """See `Job`."""
        from tinycnn.evaluation.run import score

        return score(folders, self.root, panel)


def sent(setup: Setup, source: Source) -> Setup:
    """``setup`` for machines that have not its files: pinned to what was opened as ``source``."""
    opened = (source, *source.others)
    return replace(pinned(setup, source), weights=tuple(one.model_path for one in opened))


@dataclass(frozen=True)
class Answers:
    """What became of a part: an answer for each study, and the seconds that took.

    ``unread``: the files that this process may not read or does not see.
    """

    worker: str
    found: tuple[Any, ...]
    unread: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Unfit:
    """This process cannot do the job at all, for ``reason``."""

    worker: str
    reason: str


@dataclass(frozen=True)
class Part:
    """Studies for one task, with absolute paths, and what they are judged by.

    ``version``: of tinycnn, where the part comes from.
    """

    job: Job[Any]
    folders: tuple[Folder, ...]
    version: str


def judge_part(part: Part, *models: bytes) -> Answers | Unfit:
    """Judge the studies of ``part``; called by Dask. ``models``: the files, in setup's order."""
    from distributed import get_worker

    worker = get_worker()
    if part.version != tinycnn.__version__:
        reason = f"it has tinycnn {tinycnn.__version__}, the client {part.version}"
        return Unfit(worker.address, f"{reason}; install the same on all machines")
    try:
        panel = _opened(part.job.setup, models, worker.state.nthreads)
    except Exception as error:  # whatever it is, another machine may not have it
        kind = "" if isinstance(error, TinycnnError) else f"{type(error).__name__}: "
        return Unfit(worker.address, f"{kind}{error}")
    started = time.monotonic()
    found = tuple(part.job.judge(part.folders, panel))
    seconds = time.monotonic() - started
    return Answers(worker.address, found, unread(part.folders), seconds)


def unread(folders: Iterable[Folder]) -> tuple[str, ...]:
    """Paths of the views that cannot be read here."""
    views = (e.path for folder in folders for e in folder.entries if e.status == "view")
    return tuple(path for path in views if not os.access(path, os.R_OK))


_panels: dict[Setup, Panel] = {}
_opening = threading.Lock()


def _opened(setup: Setup, models: Sequence[bytes], threads: int) -> Panel:
    """The panel of ``setup``, which is opened once in this process, whatever its threads."""
    with _opening:
        if setup not in _panels:
            while len(_panels) >= KEPT:
                del _panels[next(iter(_panels))]
            _panels[setup] = _open(setup, models, threads)
        return _panels[setup]


def _open(setup: Setup, models: Sequence[bytes], threads: int) -> Panel:
    """Open what was sent; `open_panel` checks the hashes. The files are mapped, then need no name.

    The models use as many threads as this process has for tasks, unless ``setup`` says otherwise.
    """
    with tempfile.TemporaryDirectory(prefix="tinycnn-") as folder:
        paths = []
        for number, (weights, data) in enumerate(zip(setup.weights, models, strict=True)):
            path = Path(folder, str(number), Path(weights).name)  # a model is called as its file
            path.parent.mkdir()
            path.write_bytes(data)
            paths.append(str(path))
        own = replace(setup, weights=tuple(paths), threads=setup.threads or threads)
        return open_panel(own)[0]
