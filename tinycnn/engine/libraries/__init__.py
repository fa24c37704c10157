"""Kernels compiled ahead of time, one shared library for each CPU, and which of them fits here.

A wheel carries them (`tinycnn build`); a checkout has none and compiles for itself. A library holds
the hash of the kernel sources that it was made from: one made from others is refused.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinycnn.engine import cache
from tinycnn.engine.kernels.family import CURRENT, cpu_identity
from tinycnn.errors import BackendError

FOLDER = Path(__file__).parent
ENTRY, SOURCES = "tinycnn_run", "tinycnn_sources"


@dataclass(frozen=True)
class Cpu:
    """A CPU that a library is compiled for. ``part``: Arm's number of it in /proc/cpuinfo."""

    name: str
    family: str
    machine: str
    part: str = ""

    @property
    def triple(self) -> str:
        """What LLVM calls the platform."""
        return f"{self.machine}-linux-gnu"


CPUS = {
    cpu.name: cpu
    for cpu in (
        Cpu("cortex-a76", "neon", "aarch64", "0xd0b"),  # Raspberry Pi 5
        Cpu("cortex-a72", "neon", "aarch64", "0xd08"),  # Raspberry Pi 4
        Cpu("armv8-a", "neon", "aarch64"),
        Cpu("x86-64-v4", "avx512", "x86_64"),
        Cpu("x86-64-v3", "avx2", "x86_64"),
    )
}


def of_host() -> Cpu | None:
    """The CPU of `CPUS` that this machine's is, or None; TINYCNN_CPU forces one."""
    if forced := os.environ.get("TINYCNN_CPU"):
        return CPUS.get(forced)
    part = cpu_identity()[0].split()[-1]
    for cpu in CPUS.values():
        if cpu.family == CURRENT.name and cpu.part in ("", part):
            return cpu
    return None


def find() -> tuple[Path | None, str]:
    """(the library for this machine, "") or (None, why there is none and what to do)."""
    cpu = of_host()
    if cpu is None:
        return None, f"no library is made for this CPU ({' '.join(cpu_identity()[0].split())})"
    path = FOLDER / f"{cpu.name}.so"
    if not path.exists():
        return None, f"this installation carries no library for {cpu.name}; make one: tinycnn build"
    return path, ""


def load(path: Path) -> tuple[Any, int]:
    """Load a library: (what keeps it loaded, address of the interpreter); BackendError if stale."""
    try:
        library = ctypes.CDLL(str(path))
        made_from = bytes((ctypes.c_char * 32).in_dll(library, SOURCES)).decode()
        place = ctypes.cast(getattr(library, ENTRY), ctypes.c_void_p).value
    except (OSError, ValueError, AttributeError) as error:
        raise BackendError(
            f"{path} cannot be loaded ({error}); make it again: tinycnn build"
        ) from None
    if made_from != cache.sources():
        raise BackendError(
            f"{path} was made from other kernels than this version's; make it again: tinycnn build"
        )
    assert place is not None
    return library, place
