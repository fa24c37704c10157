"""What was published stands beside what was measured."""

from __future__ import annotations

import json
import re

import pytest

from tests.evaluation.test_evaluate import command, dataset, model  # noqa: F401
from tinycnn.evaluation.page import page
from tinycnn.evaluation.published import KAPPA, comparable


def test_the_published_baseline_stands_beside_the_body_parts_that_were_seen(
    capsys,
    dataset,  # noqa: F811
    model,  # noqa: F811
):
    _, out, _ = command(capsys, dataset, "--weights", model)
    table = out[out.index("kappa beside what was published") :]
    found = re.findall(r"^(\S+) +this model +.*\n(?: +best.*0.778\n)?.*169\) +(\S+)$", table, re.M)
    assert found == [("XR_HAND", "0.851"), ("XR_WRIST", "0.931")]  # five parts lack, so no "all"
    assert "Trained on drawings: its kappa says nothing beside a physician's." in table


def test_other_data_than_mura_s_are_beside_nobody(capsys, dataset, model):  # noqa: F811
    (dataset / "XR_HAND").rename(dataset / "XR_CHEST")
    (dataset / "XR_WRIST").rename(dataset / "XR_SPINE")
    status, out, _ = command(capsys, dataset, "--weights", model)
    assert status == 0
    assert "published" not in out
    found = json.loads(command(capsys, dataset, "--weights", model, "--json")[1])
    assert found["published"]["compared"] == []
    assert "Beside radiologists" not in page(found, gallery=False)


def test_all_together_are_compared_only_if_they_are_mura_s_seven():
    seven = dict.fromkeys(KAPPA, 2)
    assert comparable(seven) == ["all", *sorted(seven.keys() - {"all"})]
    assert comparable(seven | {"XR_HAND": 0})[0] == "XR_ELBOW"  # seen, and not judged
    assert comparable(seven | {"XR_CHEST": 1})[0] == "XR_ELBOW"
    assert comparable({"all": 0}) == []


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
