"""From the start of a process to the first scores: the median of several processes."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinycnn.benchmarks.race import command, environment
from tinycnn.errors import BackendError


@dataclass(frozen=True)
class Start:
    """Nanoseconds of each stage, in order; ``compiled``: the code stage found nothing cached."""

    stages: dict[str, float]
    compiled: bool
    arena_bytes: int
    constants_bytes: int
    instructions: int

    @property
    def total(self) -> float:
        """Nanoseconds in all."""
        return sum(self.stages.values())


def measure_start(path: str, threads: int = 1, times: int = 5) -> Start:
    """Start ``times`` processes that load the model file ``path`` and run one image."""
    _once(path, threads)  # files come into the system's cache, code into ours
    starts = [_once(path, threads) for _ in range(times)]
    stages = {
        stage: float(np.median([start["stages"][stage] for start in starts]))
        for stage in starts[0]["stages"]
    }
    return Start(**{**starts[0], "stages": stages})


def measure_compilation(path: str, threads: int = 1) -> Start:
    """Start one process whose code cache is empty: it compiles all kernels."""
    with ExitStack() as stack:
        cache = stack.enter_context(tempfile.TemporaryDirectory(prefix="tinycnn-"))
        return Start(**_once(path, threads, TINYCNN_CACHE=cache))


def _once(path: str, threads: int, **variables: str) -> dict[str, Any]:
    began = time.monotonic_ns()
    done = subprocess.run(
        command("start", os.path.abspath(path), str(threads), str(began)), capture_output=True,
        text=True, env=environment(threads, **variables), check=False,
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BackendError(f"the process that was to be timed failed: {last}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
