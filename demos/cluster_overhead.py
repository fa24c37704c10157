#!/usr/bin/env python3
"""What Dask itself takes of a study: a job that does nothing, in parts of 1 to 64 studies.

    python demos/cluster_overhead.py [--scheduler ADDRESS]

Without an address, on two processes of this machine. Needs the extra "dask".
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import _checkout  # noqa: F401

from tinycnn import cluster, clusterjob, weights
from tinycnn.evaluation.records import Record, study_id
from tinycnn.panels import Setup, open_panel
from tinycnn.studies.finder import Entry, Folder
from tinycnn.studies.names import parse_mura
from tinycnn.studies.panel import Panel

TASKS, VIEWS = 400, 3


@dataclass(frozen=True)
class Nothing:
    """Answers as `tinycnn evaluate` does, without having looked."""

    setup: Setup

    def judge(self, folders: Sequence[Folder], panel: Panel) -> Iterable[Record]:
        """See `tinycnn.clusterjob.Job`."""
        for folder in folders:
            views = tuple((entry.name, 0.5) for entry in folder.entries)
            yield Record(study_id("/", folder), folder.path, folder.name, views, ())


def folders(number: int) -> Iterator[Folder]:
    """Studies as MURA names them; the image in them is this file."""
    here = str(Path(__file__).resolve())
    for i in range(number):
        path = f"/data/XR_WRIST/patient{i:05}/study1_negative"
        entries = tuple(Entry(f"image{view}.png", here) for view in range(VIEWS))
        yield Folder(path, entries, parse_mura(path))


@contextmanager
def scheduler(address: str | None) -> Iterator[str]:
    """The cluster that is there, or a small one."""
    if address:
        yield address
        return
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local:
        yield local.scheduler_address


def main() -> None:
    """Print a row for each size of a part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scheduler", metavar="ADDRESS")
    options = parser.parse_args()
    setup = Setup((str(weights.find("cnn5-phantoms")),), backend="numpy")
    panel, source = open_panel(setup)
    job = Nothing(clusterjob.sent(setup, source))
    print("studies a task   ms a task   ms a study   client's CPU, ms a study")
    with scheduler(options.scheduler) as address, cluster.connected(address) as client:
        for size in (1, 4, 16, 64):
            cluster.MOST = size
            for studies in (64, TASKS * size):  # the first opens the model
                wall, cpu = time.perf_counter(), time.process_time()
                assert len(list(cluster.judged(client, job, folders(studies), panel))) == studies
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            ms = 1e3 * wall / TASKS
            print(f"{size:14}{ms:12.2f}{ms / size:13.3f}{1e3 * cpu / studies:27.3f}")


if __name__ == "__main__":
    main()
