"""Whole networks, one image, against the other engines that are installed (extra 'peers').

    pytest tests/benchmarks/test_networks.py --benchmark-only

For figures to quote use `tinycnn benchmark --compare`: there the engines take turns, each in a
process of its own. These are for watching a change.
"""

import pytest

from tinycnn.benchmarks.engines import ENGINES
from tinycnn.benchmarks.networks import DEFAULT, random_images, random_model
from tinycnn.benchmarks.race import WRITERS

pytestmark = pytest.mark.filterwarnings("ignore")  # of the other engines, about themselves


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("network", DEFAULT, ids=lambda n: n.title)
def test_network(benchmark, network, name, threads, tmp_path):
    engine = ENGINES[name]
    if missing := engine.missing():
        pytest.skip(f"install {missing}")
    benchmark.group = f"{network.title}, {threads} threads"
    model, path = random_model(network), tmp_path / f"network.{engine.format}"
    WRITERS[engine.format](model, path, 1)
    runner = engine.load(path, threads, 1)
    images = runner.arrange(random_images(model.input_shape, 1))
    benchmark(runner.run, images)
    if benchmark.stats:  # not with --benchmark-disable
        seconds = benchmark.stats.stats.median
        benchmark.extra_info["gflops"] = round(2e-9 * model.graph.macs / seconds, 1)
