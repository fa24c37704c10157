"""What one must know of the machine to judge a figure that was measured on it."""

from __future__ import annotations

import os
import platform
from typing import Any

from tinycnn.engine.kernels.family import CURRENT, cpu_identity
from tinycnn.engine.session import available_cores

BUSY = 0.3  # share of the cores that others may use before a figure is worth little


def describe() -> dict[str, Any]:
    """CPU, kernel family, cores that may be used, load of the last minute, Python."""
    return {
        "cpu": cpu_identity()[0],
        "family": CURRENT.name,
        "cores": os.cpu_count() or 1,
        "affinity": affinity(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def affinity() -> list[int]:
    """Numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def busy() -> str:
    """Say that others use the machine now; "" if they hardly do."""
    load, cores = os.getloadavg()[0], available_cores()
    if load <= BUSY * cores:
        return ""
    return f"the machine is busy (load {load:.2f} on {cores} cores): figures will be too slow"


def peak_memory() -> int:
    """Most bytes of memory that this process ever had; 0 where the system does not tell."""
    # Not getrusage: its figure outlives exec, so that it would be the parent's.
    try:
        with open("/proc/self/status") as status:
            lines = [line for line in status if line.startswith("VmHWM:")]
    except OSError:
        return 0
    return int(lines[0].split()[1]) << 10 if lines else 0
