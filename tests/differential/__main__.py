"""``python -m tests.differential --count 20000``: random networks, compared; see CONTRIBUTING.md.

Exit status 1 if a network fails, or if a path of `paths.PATHS` is taken by none.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.differential.jobs import Job, run
from tests.differential.paths import PATHS
from tests.differential.shrink import shrink, told
from tests.differential.worker import PLAIN, Worker, case_of

PROGRESS = 20.0  # seconds between two lines


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser("python -m tests.differential", description=__doc__)
    made.add_argument("--count", type=int, default=300, help="so many networks")
    made.add_argument("--seed", type=int, default=0, help="the first one's seed")
    made.add_argument("--case", type=int, metavar="SEED", help="this one alone, and shrink it")
    made.add_argument("--size", choices=("tiny", "real", "both"), default="both")
    made.add_argument("--jobs", type=int, default=1, help="processes at a time")
    made.add_argument("--guarded", action="store_true", help="between unmapped pages")
    made.add_argument("--keras", type=int, default=0, metavar="N", help="the first N with Keras")
    made.add_argument("--backend", choices=("numba", "native"), default="numba")
    made.add_argument("--family", default="", help="of CPUs: avx2, generic...")
    made.add_argument("--paths", action="store_true", help="print how often each path was taken")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    options = parser().parse_args(arguments)
    if options.case is not None:
        return one(options)
    taken, failures = several(options)
    missing = [path for path in PATHS if not taken[path]]
    for path in PATHS if options.paths else missing:
        print(f"{taken[path]:9,}  {path}")
    print(f"{options.count} networks, {len(failures)} failed, {taken['refused']} of them refused "
          f"by the verifier; {len(PATHS) - len(missing)} of {len(PATHS)} paths taken")  # fmt: skip
    return 1 if failures or missing else 0


def several(options: argparse.Namespace) -> tuple[Counter[str], list[Job]]:
    """Run many cases; how often paths were taken, and which cases failed."""
    taken, failures, start = Counter[str](), list[Job](), time.monotonic()
    last = start
    jobs = [job(options, seed, i) for i, seed in
            enumerate(range(options.seed, options.seed + options.count))]  # fmt: skip
    for done, (each, answer) in enumerate(run(jobs, options.jobs, options.family), 1):
        taken.update(answer["paths"])
        if answer["wrong"]:
            failures.append(each)
            taken["refused"] += answer["wrong"].startswith("ProgramError")
            print(f"FAILED {answer['wrong']}\n    {again(options, each)}", flush=True)
        if time.monotonic() - last > PROGRESS or done == len(jobs):
            last = time.monotonic()
            each_ms = 1000 * (last - start) / done
            print(f"{done} of {len(jobs)}, {len(failures)} failed, {each_ms:.0f} ms each",
                  flush=True)  # fmt: skip
    return taken, failures


def job(options: argparse.Namespace, seed: int, number: int) -> Job:
    """What a worker is asked for one seed; of both sizes the seeds take turns."""
    size = ("tiny", "real")[seed % 2] if options.size == "both" else options.size
    return {"seed": seed, "size": size, "backend": options.backend, "guarded": options.guarded,
            "keras": number < options.keras}  # fmt: skip


def again(options: argparse.Namespace, each: Job) -> str:
    """The command that runs one case."""
    words = ["python -m tests.differential --case", each["seed"], "--size", each["size"]]
    words += ["--guarded"] if each["guarded"] else []
    words += ["--keras 1"] if each["keras"] else []
    words += ["--backend", each["backend"]] if each["backend"] != "numba" else []
    words += ["--family", options.family] if options.family else []
    return " ".join(map(str, words))


def one(options: argparse.Namespace) -> int:
    """Run one case; shrink it if it fails."""
    request = job(options, options.case, 0)
    case = case_of(PLAIN | request)
    graph = case.graph.to_json()
    with Worker(options.family) as worker:
        wrong = worker.ask(**request)["wrong"]
        print(f"{told(graph)}\n{wrong or 'as it should be'}")
        if not wrong:
            return 0
        request["cache"] = case.cache
        least = shrink(graph, lambda g: fails(worker.ask(**request, graph=g), wrong.split()[0]))
        print(f"\nshrunk: {worker.ask(**request, graph=least)['wrong']}\n{told(least)}")
        print(f"planned for a second-level cache of {case.cache >> 10} KB")
    return 1


def fails(answer: Job, kind: str) -> bool:
    """Whether a case fails in the same way as the one that is shrunk."""
    return bool(answer["wrong"]) and answer["wrong"].split()[0] == kind


if __name__ == "__main__":
    sys.exit(main())
