"""What was published stands beside what was measured."""

from __future__ import annotations

import json
import re

import pytest

from tests.evaluation.test_evaluate import command, dataset, model  # noqa: F401


def test_the_published_baseline_stands_beside_the_body_parts_that_were_seen(
    capsys,
    dataset,  # noqa: F811
    model,  # noqa: F811
):
    _, out, _ = command(capsys, dataset, "--weights", model)
    table = out[out.index("kappa beside what was published") :]
    found = re.findall(r"^(\S+) +this model +.*\n(?: +best.*0.778\n)?.*169\) +(\S+)$", table, re.M)
    assert found == [("all", "0.705"), ("XR_HAND", "0.851"), ("XR_WRIST", "0.931")]


def test_the_last_line_says_how_fast_and_where_the_time_went(
    capsys,
    dataset,  # noqa: F811
    model,  # noqa: F811
    tmp_path,
):
    kept = ("--weights", model, "--resume", tmp_path / "journal")
    last = command(capsys, dataset, *kept)[1].splitlines()[-1]
    found = re.fullmatch(
        r"[\d.]+ s, [\d.]+ studies/s; of the threads' time: "
        r"decoding (\d+)%, resizing (\d+)%, network (\d+)%",
        last,
    )
    assert 98 <= sum(map(int, found.groups())) <= 102
    again = command(capsys, dataset, *kept)[1].splitlines()[-1]
    assert " 0.0 studies/s, 6 studies from the journal; of" in again
    seconds = json.loads(command(capsys, dataset, *kept, "--json")[1])["seconds"]
    assert seconds["studies_per_second"] == 0
    assert sum(seconds["shares"].values()) == pytest.approx(1)
    assert 0 < seconds["resize"] < seconds["decode"]
    work = seconds["decode"] + seconds["inference"]
    assert seconds["shares"]["resize"] == pytest.approx(seconds["resize"] / work)
