"""``tinycnn info``: what runs here, for a first look and for bug reports."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata

from tinycnn import __version__, cli

PACKAGES = ("numpy", "pillow", "numba", "llvmlite", "h5py")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return cli.run("info", _info, argv)


def _info(argv: Sequence[str]) -> int:
    cli.Parser("info", "Show version, packages, backends and shipped weights.").parse_args(argv)
    for name, value in _facts():
        print(f"{name:<12} {value}")
    return 0


def _facts() -> Iterator[tuple[str, str]]:
    from tinycnn import weights
    from tinycnn.engine.session import available_cores

    yield "tinycnn", f"{__version__}  ({os.path.dirname(__file__)})"
    yield "python", f"{platform.python_version()}  ({sys.executable})"
    yield "machine", f"{platform.machine()}, {available_cores()} cores, {platform.platform()}"
    for package in PACKAGES:
        yield package, _package_version(package)
    yield from (("backend", text) for text in _backends())
    for name in weights.names() or ["none"]:
        yield "weights", name


def _backends() -> Iterator[str]:
    """Each backend in order of preference: whether it runs, with what, and what to do if not."""
    from tinycnn.engine import libraries
    from tinycnn.engine.session import available_backends

    reasons = available_backends()
    means = {
        "native": f"with {libraries.find()}" if not reasons["native"] else "",
        "numba": "by compiling for this CPU, once",
        "numpy": "as the reference, slowly",
    }
    first = next(backend for backend, reason in reasons.items() if not reason)
    for backend, reason in reasons.items():
        text = f"does not run here: {reason}" if reason else f"runs here, {means[backend]}"
        yield f"{backend} {text}" + (" (the one that is taken)" if backend == first else "")


def _package_version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    sys.exit(main())
