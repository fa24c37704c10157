"""``tinycnn benchmark``: how fast, where the time goes, and how others do, on this machine."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tinycnn import cli, weights
from tinycnn.benchmarks import machine, networks, report
from tinycnn.benchmarks.engines import ENGINES, PEERS
from tinycnn.benchmarks.networks import Network
from tinycnn.benchmarks.peak import peak_flops
from tinycnn.benchmarks.profiling import profile
from tinycnn.benchmarks.race import race
from tinycnn.benchmarks.report import Measured
from tinycnn.benchmarks.start import measure_compilation, measure_start
from tinycnn.console import say
from tinycnn.errors import UsageError
from tinycnn.nn import modelfile
from tinycnn.nn.architectures import ARCHITECTURES, find
from tinycnn.nn.model import Model

BATCH, ROUNDS = 8, 30

EPILOG = f"""\
networks: {", ".join(ARCHITECTURES)}
They get random weights: how fast a network is does not depend on what it has learnt.

Every engine runs in a process of its own; they take turns. Scores are compared before anything
is timed. A batch is compared only if --batch is given."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return cli.run("benchmark", _benchmark, argv)


def _benchmark(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)
    models = _models(options)
    described = machine.describe()
    if warning := machine.warning(described["used_by_others"]):
        say(f"tinycnn benchmark: {warning}")
    peak = peak_flops(options.threads)
    peers = _peers() if options.compare else ()
    if not options.json:
        print(report.heading(described, peak, options.threads), flush=True)
    measured = []
    for title, model in models:
        measured.append(_measure(title, model, peers, options))
        if not options.json:
            print("\n".join(report.text(measured[-1], peak)), flush=True)
    if options.json:
        print(json.dumps(report.document(described, peak, measured), indent=1))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser("benchmark", "Measure networks on this machine.", EPILOG)
    parser.add_argument("network", nargs="*", metavar="NETWORK", help="default: six usual ones")
    parser.add_argument("--weights", metavar="NAME|PATH", help="a model file instead")
    parser.add_argument("--alpha", type=float, help="width of MobileNets; default 1")
    parser.add_argument("--input", type=_shape, metavar="HxWxC", help="default: the usual one")
    parser.add_argument("--classes", type=_count, help="default: the usual number")
    parser.add_argument("--threads", type=_count, default=1, help="default %(default)s")
    parser.add_argument("--batch", type=_count, help=f"images at once; default {BATCH}")
    parser.add_argument("--rounds", type=_count, default=ROUNDS, help="turns; default %(default)s")
    parser.add_argument("--compile", action="store_true", help="time compilation, too")
    parser.add_argument("--profile", action="store_true", help="a row for each instruction")
    parser.add_argument("--compare", action="store_true", help="run the other engines, too")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    return parser


def _shape(text: str) -> tuple[int, ...]:
    sizes = text.split("x")
    if len(sizes) != 3 or not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise argparse.ArgumentTypeError(f"must look like 224x224x3, not {text}")
    return tuple(map(int, sizes))


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text}")
    return value


def _models(options: argparse.Namespace) -> Iterator[tuple[str, Model]]:
    """Names and models, made one at a time; wrong options are told at once."""
    given = {"input_shape": options.input, "classes": options.classes, "alpha": options.alpha}
    changes = {name: value for name, value in given.items() if value is not None}
    if options.weights:
        if options.network or changes:
            raise UsageError("--weights says what the network is: no other name or size")
        file = weights.find(options.weights)
        model = modelfile.load(file)
        return iter([(f"{model.name} {'x'.join(map(str, model.input_shape))}", model)])
    for name in options.network:
        find(name)
    chosen: Sequence[Network] = [networks.usual(name) for name in options.network]
    chosen = [replace(n, **changes) for n in chosen or networks.DEFAULT]
    return ((network.title, networks.random_model(network)) for network in chosen)


def _peers() -> Sequence[str]:
    """Engines that are installed; a line for each that is not."""
    missing = {name: ENGINES[name].missing() for name in PEERS}
    for name, packages in missing.items():
        if packages:
            title = ENGINES[name].title
            say(f"tinycnn benchmark: {title} is left out: install {packages}")
    return [name for name, packages in missing.items() if not packages]


def _measure(
    title: str, model: Model, peers: Sequence[str], options: argparse.Namespace
) -> Measured:  # fmt: skip
    threads, batch = options.threads, options.batch or BATCH
    with tempfile.TemporaryDirectory(prefix="tinycnn-") as folder:
        path = Path(folder) / "model.safetensors"
        modelfile.save(model, path)
        compiling = measure_compilation(str(path), threads) if options.compile else None
        start = measure_start(str(path), threads)
    races = {1: race(model, threads, 1, options.rounds, peers)}
    if batch > 1:
        races[batch] = race(model, threads, batch, options.rounds, peers if options.batch else ())
    profiled = profile(model, threads) if options.profile else None
    graph = model.graph
    return Measured(
        title, graph.parameters, graph.macs, threads, start, races, compiling, profiled
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
