"""Models whose labels are independent: each with its own probability, and none "the class"."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import tinycnn
from tinycnn import predict
from tinycnn.nn import modelfile
from tinycnn.nn.graph import Sequential
from tinycnn.nn.layers import Dense, GlobalAveragePooling2D
from tinycnn.nn.model import Decision, Model
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.selftest import record

LOGITS = {"mass": 4.0, "effusion": 2.0, "nodule": -2.0}  # of HALF; of LITTLE a quarter of them
HALF, LITTLE = 4, 1  # white columns of 8


def model(labels=LOGITS, activation="sigmoid", **changes):
    """Scores of an 8x8 image: the sigmoid of twice its mean brightness times each label's logit."""
    layers = [GlobalAveragePooling2D(), Dense(len(labels), activation=activation, name="d")]
    graph = Sequential(layers, (8, 8, 1))
    kernel = 2 * np.array([list(labels.values())], np.float32)
    weights = {"d/kernel": kernel, "d/bias": np.zeros(len(labels), np.float32)}
    preparing = Preprocessing("grayscale", scale=1 / 255)
    made = Model(graph, weights, preparing, tuple(labels))
    return replace(made, self_test=record(graph, weights, preparing), **changes)


@pytest.fixture
def run(tmp_path, capsys):
    """Save a model, predict a study of images with so many white columns; status and output."""

    def call(made, columns, *options):
        modelfile.save(made, tmp_path / "m.safetensors")
        (tmp_path / "study").mkdir(exist_ok=True)
        for i, count in enumerate(columns, 1):
            levels = np.repeat(np.uint8([[255] * count + [0] * (8 - count)]), 8, axis=0)
            Image.fromarray(levels).save(tmp_path / "study" / f"image{i}.png")
        command = [str(tmp_path / "study"), "--weights", str(tmp_path / "m.safetensors")]
        status = predict.main([*command, *options])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return call


def test_each_label_has_its_probability_and_threshold(run):
    status, out = run(model(), [HALF, LITTLE])  # sigmoids of 4, 2, -2; of 1, 0.5, -0.5
    assert status == 0
    assert "image1.png            p(mass) 0.982, p(effusion) 0.881, p(nodule) 0.119" in out
    assert "=> mass + effusion  (2 of 3 independent labels; 2 views)" in out
    assert "     mass      mean 0.857, threshold 0.5: FOUND\n" in out
    assert "     effusion  mean 0.752, threshold 0.5: FOUND\n" in out
    assert "     nodule    mean 0.248, threshold 0.5\n" in out
    assert "mean score" not in out


def test_no_label_at_all_is_a_verdict(run):
    status, out = run(model({"mass": -4.0, "effusion": -2.0}), [HALF])
    assert status == 0
    assert "=> none of the labels  (0 of 2 independent labels; 1 view)" in out


def test_rules_and_thresholds_hold_for_each_label(run):
    _, out = run(model(), [HALF, LITTLE], "--rule", "any", "--threshold", "0.9")
    assert "=> mass  (1 of 3 independent labels; 2 views)" in out
    assert "     mass      1 of 2 views at or above 0.9: FOUND\n" in out
    assert "     effusion  0 of 2 views at or above 0.9\n" in out
    _, out = run(model(decision=Decision("max", 0.95)), [HALF, LITTLE])
    assert "     mass      largest 0.982, threshold 0.95: FOUND\n" in out


def test_programs_get_all_of_them(run):
    made = model({f"l{i}": float(i - 12) for i in range(25)})
    document = json.loads(run(made, [HALF], "--json")[1])
    assert document["model"]["independent"] is True
    (study,) = document["studies"]
    assert (study["positive"], study["probability"]) == (None, None)
    assert [f["label"] for f in study["findings"]] == [f"l{i}" for i in range(25)]
    assert study["findings"][11] == {
        "label": "l11", "probability": pytest.approx(0.2689, abs=1e-4),
        "threshold": 0.5, "positive": False,
    }  # fmt: skip
    assert study["verdict"] == " + ".join(f"l{i}" for i in range(12, 25))
    assert document["summary"]["verdicts"] == {f"l{i}": 1 for i in range(12, 25)}
    _, out = run(made, [HALF])
    assert "and 5 more labels, which are less probable" in out
    assert "     l5   mean" in out
    assert "     l4   mean" not in out


def test_csv_names_what_a_view_shows(run):
    text = run(model(), [HALF, LITTLE], "--csv", "--threshold", "0.65")[1]
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["labels_found"], second["labels_found"]) == ("mass; effusion", "mass")
    assert (first["verdict"], first["study_probability"]) == ("mass + effusion", "")
    assert (first["rule"], first["threshold"]) == ("mean", "0.65")


def test_the_label_that_is_looked_for_is_not_answered_by_another(run):
    """Of two independent labels the one is not what the other is not."""
    two = model({"mass": 4.0, "effusion": -2.0}, decision=Decision(positive=1))
    assert "=> NOT EFFUSION  (mean 0.119 of 1 view, threshold 0.5)" in run(two, [HALF])[1]
    alternatives = model({"mass": 4.0, "effusion": -2.0}, "softmax", decision=Decision(positive=1))
    assert "=> MASS  (mean 0.002 of 1 view, threshold 0.5)" in run(alternatives, [HALF])[1]


def test_a_softmax_still_has_one_class(run):
    _, out = run(model(activation="softmax"), [HALF])
    assert "=> mass  (mean score 0.879 of 1 view)" in out
    status, out = run(model(activation="softmax"), [HALF], "--threshold", "0.3")
    assert status == 2
    assert "its verdict is the label with the highest mean score" in out


def test_a_program_that_was_kept_knows_it_too(run, tmp_path):
    """The second start reads no network: see `tinycnn.engine.prepared`."""
    first, second = (run(model(), [HALF])[1] for _ in range(2))
    assert first.splitlines()[:8] == second.splitlines()[:8]
    loaded = tinycnn.load(tmp_path / "m.safetensors")
    assert loaded.model.independent
    (result,) = tinycnn.predict_studies(tmp_path / "study", loaded)
    assert [found.positive for found in result.findings] == [True, True, False]


def test_models_that_look_for_nothing_are_not_averaged(run, tmp_path, capsys):
    modelfile.save(model({"mass": 1.0, "effusion": 1.0}), tmp_path / "other.safetensors")
    status, out = run(model(), [HALF], "--weights", str(tmp_path / "other.safetensors"))
    assert (status, "looks for no label: it cannot be averaged" in out) == (2, True)
