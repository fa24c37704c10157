"""From nothing to a page, in small, and Keras beside `tinycnn evaluate` on the same images."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import beside_keras
import end_to_end
import pytest
from training import config

IMAGE = config.Image(8, 8)


def document(folder: Path) -> dict[str, Any]:
    """What is said of two studies: the positive one is found, the other is called positive too."""
    scores = {"patient1/study1_positive": (0.9, 0.2), "patient2/study1_negative": (0.7,)}
    studies = []
    for name, values in scores.items():
        views = []
        for i, value in enumerate(values, 1):
            path = folder / "XR_HAND" / name / f"image{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            views.append({"path": str(path), "probability": value})
        parent = str(path.parent)
        studies.append({"path": parent, "verdict_positive": True, "views": views})
    counts = dict(zip(beside_keras.COUNTS, (1, 1, 0, 0), strict=True))
    return {"threshold": 0.5, "studies": studies, "levels": {"study": {"all": counts}}}


def test_what_differs_from_keras_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A score, a verdict, a count, an image that is missing: each alone is noticed."""
    same = document(tmp_path)
    scores = {Path(v["path"]): v["probability"] for s in same["studies"] for v in s["views"]}
    monkeypatch.setattr(beside_keras, "probabilities", lambda *_: scores)

    def compared(said: dict[str, Any]) -> beside_keras.Agreement:
        return beside_keras.compare(said, tmp_path / "any.keras", tmp_path, IMAGE)

    assert compared(same) == beside_keras.Agreement(2, 3, 0, 0.0, ())
    assert compared(same).complete
    other = copy.deepcopy(same)
    other["studies"][0]["views"][1]["probability"] = 0.3
    assert compared(other).largest_difference == pytest.approx(0.1)
    other["studies"][1]["verdict_positive"] = False
    assert (compared(other).other_verdicts, compared(other).complete) == (1, False)
    other = copy.deepcopy(same)
    other["levels"]["study"]["all"]["true_positive"] = 0
    assert (compared(other).other_counts, compared(other).complete) == (("true_positive",), False)
    del other["studies"][0]["views"][0]
    with pytest.raises(ValueError, match="2 images were evaluated, of 3"):
        compared(other)


def test_an_interruption_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(end_to_end, "run", interrupted)
    assert end_to_end.main([str(tmp_path)]) == 130
    assert capsys.readouterr().err == "\nend_to_end: interrupted; the same command goes on\n"


def test_a_disagreement_with_keras_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    agreement = beside_keras.Agreement(2, 3, 1, 0.5, ())
    monkeypatch.setattr(end_to_end, "run", lambda *_: agreement)
    assert end_to_end.main([str(tmp_path)]) == 1
    assert "Keras judges otherwise" in capsys.readouterr().err


def test_a_folder_that_holds_something_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").touch()
    assert end_to_end.main([str(tmp_path)]) == 2
    assert "is not empty and holds no run" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.keras
@pytest.mark.filterwarnings("ignore")
def test_from_nothing_to_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The small form: every step says so, Keras agrees, and the same command goes on."""
    pytest.importorskip("keras")
    out = tmp_path / "out"
    assert end_to_end.main([str(out), "--small"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:5] for line in lines] == [*(f"[{i}/6]" for i in range(1, 7)), "page:"]
    assert "0 of 60 verdicts are different" in lines[5]
    _trained_and_evaluated(out)
    films = _modified(out, "**/*.png") | _modified(out, "**/best.keras")
    assert end_to_end.main([str(out), "--small"]) == 0
    assert _modified(out, "**/*.png") | _modified(out, "**/best.keras") == films
    assert end_to_end.main([str(out)]) == 2  # the large form is another run


def _trained_and_evaluated(out: Path) -> None:
    report = json.loads((out / end_to_end.MODEL / "report.json").read_text())
    losses = [row["loss"] for row in report["history"]]
    assert losses[-1] < 0.69 < losses[0]  # ln 2: what is known before training
    trained, calibrated = (
        json.loads((out / f"{name}.json").read_text()) for name in ("trained", "calibrated")
    )
    assert trained["dataset"]["studies"] == calibrated["dataset"]["studies"] == 60
    network = out / end_to_end.MODEL / "best.keras"
    image = config.load("brief", end_to_end.SMALL.changes).image
    found = beside_keras.compare(trained, network, out / "test", image)
    assert found.complete
    assert found.largest_difference < 1e-5
    assert "all" in calibrated["thresholds"]
    html = (out / "page.html").read_text(encoding="utf-8")
    assert f"<title>Evaluation of {end_to_end.MODEL}-calibrated</title>" in html
    assert html.count("<img ") > 10


def _modified(folder: Path, pattern: str) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob(pattern)}
