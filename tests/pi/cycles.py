"""What the inner loops cost on a Raspberry Pi, by LLVM's model of the core: a table in Markdown.

    python tests/pi/cycles.py [FOLDER]

FOLDER holds cortex-a72.so and cortex-a76.so (default: they are compiled first). Needs
aarch64-linux-gnu-objdump and llvm-mca: on Debian binutils-aarch64-linux-gnu and llvm-19.

Three shapes of code are looked for: innermost loops that multiply by a lane, which are matrix
products (1x1 and k x k convolutions, and Winograd's); runs that hold a whole depthwise tile, to
the end of its turn; innermost loops that transform a tile of Winograd's. In this model all data
come from the first-level cache.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tinycnn.engine.build import shared_library
from tinycnn.engine.kernels.family import FAMILIES

NEON = FAMILIES["neon"]
TURNS = 300
LEAST_LLVM = 16  # older ones have no schedule for the Neoverse N1
# Library: the core whose schedule LLVM has, and the least cycles for a multiply-add of 4 floats.
# LLVM gives cortex-a76 the schedule of the A57; neoverse-n1 is the A76 made for servers.
CORES = {"cortex-a72": ("cortex-a72", 1.0), "cortex-a76": ("neoverse-n1", 0.5)}
# Winograd's, of a tile and four channels: (multiply-adds, additions).
TRANSFORMS = {"Winograd, transform": (96, 48), "Winograd, back": (30, 72)}
JUMP = re.compile(r"(b|br|b\.\w+|cbn?z|tbn?z|ret|bl|blr)\b")
LOADED = {"q": 16, "d": 8, "s": 4}


@dataclass(frozen=True)
class Code:
    """A piece of machine code and what it is."""

    kernel: str
    lines: tuple[str, ...]

    def count(self, pattern: str) -> int:
        """How many instructions match."""
        return sum(bool(re.match(pattern, line)) for line in self.lines)

    @property
    def fused(self) -> int:
        """Vector multiply-adds."""
        return self.count(r"fml[as]\s")

    @property
    def added(self) -> int:
        """Vector additions and subtractions."""
        return self.count(r"f(add|sub)\sv")

    @property
    def spills(self) -> int:
        """Vectors that go to the stack or come from it."""
        return self.count(r"(str|ldr|stp|ldp|stur|ldur)\s+q.*\[sp")

    @property
    def loaded(self) -> int:
        """Bytes loaded."""
        return sum(map(_loaded, self.lines))


def _loaded(line: str) -> int:
    name, _, operands = line.partition(" ")
    if name in ("ldr", "ldur", "ldp"):
        return LOADED.get(operands.strip()[0], 0) * (2 if name == "ldp" else 1)
    return 4 if name == "ld1r" else 0


def disassemble(path: Path) -> list[tuple[int, str]]:
    """(address, instruction) of all code, without comments."""
    command = ["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.findall(r"(?m)^\s*([0-9a-f]+):\t(.+)$", done.stdout)
    return [(int(a, 16), re.sub(r"\s*(//|<).*", "", text.replace("\t", " "))) for a, text in found]


def innermost_loops(code: list[tuple[int, str]]) -> Iterator[tuple[str, ...]]:
    """Bodies of the loops without another jump in them, without the jump back."""
    places = {address: i for i, (address, _) in enumerate(code)}
    for i, (_, text) in enumerate(code):
        jump = re.match(r"(?:b\.\w+|cbn?z \w+,|b) ?([0-9a-f]+)$", text)
        start = places.get(int(jump[1], 16), i) if jump else i
        body = tuple(line for _, line in code[start:i])
        if body and not any(map(JUMP.match, body)):
            yield body


def straight_runs(code: list[tuple[int, str]]) -> Iterator[tuple[str, ...]]:
    """Instructions from behind one jump to the next; a jump without condition is followed."""
    places = {address: i for i, (address, _) in enumerate(code)}
    starts = [0, *(i + 1 for i, (_, text) in enumerate(code) if JUMP.match(text))]
    for start in starts:
        run, i, seen = [], start, set()
        while i < len(code) and i not in seen:
            seen.add(i)
            text = code[i][1]
            if jump := re.match(r"b ([0-9a-f]+)$", text):
                i = places.get(int(jump[1], 16), len(code))
            elif JUMP.match(text):
                break
            else:
                run.append(text)
                i += 1
        yield tuple(run)


def pieces(path: Path) -> Iterator[Code]:
    """The largest tiles of a library, once each."""
    code = disassemble(path)
    lane = r"fmla .*\.s\[\d\]"
    products = NEON.rows * NEON.vectors * 4  # four channels in a turn
    loops = [Code("", body) for body in innermost_loops(code)]
    found = [loop for loop in loops if loop.count(lane) == loop.fused == products]
    yield replace(found[0], kernel=f"matrix product {NEON.rows}x{NEON.panel}")
    runs = [Code("", run) for run in straight_runs(code)]
    for stride in (1, 2):
        columns, across = NEON.depthwise, NEON.across
        vectors = 3 * ((columns - 1) * stride + 3) + 9 + columns  # picture, weights, biases
        wanted = (9 * columns * across, 16 * vectors * across, 0)
        found = [r for r in runs if (r.fused, r.loaded, r.count(lane)) == wanted]
        title = f"depthwise 3x3, {columns}x{across * NEON.vector}, stride {stride}"
        yield replace(min(found, key=lambda run: len(run.lines)), kernel=title)
    for title, work in TRANSFORMS.items():
        found = [loop for loop in loops if (loop.fused, loop.added) == work]
        yield replace(found[0], kernel=title)


def analyser() -> str:
    """llvm-mca, as Debian calls it; SystemExit without one that knows the Neoverse N1."""
    for version in range(22, LEAST_LLVM - 1, -1):
        if found := shutil.which(f"llvm-mca-{version}"):
            return found
    raise SystemExit(f"needs llvm-mca of LLVM {LEAST_LLVM} or newer: apt-get install llvm-19")


def cycles(code: Code, core: str) -> float:
    """Cycles of one turn, when turns follow one another."""
    command = [analyser(), "-mtriple=aarch64", f"-mcpu={core}", f"-iterations={TURNS}"]
    text = "\n".join(code.lines)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    total = re.search(r"Total Cycles:\s+(\d+)", done.stdout)
    assert total, done.stderr
    return int(total[1]) / TURNS


def table(folder: Path) -> Iterator[str]:
    """Lines of the table."""
    yield "| kernel | library | cycles per FMLA | limit | of the limit | bytes per FMLA | spills |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
    for name, (core, limit) in CORES.items():
        for code in pieces(folder / f"{name}.so"):
            work = code.fused + code.added
            each = cycles(code, core) / work
            cells = (code.kernel, name, f"{each:.2f}", f"{limit:.2f}", f"{limit / each:.0%}",
                     f"{code.loaded / work:.1f}", str(code.spills))  # fmt: skip
            yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Run the command."""
    if len(sys.argv) > 1:
        print("\n".join(table(Path(sys.argv[1]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in CORES:
            print(f"compiling for {name} ...", file=sys.stderr)
            Path(folder, f"{name}.so").write_bytes(shared_library(name))
        print("\n".join(table(Path(folder))))


if __name__ == "__main__":
    main()
