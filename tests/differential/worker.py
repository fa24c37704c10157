"""Cases run in a process of their own: what kills it is a failure that names the case.

The process reads one request a line and answers each with a line, both JSON. A request says which
network: a ``seed`` and a ``size``; with ``graph``, that one, its weights by the seed, planned for a
second-level cache of ``cache`` bytes; with ``named``, one of `tests.engine.cases`; with ``file``,
that of a model file.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.differential.case import Case

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0  # seconds for one case
BACKEND = os.environ.get("TINYCNN_TEST_BACKEND", "numba")  # or "native", as on the emulated Pi
PLAIN = {"seed": 0, "size": "tiny", "cache": 256 << 10, "backend": BACKEND, "guarded": False,
         "keras": False}  # fmt: skip


class Worker:
    """A process that checks cases; it is started again after its death."""

    command = (sys.executable, "-W", "ignore", "-m", "tests.differential.worker")

    def __init__(self, family: str = "") -> None:
        # One thread of BLAS: two workers, each with several threads of ours, are enough.
        quiet = {"OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        self.environment = os.environ | quiet | ({"TINYCNN_FAMILY": family} if family else {})
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> tuple[Any, Any]:
        """Wait until the process is ready, its kernels compiled; its input and output."""
        if self.process is None:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env=self.environment, cwd=ROOT,
            )  # fmt: skip
            assert self.process.stdout
            self.process.stdout.readline()
        return self.process.stdin, self.process.stdout

    def ask(self, **request: Any) -> dict[str, Any]:
        """{"wrong": what is wrong or "", "paths": {...}} of one case."""
        pipe, replies = self.start()
        with contextlib.suppress(BrokenPipeError):
            pipe.write(json.dumps(PLAIN | request).encode() + b"\n")
            pipe.flush()
        ready, _, _ = select.select([replies], [], [], PATIENCE)
        answer = replies.readline() if ready else b""
        return json.loads(answer) if answer else {"wrong": self._buried(bool(ready)), "paths": {}}

    def _buried(self, dead: bool) -> str:
        """End the process; how it died."""
        assert self.process
        if not dead:
            self.process.kill()
        status = self.process.wait()
        self.close()
        if not dead:
            return f"no answer within {PATIENCE:.0f} s"
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"

    def close(self) -> None:
        """Let the process end."""
        if self.process:
            for pipe in (self.process.stdin, self.process.stdout):
                assert pipe
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
            self.process.wait()
            self.process = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def case_of(request: dict[str, Any]) -> Case:
    """The case that is asked for."""
    from tests.differential import case, keras_model
    from tinycnn.nn.graph import Graph

    seed, size = request["seed"], request["size"]
    if told := request.get("graph"):
        return case.from_graph(Graph.from_json(told), seed, size, request["cache"])
    if name := request.get("named"):
        return case.named(name, seed)
    if path := request.get("file"):
        return case.from_file(Path(path), seed)
    return case.from_seed(seed, size, keras_model.representable if request["keras"] else None)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Check one case, and tell its network if something is wrong."""
    from tests.differential.builder import UnfitError
    from tinycnn.errors import GraphError

    try:
        case = case_of(request)
    except (UnfitError, GraphError) as error:
        return {"wrong": "", "paths": {}, "unfit": str(error)}
    wrong, taken = checked(case, request)
    return {"wrong": wrong, "paths": taken, "graph": case.graph.to_json()}


def checked(case: Case, request: dict[str, Any]) -> tuple[str, dict[str, int]]:
    """What is wrong with a case, exceptions among it, and the paths it takes."""
    from tests.differential import check, keras_model

    try:
        wrong, taken = check.CHECKS[request["guarded"]](case, request["backend"])
        return wrong or (keras_model.check(case) if request["keras"] else ""), taken
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {place.name}: {error}", {}


def main() -> None:
    """Answer requests until there are no more."""
    from tinycnn.engine import native

    native.load(BACKEND)
    print(flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
