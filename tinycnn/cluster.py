"""Judge studies on a Dask cluster: the same answers, in the same order, as one after the other.

A task is a part of the studies that takes about `TARGET` seconds. What is handed out and not yet
answered is bounded, so memory here does not grow with the number of studies. A worker that dies
loses nothing: Dask runs its parts again elsewhere. When several workers died over a part, each of
its studies is tried alone, with nothing else under way; the one whose worker dies even then is
refused. Source: https://distributed.dask.org/en/stable/killed.html.

Dask pickles what travels: whoever reaches scheduler or workers can run code there, and here.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import tinycnn
from tinycnn.clusterjob import Answers, Job, Part, Unfit, judge_part
from tinycnn.errors import ClusterError
from tinycnn.studies.finder import Folder
from tinycnn.studies.panel import Panel

TARGET = 1.0  # seconds of a task: of these Dask takes some ms, and a dead worker loses no more
MOST = 64  # studies in a task
AHEAD = 4  # tasks for each thread of the workers that are handed out or wait for their turn
ANSWERS_WITHIN = 10.0  # seconds: a scheduler
NOBODY, NOBODY_FIT = 60.0, 10.0  # seconds without a worker, without one that can do the job
SILENT = 4.0  # seconds without a worker after which it is said
TICK = 1.0  # seconds between two looks at who is there

FAILED = ("error", "cancelled")  # statuses of a future; "lost" ones are made again

T = TypeVar("T")
log = logging.getLogger("tinycnn")


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """A client of the Dask scheduler at ``address``; ClusterError if nobody answers there."""
    try:
        import distributed
    except ImportError as error:
        raise ClusterError(
            f"--scheduler needs Dask ({error}); install it: pip install '.[dask]'"
        ) from None
    for name in ("distributed", "distributed.client", "distributed.core", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is told in one line
    try:
        _need_scheduler(address)
        client = distributed.Client(address, timeout=ANSWERS_WITHIN, set_as_default=False)
    except Exception as error:  # whatever libraries, addresses and strangers' bytes can raise
        raise ClusterError(
            f"--scheduler {address!r}: no Dask scheduler answers there: "
            f"{str(error) or f'nothing for {ANSWERS_WITHIN:g} s'}; `dask scheduler` starts one"
        ) from error
    try:
        yield client
    finally:
        with suppress(Exception):  # it may be gone
            client.close()


def _need_scheduler(address: str) -> None:
    """Ask who is at ``address``; a Client that fails would leave threads behind that wait."""
    import asyncio

    from distributed import Security, rpc

    async def ask() -> str:
        arguments = Security().get_connection_args("client")  # TLS, as Dask's configuration says
        async with asyncio.timeout(ANSWERS_WITHIN):
            async with rpc(address, connection_args=arguments) as there:
                return str((await there.identity()).get("type"))

    if (kind := asyncio.run(ask())) != "Scheduler":
        raise ValueError(f"it is a {kind}")


def judged(
    client: Any, job: Job[T], folders: Iterable[Folder], panel: Panel
) -> Generator[T, None, None]:
    """Yield the answer of ``job`` to each of ``folders``, in their order.

    ``panel``: the job's models, opened here; it says why a study was refused. ClusterError if no
    worker can do the job, or the scheduler is gone. Closing the iterator cancels what is under way.
    """
    return _Run(client, job, panel).answers(iter(folders))


@dataclass(eq=False)
class _Studies(Generic[T]):
    """Studies that were handed out together, and the answers so far."""

    folders: list[Folder]
    answers: list[T | None] = field(default_factory=list)
    missing: int = 0

    def __post_init__(self) -> None:
        self.missing = len(self.folders)
        self.answers = [None] * self.missing

    def put(self, place: int, answer: Any) -> None:
        """Note an answer, with the path as it was found here."""
        self.answers[place] = replace(answer, path=self.folders[place].path)
        self.missing -= 1


@dataclass(eq=False)
class _Try(Generic[T]):
    """A task: these ``places`` of ``studies``. ``alone``: nothing else is under way."""

    studies: _Studies[T]
    places: Sequence[int]
    alone: bool = False

    @property
    def folders(self) -> list[Folder]:
        return [self.studies.folders[place] for place in self.places]


class _Pace:
    """How many studies make a task of `TARGET` seconds: one at first, then as they turn out."""

    def __init__(self) -> None:
        self.size, self.mean = 1, TARGET

    def note(self, answers: Answers) -> None:
        self.mean += (answers.seconds / len(answers.found) - self.mean) / 4

    def next(self) -> int:
        """Size of the next part: at most twice the last one."""
        self.size = max(1, min(2 * self.size, MOST, int(TARGET / max(self.mean, 1e-9))))
        return self.size


class _Run(Generic[T]):
    def __init__(self, client: Any, job: Job[T], panel: Panel) -> None:
        self.client, self.job, self.panel, self.pace = client, job, panel, _Pace()
        self.name, self.tasks = f"tinycnn-{uuid.uuid4().hex}", 0
        self.line: deque[_Studies[T]] = deque()  # handed out and not yet yielded, in order
        self.again: deque[_Try[T]] = deque()  # where the worker was unfit
        self.suspects: deque[_Try[T]] = deque()  # where workers died; each is tried alone
        self.flying: dict[_Try[T], Any] = {}
        self.done: SimpleQueue[_Try[T]] = SimpleQueue()
        self.unfit: dict[str, str] = {}  # address -> why
        self.fit: dict[str, int] = {}  # address -> threads
        self.looked, self.found, self.said = -TICK, time.monotonic(), False
        self.address = client.scheduler.address
        self.models: list[Any] = []

    def answers(self, folders: Iterator[Folder]) -> Generator[T, None, None]:
        """See `judged`."""
        try:
            self._send_models()
            while self._send(folders) or self.line:
                with suppress(Empty):
                    self._take(self.done.get(timeout=TICK))
                while self.line and not self.line[0].missing:
                    yield from self.line.popleft().answers  # type: ignore[misc]  # all are there
        finally:
            with suppress(Exception):  # if the scheduler is gone, so are they
                self.client.cancel([*self.flying.values(), *self.models], force=True)

    def _send_models(self) -> None:
        """Put the model files into the cluster, from where each worker gets them once.

        As results of tasks: what is only scattered is gone with the worker that holds it.
        """
        import dask

        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):
            self.models = [
                self.client.submit(bytes, Path(path).read_bytes(), pure=False)
                for path in self.job.setup.weights
            ]

    def _send(self, folders: Iterator[Folder]) -> bool:
        """Hand out as much as may be under way; whether there can be more."""
        self._look_around()
        if not self.fit:
            return True
        if self.suspects:
            if not self.flying:
                self._submit(self.suspects.popleft())
            return True
        while self.again:
            self._submit(self.again.popleft())
        while len(self.line) < AHEAD * sum(self.fit.values()):
            studies = _Studies[T](list(islice(folders, self.pace.next())))
            if not studies.folders:
                return False
            self.line.append(studies)
            self._submit(_Try(studies, range(len(studies.folders))))
        return True

    def _submit(self, trial: _Try[T]) -> None:
        self.tasks += 1
        folders = tuple(map(_absolute, trial.folders))
        choice = {"workers": list(self.fit), "allow_other_workers": True} if self.unfit else {}
        future = self.client.submit(
            judge_part,
            Part(self.job, folders, tinycnn.__version__),
            *self.models,
            key=f"{self.name}-{self.tasks}",
            pure=False,
            **choice,
        )
        self.flying[trial] = future
        future.add_done_callback(lambda _: self.done.put(trial))

    def _take(self, trial: _Try[T]) -> None:
        """Note what became of a task."""
        future = self.flying[trial]
        if future.status in FAILED:
            self._note_failure(trial, future)
            return
        try:
            found = future.result(timeout=TICK)
        except TimeoutError:  # the worker died with the answer: Dask makes it again, or fails
            self.done.put(trial)
            return
        except Exception as error:
            if future.status == "error":  # by now
                self.done.put(trial)
                return
            raise self._gone(error) from error
        del self.flying[trial]
        if isinstance(found, Unfit):
            self._leave_out(found.worker, found.reason, trial)
        elif unseen := next((path for path in found.unread if os.access(path, os.R_OK)), None):
            reason = f"it cannot read {unseen!r}, which is there for this machine"
            reason += "; the data must lie at the same path on all"
            self._leave_out(found.worker, reason, trial)
        else:
            self.pace.note(found)
            for place, answer in zip(trial.places, found.found, strict=True):
                trial.studies.put(place, answer)

    def _note_failure(self, trial: _Try[T], future: Any) -> None:
        """Suspect the studies if workers died; ClusterError for anything else."""
        from distributed import KilledWorker

        if future.status != "error":
            raise self._gone("what was under way is cancelled")
        error = future.exception(timeout=ANSWERS_WITHIN)
        if not isinstance(error, KilledWorker):
            hint = "; install the same tinycnn everywhere" if isinstance(error, ImportError) else ""
            raise ClusterError(f"a worker failed: {type(error).__name__}: {error}{hint}")
        del self.flying[trial]
        self._suspect(trial, error)

    def _suspect(self, trial: _Try[T], error: Any) -> None:
        """Try the studies alone whose workers died; refuse the one that was alone."""
        if not trial.alone:
            self.suspects += [_Try(trial.studies, (place,), alone=True) for place in trial.places]
            return
        reason = (
            f"{error.allowed_failures + 1} workers died while they judged this study, with nothing "
            f"else to do; the last was {error.last_worker.address}"
        )
        [folder], [place] = trial.folders, trial.places
        entries = tuple(
            replace(e, status="refused", reason=reason) if e.status == "view" else e
            for e in folder.entries
        )
        [answer] = self.job.judge([replace(folder, entries=entries)], self.panel)
        trial.studies.put(place, answer)

    def _leave_out(self, worker: str, reason: str, trial: _Try[T]) -> None:
        if worker not in self.unfit:
            log.warning("worker %s is left out: %s", worker, reason)
        self.unfit[worker] = reason
        self.fit.pop(worker, None)
        (self.suspects if trial.alone else self.again).append(trial)

    def _look_around(self) -> None:
        """Notice who is there, from time to time; ClusterError if there is nobody for long."""
        now = time.monotonic()
        if now < self.looked + TICK:
            return
        try:
            threads = self.client.nthreads()
        except Exception as error:
            raise self._gone(error) from error
        self.looked = now
        self.fit = {worker: n for worker, n in threads.items() if worker not in self.unfit}
        if self.fit:
            self.found, self.said = now, False
        elif now > self.found + (NOBODY_FIT if threads else NOBODY):
            why = "; ".join(f"{worker}: {self.unfit[worker]}" for worker in islice(threads, 2))
            raise ClusterError(f"no worker can do this: {why or 'the cluster has none'}")
        elif now > self.found + SILENT and not threads and not self.said:
            log.warning("no worker at %s: waiting for one, at most %g s", self.address, NOBODY)
            self.said = True

    def _gone(self, why: object) -> ClusterError:
        return ClusterError(f"the scheduler {self.address} is gone: {why}")


def _absolute(folder: Folder) -> Folder:
    """The same folder, as one finds it from anywhere."""
    entries = tuple(replace(entry, path=os.path.abspath(entry.path)) for entry in folder.entries)
    return replace(folder, path=os.path.abspath(folder.path), entries=entries)
