"""Thresholds by body part and a temperature, in the model file: there or not, and made to harm."""

from __future__ import annotations

import copy
import json

import pytest

from tests.nn.models import CALIBRATION, every_layer, small
from tinycnn import weights
from tinycnn.errors import ModelFileError
from tinycnn.nn import modelfile
from tinycnn.nn.model import Decision, Sample

MODEL = every_layer()


def parse(decision):
    tree = modelfile.to_json(MODEL) | {"decision": decision}
    return modelfile.from_json(json.loads(json.dumps(tree)), MODEL.weights, "m").decision


def written():
    return copy.deepcopy(modelfile.to_json(MODEL)["decision"])


def test_what_is_written_comes_back():
    assert parse(written()) == MODEL.decision
    assert MODEL.decision.calibration == CALIBRATION


def test_without_calibration_the_file_has_no_word_of_it():
    assert modelfile.to_json(small())["decision"] == {
        "rule": "mean", "threshold": 0.5, "positive": None
    }  # fmt: skip


@pytest.mark.parametrize("name", weights.names())
def test_shipped_models_saved_again_are_the_same_to_the_byte(name, tmp_path):
    data = weights.find(name).read_bytes()
    kind = "float16" if b'"dtype":"F16"' in data[:100_000] else "float32"
    modelfile.save(modelfile.load(weights.find(name)), tmp_path / "m.safetensors", kind)
    assert (tmp_path / "m.safetensors").read_bytes() == data


def test_whose_threshold_applies():
    decision = MODEL.decision
    assert decision.threshold_of("XR_WRIST") == "XR_WRIST"
    assert decision.threshold_of("XR_HAND") == decision.threshold_of(None) == "all"
    assert [decision.on(part).threshold for part in ("XR_WRIST", "XR_HAND", None)] == [
        0.3,
        0.4,
        0.4,
    ]
    plain = Decision("mean", 0.6, 1)
    assert plain.on("XR_WRIST") == plain
    assert plain.threshold_of("XR_WRIST") is None


def put(value, *path):
    def edit(decision):
        for key in path[:-1]:
            decision = decision[key]
        decision[path[-1]] = value

    return edit


def leave_out(*path):
    def edit(decision):
        for key in path[:-1]:
            decision = decision[key]
        del decision[path[-1]]

    return edit


MANY = {f"XR_{i}": 0.5 for i in range(65)}


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (put(0.0, "temperature"), "temperature"), (put(-1.0, "temperature"), "temperature"),
        (put(0.0099, "temperature"), "temperature"), (put(100.1, "temperature"), "temperature"),
        (put(True, "temperature"), "temperature"), (put("1.5", "temperature"), "temperature"),
        (put(None, "temperature"), "temperature"),
        (put([], "thresholds"), "thresholds"), (put(None, "thresholds"), "thresholds"),
        (put(MANY, "thresholds"), "at most 64"), (put({"": 0.5}, "thresholds"), "printed"),
        (put({"XR_\x1b[2J": 0.5}, "thresholds"), "printed"),
        (put({"X" * 65: 0.5}, "thresholds"), "printed"),
        (put({"\ud800": 0.5}, "thresholds"), "printed"),
        (put({"XR_ELBOW": 0.5}, "thresholds"), "not seen"),
        (put(1.0, "thresholds", "all"), "threshold of all"),
        (put(0.0, "thresholds", "all"), "threshold of all"),
        (put(True, "thresholds", "all"), "threshold of all"),
        (put("0.5", "thresholds", "all"), "threshold of all"),
        (put([0.5], "thresholds", "all"), "threshold of all"),
        (put({"a": 1}, "thresholds", "all"), "threshold of all"),
        (put(None, "positive"), "no label that is looked for"),
        (put(3, "calibration"), "object"), (put([], "calibration"), "object"),
        (leave_out("calibration"), "no calibration"), (put(None, "calibration"), "no calibration"),
        (put(1, "calibration", "extra"), "unknown entry 'extra'"),
        (leave_out("calibration", "dataset"), "dataset"),
        (put("", "calibration", "dataset"), "printed"),
        (put("a\nb", "calibration", "dataset"), "printed"),
        (put("a\u202eb", "calibration", "target"), "printed"),
        (put("x" * 201, "calibration", "tinycnn"), "printed"),
        (put(7, "calibration", "dataset"), "dataset"), (put("all", "calibration", "rule"), "rule"),
        (put([], "calibration", "parts"), "parts"), (put(None, "calibration", "parts"), "parts"),
        (leave_out("calibration", "parts"), "parts"), (put({}, "calibration", "parts"), "not seen"),
        (put(4, "calibration", "parts", "all"), "sample"),
        (put({"positive": 1}, "calibration", "parts", "all"), "negative"),
        (put(-1, "calibration", "parts", "all", "positive"), "no counts"),
        (put(10_000, "calibration", "parts", "all", "patients"), "no counts"),
        (put(1.5, "calibration", "parts", "all", "positive"), "positive"),
        (put(False, "calibration", "parts", "all", "positive"), "positive"),
    ],
)  # fmt: skip
def test_made_to_harm(edit, match):
    decision = written()
    edit(decision)
    with pytest.raises(ModelFileError, match=match) as caught:
        parse(decision)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


def test_too_many_parts():
    decision = written()
    decision["calibration"]["parts"] |= {f"XR_{i}": {"positive": 1, "negative": 1, "patients": 1}
                                         for i in range(64)}  # fmt: skip
    with pytest.raises(ModelFileError, match="67 body parts"):
        parse(decision)


def test_a_sample_that_cannot_be():
    with pytest.raises(ModelFileError, match="no counts"):
        Sample(1, 1, 3)
