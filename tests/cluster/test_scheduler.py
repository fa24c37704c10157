"""The scheduler of a cluster: none, one that does not answer, one that is gone midway."""

from __future__ import annotations

import json
import socket
import sys

import pytest

from tests.cluster import jobs
from tests.cluster.conftest import STUDIES, command, one_line
from tests.cluster.fake import Client, Future
from tinycnn import cli, cluster, clusterjob
from tinycnn.errors import ClusterError
from tinycnn.studies.finder import find_studies


def test_a_scheduler_that_ends_midway(distributed, capsys, dataset, model, monkeypatch):
    monkeypatch.setattr(clusterjob, "Verdicts", jobs.Slow)
    original = cluster.judged
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as ends:

        def judged(*arguments):
            for number, result in enumerate(original(*arguments)):
                yield result
                if number == 3:
                    ends.close()

        monkeypatch.setattr(cluster, "judged", judged)
        arguments = (dataset, "--weights", model, "--scheduler", ends.scheduler_address, "--json")
        said = one_line(capsys, "predict", *arguments)
    assert "is gone" in said


def test_a_scheduler_that_ends_while_an_answer_is_fetched(
    distributed, dataset, opened, monkeypatch
):
    def lost(future, timeout):
        raise OSError("connection reset")

    monkeypatch.setattr(cluster, "TICK", 0.0)
    monkeypatch.setattr(Future, "result", lost)
    setup, panel = opened
    answers = cluster.judged(
        Client("nobody", panel), clusterjob.Verdicts(setup), find_studies(dataset), panel
    )
    with pytest.raises(ClusterError, match="is gone: connection reset"):
        list(answers)


def test_what_was_done_before_the_scheduler_ended_is_reported(
    distributed, capsys, dataset, model, tmp_path, monkeypatch
):
    original, kept = cluster.judged, tmp_path / "journal"
    asked = ["evaluate", dataset, "--weights", model, "--backend", "numpy", "--json"]
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as ends:

        def judged(*arguments):
            for number, record in enumerate(original(*arguments)):
                if number == 7:
                    ends.close()
                    raise ClusterError("the scheduler is gone: on\npurpose")
                yield record

        monkeypatch.setattr(cluster, "judged", judged)
        status = cli.main([*map(str, asked), "--resume", str(kept), "--scheduler",
                           ends.scheduler_address])  # fmt: skip
    out, err = capsys.readouterr()
    assert (status, err.count("\n")) == (2, 1)
    assert "is gone: on purpose; interrupted after 7 of 60 studies; the report is about th" in err
    found = json.loads(out)
    assert (found["interrupted"], len(found["studies"])) == (True, 7)
    again = command(capsys, "evaluate", dataset, "--weights", model, "--resume", kept)
    assert len(again["studies"]) == STUDIES


def test_waiting_for_workers_is_said_once(distributed, dataset, opened, monkeypatch, caplog):
    monkeypatch.setattr(cluster, "TICK", 0.0)
    monkeypatch.setattr(cluster, "SILENT", 0.0)
    setup, panel = opened
    client, original = Client("nobody", panel), Client.nthreads

    def nthreads(client):  # none at first, and none for a while when some have been there
        threads = original(client)
        return {} if client.asked < 5 or 8 <= client.asked < 12 else threads

    monkeypatch.setattr(Client, "nthreads", nthreads)
    folders = list(find_studies(dataset))
    found = list(cluster.judged(client, clusterjob.Verdicts(setup), folders, panel))
    assert len(found) == STUDIES
    said = [record.getMessage() for record in caplog.records if record.name == "tinycnn"]
    assert said == ["no worker at tcp://nowhere:1: waiting for one, at most 60 s"] * 2


@pytest.mark.parametrize("name", ["predict", "evaluate"])
def test_without_the_extra(capsys, dataset, model, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "distributed", None)
    said = one_line(capsys, name, dataset, "--weights", model, "--scheduler", "localhost:1")
    assert "pip install '.[dask]'" in said


@pytest.mark.parametrize("name", ["predict", "evaluate"])
def test_nobody_answers(distributed, capsys, dataset, model, monkeypatch, name):
    monkeypatch.setattr(cluster, "ANSWERS_WITHIN", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as mute, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for listener in (mute, closed):
            there = "127.0.0.1:{1}".format(*listener.getsockname())
            said = one_line(capsys, name, dataset, "--weights", model, "--scheduler", there)
            assert f"--scheduler '{there}': no Dask scheduler answers there: " in said


@pytest.mark.parametrize("there", ["nonsense", "", "tls://127.0.0.1:1"])
def test_what_is_no_address(distributed, capsys, dataset, model, there):
    said = one_line(capsys, "predict", dataset, "--weights", model, "--scheduler", there)
    assert "no Dask scheduler answers there" in said
