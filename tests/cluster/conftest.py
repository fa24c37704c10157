"""A cluster of two processes, studies and a model for it, and commands that are told to use it."""

from __future__ import annotations

import json
import time

import pytest

from tests.studies.conftest import brightness_model, save_gray
from tests.studies.views import bits, hot, sixteen
from tinycnn import cli, clusterjob
from tinycnn.nn.modelfile import save
from tinycnn.panels import Setup, open_panel

STUDIES = 60
FAILURES = 1  # deaths of workers that Dask allows a task, so that tests need not wait for four


@pytest.fixture(scope="module")
def distributed():
    return pytest.importorskip("distributed", reason="needs the extra 'dask'")


@pytest.fixture(scope="module")
def local(distributed):
    """Two worker processes of one thread."""
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": FAILURES}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as two,
    ):
        yield two


@pytest.fixture
def address(local):
    deadline = time.monotonic() + 60
    while len(local.scheduler.workers) < 2:  # where a test killed one, its nanny starts another
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return local.scheduler_address


@pytest.fixture
def dataset(tmp_path):
    root = tmp_path / "data"
    for i in range(STUDIES):
        label = "positive" if i % 3 == 0 else "negative"
        study = root / f"XR_HAND/patient{i:05}/study1_{label}"
        for view in range(1 + i % 2):
            save_gray(study / f"image{view + 1}.png", (37 * i + 90 * view) % 256)
    (root / "XR_HAND/patient00007/study1_negative/broken.png").write_bytes(b"no image")
    hot().save(root / "XR_HAND/patient00009/study1_positive/hot.png")
    (root / "XR_HAND/patient00009/study1_positive/deep.png").write_bytes(sixteen(bits(12)))
    (root / "XR_HAND/patient00008/notes.txt").write_text("no study")
    return root


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "brightness.safetensors"
    save(brightness_model(), path)
    return path


@pytest.fixture
def opened(model):
    """A setup for the cluster, and the panel that it is here."""
    setup = Setup((str(model),), backend="numpy")
    panel, source = open_panel(setup)
    return clusterjob.sent(setup, source), panel


def without_times(value):
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in ("seconds", "recalled")}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def command(capsys, *arguments, status=0):
    found = cli.main([*map(str, arguments), "--backend", "numpy", "--json"])
    out, err = capsys.readouterr()
    assert found == status, err
    return without_times(json.loads(out))


def one_line(capsys, *arguments):
    assert cli.main([*map(str, arguments), "--backend", "numpy"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err
