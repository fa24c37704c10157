"""A Dask cluster as unjust as can be: whoever is under way with a deadly study dies with it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from tinycnn.clusterjob import Answers, Part
from tinycnn.studies.panel import Panel


class Future:
    """One task; `settle` is what happens to it."""

    def __init__(self, part: Part | None) -> None:
        self.part, self.status = part, "pending"
        self.value: Any = None
        self.callbacks: list[Callable[[Future], None]] = []

    def add_done_callback(self, callback: Callable[[Future], None]) -> None:
        self.callbacks.append(callback)

    def result(self, timeout: float) -> Any:
        return self.value

    exception = result

    def settle(self, status: str, value: Any) -> None:
        self.status, self.value = status, value
        for callback in self.callbacks:
            callback(self)


class Client:
    """Settles all that is under way when it is asked who is there for the third time."""

    def __init__(self, deadly: str, panel: Panel) -> None:
        self.deadly, self.panel = deadly, panel
        self.scheduler = SimpleNamespace(address="tcp://nowhere:1")
        self.pending: list[Future] = []
        self.most, self.asked = 0, 0

    def submit(self, function: Any, what: Any, *models: Any, **options: Any) -> Future:
        future = Future(what if isinstance(what, Part) else None)
        if future.part:
            self.pending.append(future)
        return future

    def cancel(self, futures: Any, force: bool) -> None:
        pass

    def nthreads(self) -> dict[str, int]:
        from distributed import KilledWorker

        self.asked += 1
        if self.asked % 3:
            return {"tcp://nowhere:2": 2}
        under_way, self.pending = self.pending, []
        parts = [future.part for future in under_way if future.part]
        self.most = max(self.most, len(parts))
        deadly = any(folder.path.endswith(self.deadly) for part in parts for folder in part.folders)
        for future, part in zip(under_way, parts, strict=True):
            if deadly:
                worker = SimpleNamespace(address="tcp://nowhere:2")
                future.settle("error", KilledWorker("task", worker, 3))  # type: ignore[arg-type]
            else:
                found = tuple(part.job.judge(part.folders, self.panel))
                future.settle("finished", Answers("tcp://nowhere:2", found, (), 1e-3))
        return {"tcp://nowhere:2": 2}
