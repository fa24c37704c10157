"""Libraries compiled ahead of time: which one fits, that it computes the same, what is refused."""

from __future__ import annotations

import logging
import platform
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.engine.cases import CASES, network
from tests.nn.models import small
from tests.pi import cycles
from tinycnn.engine import build, libraries, native
from tinycnn.engine.kernels import family
from tinycnn.engine.libraries import CPUS, V3, V4
from tinycnn.engine.lower import lower_graph
from tinycnn.engine.plan import plan
from tinycnn.engine.program import Execution
from tinycnn.engine.rewrites import rewrite
from tinycnn.engine.session import Session
from tinycnn.errors import BackendError

HOST = libraries.of_host()
FOREIGN = "cortex-a72" if platform.machine() == "x86_64" else "x86-64-v3"
# All that a library may want from the system it is loaded on: libc and libm.
SYSTEM = {"clock_gettime", "syscall", "memcpy", "memmove", "memset",
          "erff", "expf", "expm1f", "log1pf", "logf", "powf", "tanhf"}  # fmt: skip
ARM = "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: {}\n\nprocessor"
X86 = "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: {}\n\nprocessor\t: 1\n"

needs_library = pytest.mark.skipif(
    HOST is None or not shutil.which("ld"), reason="no library is made for this CPU, or no linker"
)


COMPILE = """
import resource, sys
from tinycnn.engine import build
sys.stdout.buffer.write(build.shared_library(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def compiled() -> tuple[bytes, int]:
    """A library for this machine's CPU, and what making it took at its peak, in kB."""
    assert HOST is not None
    command = [sys.executable, "-c", COMPILE, HOST.name]
    done = subprocess.run(command, capture_output=True, check=True)
    return done.stdout, int(done.stderr)


@pytest.fixture(scope="module")
def code(compiled):
    return compiled[0]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An installation whose libraries lie in a folder of the test's."""
    monkeypatch.setattr(libraries, "FOLDER", tmp_path)
    monkeypatch.delenv("TINYCNN_CPU", raising=False)
    native.load.cache_clear()
    yield tmp_path
    native.load.cache_clear()


def install(folder, content: bytes, name: str = "") -> str:
    path = folder / f"{name or HOST.name}.so"
    path.write_bytes(content)
    return str(path)


def cpuinfo(monkeypatch, tmp_path, machine: str, text: str) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    monkeypatch.setattr(family, "CPUINFO", path)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(libraries, "CURRENT", family.FAMILIES[family.of_host()])
    monkeypatch.delenv("TINYCNN_CPU", raising=False)


@pytest.mark.parametrize(
    ("machine", "text", "name"),
    [
        ("aarch64", ARM.format("0xd08"), "cortex-a72"),
        ("aarch64", ARM.format("0xd0b"), "cortex-a76"),
        ("aarch64", ARM.format("0xd03"), "armv8-a"),
        ("aarch64", "", "armv8-a"),
        ("aarch64", ARM.format("0xd05") + "\t: 1\nCPU part\t: 0xd0b\n", "armv8-a"),  # two kinds
        ("x86_64", X86.format(" ".join(V4)), "x86-64-v4"),
        ("x86_64", X86.format(" ".join(V3)), "x86-64-v3"),
        ("x86_64", X86.format(" ".join(V4 - {"avx512vl"})), "x86-64-v3"),
        ("x86_64", X86.format(" ".join(V3 - {"bmi2"})), None),
        ("x86_64", X86.format("sse4_2 avx"), None),
        ("x86_64", "", None),
        ("riscv64", "", None),
    ],
)
def test_which_cpu(monkeypatch, tmp_path, machine, text, name):
    cpuinfo(monkeypatch, tmp_path, machine, text)
    found = libraries.of_host()
    assert (found and found.name) == name


def test_a_cpu_that_has_none(monkeypatch, tmp_path):
    cpuinfo(monkeypatch, tmp_path, "x86_64", X86.format("sse4_2"))
    assert libraries.problem() == "no library is made for this CPU (x86_64 Some CPU)"
    assert libraries.is_absent()


def test_a_forced_cpu(monkeypatch, tmp_path, folder):
    cpuinfo(monkeypatch, tmp_path, "aarch64", ARM.format("0xd0b"))
    monkeypatch.setenv("TINYCNN_CPU", "cortex-a72")
    assert libraries.of_host() is CPUS["cortex-a72"]
    monkeypatch.setenv("TINYCNN_CPU", "x86-64-v3")
    assert "needs TINYCNN_FAMILY=avx2, not neon" in libraries.problem()
    monkeypatch.setenv("TINYCNN_CPU", "z80")
    assert libraries.problem().startswith("TINYCNN_CPU='z80': there are cortex-a76, ")


def test_none_in_this_installation(folder):
    if HOST is None:
        pytest.skip("no library is made for this CPU")
    message = f"this installation carries no library for {HOST.name}; make one: tinycnn build"
    assert libraries.problem() == message
    with pytest.raises(BackendError, match="carries no library"):
        Session(small(), "native")


@needs_library
def test_compiling_fits_a_small_computer(compiled):
    """Numba's own way, a copy of all that is called in every module, takes 900 MB."""
    assert compiled[1] < 450_000


@needs_library
@pytest.mark.parametrize("name", ["Conv2D", "DepthwiseConv2D", "Winograd", "InvertedResidual"])
def test_computes_the_same_bits(folder, code, name):
    install(folder, code)
    for seed in range(4):
        graph, weights, x = network(CASES[name], seed)
        program = plan(rewrite(lower_graph(graph, weights)), 1)
        ahead, now = (Execution(program, native.load(b), 1).run(x) for b in ("native", "numba"))
        assert np.array_equal(ahead, now)


@needs_library
def test_is_the_backend_that_is_taken(folder, code, caplog):
    install(folder, code)
    assert libraries.problem() == ""
    session = Session(small())
    assert session.backend == "native"
    assert not caplog.records


def cut_off(code: bytes) -> bytes:
    return code[: len(code) // 2]


def damaged(code: bytes) -> bytes:
    return code[:-100] + b"?" + code[-99:]


def made_from_others(code: bytes) -> bytes:
    stale = code[:-32].replace(libraries.signature().encode(), b"0" * 32)
    assert stale != code[:-32]
    return libraries.seal(stale)


def without_entry(code: bytes) -> bytes:
    return libraries.seal(code[:-32].replace(b"\0tinycnn_run\0", b"\0tinycnn_fun\0"))


def without_signature(code: bytes) -> bytes:
    return libraries.seal(code[:-32].replace(b"\0tinycnn_sources\0", b"\0tinycnn_sauces!\0"))


def another_machine(code: bytes) -> bytes:
    """The ELF header of a 32-bit Arm: e_machine stands at byte 18."""
    return libraries.seal(code[:18] + b"\x28\x00" + code[20:-32])


def empty(code: bytes) -> bytes:
    return b""


DAMAGES = [
    (cut_off, "damaged or cut off"), (damaged, "damaged or cut off"), (empty, "damaged"),
    (made_from_others, "made from other kernels than this version's"),
    (without_entry, "tinycnn_run"), (without_signature, "tinycnn_sources"),
    (another_machine, "cannot be loaded"),
]  # fmt: skip


@needs_library
@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_library_that_cannot_be_used(folder, code, caplog, damage, message):
    path = install(folder, damage(code))
    reason = libraries.problem()
    assert reason.startswith(path)
    assert message in reason
    assert reason.endswith("make it again: tinycnn build")
    assert "\n" not in reason
    with pytest.raises(BackendError, match="'native' cannot run here"):
        Session(small(), "native")
    caplog.clear()
    assert Session(small()).backend == "numba"
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.WARNING, "tinycnn")
    assert reason in record.getMessage()


@needs_library
def test_without_numba_too_the_slow_way_is_said(folder, code, caplog, monkeypatch):
    install(folder, cut_off(code))
    monkeypatch.setattr("tinycnn.engine.session._numba_is_missing", lambda: "no Numba; install it")
    assert Session(small()).backend == "numpy"
    (record,) = caplog.records
    message = record.getMessage()
    assert "slower" in message
    assert "cut off" in message
    assert "install it" in message
    assert "\n" not in message


@needs_library
def test_another_family_is_made_from_others(folder, code, monkeypatch):
    """Its weights would be packed for another tile."""
    path = folder / "other.so"
    path.write_bytes(code)
    other = "generic" if family.CURRENT.name != "generic" else "neon"
    monkeypatch.setattr(libraries, "CURRENT", family.FAMILIES[other])
    with pytest.raises(BackendError, match="made from other kernels"):
        libraries.load(path)


def undefined(path) -> set[str]:
    command = ["nm", "-D", "--undefined-only", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {line.split()[-1] for line in done.stdout.splitlines()}


@needs_library
def test_wants_nothing_but_the_systems_libraries(tmp_path, code):
    path = tmp_path / "library.so"
    path.write_bytes(code)
    assert undefined(path) <= SYSTEM
    assert not re.search(rb"NRT_|numba_|Py[A-Z]\w+", code)


@needs_library
def test_two_builds_are_equal_to_the_byte(code):
    assert build.shared_library(HOST.name) == code


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    if not shutil.which(f"{CPUS[FOREIGN].machine}-linux-gnu-ld"):
        pytest.skip("no linker for the other kind")
    path = tmp_path_factory.mktemp("foreign") / "foreign.so"
    path.write_bytes(build.shared_library(FOREIGN))
    return path


def test_a_library_for_another_machine(foreign):
    """It is compiled here, and loading it is one line."""
    assert undefined(foreign) <= SYSTEM
    with pytest.raises(BackendError, match="cannot be loaded"):
        libraries.load(foreign)


@pytest.mark.skipif(CPUS[FOREIGN].machine != "aarch64", reason="reads the code of an Arm library")
def test_arm_tiles_hold_their_values_in_registers(foreign):
    """Products, depthwise and Winograd's transforms: found, and no vector goes to the stack."""
    spills = {code.kernel: code.spills for code in cycles.pieces(foreign)}
    assert len(spills) == 5
    assert not any(spills.values()), spills


def test_no_compiler(monkeypatch):
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match="pip install numba"):
        build.shared_library("cortex-a72")


def test_no_linker_for_another_machine(monkeypatch):
    monkeypatch.setattr(build, "object_code", lambda target: b"\x7fELF" + bytes(100))
    with pytest.raises(BackendError, match="install the system package binutils-aarch64-linux-gnu"):
        build.shared_library("cortex-a72")
