"""Cases given to several workers, each asking for the next when it is done with one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from tests.differential.worker import Worker

Job = dict[str, Any]


def run(jobs: Sequence[Job], workers: int, family: str = "") -> Iterator[tuple[Job, Job]]:
    """Each job and its answer, as they come."""
    waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    answers: queue.SimpleQueue[tuple[Job, Job]] = queue.SimpleQueue()
    for job in [*jobs, *[None] * workers]:
        waiting.put(job)
    started = [Worker(family) for _ in range(workers)]
    started[0].start()  # it compiles the kernels if need be; the others find them
    for worker in started:
        threading.Thread(target=_serve, args=(worker, waiting, answers), daemon=True).start()
    for _ in jobs:
        yield answers.get()


def _serve(worker: Worker, waiting: Any, answers: Any) -> None:
    with worker:
        while (job := waiting.get()) is not None:
            answers.put((job, worker.ask(**job)))
