"""How near backends come to what is allowed, over random networks; and which planted faults show.

    python -m tests.tolerance.study --count 20000
    python -m tests.tolerance.study --count 20000 --generator tests.differential.case:from_seed real
    python -m tests.tolerance.study --count 2000 --faults

Each network is compared as a conversion compares it: scores, logits and layers on the way, and as
its self-test is. Without a generator the networks are `networks.classifier`'s; another one is a
function of a seed and the words behind it, whose result has ``graph``, ``weights``, ``x`` and
``cache``. Every family runs in processes of its own; one that dies is reported and started again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from tinycnn.convert.parity import Part, compared

from tests.tolerance import faults
from tests.tolerance.networks import Case, classifier
from tinycnn.engine import caches, native
from tinycnn.engine.lower import lower_graph
from tinycnn.engine.plan import plan
from tinycnn.engine.program import Execution
from tinycnn.engine.rewrites import rewrite
from tinycnn.nn.tolerance import measure

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = ("avx512", "avx2", "generic")
THREADS = (1, 2)
QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)


def case_of(seed: int, generator: list[str]) -> Case:
    """The case of a seed."""
    if not generator:
        return classifier(seed)
    module, _, function = generator[0].partition(":")
    found = getattr(importlib.import_module(module), function)(seed, *generator[1:])
    return Case(found.graph, found.weights, [found.x], found.cache)


def parts_of(case: Case) -> dict[str, Part]:
    """All that is compared, by its place: as the parity check and the self-test do."""
    parts = compared(case.graph, case.weights, case.inputs)
    places = ["scores", *(part.graph.output for part in parts[1:])]
    output, x = case.graph.output, case.inputs[0]
    right = measure(case.graph, case.weights, x, {output: np.ravel})[output]
    test = Part(case.graph, [right], right.allowed)
    return {**dict(zip(places, parts, strict=True)), "self-test": test}


def compare(case: Case) -> dict[str, float]:
    """Place -> largest difference of this process's family, in what is allowed."""
    result = {}
    for place, part in parts_of(case).items():
        inputs = case.inputs[: len(part.right)]
        found = [_outputs(case, part, threads, inputs) for threads in THREADS]
        largest = max(max(part.differences(each)) for each in found)
        result[place] = largest / part.allowed
    return result


def _outputs(case: Case, part: Part, threads: int, inputs: list[Any]) -> list[Any]:
    size = case.cache or caches.second_level()
    with mock.patch.object(caches, "second_level", return_value=size):
        program = plan(rewrite(lower_graph(part.graph, case.weights)), threads)
    execution = Execution(program, native.load("numba"), threads)
    return [execution.run(x) for x in inputs]


def plant(case: Case, seed: int) -> Counter[str]:
    """Counts of "KIND: RESULT" of faults planted into a network."""
    random, parts = np.random.default_rng([16, seed]), list(parts_of(case).values())[:-1]
    result = Counter[str]()
    for kind in faults.KINDS * faults.EACH:
        fault = faults.plant(kind, case, random)
        if fault:
            result[f"{kind}: {faults.judge(case, parts, fault)}"] += 1
    return result


def work(first: int, last: int, generator: list[str], planting: bool) -> None:
    """Answer with a line of JSON for each seed, in a process of its own."""
    for seed in range(first, last):
        try:
            case = case_of(seed, generator)
            found: Any = plant(case, seed) if planting else compare(case)
        except Exception as error:  # of any kind: it is a result
            found = {"error": f"{type(error).__name__}: {error}"[:200]}
        print(json.dumps([seed, found]), flush=True)


def answers(family: str, options: argparse.Namespace) -> Iterator[tuple[int, dict[str, Any]]]:
    """What the processes of a family say of each seed."""
    first, last = options.first, options.first + options.count
    words = [*(["--faults"] if options.faults else []), *(["--generator", *options.generator])]
    environment = {**os.environ, "TINYCNN_FAMILY": family, "OPENBLAS_NUM_THREADS": "1"}
    while first < last:
        command = [sys.executable, "-W", "ignore", "-m", "tests.tolerance.study", "--work",
                   "--first", str(first), "--count", str(last - first), *words]  # fmt: skip
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            for line in process.stdout:
                seed, found = json.loads(line)
                yield seed, found
                first = seed + 1
        if first < last:
            yield first, {"error": f"the process ended with status {process.returncode}"}
            first += 1


def report(name: str, rows: dict[int, dict[str, Any]]) -> None:
    """Print the distribution, and every network that would be refused or that ended otherwise."""
    wrong = {seed: row["error"] for seed, row in rows.items() if "error" in row}
    good = {seed: row for seed, row in rows.items() if "error" not in row}
    of_tests = [row["self-test"] for row in good.values()]
    worst = {seed: max(row.values()) for seed, row in good.items()}
    for what, values in (("self-test", of_tests), ("all places", list(worst.values()))):
        quantiles = np.quantile(values, QUANTILES) if values else []
        spelt = "  ".join(f"{q:g}: {v:.3f}" for q, v in zip(QUANTILES, quantiles, strict=False))
        print(f"{name}, {len(good)} networks, {what}: difference / allowed  {spelt}")
    for seed, ratio in sorted(worst.items(), key=lambda item: -item[1]):
        if ratio > 1:
            place = max(good[seed], key=good[seed].__getitem__)
            print(f"  refused: seed {seed}, at {place!r}, {ratio:.3g} times what is allowed")
    for seed, text in wrong.items():
        print(f"  seed {seed}: {text}")


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--generator", nargs="*", default=[])
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--faults", action="store_true", help="plant faults instead")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main() -> None:
    """Run the command."""
    options = arguments()
    if options.work:
        work(options.first, options.first + options.count, options.generator, options.faults)
        return
    if options.faults:
        counts = Counter[str]()
        for _, found in answers("", options):
            counts.update(found if "error" not in found else {found["error"]: 1})
        print(*(f"{what}: {count}" for what, count in sorted(counts.items())), sep="\n")
        return
    for family in options.families.split(","):
        report(family, dict(answers(family, options)))


if __name__ == "__main__":
    main()
