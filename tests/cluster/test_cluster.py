"""Studies judged on a cluster: as one after the other, whatever becomes of its workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import tinycnn
from tests.cluster import jobs
from tests.cluster.conftest import FAILURES, STUDIES, command, one_line
from tests.cluster.fake import Client
from tests.signals import hear_interrupts
from tests.studies.conftest import save_gray
from tests.studies.test_ensemble import halved
from tinycnn import cluster, clusterjob
from tinycnn.errors import ClusterError
from tinycnn.nn.modelfile import save
from tinycnn.studies.finder import find_studies
from tinycnn.studies.verdict import judge_with

ROOT = Path(__file__).resolve().parents[2]


def same(results, folders, panel):
    """Whether ``results`` are those of one study after the other, but for the time it took."""
    expected = [judge_with(folder, panel) for folder in folders]
    return [replace(r, seconds=None) for r in results] == [
        replace(r, seconds=None) for r in expected
    ]


@pytest.mark.parametrize("name", ["predict", "evaluate"])
@pytest.mark.parametrize("more", [(), ("--flip", "--rule", "max"), ("--weights", "other")])
def test_the_document_is_that_of_the_serial_run(
    capsys, address, dataset, model, tmp_path, monkeypatch, name, more
):
    other = tmp_path / "other.safetensors"
    save(halved(), other)
    arguments = [other if word == "other" else word for word in more]
    monkeypatch.chdir(tmp_path)  # relative paths stay as they are, though workers are elsewhere
    asked = (name, "data", "--weights", model, *arguments)
    serial = command(capsys, *asked)
    assert command(capsys, *asked, "--scheduler", address) == serial
    assert len(serial["studies"]) == STUDIES
    for said in ("shows nothing: ", "taken as 12 bits in a 16-bit file"):
        assert said in json.dumps(serial)


def test_an_interrupted_run_goes_on(capsys, address, dataset, model, tmp_path, monkeypatch):
    asked = ("evaluate", dataset, "--weights", model, "--scheduler", address)
    whole, kept, original = command(capsys, *asked), tmp_path / "journal", cluster.judged

    def interrupted(*arguments):
        for number, record in enumerate(original(*arguments)):
            if number == 20:
                raise KeyboardInterrupt
            yield record

    with monkeypatch.context() as patch:
        patch.setattr(cluster, "judged", interrupted)
        part = command(capsys, *asked, "--resume", kept, status=130)
    assert (part["interrupted"], len(part["studies"])) == (True, 20)
    asked_again = []

    def counted(client, job, folders, panel):
        return original(client, job, (asked_again.append(f) or f for f in folders), panel)

    monkeypatch.setattr(cluster, "judged", counted)
    assert command(capsys, *asked, "--resume", kept) == whole
    assert len(asked_again) == STUDIES - 20


def test_a_killed_worker_loses_nothing(local, address, dataset, opened):
    setup, panel = opened
    folders, results = list(find_studies(dataset)), []
    with cluster.connected(address) as client:
        for result in cluster.judged(client, jobs.Slow(setup), folders, panel):
            results.append(result)
            if len(results) == 10:
                os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
    assert same(results, folders, panel)


def test_a_study_that_kills_its_workers_is_refused(address, dataset, opened):
    setup, panel = opened
    deadly = dataset / "XR_HAND/patient00030/study1_positive"
    save_gray(deadly / "deadly.png", 99)
    folders = list(find_studies(dataset))
    with cluster.connected(address) as client:
        job = jobs.Deadly(setup, "deadly.png")
        results = list(cluster.judged(client, job, folders, panel))
    [(place, refused)] = [(i, r) for i, r in enumerate(results) if r.path == str(deadly)]
    assert (refused.verdict, {row.status for row in refused.rows}) == (None, {"refused"})
    assert f"{FAILURES + 1} workers died" in refused.rows[0].reason
    del results[place], folders[place]
    assert same(results, folders, panel)


def test_no_study_is_refused_for_its_neighbour(distributed, dataset, opened, monkeypatch):
    setup, panel = opened
    monkeypatch.setattr(cluster, "TICK", 0.0)
    folders = list(find_studies(dataset))
    client = Client("patient00030/study1_positive", panel)
    results = list(cluster.judged(client, clusterjob.Verdicts(setup), folders, panel))
    assert [r.path for r in results if r.verdict is None] == [folders[30].path]
    assert "4 workers died" in results[30].rows[0].reason
    assert client.most > 4  # parts that died together
    del results[30], folders[30]
    assert same(results, folders, panel)


def test_a_worker_that_does_not_see_the_data_is_left_out(address, dataset, opened, caplog):
    setup, panel = opened
    folders = list(find_studies(dataset))
    with cluster.connected(address) as client:
        results = list(cluster.judged(client, jobs.Blind(setup, 0), folders, panel))
    assert same(results, folders, panel)
    [message] = [record.getMessage() for record in caplog.records if record.name == "tinycnn"]
    assert "is left out: it cannot read" in message


def test_a_worker_that_does_not_see_one_of_several_is_left_out(
    address, dataset, opened, monkeypatch
):
    """Also where the first that it does not see is gone for the client, too."""
    setup, panel = opened
    monkeypatch.setattr(cluster, "NOBODY_FIT", 1.0)
    folder = list(find_studies(dataset))[1]
    gone, there = folder.entries
    os.unlink(gone.path)
    with (
        cluster.connected(address) as client,
        pytest.raises(ClusterError, match=f"cannot read '{there.path}'"),
    ):
        list(cluster.judged(client, jobs.Blind(setup), [folder], panel))


def test_what_vanished_for_all_is_refused_as_ever(address, dataset, opened):
    setup, panel = opened
    folders = list(find_studies(dataset))
    for entry in folders[5].entries:
        os.unlink(entry.path)
    with cluster.connected(address) as client:
        results = list(cluster.judged(client, clusterjob.Verdicts(setup), folders, panel))
    assert same(results, folders, panel)
    assert "No such file" in results[5].rows[0].reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"blind": True}, "cannot read '/.*; the data must lie at the same path"),
        ({"version": "9.9"}, f"it has tinycnn {tinycnn.__version__}, the client 9.9"),
        ({"hashes": ("0" * 64,)}, "not the model that the job began with"),
        ({"backend": "numb"}, "no backend 'numb'"),
    ],
)
def test_no_worker_can_do_it(address, dataset, opened, monkeypatch, changes, reason):
    setup, panel = opened
    monkeypatch.setattr(cluster, "NOBODY_FIT", 1.0)
    monkeypatch.setattr(tinycnn, "__version__", changes.pop("version", tinycnn.__version__))
    kind = jobs.Blind if changes.pop("blind", False) else clusterjob.Verdicts
    job = kind(replace(setup, **changes))
    with cluster.connected(address) as client, pytest.raises(ClusterError, match=reason) as raised:
        list(cluster.judged(client, job, find_studies(dataset), panel))
    assert "no worker can do this" in str(raised.value)


def test_a_fault_in_a_worker_ends_the_run(address, dataset, opened):
    setup, panel = opened
    with cluster.connected(address) as client, pytest.raises(ClusterError, match="ZeroDivision"):
        list(cluster.judged(client, jobs.Faulty(setup), find_studies(dataset), panel))


def test_few_studies_are_under_way(address, dataset, opened, monkeypatch):
    setup, panel = opened
    monkeypatch.setattr(cluster, "MOST", 2)
    folders, taken, most = list(find_studies(dataset)), 0, 0

    def counted():
        nonlocal taken
        for folder in folders * 20:
            taken += 1
            yield folder

    with cluster.connected(address) as client:
        for number, _ in enumerate(
            cluster.judged(client, clusterjob.Verdicts(setup), counted(), panel)
        ):
            most = max(most, taken - number)
    assert taken == number + 1 == 20 * STUDIES
    assert most <= 2 * cluster.AHEAD * 2  # workers, tasks, studies


def test_nothing_stays_on_the_cluster(local, address, dataset, opened):
    setup, panel = opened
    with cluster.connected(address) as client:
        results = cluster.judged(client, jobs.Slow(setup), find_studies(dataset), panel)
        next(results)
        results.close()
    deadline = time.monotonic() + 10
    while local.scheduler.tasks and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not local.scheduler.tasks


SLOWLY = """
import sys
from tests.cluster.jobs import SlowRecords
from tinycnn import cli, clusterjob
clusterjob.Records = SlowRecords
sys.exit(cli.main(sys.argv[1:]))
"""


def test_control_c_reports_what_is_done(address, dataset, model, tmp_path):
    kept = tmp_path / "journal"
    options = ["--weights", model, "--backend", "numpy", "--json", "--resume", kept]
    with subprocess.Popen(
        [sys.executable, "-c", SLOWLY, "evaluate", dataset, "--scheduler", address, *options],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=hear_interrupts,
    ) as child:  # fmt: skip
        deadline = time.monotonic() + 60
        while not (kept.exists() and kept.read_bytes().count(b"\n") > 5):
            assert child.poll() is None, child.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    found = json.loads(out)
    assert found["interrupted"]
    assert 5 <= len(found["studies"]) < STUDIES
    assert f"interrupted after {len(found['studies'])} of {STUDIES}" in err
    assert len(err.splitlines()) == 1


def test_a_worker_is_no_scheduler(capsys, local, address, dataset, model):
    worker = next(iter(local.scheduler_info["workers"]))
    said = one_line(capsys, "predict", dataset, "--weights", model, "--scheduler", worker)
    assert "no Dask scheduler answers there: it is a" in said


def test_models_come_as_bytes_and_are_opened_once(opened, model):
    setup, _ = opened
    elsewhere, data = (
        replace(setup, weights=("/nowhere/brightness.safetensors",)),
        model.read_bytes(),
    )
    model.unlink()
    first = clusterjob._opened(elsewhere, [data], 3)
    assert clusterjob._opened(elsewhere, [], 3) is first
    assert first.models[0].name == "brightness"
    assert first.sessions[0].threads == 3
    clusterjob._panels.clear()
