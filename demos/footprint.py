#!/usr/bin/env python3
"""Start, memory and size beside LiteRT: the same small study judged by both.

    python demos/footprint.py [FOLDER] [--rounds 20]

Makes two environments in FOLDER (default build/footprint): one with tinycnn's wheel, one with
LiteRT and Pillow. Both run the shipped model on one radiograph, in a process for each round, by
turns: decode, scale, run, print. tinycnn does more: it checks the file, replays the model's
self-test and writes a report. This process stays small: a child's peak memory begins with its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STUDY = ROOT / "demos" / "sample_studies" / "XR_FINGER"
MODEL = "mobilenetv2-phantoms"
TOOLS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence")

WRITE = """
import sys
from pathlib import Path
from tinycnn import weights
from tinycnn.benchmarks import tflite_file
from tinycnn.nn import modelfile
tflite_file.write(modelfile.load(weights.find(sys.argv[1])), Path(sys.argv[2]))
"""
LITERT = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
_, height, width, _ = source["shape"]
with Image.open(sys.argv[2]) as image:
    image = image.convert("L").resize((width, height), Image.Resampling.BILINEAR)
x = np.asarray(image, np.float32)[None, :, :, None] / np.float32(127.5) - np.float32(1)
interpreter.set_tensor(source["index"], x)
interpreter.invoke()
score = float(interpreter.get_tensor(target["index"]).ravel()[0])
print("positive" if score > 0.5 else "negative", f"{score:.3f}")
"""


def install(folder: Path, *packages: object) -> Path:
    """Make an environment with ``packages``; its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *packages], check=True)
    return python


def site_packages(python: Path) -> Path:
    """Where an environment keeps what is installed."""
    (packages,) = python.parents[1].glob("lib/python3*/site-packages")
    return packages


def installed_size(python: Path) -> int:
    """Bytes of all that was installed, as files are long; not what came with the environment."""
    packages = site_packages(python)
    return sum(
        path.stat().st_size
        for path in packages.rglob("*")
        if path.is_file() and not path.relative_to(packages).parts[0].startswith(TOOLS)
    )


def run(command: list[object]) -> tuple[float, float, int, str]:
    """(seconds, those of all cores, peak memory in bytes, what it printed) of a process."""
    began = time.perf_counter()
    arguments = list(map(str, command))
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{command[0]} failed")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10, output.strip()


def measure(folder: Path, rounds: int) -> None:
    """Print the table."""
    wheels = folder / "dist"
    subprocess.run([sys.executable, ROOT / "tools" / "wheel.py", "--output", wheels], check=True)
    ours = install(folder / "tinycnn", "--force-reinstall", *wheels.glob("*.whl"))
    theirs = install(folder / "litert", "ai-edge-litert", "pillow")
    network = folder / "model.tflite"
    both = os.environ | {"PYTHONPATH": str(site_packages(ours))}  # the writer needs both
    subprocess.run([theirs, "-c", WRITE, MODEL, network], check=True, env=both)
    (image,) = STUDY.rglob("*.png")
    commands: dict[str, list[object]] = {
        "tinycnn": [
            ours.with_name("tinycnn"),
            "predict",
            STUDY,
            "--weights",
            MODEL,
            "--threads",
            "1",
        ],
        "LiteRT": [theirs, "-c", LITERT, network, image],
    }
    runs = {name: [run(command)] for name, command in commands.items()}  # not counted: cold files
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(run(command))
    print("| | start to verdict, ms | fastest | CPU time, ms | peak memory, MB | installed, MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, command in commands.items():
        seconds, busy, memory, _ = zip(*runs[name][1:], strict=True)
        figures = (statistics.median(seconds) * 1e3, min(seconds) * 1e3,
                   statistics.median(busy) * 1e3, max(memory) / 1e6,
                   installed_size(Path(str(command[0]))) / 1e6)  # fmt: skip
        print(f"| {name} | {' | '.join(f'{value:.0f}' for value in figures)} |")
    print(f"LiteRT says: {runs['LiteRT'][0][3]}; tinycnn: {runs['tinycnn'][0][3].splitlines()[0]}")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Start, memory and size beside LiteRT.")
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build" / "footprint")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    measure(options.folder.resolve(), options.rounds)


if __name__ == "__main__":
    main()
