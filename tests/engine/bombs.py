"""Networks of little text that ask for much, and what each costs: run as a program.

Every one is given to the engine in a forked process of its own; a line of JSON tells how far its
memory rose above what it began with, and whether it was refused.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinycnn.engine.lower import lower_graph
from tinycnn.engine.plan import plan
from tinycnn.engine.rewrites import rewrite
from tinycnn.errors import TinycnnError
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Graph, Input, Sequential, Tensor, from_tensors

LARGE = (4096, 2048)  # pixels that are made of one: 32 MB

END = (nn.GlobalMaxPooling2D(),)


def large(*layers: nn.Layer, channels: int = 1) -> Graph:
    """A picture of 8 million values, and then ``layers``."""
    return Sequential([nn.UpSampling2D(LARGE), *layers, *END], (1, 1, channels))


def vector(*layers: nn.Layer) -> Graph:
    """8 million values in a row, and then ``layers``."""
    flat = (nn.UpSampling2D(LARGE), nn.Reshape((1, 1, -1)))
    return Sequential([*flat, *layers, *END], (1, 1, 1))


def column(*layers: nn.Layer) -> Graph:
    return Sequential([*layers, *END], (8, 1, 1))


def merged(kind: type[nn.Layer], count: int, shape: tuple[int, ...] = (4, 4, 16)) -> Graph:
    inputs = Input(shape)
    outputs = [nn.Activation("tanh")(inputs) for _ in range(count)]
    return from_tensors(inputs, nn.GlobalMaxPooling2D()(kind()(outputs)))


def of_one(kind: type[nn.Layer], count: int) -> Graph:
    inputs = Input((4, 4, 16))
    return from_tensors(inputs, nn.GlobalMaxPooling2D()(kind()([inputs] * count)))


def shared(count: int) -> Graph:
    """One layer, ``count`` times."""
    dense, inputs = nn.Dense(1024, activation="tanh"), Input((1, 1, 1024))
    x: Tensor = nn.Flatten()(inputs)
    for _ in range(count):
        x = dense(x)
    return from_tensors(inputs, x)


def winograd(count: int, shape: tuple[int, ...]) -> Graph:
    convs = [nn.Conv2D(16, 3, padding="same", activation="tanh") for _ in range(count)]
    return Sequential([nn.UpSampling2D(shape), *convs, *END], (1, 1, 16))


KINDS = ("nearest", "bilinear", "bicubic", "area", "lanczos5", "gaussian")
# What it may become: "yes": it runs, "no": it is refused, with both in proportion.
BOMBS: dict[str, tuple[Callable[[], Graph], str]] = {
    "cropping": (lambda: large(*[nn.Cropping2D(1) for _ in range(50)]), "yes"),
    "permute": (lambda: large(*[nn.Permute((2, 1, 3)) for _ in range(50)]), "yes"),
    "permute of rank 8": (lambda: Sequential(
        [nn.UpSampling2D(LARGE), nn.Reshape((8,) * 7 + (4,)),
         *[nn.Permute((8, 7, 6, 5, 4, 3, 2, 1)), nn.Permute((3, 1, 2, 5, 4, 8, 7, 6))] * 9,
         nn.Flatten()], (1, 1, 1)), "yes"),
    "padding": (lambda: large(*[nn.ZeroPadding2D(((i % 2, 0), (0, 1))) for i in range(50)]), "yes"),
    "upsampling": (lambda: large(*[nn.MaxPooling2D(2), nn.UpSampling2D(2)] * 20), "yes"),
    **{f"resizing, {kind}": (lambda kind=kind: column(
        *[nn.Resizing(2047 + i % 2, 1, kind) for i in range(60)]), "yes") for kind in KINDS},
    "resizing to as many sizes": (lambda: column(
        *[nn.Resizing(2000 + i, 1, "lanczos5") for i in range(1500)]), "no"),
    "resizing to a tall picture": (lambda: column(nn.Resizing(1 << 20, 1, "lanczos5")), "no"),
    "resizing with many threads": (lambda: Sequential(
        [nn.Resizing(2, 1 << 20, "nearest"), nn.Resizing(3, 1 << 20), *END], (1, 1, 1)), "no"),
    **{f"prelu, {axes}": (lambda axes=axes: large(
        *[nn.PReLU(axes) for _ in range(30)]), "yes") for axes in ((1, 3), (2, 3), (1, 2, 3))},
    "layer normalisation": (lambda: large(
        *[nn.LayerNormalization((1, 2, 3), scale=False, center=False)] * 30), "yes"),
    "rescaling": (lambda: vector(*[nn.Rescaling(i, 1.0) for i in range(1, 30)]), "yes"),
    "rescaling, apart": (lambda: vector(
        *[nn.Rescaling(2.0), nn.Activation("tanh")] * 12), "yes"),
    "average": (lambda: merged(nn.Average, 4, (1, 1, 1 << 22)), "yes"),
    "batch normalisation": (lambda: large(nn.BatchNormalization()), "yes"),
    "transposed": (lambda: Sequential(
        [nn.Conv2DTranspose(1, 1, 1024), nn.Cropping2D(2), *END], (2, 2, 1)), "yes"),
    "winograd": (lambda: winograd(12, (4096, 256)), "yes"),
    "winograd, rows of tiles": (lambda: winograd(12, (4, 1 << 18)), "yes"),
    "winograd, many chunks": (lambda: winograd(250, (4096, 256)), "no"),
    "dense, shared": (lambda: shared(3000), "yes"),
    "dense, one unit": (lambda: large(*[nn.Dense(1) for _ in range(30)]), "yes"),
    "one channel in blocks": (lambda: large(
        *[nn.Conv2D(1, 3, padding="same") for _ in range(2)]), "no"),
    "separable": (lambda: Sequential(
        [nn.SeparableConv2D(1, 1, depth_multiplier=1 << 15), *END], (64, 64, 1)), "no"),
    "depthwise": (lambda: Sequential(
        [nn.DepthwiseConv2D(1, depth_multiplier=1 << 15), *END], (64, 64, 1)), "no"),
    "dilation": (lambda: Sequential(
        [nn.DepthwiseConv2D(3, dilation_rate=1 << 11, padding="same"), *END], (64, 64, 16)), "no"),
    "add of many": (lambda: merged(nn.Add, 3000), "yes"),
    "add of one": (lambda: of_one(nn.Add, 7000), "yes"),
    "average of one": (lambda: of_one(nn.Average, 7000), "yes"),
    "concatenation of many": (lambda: merged(nn.Concatenate, 3000), "yes"),
    "concatenation of one": (lambda: of_one(nn.Concatenate, 7000), "yes"),
    "concatenation of too many": (lambda: of_one(nn.Concatenate, 100_000), "no"),
    "reshape": (lambda: large(
        *[nn.Reshape((2048, 4096, 1)), nn.Reshape((4096, 2048, 1))] * 20), "yes"),
    "activations": (lambda: large(*[nn.Activation("gelu") for _ in range(100)]), "yes"),
    "pooling": (lambda: large(nn.MaxPooling2D(1500, 1)), "no"),
    "convolution": (lambda: large(nn.Conv2D(2, 200, padding="same")), "no"),
}  # fmt: skip


def weights(graph: Graph) -> Iterator[tuple[str, Any]]:
    for name, shape in graph.weight_shapes.items():
        yield name, np.full(shape, 0.5, np.float32)


def cost(name: str, threads: int) -> dict[str, Any]:
    """What it took to make a program of a bomb, or to refuse it; MB and seconds."""
    make, expected = BOMBS[name]
    began, before = time.monotonic(), _peak()
    constants, given, refused = 0, 0, ""
    try:
        graph = make()
        values = dict(weights(graph))
        given = sum(value.nbytes for value in values.values())
        constants = plan(rewrite(lower_graph(graph, values)), threads).weights.nbytes
    except TinycnnError as error:
        refused = str(error)
    rose = _peak() - before
    return {
        "name": name, "expected": expected, "refused": refused, "MB": rose >> 20,
        "given": given >> 20, "constants": constants >> 20,
        "seconds": round(time.monotonic() - began, 2),
    }  # fmt: skip


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(threads: int, names: list[str]) -> None:
    """Tell the costs of ``names``, each from a process of its own."""
    for name in names or BOMBS:
        process = os.fork()
        if not process:
            print(json.dumps(cost(name, threads)), flush=True)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if status:
            print(json.dumps({"name": name, "status": status}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
