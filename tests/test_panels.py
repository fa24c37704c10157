"""One place opens what the options of predict and evaluate name, and both judge alike with it."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, replace

import numpy as np
import pytest
from tinycnn.weights import FOLDER

from tests.studies.conftest import brightness_model
from tests.studies.test_ensemble import halved
from tinycnn import cli
from tinycnn.errors import UsageError
from tinycnn.nn.modelfile import save
from tinycnn.panels import Setup, open_panel, pinned
from tinycnn.studies.finder import find_studies
from tinycnn.studies.verdict import judge_with

SAMPLES = str(FOLDER.parent / "demos" / "sample_studies")
SHIPPED = ("mobilenetv2-phantoms", "cnn5-phantoms")


@pytest.fixture
def files(tmp_path):
    save(brightness_model(), tmp_path / "whole.safetensors")
    save(halved(), tmp_path / "half.safetensors")
    return tuple(str(tmp_path / f"{name}.safetensors") for name in ("whole", "half"))


def answers(setup):
    panel, _ = open_panel(setup)
    return [
        [(row.file, row.probability, row.members) for row in judge_with(folder, panel).rows]
        for folder in find_studies(SAMPLES)
    ]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("several", [False, True])
def test_a_setup_that_went_through_a_pickle_or_json_judges_the_same(several, flip):
    setup = Setup(SHIPPED[: 1 + several], flip, rule="max", threshold=0.3, threads=1)
    panel, source = open_panel(setup)
    assert (panel.decision.rule, panel.decision.threshold, source.flip) == ("max", 0.3, flip)
    sent = pinned(setup, source)
    assert len(sent.hashes) == 1 + several
    assert pickle.loads(pickle.dumps(sent)) == sent
    fields = {
        k: tuple(v) if type(v) is list else v
        for k, v in json.loads(json.dumps(asdict(sent))).items()
    }
    assert Setup(**fields) == sent
    assert answers(Setup(**fields)) == answers(setup)


def test_another_file_of_that_name_is_refused(files):
    setup = Setup(files, backend="numpy")
    sent = pinned(setup, open_panel(setup)[1])
    open_panel(sent)
    save(brightness_model(labels=("well", "ill")), files[0])
    with pytest.raises(UsageError, match=r"whole\.safetensors: not the model that the job began"):
        open_panel(sent)
    with pytest.raises(UsageError, match="1 hash for 2 models"):
        open_panel(replace(sent, hashes=sent.hashes[:1]))


@pytest.mark.parametrize("more", [(), ("--flip",)])
@pytest.mark.parametrize("names", [SHIPPED[:1], SHIPPED])
def test_predict_and_evaluate_say_the_same_to_the_bit(capsys, names, more):
    options = [f"--weights={name}" for name in names] + ["--json", *more]
    found = {}
    for command in ("predict", "evaluate"):
        assert cli.main([command, SAMPLES, *options]) == 0
        found[command] = json.loads(capsys.readouterr().out)
    assert found["predict"]["flip"] == found["evaluate"]["flip"] == bool(more)
    evaluated = {study["path"]: study for study in found["evaluate"]["studies"]}
    assert len(evaluated) == len(found["predict"]["studies"]) == 7
    for study in found["predict"]["studies"]:
        same = evaluated[study["path"]]
        assert same["probability"] == study["probability"]
        assert same["verdict_positive"] == study["positive"]
        assert same.get("members") == study.get("members")
        assert [(v["name"], v["probability"], v.get("members")) for v in same["views"]] == [
            (f["file"], f["probability"], f.get("members")) for f in study["files"]
        ]


def test_models_share_the_decoding_and_inputs_that_are_the_same(files, tmp_path, monkeypatch):
    from tinycnn.studies import images

    decoded, resized = [], []
    for name, calls in (("_decode", decoded), ("_picture", resized)):
        original = getattr(images, name)
        counting = lambda *a, o=original, c=calls: c.append(a) or o(*a)  # noqa: E731
        monkeypatch.setattr(images, name, counting)
    other = replace(brightness_model().preprocessing, scale=1 / 510)
    save(brightness_model(preprocessing=other), tmp_path / "other.safetensors")
    panel, _ = open_panel(Setup((*files, str(tmp_path / "other.safetensors")), backend="numpy"))
    view = next(find_studies(SAMPLES)).entries[0]
    row, inputs, _ = panel.read(view)
    assert (row.status, len(inputs), len(decoded), len(resized)) == ("judged", 3, 1, 2)
    assert inputs[0] is inputs[1]
    np.testing.assert_allclose(inputs[2], inputs[0] / 2)
