"""What was published stands beside what was measured."""

from __future__ import annotations

import re

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
