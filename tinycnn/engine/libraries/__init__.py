"""Kernels compiled ahead of time, one shared library for each CPU, and which of them fits here.

A wheel carries them (`tinycnn build`); a checkout has none and compiles for itself. A library says
which kernel sources, and for which family of CPUs, it was made from: one made from others is
refused. Its last 32 bytes are the SHA-256 of the rest, as in the cache: the system's loader would
crash on a file that is cut off.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
from pathlib import Path
from typing import Any

from tinycnn.engine import cache
from tinycnn.engine.kernels.family import CURRENT, cpu_identity
from tinycnn.errors import PROGRAM, BackendError
from tinycnn.lightclass import dataclass

FOLDER = Path(__file__).parent
ENTRY, SOURCES = "tinycnn_run", "tinycnn_sources"
# What the levels of the x86-64 ABI mean, as Linux spells it; every CPU with `avx` has the rest.
V3 = frozenset(["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"])
V4 = V3 | frozenset(["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"])


@dataclass(frozen=True)
class Cpu:
    """A CPU that a library is compiled for, and how /proc/cpuinfo shows it.

    ``part``: Arm's number of the core, "" for any; ``flags``: what an x86 CPU must have.
    """

    name: str
    family: str
    machine: str
    part: str = ""
    flags: frozenset[str] = frozenset()

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
        Cpu("x86-64-v4", "avx512", "x86_64", flags=V4),
        Cpu("x86-64-v3", "avx2", "x86_64", flags=V3),
    )
}


def of_host() -> Cpu | None:
    """The first CPU of `CPUS` whose code this machine runs; TINYCNN_CPU forces one."""
    if forced := os.environ.get("TINYCNN_CPU"):
        return _forced(forced)
    model, features = cpu_identity()
    for cpu in CPUS.values():
        ours = cpu.machine == platform.machine() and cpu.family == CURRENT.name
        if ours and cpu.part in ("", model.split()[-1]) and cpu.flags <= set(features.split()):
            return cpu
    return None


def _forced(name: str) -> Cpu:
    if name not in CPUS:
        raise BackendError(f"TINYCNN_CPU={name!r}: there are {', '.join(CPUS)}")
    if CPUS[name].family != CURRENT.name:  # weights would be packed for another tile
        family = CPUS[name].family
        raise BackendError(f"TINYCNN_CPU={name} needs TINYCNN_FAMILY={family}, not {CURRENT.name}")
    return CPUS[name]


def find() -> Path | None:
    """Where the library for this machine's CPU is; None if there is none. BackendError: `load`."""
    cpu = of_host()
    path = FOLDER / f"{cpu.name}.so" if cpu else None
    return path if path and path.exists() else None


def is_absent() -> bool:
    """Whether there is none, which is no fault: this is a checkout, or an unusual CPU."""
    try:
        return find() is None
    except BackendError:
        return False


def problem() -> str:
    """Why no library runs here and what to do about it; "" if one does."""
    try:
        path = find()
        if path is not None:
            load(path)
            return ""
        cpu = of_host()
    except BackendError as error:
        return str(error)
    if cpu is None:
        found = " ".join(cpu_identity()[0].split())
        return f"no library is made for this CPU ({found})"
    return f"this installation carries no library for {cpu.name}; make one: {PROGRAM} build"


def is_library(code: bytes) -> bool:
    """Whether an ELF file is a shared library, by its type."""
    return code[16:18] == b"\x03\x00"


def seal(code: bytes) -> bytes:
    """A library as it is stored: with its digest."""
    return code + hashlib.sha256(code).digest()


@functools.cache
def load(path: Path) -> tuple[Any, int]:
    """Load a library: (what keeps it loaded, address of the interpreter).

    BackendError if it is damaged, for another machine, or made from other kernels.
    """
    advice = f"make it again: {PROGRAM} build"
    try:
        _check(path.read_bytes())
        library = ctypes.CDLL(str(path))
        made_from = bytes((ctypes.c_char * 32).in_dll(library, SOURCES)).decode()
        place = ctypes.cast(getattr(library, ENTRY), ctypes.c_void_p).value or 0
    except (OSError, ValueError, AttributeError) as error:
        raise BackendError(f"{path} cannot be loaded ({error}); {advice}") from None
    if made_from != signature():
        raise BackendError(f"{path} was made from other kernels than this version's; {advice}")
    return library, place


def _check(data: bytes) -> None:
    if hashlib.sha256(data[:-32]).digest() != data[-32:]:
        raise ValueError("damaged or cut off")


def signature() -> str:
    """What a library for this machine was made from: kernel sources, and family of CPUs."""
    return cache.key(CURRENT.name)
