"""300 random networks: compiled equals reference, for any number of threads, on every path."""

from __future__ import annotations

import itertools
import os
import sys
from collections import Counter

import numpy as np
import pytest

from tests.backends import WORKING
from tests.differential import check, paths
from tests.differential.__main__ import again, job, main, parser
from tests.differential.case import from_seed, named
from tests.differential.jobs import run
from tests.differential.tolerance import difference
from tests.differential.worker import Worker
from tests.engine.cases import CASES
from tests.engine.test_families import RUNS_ON
from tinycnn.engine.kernels import instructions
from tinycnn.engine.kernels.family import CURRENT, of_host

COUNT, FIRST = 300, 100  # in every run; with the cases of layers they take every path
JOBS = min(2, os.cpu_count() or 1)


def failures(*words: str) -> tuple[list[str], Counter[str]]:
    """What fails, and the command for it, of the networks that the command's options name."""
    options = parser().parse_args([*words])
    seeds = range(options.seed, options.seed + options.count)
    jobs = [job(options, seed, i) for i, seed in enumerate(seeds)]
    failed, taken = [], Counter[str]()
    for each, answer in run(jobs, JOBS, options.family):
        taken.update(answer["paths"])
        if answer["wrong"]:
            failed.append(f"{answer['wrong']}: {again(options, each)}")
    return failed, taken


def test_networks_compute_the_same_on_every_path():
    failed, taken = failures("--count", str(COUNT), "--seed", str(FIRST))
    assert not failed, "\n".join(failed)
    for name, seed in itertools.product(CASES, range(12)):
        programs, passes = check.planned(named(name, seed), (1,))
        taken.update(passes + paths.of_program(programs[0]))
    assert [path for path in paths.PATHS if not taken[path]] == []
    assert set(taken) <= set(paths.PATHS)


@pytest.mark.parametrize("backend", [name for name in WORKING if name != "numpy"])
def test_networks_between_unmapped_pages(backend):
    failed, _ = failures("--count", "60", "--seed", "3000", "--guarded", "--backend", backend)
    assert not failed, "\n".join(failed)


def test_cases_between_unmapped_pages():
    jobs = [{"named": name, "seed": seed, "guarded": True} for name in CASES for seed in range(2)]
    failed = [(each, answer["wrong"]) for each, answer in run(jobs, JOBS) if answer["wrong"]]
    assert failed == []


@pytest.mark.parametrize("family", [f for f in RUNS_ON[of_host()] if f != CURRENT.name])
def test_networks_on_other_families_of_this_machine(family):
    failed, _ = failures("--count", "40", "--seed", "2000", "--guarded", "--family", family)
    assert not failed, "\n".join(failed)


def test_every_opcode_has_its_paths():
    codes = {type(layout).__name__ for layout in instructions.LAYOUTS.values()}
    assert set(paths.VARIANTS) == codes - set(paths.MEASURING)


@pytest.mark.parametrize("seed", range(6))
def test_the_comparison_sees_one_wrong_value(seed):
    case = from_seed(seed, "tiny")
    assert difference(case, case.expected) == ""
    largest = np.abs(case.expected).max()
    wrong = case.expected.copy()
    wrong.flat[wrong.size // 2] += 0.02 * largest + 1e-3
    assert difference(case, wrong).startswith("off by")
    wrong.flat[0] = np.nan
    assert difference(case, wrong).startswith("1 of")
    assert difference(case, case.expected[:1]).startswith("shape")


def test_the_command(capsys, monkeypatch):
    assert main(["--case", "0", "--size", "tiny"]) == 0
    assert capsys.readouterr().out.endswith("as it should be\n")
    assert main(["--count", "3", "--paths"]) == 1  # three take few paths
    assert "3 networks, 0 failed, 0 of them refused by the verifier" in capsys.readouterr().out
    dies = "import os, sys; print(flush=True); sys.stdin.readline(); os.kill(os.getpid(), 11)"
    monkeypatch.setattr(Worker, "command", (sys.executable, "-c", dies))
    assert main(["--count", "1", "--seed", "7"]) == 1
    again = "python -m tests.differential --case 7 --size real"
    assert f"FAILED SIGSEGV\n    {again}\n" in capsys.readouterr().out
