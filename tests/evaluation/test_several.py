"""Several models, and the mirror image, in evaluate: means, each one's own figures, the journal."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest

from tests.evaluation.test_evaluate import command, dataset, without_times  # noqa: F401
from tests.evaluation.test_page import read
from tests.studies.conftest import FakeSession, brightness_model
from tests.studies.test_ensemble import halved
from tinycnn.evaluation import run
from tinycnn.evaluation.page import page
from tinycnn.nn.modelfile import save
from tinycnn.studies.ensemble import common_decision
from tinycnn.studies.finder import find_studies
from tinycnn.studies.panel import Panel


@pytest.fixture
def both(tmp_path):
    save(brightness_model(), tmp_path / "whole.safetensors")
    save(halved(), tmp_path / "half.safetensors")
    return [f"--weights={tmp_path / name}.safetensors" for name in ("whole", "half")]


@pytest.fixture
def evaluated(capsys, dataset):  # noqa: F811
    def call(*options, status=0):
        found, out, err = command(capsys, dataset, "--json", *options)
        assert found == status, err
        return json.loads(out) if status == 0 else err

    return call


def test_the_mean_counts_and_each_ones_figures_are_kept(evaluated, both):
    found = evaluated(*both)
    assert [model["name"] for model in found["models"]] == ["whole", "half"]
    assert found["model"] == found["models"][0]
    assert (found["temperature"], found["flip"]) == (None, False)
    study = found["studies"][0]  # of 250 and 200
    assert study["probability"] == pytest.approx(0.75 * 225 / 255)
    assert study["members"] == pytest.approx([225 / 255, 112.5 / 255])
    assert (study["verdict_positive"], study["differ"]) == (True, True)
    view = study["views"][0]
    assert view["members"] == pytest.approx([250 / 255, 125 / 255])
    assert view["probability"] == pytest.approx(np.mean(view["members"]))
    whole, half = found["members"]
    assert (whole["name"], half["name"]) == ("whole", "half")
    own = [table["study"]["all"]["true_positive"] for table in (whole, half)]
    assert [found["levels"]["study"]["all"]["true_positive"], *own] == [1, 1, 0]
    assert found["disagreement"]["all"] == {"studies": 5, "differing": 1, "share": 0.2}
    assert found["disagreement"]["XR_WRIST"] == {"studies": 2, "differing": 0, "share": 0.0}


def test_each_ones_figures_are_those_it_has_alone(evaluated, both):
    together = evaluated(*both)
    for option, member in zip(both, together["members"], strict=True):
        alone = evaluated(option)
        assert member["study"] == alone["levels"]["study"]
        assert "members" not in alone
        assert "models" not in alone


def test_a_journal_of_several_goes_on_and_knows_which(evaluated, both, tmp_path, monkeypatch):
    resume = ["--resume", tmp_path / "journal"]
    whole = evaluated(*both, *resume)
    monkeypatch.setattr(Panel, "read", lambda *_: pytest.fail("judged again"))
    assert without_times(evaluated(*both, *resume)) == without_times(whole)
    before = (tmp_path / "journal").read_bytes()
    for options, what in (
        (both[:1], "other models"), (both[::-1], "another order"),
        (["--flip", *both], "without --flip"),
    ):  # fmt: skip
        assert what in evaluated(*options, *resume, status=2)
    assert (tmp_path / "journal").read_bytes() == before


BAD_MEMBERS = {
    "none": None, "too few": [], "too few models": [[0.5]], "a word": [[0.5, "x"]],
    "beyond 1": [[0.5, 1.5]], "no table": {"a": 1},
}  # fmt: skip


@pytest.mark.parametrize("members", BAD_MEMBERS.values(), ids=BAD_MEMBERS)
def test_a_journal_with_strange_members_is_refused(evaluated, both, tmp_path, members):
    kept = tmp_path / "journal"
    evaluated(*both, "--resume", kept)
    lines = kept.read_text().splitlines()
    assert len(json.loads(lines[4])["views"]) == 1
    lines[4] = json.dumps(json.loads(lines[4]) | {"members": members})
    kept.write_text("\n".join(lines) + "\n")
    assert "line 5: not the record of a study" in evaluated(*both, "--resume", kept, status=2)


def test_models_that_cannot_be_averaged_are_one_line(evaluated, both, tmp_path):
    save(brightness_model(labels=("well", "ill")), tmp_path / "other.safetensors")
    err = evaluated(*both, "--weights", tmp_path / "other.safetensors", status=2)
    assert err.count("\n") == 1
    assert "different labels" in err


def test_inputs_of_several_models_are_bounded_too(dataset):  # noqa: F811
    """Inputs that are decoded and not yet judged, however many studies there are."""
    live = most = 0
    models = [brightness_model(), halved()]

    class Counting(Panel):
        def read(self, entry):
            nonlocal live, most
            found = Panel.read(self, entry)
            live += bool(found[1])
            most = max(most, live)
            return found

        def score(self, rows, inputs):
            nonlocal live
            live -= len(rows)
            return Panel.score(self, rows, inputs)

    panel = Counting(tuple(map(FakeSession, models)), common_decision(models, None, None))
    folders = [folder for folder in find_studies(dataset) for _ in range(100)]
    records = list(run.score(folders, str(dataset), panel, 2))
    assert len(records) == 600
    assert all(len(record.members) == len(record.views) for record in records)
    assert most <= 2 * run.AHEAD + run.BATCH


def test_text_and_csv_show_how_they_differ(capsys, dataset, both):  # noqa: F811
    status, out, _ = command(capsys, dataset, *both, "--flip")
    assert status == 0
    flip = "; scores: mean of each view and its mirror image\n"
    names = [rf"model {name} \(sha256 .{{12}}\){flip}" for name in ("whole", "half")]
    assert re.match("".join(names), out)
    rows = dict(re.findall(r"^(their mean|whole|half) +(\S+) ", out, re.MULTILINE))
    assert rows == {"their mean": "0.80", "whole": "0.80", "half": "0.60"}
    said = " ".join(out.split())
    assert "differ on 1 of 5 studies (20.0%): XR_HAND 1 of 3, XR_WRIST 0 of 2;" in said
    status, out, _ = command(capsys, dataset, *both, "--csv")
    (first, *_), *_ = [list(csv.DictReader(out.splitlines()))]
    members = [float(p) for p in first["members"].split()]
    assert members == pytest.approx([250 / 255, 125 / 255])
    assert float(first["probability"]) == pytest.approx(np.mean(members))
    _, out, _ = command(capsys, dataset, both[0])
    assert "EACH MODEL" not in out
    assert "mirror" not in out


def test_no_labelled_study_was_judged(capsys, dataset, both):  # noqa: F811
    for image in dataset.rglob("*.png"):
        image.write_bytes(b"")
    assert "differ on" not in command(capsys, dataset, *both)[1]


def test_the_page_shows_each_model_and_how_often_they_differ(evaluated, both):
    html = page(evaluated(*both, "--flip"))
    words = read(html).words
    assert "Evaluation of the mean of whole, half" in words
    assert "Their verdicts differ on 1 of 5 studies (20.0\u202f%)" in words
    assert "Each model alone, by study, all body parts" in words
    assert re.search(r"Averaged withhalf, SHA-256 \w{64}", words)
    assert "Mirror imagesaveraged in" in words
    assert "the models: 0.12, 0.06" in words  # of the one study that is judged wrongly
    alone = read(page(evaluated(both[0]))).words
    assert "each alone" not in alone
    assert "Averaged" not in alone


def test_a_model_that_is_named_twice_is_one_line(evaluated, both):
    err = evaluated(*both, both[0], status=2)
    assert err.count("\n") == 1
    assert "is the same model as" in err
