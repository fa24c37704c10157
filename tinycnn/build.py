"""``tinycnn build``: kernels compiled ahead of time into a shared library for a named CPU."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from tinycnn import cli
from tinycnn.console import say
from tinycnn.files import atomic_write


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return cli.run("build", _build, argv)


def _build(argv: Sequence[str]) -> int:
    from tinycnn.engine.libraries import CPUS, FOLDER

    parser = cli.Parser(
        "build",
        "Compile the kernels for a CPU, this machine's or another. Needs Numba (extra 'jit') and a "
        "linker for that CPU (binutils). Without --cpu: all CPUs of a machine's kind.",
    )
    parser.add_argument("--cpu", choices=sorted(CPUS), help="the CPU to compile for")
    parser.add_argument(
        "--machine", choices=("x86_64", "aarch64"), default=platform.machine(),
        help="without --cpu: the kind of machine (default: this one's)",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE",
        help="where to write the library (default: into this installation, for its own use)",
    )  # fmt: skip
    options = parser.parse_args(argv)
    names = [n for n, cpu in CPUS.items() if n == options.cpu or not options.cpu]
    for name in names if options.cpu else [n for n in names if CPUS[n].machine == options.machine]:
        _write(name, options.output or FOLDER / f"{name}.so")
    return 0


def _write(name: str, path: Path) -> None:
    from tinycnn.engine.build import shared_library

    say(f"compiling for {name}: some 20 seconds ...")
    code = shared_library(name)
    with atomic_write(path, "wb") as file:
        file.write(code)
    print(f"{path}  {len(code) >> 10} KB")


if __name__ == "__main__":
    sys.exit(main())
