"""What the usual networks should take on a Raspberry Pi; with --compare, what they did take.

    python tests/pi/forecast.py
    tinycnn benchmark --json > bench.json && python tests/pi/forecast.py --compare bench.json

A roofline, operation by operation: the longer of computing (cycles of LLVM's model, from
tests/pi/cycles.py) and of moving (weights once for each image; pictures where they are larger than
the second-level cache). One thread, one image. Nobody has measured a board yet: the assumptions
are the constants of `Board`, and EFFICIENCY, the share of its model that a kernel keeps.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import singledispatch
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.benchmarks import networks
from tinycnn.benchmarks.networks import Network
from tinycnn.benchmarks.profiling import macs
from tinycnn.engine import ops
from tinycnn.engine.lower import lower_graph
from tinycnn.engine.ops import Net, Op
from tinycnn.engine.rewrites import rewrite

EFFICIENCY = 0.75  # assumed: edges of tiles, first touches, stalls
LANES, FLOAT = 4, 4  # floats in a vector, bytes in a float


@dataclass(frozen=True)
class Board:
    """``matmul``, ``depthwise``: cycles for an FMLA. ``transform``: cycles for a tile of Winograd's
    and a vector of channels, there and back. ``memory``: bytes/s that one core gets, assumed.
    """

    title: str
    hertz: float
    matmul: float
    depthwise: float
    transform: tuple[float, float]
    memory: float
    cache: int


BOARDS = {
    "pi4": Board("Pi 4, A72 at 1.5 GHz", 1.5e9, 1.00, 1.32, (158, 172), 3.5e9, 1 << 20),
    "pi4-1800": Board("Pi 4, A72 at 1.8 GHz", 1.8e9, 1.00, 1.32, (158, 172), 3.5e9, 1 << 20),
    "pi5": Board("Pi 5, A76 at 2.4 GHz", 2.4e9, 0.50, 0.68, (123, 85), 8e9, 512 << 10),
}


@singledispatch
def cycles(op: Op, board: Board) -> float:
    """Cycles to compute an operation, with data at hand; others than these only move data."""
    return 0.0


@cycles.register
def _(op: ops.Linear, board: Board) -> float:
    return macs(op) / LANES * board.matmul


@cycles.register
def _(op: ops.Depthwise, board: Board) -> float:
    return macs(op) / LANES * board.depthwise


@cycles.register
def _(op: ops.InvertedResidual, board: Board) -> float:
    return sum(cycles(part, board) for part in (op.expand, op.depthwise, op.project))


@cycles.register
def _(op: ops.Winograd, board: Board) -> float:
    channels, filters = (-(-n // LANES) for n in op.kernel.shape[2:])
    tiles = prod(op.tiles)
    products = 36 * tiles * op.kernel.shape[2] * filters * board.matmul
    return products + tiles * (channels * board.transform[0] + filters * board.transform[1])


def moved(op: Op, shapes: dict[str, Any], cache: int) -> float:
    """Bytes that come from memory or go there."""
    pictures = [FLOAT * prod(shapes[name]) for name in (*op.inputs, op.output)]
    weights = sum(v.nbytes for v in vars(op).values() if isinstance(v, np.ndarray))
    if isinstance(op, ops.Winograd):
        weights *= 4  # 36 values for each 9
    if isinstance(op, ops.InvertedResidual):
        weights = sum(part.kernel.nbytes for part in (op.expand, op.depthwise, op.project))
    return weights + (sum(pictures) if max(pictures) > cache else 0)


def seconds(net: Net, board: Board, efficiency: float = EFFICIENCY) -> float:
    """Forecast for one image and one thread."""
    shapes: dict[str, Any] = {"input": net.input_shape} | {op.output: op.shape for op in net.ops}
    return sum(
        max(cycles(op, board) / board.hertz / efficiency,
            moved(op, shapes, board.cache) / board.memory)
        for op in net.ops
    )  # fmt: skip


def lowered(network: Network) -> Net:
    """Operations of a network as the engine runs them."""
    model = networks.random_model(network)
    return rewrite(lower_graph(model.graph, model.weights))


def table() -> Iterator[str]:
    """Milliseconds of every usual network on every board: forecast (at least, if all goes well)."""
    yield f"| network | {' | '.join(board.title for board in BOARDS.values())} |"
    yield f"| --- |{' ---: |' * len(BOARDS)}"
    for network in networks.DEFAULT:
        net = lowered(network)
        cells = [
            f"{seconds(net, board) * 1e3:.1f} ({seconds(net, board, 1.0) * 1e3:.1f})"
            for board in BOARDS.values()
        ]
        yield f"| {network.title} | {' | '.join(cells)} |"


def comparison(document: Any, board: Board) -> Iterator[str]:
    """Milliseconds that `tinycnn benchmark --json` measured, beside the forecast."""
    yield f"| network | measured, ms | forecast for {board.title} | measured / forecast |"
    yield "| --- | ---: | ---: | ---: |"
    forecasts = {network.title: network for network in networks.DEFAULT}
    for measured in document["networks"]:
        if measured["network"] not in forecasts or measured["threads"] != 1:
            continue
        race = next(race for race in measured["races"] if race["batch"] == 1)
        took = next(e["p50"] for e in race["engines"] if e["engine"] == "tinycnn") / 1e9
        expected = seconds(lowered(forecasts[measured["network"]]), board)
        cells = (f"{took * 1e3:.1f}", f"{expected * 1e3:.1f}", f"{took / expected:.2f}")
        yield f"| {measured['network']} | {' | '.join(cells)} |"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Forecast of networks on a Raspberry Pi.")
    parser.add_argument("--compare", type=Path, metavar="BENCH.json")
    parser.add_argument("--board", choices=BOARDS, default="pi5", help="for --compare")
    options = parser.parse_args()
    if options.compare:
        document = json.loads(options.compare.read_text())
        print("\n".join(comparison(document, BOARDS[options.board])))
    else:
        print("\n".join(table()))


if __name__ == "__main__":
    main()
