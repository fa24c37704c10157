"""What was measured, as JSON and as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinycnn import __version__
from tinycnn.benchmarks.engines import ENGINES
from tinycnn.benchmarks.profiling import Profile
from tinycnn.benchmarks.race import Outcome, Result
from tinycnn.benchmarks.start import Start

SCHEMA = "tinycnn-benchmark/1"
MEGA, GIGA = 1e6, 1e9
NS_PER_MS, NS_PER_US = 1e6, 1e3


@dataclass(frozen=True)
class Measured:
    """One network: ``races`` by size of batch, 1 among them."""

    title: str
    parameters: int
    macs: int
    threads: int
    start: Start
    races: Mapping[int, Outcome]
    compiling: Start | None = None
    profile: Profile | None = None

    @property
    def ours(self) -> Result:
        """Our engine, one image at a time."""
        return self.races[1].results[0]

    @property
    def flops(self) -> float:
        """Operations per second, a multiply-add counted as two, for the median image."""
        return 2 * self.macs / (float(np.median(self.ours.nanoseconds)) / GIGA)


def document(machine: Mapping[str, Any], peak: float, networks: Iterable[Measured]) -> Any:
    """Return all that is known in plain JSON types; times in ns, memory in bytes."""
    return {
        "schema": SCHEMA,
        "tinycnn": __version__,
        "machine": dict(machine),
        "peak_flops": peak,
        "networks": [_network(measured, peak) for measured in networks],
    }


def _network(m: Measured, peak: float) -> dict[str, Any]:
    return {
        "network": m.title,
        "parameters": m.parameters,
        "macs": m.macs,
        "threads": m.threads,
        "flops": m.flops,
        "share_of_peak": m.flops / peak,
        "start": _start(m.start),
        "compiling": _start(m.compiling) if m.compiling else None,
        "arena_bytes": m.start.arena_bytes,
        "constants_bytes": m.start.constants_bytes,
        "instructions": m.start.instructions,
        "races": [_race(batch, outcome) for batch, outcome in m.races.items()],
        "profile": _profile(m.profile) if m.profile else None,
    }


def _profile(profile: Profile) -> dict[str, Any]:
    rows = [row.to_json() for row in profile.rows]
    return {"inside": profile.inside, "call": profile.call, "rows": rows}


def _start(start: Start) -> dict[str, Any]:
    return {"stages": start.stages, "total": start.total, "compiled": start.compiled}


def _race(batch: int, outcome: Outcome) -> dict[str, Any]:
    ours, best = outcome.results[0], outcome.best_peer()
    return {
        "batch": batch,
        "engines": [_result(r, batch) | {"ratio": ours.ratio(r)} for r in outcome.results],
        "refused": outcome.refused,
        "best_peer": best.engine if best else None,
        "ratio_to_best_peer": ours.ratio(best) if best else None,
    }


def _result(result: Result, batch: int) -> dict[str, Any]:
    p50, p90, p99 = percentiles(result)
    return {
        "engine": result.engine,
        "version": result.version,
        "runs": len(result.nanoseconds),
        **{"p50": p50, "p90": p90, "p99": p99},
        "images_per_second": batch / (p50 / GIGA),
        "peak_bytes": result.peak_bytes,
        "largest_difference": result.difference,
    }


def percentiles(result: Result) -> tuple[float, float, float]:
    """(p50, p90, p99) of a result's durations, ns."""
    p50, p90, p99 = np.percentile(result.nanoseconds, [50, 90, 99])
    return float(p50), float(p90), float(p99)


def heading(machine: Mapping[str, Any], peak: float, threads: int) -> str:
    """Tell what was measured on."""
    cores = ", ".join(map(str, machine["affinity"])) or "unknown"
    return (
        f"{machine['cpu']}, {machine['cores']} cores (usable: {cores}), kernels {machine['family']}"
        f", load {machine['load']}\nmultiply-add peak of {threads} thread{'s' * (threads > 1)}, "
        f"measured: {peak / GIGA:.0f} GFLOP/s"
    )


def text(m: Measured, peak: float) -> Iterator[str]:
    """Lines about one network."""
    p50, p90, p99 = (value / NS_PER_MS for value in percentiles(m.ours))
    yield f"\n{m.title}: {m.parameters:,} parameters, {m.macs / MEGA:,.1f} M multiply-adds"
    yield f"  first result  {_stages(m.start)}"
    if m.compiling:
        yield f"  the very first {_stages(m.compiling)}"
    runs = len(m.ours.nanoseconds)
    yield f"  one image     {p50:.3f} ms (p90 {p90:.3f}, p99 {p99:.3f}; {runs} runs)"
    yield f"  speed         {m.flops / GIGA:.1f} GFLOP/s, {m.flops / peak:.0%} of the peak"
    for batch, outcome in m.races.items():
        if batch > 1:
            per_second = batch / (percentiles(outcome.results[0])[0] / GIGA)
            yield f"  batch of {batch:<4} {per_second:,.1f} images per second"
    arena, constants = m.start.arena_bytes / MEGA, m.start.constants_bytes / MEGA
    yield (
        f"  memory        {m.ours.peak_bytes / MEGA:.0f} MB at most in the whole process; "
        f"arena {arena:.1f} MB, packed weights {constants:.1f} MB"
    )
    for batch, outcome in m.races.items():
        if len(outcome.results) > 1 or outcome.refused:
            yield from comparison(batch, outcome)
    if m.profile:
        yield from profile_table(m.profile)


def _stages(start: Start) -> str:
    code = "compiling" if start.compiled else "code from the cache"
    parts = [
        f"{code if stage == 'code' else stage} {time / NS_PER_MS:.0f}"
        for stage, time in start.stages.items()
    ]
    return f"{start.total / NS_PER_MS:.0f} ms: " + ", ".join(parts)


def comparison(batch: int, outcome: Outcome) -> Iterator[str]:
    """Give a Markdown table of the engines, the ratio being our time to each one's."""
    images = f"batch of {batch}" if batch > 1 else "one image"
    columns = [f"{images}, ms", "p50", "p90", "p99", "ours/it", "memory MB", "difference"]
    yield "\n" + _cells(columns)
    yield _cells(["---", *["---:"] * 6])
    for result in outcome.results:
        times = [f"{value / NS_PER_MS:.3f}" for value in percentiles(result)]
        name = f"{ENGINES[result.engine].title} {result.version}"
        ratio = f"{outcome.results[0].ratio(result):.2f}"
        memory = f"{result.peak_bytes / MEGA:.0f}"
        yield _cells([name, *times, ratio, memory, f"{result.difference:.0e}"])
    for engine, reason in outcome.refused.items():
        yield f"not compared: {ENGINES[engine].title}: {reason}"


def profile_table(profile: Profile) -> Iterator[str]:
    """Give one line for each instruction, and the sums."""
    yield f"\n{'us':>9} {'share':>6} {'MMACs':>8} {'GFLOP/s':>8}  {'instruction':<20} layer"
    for row in profile.rows:
        shape = "x".join(map(str, row.shape))
        yield (
            f"{row.nanoseconds / NS_PER_US:9.1f} {row.share:6.1%} {row.macs / MEGA:8.2f} "
            f"{row.gflops:8.1f}  {row.instruction:<20} {row.layer} {shape}"
        )
    outside = profile.call - profile.inside
    yield (
        f"{profile.inside / NS_PER_US:9.1f}  without the clocks; a call of predict takes "
        f"{profile.call / NS_PER_US:.1f}, so Python {outside / NS_PER_US:.1f}"
    )


def _cells(values: Iterable[str]) -> str:
    return f"| {' | '.join(values)} |"
