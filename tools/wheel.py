#!/usr/bin/env python3
"""Build the wheel for one kind of machine: tinycnn with kernels compiled for its CPUs.

    python tools/wheel.py [--machine x86_64|aarch64] [--output dist]

Works on a copy, so the checkout stays as it is. Needs Numba (extra 'jit'), a linker for the machine
(on Debian: binutils, binutils-aarch64-linux-gnu) and, for setuptools, the network. The same sources
give the same wheel, to the byte.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "tinycnn", "convert", "weights")
# The libraries want libc and libm without versions of symbols; 2.17 is what NumPy wants at least.
PLATFORM = "manylinux_2_17"
TIME = "1577836800"  # of the files in the wheel, 2020-01-01: zip knows no time before 1980


def build(machine: str, output: Path) -> Path:
    """Make the wheel in the folder ``output``; its path."""
    with tempfile.TemporaryDirectory(prefix="tinycnn-wheel-") as folder:
        copy = Path(folder, "tinycnn")
        _copy_sources(copy)
        _compile(copy, machine)
        options = f"--build-option=--plat-name={PLATFORM}_{machine}"
        done = Path(folder, "dist")
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-cache-dir"]
        command += ["--disable-pip-version-check", "-C", options, "--wheel-dir", done, copy]
        subprocess.run(command, check=True, env=os.environ | {"SOURCE_DATE_EPOCH": TIME})
        (wheel,) = done.iterdir()
        output.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(wheel, output))


def _copy_sources(copy: Path) -> None:
    leave_out = shutil.ignore_patterns("__pycache__", "*.so")
    copy.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=leave_out)
        else:
            shutil.copy(ROOT / name, copy)


def _compile(copy: Path, machine: str) -> None:
    """Put the libraries where the copy looks for its own."""
    sys.path.insert(0, str(copy))
    from tinycnn.engine.libraries import CPUS

    def compile_for(name: str) -> None:
        # Without a place to keep code they do not wait for one another: here all cores may compile.
        own = {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "TINYCNN_CACHE": os.devnull}
        command = [sys.executable, "-P", "-m", "tinycnn.build", "--cpu", name]
        subprocess.run(command, check=True, env=os.environ | own, stdout=subprocess.DEVNULL)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_for, [n for n, cpu in CPUS.items() if cpu.machine == machine]))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Build the wheel for one kind of machine.")
    machine = platform.machine()
    parser.add_argument("--machine", choices=("x86_64", "aarch64"), default=machine)
    parser.add_argument("--output", type=Path, default=ROOT / "dist", metavar="FOLDER")
    options = parser.parse_args()
    sys.dont_write_bytecode = True
    print(build(options.machine, options.output))


if __name__ == "__main__":
    main()
