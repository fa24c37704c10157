"""Kernels on the shapes that real networks have, one thread, against NumPy's BLAS.

    OPENBLAS_NUM_THREADS=1 pytest tests/benchmarks/test_kernels.py --benchmark-only

The BLAS gets its operands as it likes them; for 3x3 the patches are already copied side by side.
``extra_info["gflops"]`` counts a multiply-add as two operations.
"""

import dataclasses
import os

import numpy as np
import pytest

from tinycnn.benchmarks.networks import random_weights
from tinycnn.benchmarks.profiling import MULTIPLYING
from tinycnn.engine import native
from tinycnn.engine.kernels import instructions
from tinycnn.engine.lower import lower_graph
from tinycnn.engine.plan import plan
from tinycnn.engine.program import Execution
from tinycnn.engine.rewrites import rewrite
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Sequential

REPEAT = 20  # of the instructions in one call, so that Python's part of it vanishes

# (pixels on a side, channels, filters) of MobileNetV2's pointwise convolutions
POINTWISE = [
    *[(112, 32, 16), (112, 16, 96), (56, 96, 24), (56, 24, 144), (28, 144, 32), (28, 32, 192)],
    *[(14, 192, 64), (14, 64, 384), (14, 384, 64), (14, 384, 96), (14, 96, 576), (14, 576, 96)],
    *[(7, 576, 160), (7, 160, 960), (7, 960, 160), (7, 960, 320), (7, 320, 1280)],
]
# (side, channels, filters) of ResNet-50's and DenseNet's 3x3 convolutions
DENSE_3X3 = [(56, 64, 64), (28, 128, 128), (14, 256, 256), (7, 512, 512), (56, 128, 32)]
DENSE_3X3 += [(28, 128, 32), (14, 128, 32), (7, 128, 32)]
# (side, channels, stride) of MobileNet's and MobileNetV2's depthwise convolutions
DEPTHWISE = [(112, 32, 1), (112, 96, 2), (56, 144, 1), (56, 144, 2), (28, 192, 1), (28, 192, 2)]
DEPTHWISE += [(14, 384, 1), (14, 512, 1), (14, 576, 1), (14, 576, 2), (7, 960, 1), (7, 1024, 1)]


def measure(benchmark, layer, shape, without=()):
    """Time the instructions that multiply of a network with this one layer."""
    before = nn.Conv2D(shape[2], 1)  # so that the layer's input lies as kernels want it
    graph = Sequential([before, layer], shape)
    weights = random_weights(graph, np.random.default_rng(0))
    net = rewrite(lower_graph(graph, weights), without)
    program = plan(net)
    wanted = [
        i
        for i, row in enumerate(program.table)
        if program.sources[i] == graph.output and instructions.name(row[0]) != "CONVERT"
    ]
    assert any(instructions.name(program.table[i][0]) in MULTIPLYING for i in wanted)
    table = np.tile(program.table[wanted], (REPEAT, 1))
    execution = Execution(dataclasses.replace(program, table=table), native.load(), 1)
    benchmark(execution.run, np.ones((1, *shape), np.float32))
    node = graph.nodes[-1]
    report(benchmark, node.layer.macs(graph.arguments(node, graph.shapes)) * REPEAT)


def blas(benchmark, rows, channels, filters):
    """Time a matrix product, ``rows`` x ``channels`` by ``channels`` x ``filters``."""
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        pytest.skip("set OPENBLAS_NUM_THREADS=1 to compare one thread with one thread")
    a, b = np.ones((rows, channels), np.float32), np.ones((channels, filters), np.float32)
    benchmark(np.matmul, a, b, out=np.empty((rows, filters), np.float32))
    report(benchmark, rows * channels * filters)


def report(benchmark, macs):
    if benchmark.stats:  # not with --benchmark-disable
        benchmark.extra_info["gflops"] = round(2e-9 * macs / benchmark.stats.stats.median, 1)


@pytest.mark.parametrize("engine", ["tinycnn", "blas"])
@pytest.mark.parametrize(("side", "channels", "filters"), POINTWISE)
def test_pointwise(benchmark, engine, side, channels, filters):
    benchmark.group = f"pointwise {side}x{side} {channels} -> {filters}"
    if engine == "blas":
        blas(benchmark, side * side, channels, filters)
    else:
        measure(benchmark, nn.Conv2D(filters, 1), (side, side, channels))


@pytest.mark.parametrize("engine", ["tinycnn", "direct", "blas"])
@pytest.mark.parametrize(("side", "channels", "filters"), DENSE_3X3)
def test_3x3(benchmark, engine, side, channels, filters):
    benchmark.group = f"3x3 {side}x{side} {channels} -> {filters}"
    if engine == "blas":
        blas(benchmark, side * side, 9 * channels, filters)
        return
    without = ["use_winograd"] if engine == "direct" else []
    layer = nn.Conv2D(filters, 3, padding="same")
    measure(benchmark, layer, (side, side, channels), without)


@pytest.mark.parametrize(("side", "channels", "stride"), DEPTHWISE)
def test_depthwise(benchmark, side, channels, stride):
    benchmark.group = f"depthwise 3x3/{stride} {side}x{side} {channels}"
    measure(
        benchmark, nn.DepthwiseConv2D(3, stride, padding="same"), (side, side, channels)
    )  # fmt: skip
