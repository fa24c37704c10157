"""Every CPU family that this machine can run computes the same; its tiles stay in registers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tinycnn.engine import build, native
from tinycnn.engine.kernels.family import CURRENT, FAMILIES, of_host

RUNS_ON = {
    "avx512": ("avx512", "avx2", "generic"),
    "avx2": ("avx2", "generic"),
    "neon": ("neon",),
    "generic": ("generic",),
}
# Vector registers as objdump spells them, and whether a store of one goes to the stack.
SPILL = {
    "avx512": r"vmovups\s+%zmm\d+,-?(0x[0-9a-f]+)?\(%r[sb]p",
    "avx2": r"vmovups\s+%ymm\d+,-?(0x[0-9a-f]+)?\(%r[sb]p",
}
FUSED = {"avx512": r"vfmadd\w+ps\s.*%zmm", "avx2": r"vfmadd\w+ps\s.*%ymm"}


@pytest.mark.parametrize("family", [f for f in RUNS_ON[of_host()] if f != CURRENT.name])
def test_other_families_of_this_machine(family):
    """All generated cases and the tests below once more, in a process that forces the family."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-k", "not other_families", str(Path(__file__).with_name("test_backends.py"))]
    done = subprocess.run(
        [*command, __file__],
        env=os.environ | {"TINYCNN_FAMILY": family},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def loops(listing: str, fused: str) -> list[list[str]]:
    """Innermost loops of a disassembly: runs of lines that end in a jump back to their start."""
    lines = [line.split("\t") for line in listing.splitlines() if line.count("\t") >= 1]
    address = {
        m[1]: i for i, line in enumerate(lines) if (m := re.match(r"\s*([0-9a-f]+):", line[0]))
    }
    found = []
    for i, line in enumerate(lines):
        jump = re.search(r"\bj[a-z]+\s+([0-9a-f]+)", line[-1])
        start = address.get(jump[1]) if jump else None
        if start is not None and start < i:
            body = [part[-1] for part in lines[start : i + 1]]
            if sum(bool(re.search(fused, text)) for text in body) >= 8 and not any(
                re.search(r"\bj[a-z]+\s", text) for text in body[:-1]
            ):
                found.append(body)
    return found


@pytest.fixture(scope="module")
def listing(tmp_path_factory):
    if not shutil.which("objdump") or CURRENT.name not in FUSED:
        pytest.skip("needs objdump (binutils) and an x86 CPU with AVX2")
    path = tmp_path_factory.mktemp("code") / "kernels"
    path.write_bytes(native.code_for(build.host()))
    command = ["objdump", "-d", "--no-show-raw-insn", str(path)]
    return subprocess.run(command, capture_output=True, text=True).stdout


def count(pattern: str, body: list[str]) -> int:
    return sum(bool(re.search(pattern, text)) for text in body)


def test_matrix_products_hold_their_sums_in_registers(listing):
    """1x1 and k x k convolutions are one loop: it stores nothing, for any size of tile."""
    fused = FUSED[CURRENT.name]
    broadcast = r"^(?!.*%rip).*(vbroadcastss|1to16)"  # of an input, not of a constant
    inner = [body for body in loops(listing, fused) if count(broadcast, body) >= 4]
    # The largest tile, four channels in one turn: (multiply-adds, broadcasts).
    largest = (CURRENT.rows * CURRENT.vectors * 4, CURRENT.rows * 4)
    assert largest in [(count(fused, body), count(broadcast, body)) for body in inner]
    for body in inner:
        assert not count(SPILL[CURRENT.name], body)


def test_depthwise_tiles_hold_their_sums_in_registers(listing):
    """The tiles of all widths, unrolled, stand in `line_3x3`."""
    functions = re.split(r"\n\n", listing)
    (body,) = [f.splitlines() for f in functions if re.match(r"[0-9a-f]+ <.*line_3x3", f)]
    assert count(FUSED[CURRENT.name], body) >= 9 * CURRENT.depthwise
    assert not count(SPILL[CURRENT.name], body)


def test_winograd_tiles_hold_their_values_in_registers(listing):
    """They store what they make, no more. AVX2's 16 registers hold all but a few values."""
    vector = {"avx512": "zmm", "avx2": "ymm"}[CURRENT.name]
    runs = [run.splitlines() for run in re.split(r"\tj[a-z]+\s.*\n", listing)]
    work = (rf"vfn?m(add|sub)\w+ps\s.*%{vector}", rf"v(add|sub)ps\s.*%{vector}")
    stores = rf"vmov[au]ps\s+%{vector}\d+,.*\("
    found = {tuple(count(pattern, run) for pattern in work): count(stores, run) for run in runs}
    spills = 0 if CURRENT.name == "avx512" else 12
    for tile, values in {(96, 48): 36, (30, 72): 16}.items():  # multiply-adds, additions
        assert values <= found[tile] <= values + spills, tile


def test_a_tile_fits_the_registers():
    registers = {"avx512": 32, "avx2": 16, "neon": 32, "generic": 16}
    for family in FAMILIES.values():
        inputs = family.rows if family.lanes else 1
        used = family.rows * family.vectors + family.vectors + inputs
        assert used <= registers[family.name], family.name
        depthwise = (family.depthwise + 3 + 1) * family.across  # sums, weights of a row, input
        assert depthwise <= registers[family.name], family.name
