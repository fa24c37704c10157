"""The process in which one engine is timed: ``python -m tinycnn.benchmarks.worker TASK ...``.

``start MODEL THREADS BEGAN`` runs one image and tells when each stage was done, BEGAN being the
time.monotonic_ns at which the parent started the process. ``serve ENGINE FILE THREADS BATCH
FOLDER`` reads FOLDER/x.npy, leaves its scores there and then times runs: for every line with a
number it answers with that many durations. Answers are lines of JSON.
"""

from __future__ import annotations

import time

STARTED = time.monotonic_ns()

import itertools  # noqa: E402 - the time before all other imports is a figure
import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

WARM_UP = 3


def main(argv: list[str]) -> None:
    """Do one task."""
    task, *rest = argv
    if task == "start":
        _start(rest[0], int(rest[1]), int(rest[2]))
    else:
        _serve(rest[0], Path(rest[1]), int(rest[2]), int(rest[3]), Path(rest[4]))


def _start(path: str, threads: int, began: int) -> None:
    """The way from the start of a process to the first scores, stage by stage."""
    stamps = {"python": STARTED}
    import numpy as np

    from tinycnn.engine import cache, native
    from tinycnn.engine.lower import lower_graph
    from tinycnn.engine.plan import plan
    from tinycnn.engine.program import Execution
    from tinycnn.engine.rewrites import rewrite
    from tinycnn.nn import modelfile

    stamps["import"] = time.monotonic_ns()
    file = Path(path)
    model = modelfile.load(file)
    stamps["load"] = time.monotonic_ns()
    with np.errstate(all="ignore"):
        program = plan(rewrite(lower_graph(model.graph, model.weights)), threads)
    stamps["plan"] = time.monotonic_ns()
    kept = _files(cache.directory())
    interpreter = native.load()
    stamps["code"] = time.monotonic_ns()
    Execution(program, interpreter, threads).run(np.zeros((1, *model.input_shape), np.float32))
    stamps["first run"] = time.monotonic_ns()
    _answer(
        stages=_differences(began, stamps), compiled=_files(cache.directory()) != kept,
        arena_bytes=program.arena_bytes, constants_bytes=int(program.weights.size),
        instructions=len(program.steps),
    )  # fmt: skip


def _files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob("*")) if folder.is_dir() else []


def _differences(began: int, stamps: dict[str, int]) -> dict[str, int]:
    """Nanoseconds of each stage."""
    stages, before = {}, began
    for name, stamp in stamps.items():
        stages[name], before = stamp - before, stamp
    return stages


def _serve(name: str, path: Path, threads: int, batch: int, folder: Path) -> None:
    import numpy as np

    from tinycnn.benchmarks.engines import ENGINES
    from tinycnn.benchmarks.machine import peak_memory

    engine = ENGINES[name]
    runner = engine.load(path, threads, batch)
    images = runner.arrange(np.load(folder / "x.npy"))
    np.save(folder / f"{name}.npy", runner.run(images))
    _answer(version=engine.version)
    for line in sys.stdin:
        _answer(nanoseconds=_time(runner.run, images, int(line)), peak_bytes=peak_memory())


def _time(run: Any, images: Any, count: int) -> list[int]:
    """Durations of ``count`` runs, after a few that warm the caches up."""
    for _ in range(WARM_UP):
        run(images)
    stamps = [time.perf_counter_ns()]
    for _ in range(count):
        run(images)
        stamps.append(time.perf_counter_ns())
    return [after - before for before, after in itertools.pairwise(stamps)]


def _answer(**values: Any) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
