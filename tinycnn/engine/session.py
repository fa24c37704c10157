"""A model made runnable: with a backend and threads."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from tinycnn.engine import libraries
from tinycnn.errors import BackendError, UsageError
from tinycnn.nn.model import Model
from tinycnn.nn.selftest import replay
from tinycnn.nn.types import Array

if TYPE_CHECKING:
    from tinycnn.engine.program import Program, Watch

Backend = Literal["native", "numba", "numpy"]
BACKENDS: tuple[Backend, ...] = ("native", "numba", "numpy")  # in order of preference
MAX_THREADS = 256
LONG_STEPS = 10**10  # of `Graph.steps`: from here on, the reference may take some seconds


class Runner(Protocol):
    """What a backend makes of a model."""

    @property
    def long(self) -> bool:
        """Whether an image may take so long that one should be told."""

    def run(self, batch: Array, watch: Watch | None = None) -> Array:
        """Scores (N, classes) for a batch (N, H, W, C), both float32, C-contiguous.

        ``watch``: is told now and then how much of an image is done, from 0 to 1.
        """


class Session:
    """A `Model` with a backend: ``predict`` is all that anyone needs.

    ``backend``: "native" (kernels compiled ahead of time), "numba" (compiled here, once) or
    "numpy" (the reference); None takes the first that works here.
    ``threads``: how many share each image; None means all cores that may be used.
    ``program``: what was planned for this model and these threads before.
    The model's self-test is replayed when the session is made.
    """

    def __init__(
        self,
        model: Model,
        backend: str | None = None,
        threads: int | None = None,
        *,
        path: str = "",
        model_hash: str = "",
        program: Program | None = None,
    ) -> None:
        self.model, self.path, self.model_hash = model, path, model_hash
        self.threads = checked_threads(threads)
        self.backend, self._runner = _start(model, backend, self.threads, program)
        self._replay()

    def __repr__(self) -> str:
        """Name the model, its shapes, the backend and the threads."""
        shapes = f"{self.model.input_shape} -> ({self.model.classes},)"
        return f"<{self.model.name}: {shapes}, {self.backend}, {self.threads} threads>"

    def _replay(self) -> None:
        """Replay the self-test, with a line on a terminal if it takes long."""
        if not self._runner.long or not (sys.stderr and sys.stderr.isatty()):
            replay(self.model, self._runner.run)
            return
        from tinycnn.nn.limits import duration
        from tinycnn.progress import Progress

        if self.backend == "numpy":  # which tells what is done by layers, and one may take minutes
            longest = duration(self.model.graph.steps)
            print(f"tinycnn: the self-test may take {longest}; Ctrl-C ends it", file=sys.stderr)
        with Progress(1000, "of the self-test") as progress:

            def watch(share: float) -> None:
                progress.advance(int(1000 * share) - progress.done)

            replay(self.model, lambda x: self._runner.run(x, watch))

    @property
    def program(self) -> Program | None:
        """What the kernels run; None with the reference."""
        return getattr(self._runner, "program", None)

    def predict(self, batch: Array) -> Array:
        """Scores (N, classes) float32 for preprocessed images (N, H, W, C)."""
        try:
            with np.errstate(over="ignore"):  # infinity comes out as NaN, which is not hidden
                x = np.ascontiguousarray(batch, np.float32)
        except (TypeError, ValueError) as error:
            raise UsageError(f"a batch is an array of numbers: {error}") from None
        if x.shape[1:] != self.model.input_shape:
            shape = ", ".join(map(str, self.model.input_shape))
            raise UsageError(f"the network takes a batch (N, {shape}), not {x.shape}")
        return self._runner.run(x)


def checked_threads(threads: int | None) -> int:
    """How many to run with; UsageError if that is no number of threads."""
    chosen = threads if threads is not None else min(available_cores(), MAX_THREADS)
    if not isinstance(chosen, int) or not 1 <= chosen <= MAX_THREADS:
        raise UsageError(f"threads must be a number in 1..{MAX_THREADS}, not {threads!r}")
    return chosen


def available_cores() -> int:
    """Cores that this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_backends() -> dict[Backend, str]:
    """Backend -> "" if it can run here, else why not and what to do about it."""
    return {"native": libraries.problem(), "numba": _numba_is_missing(), "numpy": ""}


def _numba_is_missing() -> str:
    if importlib.util.find_spec("numba"):  # importing it costs half a second
        return ""
    return "Numba is not installed; install it: pip install numba"


def _start(
    model: Model, backend: str | None, threads: int, program: Program | None
) -> tuple[Backend, Runner]:
    reasons = available_backends()
    if backend is not None and backend not in reasons:
        raise UsageError(f"no backend {backend!r}; there are {', '.join(BACKENDS)}")
    chosen = next(b for b in BACKENDS if (b == backend if backend else not reasons[b]))
    if reasons[chosen]:
        raise BackendError(f"backend {chosen!r} cannot run here: {reasons[chosen]}")
    if not backend and chosen != "native":
        _say_what_is_lost(chosen, reasons)
    if chosen == "numpy":
        return chosen, _Reference(model)
    from tinycnn.engine import native
    from tinycnn.engine.program import Execution

    program = program or _planned(model, threads)
    return chosen, Execution(program, native.load(chosen), threads)


def _say_what_is_lost(chosen: Backend, reasons: Mapping[Backend, str]) -> None:
    """A line about a library that is there and cannot be used, and one about the slow way."""
    import logging  # 2 ms, which the usual start does not need

    log = logging.getLogger("tinycnn")
    if chosen == "numpy":
        log.warning(
            "running in plain NumPy, some 50 times slower than it could be. %s. %s",
            *(f"{name}: {reasons[name]}" for name in ("native", "numba")),
        )
    elif not libraries.is_absent():
        log.warning("running with backend %s: %s", chosen, reasons["native"])


def _planned(model: Model, threads: int) -> Program:
    from tinycnn.engine.lower import lower_graph
    from tinycnn.engine.plan import plan
    from tinycnn.engine.rewrites import rewrite

    with np.errstate(all="ignore"):  # as in Graph.forward
        # Nobody else holds the network: `plan` lets its kernels go one by one as it packs them.
        return plan(rewrite(lower_graph(model.graph, model.weights)), threads)


class _Reference:
    """The NumPy backend: the reference, image by image to keep memory flat."""

    def __init__(self, model: Model) -> None:
        # Copies: weights are read at every image, and the model file may be cut off meanwhile.
        weights = {name: value.copy() for name, value in model.weights.items()}
        self.model = replace(model, weights=weights)

    @property
    def long(self) -> bool:
        """See `Runner`."""
        return self.model.graph.steps > LONG_STEPS

    def run(self, batch: Array, watch: Watch | None = None) -> Array:
        """See `Runner`."""
        graph, weights, done = self.model.graph, self.model.weights, 0

        def keep(name: str, value: Array) -> None:
            nonlocal done
            done += graph.node_steps[name]
            if watch:
                watch(done / graph.steps)

        results = [graph.forward(batch[i : i + 1], weights, keep) for i in range(len(batch))]
        return np.concatenate([np.empty((0, *self.model.graph.output_shape), np.float32), *results])
