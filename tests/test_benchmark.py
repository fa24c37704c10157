"""The command `tinycnn benchmark`: what it counts, what it prints, what it refuses."""

import json

import numpy as np
import pytest

from tinycnn import benchmark
from tinycnn.benchmarks import engines, machine, networks, profiling, race, report
from tinycnn.benchmarks.networks import Network, random_images, random_model
from tinycnn.benchmarks.peak import peak_flops
from tinycnn.benchmarks.race import Outcome, Result
from tinycnn.benchmarks.start import Start, measure_start
from tinycnn.engine import build, libraries, native
from tinycnn.engine.lower import lower_graph
from tinycnn.engine.plan import plan
from tinycnn.engine.program import Execution
from tinycnn.engine.rewrites import rewrite
from tinycnn.engine.session import Session
from tinycnn.errors import BackendError
from tinycnn.nn.architectures import ARCHITECTURES

CNN = Network("cnn5", (32, 32, 1), 1)
MS = 1_000_000


def run(capsys, *arguments):
    status = benchmark.main([*arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_without_a_compiler_it_says_what_to_install(capsys, monkeypatch, tmp_path):
    """Every way to compiled kernels ends there: also where no command asked for a backend."""
    monkeypatch.setattr(libraries, "FOLDER", tmp_path)
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    native.load.cache_clear()
    status, out, err = run(capsys, "cnn5", "--rounds", "1")
    assert (status, out) == (2, "")
    message = "compiling the kernels needs Numba; install it: pip install numba"
    assert err.splitlines()[-1] == f"tinycnn benchmark: {message}"
    with pytest.raises(BackendError, match=message):
        native.load()


def test_json_says_all(capsys):
    status, out, _ = run(capsys, "cnn5", "--rounds", "1", "--batch", "3", "--profile", "--json")
    assert status == 0
    document = json.loads(out)
    assert document["schema"] == "tinycnn-benchmark/1"
    assert document["peak_flops"] > 0
    assert document["machine"]["cpu"]
    (network,) = document["networks"]
    assert network["network"] == "cnn5 32x32x1"
    assert (network["parameters"], network["macs"]) == (97_409, 14_003_392)
    stages = network["start"]["stages"]
    assert list(stages) == ["python", "import", "load", "plan", "code", "first run"]
    assert network["start"]["total"] == pytest.approx(sum(stages.values()))
    assert not network["start"]["compiled"]
    assert [r["batch"] for r in network["races"]] == [1, 3]
    for outcome in network["races"]:
        (ours,) = outcome["engines"]
        assert (ours["engine"], ours["ratio"]) == ("tinycnn", 1.0)
        assert 0 < ours["p50"] <= ours["p90"] <= ours["p99"]
        assert ours["images_per_second"] == pytest.approx(outcome["batch"] * 1e9 / ours["p50"])
        assert outcome["best_peer"] is None
    rows = network["profile"]["rows"]
    assert sum(row["macs"] for row in rows) == network["macs"]
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    assert rows[-1]["layer"] == "dense_2"
    assert network["instructions"] == len(rows)


def test_text_is_for_people(capsys):
    status, out, _ = run(capsys, "cnn1", "--input", "16x16x1", "--rounds", "1", "--profile")
    assert status == 0
    for part in ("multiply-add peak of 1 thread", "cnn1 16x16x1:", "first result", "one image",
                 "of the peak", "batch of 8", "MATMUL", "so Python"):  # fmt: skip
        assert part in out


def test_a_model_file(capsys):
    status, out, _ = run(capsys, "--weights", "cnn5-phantoms", "--rounds", "1")
    assert (status, "97,409 parameters" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vgg"], "no architecture 'vgg'; there are mobilenet_v2"),
        (["--weights", "cnn5-phantoms", "cnn5"], "--weights says what the network is"),
        (["--weights", "cnn5-phantoms", "--classes", "3"], "--weights says what the network is"),
        (["--input", "224x224"], "must look like 224x224x3"),
        (["--threads", "0"], "must be 1 or more"),
        (["resnet50", "--alpha", "0.5"], "resnet50 has no option 'alpha'"),
    ],
)
def test_wrong_use_is_one_line(capsys, arguments, message):
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert message in err
    assert "Traceback" not in out + err


def test_peers_that_are_not_installed_are_named(capsys, monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    status, out, err = run(capsys, "cnn1", "--rounds", "1", "--compare")
    assert status == 0
    assert "LiteRT is left out: install ai-edge-litert" in err
    assert "OpenVINO is left out: install openvino, onnx" in err
    assert "not compared" not in out


@pytest.mark.parametrize(
    "network",
    [
        CNN,
        *(Network(n, (96, 64, 3), 10) for n in ("mobilenet_v2", "mobilenet")),
        *(Network(n, (64, 64, 3), 10) for n in ("densenet121", "resnet50")),
    ],
    ids=lambda n: n.name,
)
def test_the_work_of_all_instructions_is_the_networks(network):
    model = random_model(network)
    net = rewrite(lower_graph(model.graph, model.weights), ("pool_first",))  # which saves some
    program = plan(net)
    count = len(program.table)
    rows = profiling._rows(program, range(count), net, [1.0] * count)
    assert sum(row.macs for row in rows) == model.graph.macs
    assert sum(row.share for row in rows) == pytest.approx(1)


@pytest.mark.parametrize("threads", [1, 2])
def test_clocks_change_no_result(threads):
    model, images = random_model(CNN), random_images(CNN.input_shape, 1)
    program = plan(rewrite(lower_graph(model.graph, model.weights)), threads)
    clocked = profiling.with_clocks(program, range(len(program.table)))
    assert len(clocked.table) == 2 * len(program.table) + 1
    scores = Execution(clocked, native.load(), threads).run(images)
    np.testing.assert_array_equal(scores, Session(model, threads=threads).predict(images))
    found = profiling.profile(model, threads, runs=3)
    assert all(row.nanoseconds > 0 for row in found.rows)
    assert found.inside > 0


def test_random_weights_tell_images_apart():
    for network in (CNN, Network("resnet50", (64, 64, 3), 10)):
        scores = Session(random_model(network)).predict(random_images(network.input_shape, 4))
        assert np.ptp(scores, axis=0).max() > 1e-3
        assert 0.01 < scores.max() < 0.99


def test_random_weights_are_the_same_every_time():
    first, second = random_model(CNN).weights, random_model(CNN).weights
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_peak_is_positive():
    assert peak_flops(1, seconds=0.01) > 1e6
    assert peak_flops(2, seconds=0.01) > 1e6


def test_machine_is_described():
    described = machine.describe()
    assert described["cores"] >= 1
    assert machine.peak_memory() > 1 << 20
    assert machine.warning(0.0) == ""
    assert "others keep 1.5 of" in machine.warning(1.5)


def test_a_process_that_fails_says_why(tmp_path):
    with pytest.raises(BackendError, match=r"was to be timed failed: .*No such file"):
        measure_start(str(tmp_path / "no.safetensors"))


def test_an_engine_that_fails_says_why(monkeypatch):
    monkeypatch.setitem(race.WRITERS, "safetensors", lambda m, path, n: path.write_bytes(b"no"))
    with pytest.raises(BackendError, match=r"tinycnn ended with status 1: .*ModelFileError"):
        race.race(random_model(CNN), rounds=1)


def outcome():
    ours = Result("tinycnn", "1", ((2 * MS, 2 * MS), (4 * MS, 4 * MS)), 50 << 20, 0.0)
    slow = Result("openvino", "3", ((8 * MS,), (8 * MS,)), 150 << 20, 1e-6)
    fast = Result("litert", "2", ((4 * MS,), (5 * MS,)), 80 << 20, 1e-7)
    return Outcome((ours, slow, fast), {"onnxruntime": "computes something else"})


def test_ratios_compare_what_ran_at_the_same_time():
    found = outcome()
    ours, slow, fast = found.results
    assert found.best_peer() is fast
    assert ours.ratio(slow) == pytest.approx((2 / 8 + 4 / 8) / 2)
    assert ours.ratio(fast) == pytest.approx((2 / 4 + 4 / 5) / 2)


def test_the_table_of_engines():
    lines = list(report.comparison(1, outcome()))
    assert "| OpenVINO 3 | 8.000 | 8.000 | 8.000 | 0.38 | 157 | 1e-06 |" in lines
    assert lines[-1] == "not compared: ONNX Runtime: computes something else"


def test_compilation_is_told_from_the_cache():
    stages = {"code": 20_000.0 * MS, "first run": 1.0 * MS}
    start = Start(stages, True, 1 << 20, 1 << 20, 9)
    assert report._stages(start) == "20001 ms: compiling 20000, first run 1"


def test_the_usual_networks_exist():
    assert {n.name for n in networks.DEFAULT} <= ARCHITECTURES.keys()
    assert Network("mobilenet_v2", alpha=0.35).title == "mobilenet_v2 0.35 224x224x3"
