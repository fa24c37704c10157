"""What one must know of the machine to judge a figure that was measured on it."""

from __future__ import annotations

import os
import platform
import time
from typing import Any

from tinycnn.engine.kernels.family import CURRENT, cpu_identity
from tinycnn.engine.session import available_cores

BUSY = 0.2  # cores that others may use before a figure is worth little


def describe() -> dict[str, Any]:
    """CPU, kernel family, cores that may be used, load of the last minute, Python."""
    return {
        "cpu": cpu_identity()[0],
        "family": CURRENT.name,
        "cores": os.cpu_count() or 1,
        "affinity": affinity(),
        "load": round(os.getloadavg()[0], 2),
        "used_by_others": round(used_by_others(), 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def affinity() -> list[int]:
    """Numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def used_by_others(seconds: float = 0.3) -> float:
    """How many cores other processes keep busy now; 0 where the system does not tell.

    Not the load average: that still counts what ended a minute ago.
    """
    before = _busy_ticks()
    time.sleep(seconds)
    ticks = _busy_ticks() - before
    return ticks / os.sysconf("SC_CLK_TCK") / seconds


def _busy_ticks() -> int:
    """Ticks that all cores together were not idle since the system started."""
    try:
        with open("/proc/stat") as status:
            _, user, nice, system, _, _, irq, softirq, *_ = status.readline().split()
    except OSError:
        return 0
    return sum(map(int, (user, nice, system, irq, softirq)))


def warning(used: float) -> str:
    """Say that others use the machine; "" if they hardly do."""
    if used <= BUSY:
        return ""
    return f"others keep {used:.1f} of {available_cores()} cores busy: figures will be too slow"


def peak_memory() -> int:
    """Most bytes of memory that this process ever had; 0 where the system does not tell."""
    # Not getrusage: its figure outlives exec, so that it would be the parent's.
    try:
        with open("/proc/self/status") as status:
            lines = [line for line in status if line.startswith("VmHWM:")]
    except OSError:
        return 0
    return int(lines[0].split()[1]) << 10 if lines else 0
