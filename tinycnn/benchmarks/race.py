"""Engines that take turns on the same network, with the same weights, checked before it counts."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from tinycnn import children
from tinycnn.benchmarks import ncnn_file, onnx_file, tflite_file
from tinycnn.benchmarks.engines import ENGINES
from tinycnn.benchmarks.networks import random_images
from tinycnn.errors import BackendError, TinycnnError
from tinycnn.nn import modelfile
from tinycnn.nn.model import Model
from tinycnn.nn.tolerance import measure

TOLERANCE = 1e-4  # of the largest score; beyond, it is computed what rounding explains
TURN_NS = 100_000_000  # how long an engine runs before it is the next one's turn
MOST_IN_TURN = 200
OURS = "tinycnn"


def _save(model: Model, path: Path, batch: int) -> None:
    modelfile.save(model, path)


WRITERS: dict[str, Callable[[Model, Path, int], None]] = {
    "safetensors": _save,
    "tflite": tflite_file.write,
    "onnx": onnx_file.write,
    "ncnn": ncnn_file.write,
}


@dataclass(frozen=True)
class Result:
    """What one engine needed: durations in ns of each round's runs, memory, and its scores."""

    engine: str
    version: str
    rounds: tuple[tuple[int, ...], ...]
    peak_bytes: int
    difference: float  # the largest, from our scores

    @property
    def nanoseconds(self) -> list[int]:
        """All durations."""
        return [n for turn in self.rounds for n in turn]

    def ratio(self, other: Result) -> float:
        """This engine's time as a share of another's: the median over rounds."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return float(np.median([np.median(mine) / np.median(theirs) for mine, theirs in pairs]))


@dataclass(frozen=True)
class Outcome:
    """What the engines needed, ours first; and why others are not among them."""

    results: tuple[Result, ...]
    refused: dict[str, str]

    def best_peer(self) -> Result | None:
        """The fastest of the others."""
        return min(self.results[1:], key=lambda r: np.median(r.nanoseconds), default=None)


def race(
    model: Model, threads: int = 1, batch: int = 1, rounds: int = 30,
    peers: Sequence[str] = (),
) -> Outcome:  # fmt: skip
    """Time our engine and ``peers`` on a random batch in turns (A B C A B C ...).

    A peer that cannot take the network, or whose scores differ from ours by more than rounding
    explains, is refused: a comparison of different computations is worthless.
    """
    refused: dict[str, str] = {}
    workers: list[Worker] = []
    explained = cache(lambda: _explained(model))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tinycnn-")))
        np.save(folder / "x.npy", random_images(model.input_shape, batch))
        for name in (OURS, *peers):
            try:
                file = _file(model, ENGINES[name].format, batch, folder)
                worker = stack.enter_context(_worker(name, file, threads, batch, folder))
                worker.check(folder, explained)
                workers.append(worker)
            except TinycnnError as error:
                if name == OURS:
                    raise
                refused[name] = str(error)
        for _ in range(rounds):
            for worker in workers:
                worker.turn()
        return Outcome(tuple(worker.result() for worker in workers), refused)


def _explained(model: Model) -> float:
    """By how much two right programs may differ in the first image's scores."""
    output = model.graph.output
    x = random_images(model.input_shape, 1)
    return 2 * measure(model.graph, model.weights, x, {output: np.ravel})[output].allowed


def _file(model: Model, form: str, batch: int, folder: Path) -> Path:
    path = folder / f"network.{form}"
    if not path.exists():
        WRITERS[form](model, path, batch)
    return path


class Worker:
    """A process in which one engine waits for its turns."""

    def __init__(self, engine: str, process: subprocess.Popen[str], complaints: Path) -> None:
        self.engine, self.process, self.complaints = engine, process, complaints
        self.version = self._answer()["version"]
        self.rounds: list[tuple[int, ...]] = []
        self.peak_bytes, self.difference, self.runs = 0, 0.0, 1

    def check(self, folder: Path, explained: Callable[[], float]) -> None:
        """Compare its scores with ours; BackendError if they differ by over ``explained()``."""
        expected, got = np.load(folder / f"{OURS}.npy"), np.load(folder / f"{self.engine}.npy")
        self.difference = float(np.abs(got.reshape(expected.shape) - expected).max())
        quick = TOLERANCE * float(np.abs(expected).max())
        if not self.difference <= quick and not self.difference <= explained():
            raise BackendError(
                f"{self.engine} computes something else: its scores differ by {self.difference:.1e}"
            )
        self.turn()  # to learn how many runs make a turn
        self.runs = int(np.clip(TURN_NS // max(self.rounds.pop()), 1, MOST_IN_TURN))

    def turn(self) -> None:
        """Let it run for a while."""
        assert self.process.stdin
        self.process.stdin.write(f"{self.runs}\n")
        self.process.stdin.flush()
        answer = self._answer()
        self.rounds.append(tuple(answer["nanoseconds"]))
        self.peak_bytes = answer["peak_bytes"]

    def result(self) -> Result:
        """All that was measured."""
        rounds = tuple(self.rounds)
        return Result(self.engine, self.version, rounds, self.peak_bytes, self.difference)

    def _answer(self) -> dict[str, Any]:
        output: IO[str] | None = self.process.stdout
        assert output
        for line in output:
            if line.startswith("{"):  # some engines greet
                answer: dict[str, Any] = json.loads(line)
                return answer
        last = self.complaints.read_text(errors="replace").strip().splitlines()
        raise BackendError(
            f"{self.engine} ended with status {self.process.wait()}: {(last or ['silently'])[-1]}"
        )


@contextmanager
def _worker(engine: str, file: Path, threads: int, batch: int, folder: Path) -> Iterator[Worker]:
    arguments = ["serve", engine, str(file), str(threads), str(batch), str(folder)]
    complaints = folder / f"{engine}.txt"
    with complaints.open("w") as errors:
        process = subprocess.Popen(
            command(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            text=True, env=environment(threads),
        )  # fmt: skip
    with process:  # leaving closes the pipes and waits
        try:
            yield Worker(engine, process, complaints)
        finally:
            process.kill()


def command(*arguments: str) -> list[str]:
    """How to start a worker."""
    return children.command("benchmarks.worker", *arguments)


def environment(threads: int, **more: str) -> dict[str, str]:
    """Environment of a worker: libraries that take their number of threads from it get it."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TBB_NUM_THREADS")
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": "1"}
    return children.environment(**dict.fromkeys(names, str(threads)), **quiet, **more)
