from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinycnn
from tests.signals import hear_interrupts
from tests.studies.conftest import FakeSession, brightness_model, save_gray
from tinycnn import cli, evaluate
from tinycnn.evaluation import document, records, run
from tinycnn.nn.model import Decision
from tinycnn.nn.modelfile import save
from tinycnn.studies.finder import Folder, find_studies
from tinycnn.studies.names import parse_mura
from tinycnn.studies.panel import Panel
from tinycnn.studies.reports import Source
from tinycnn.studies.verdict import predict_studies

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "demos"))

SOURCE = Source(brightness_model(), "0" * 64, "m", "numpy", "0")
# part/patient/study: brightness of each view; the model's probability is brightness / 255
STUDIES = {
    "XR_HAND/patient00001/study1_positive": (250, 200),
    "XR_HAND/patient00001/study2_negative": (10, 20),
    "XR_HAND/patient00002/study1_negative": (240, 10, 10),
    "XR_WRIST/patient00003/study1_positive": (30,),
    "XR_WRIST/patient00004/study1_negative": (60, 70),
    "XR_WRIST/patient00005/study1": (255,),
}


@pytest.fixture
def dataset(tmp_path):
    root = tmp_path / "data"
    for name, views in STUDIES.items():
        for i, level in enumerate(views, 1):
            save_gray(root / name / f"image{i}.png", level)
    (root / "XR_HAND/patient00002/study1_negative/image9.png").write_bytes(b"no image")
    return root


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "brightness.safetensors"
    save(brightness_model(), path)
    return path


def command(capsys, *arguments):
    options = ["--backend", "numpy", "--bootstrap", "50"]
    status = cli.main(["evaluate", *map(str, arguments), *options])
    return (status, *capsys.readouterr())


def as_json(capsys, dataset, model, *more, status=0):
    found, out, err = command(capsys, dataset, "--weights", model, "--json", *more)
    assert found == status, err
    return json.loads(out)


def panel_of(*sessions):
    return Panel(sessions, sessions[0].model.decision)


def without_times(found):
    return {name: value for name, value in found.items() if name not in ("seconds", "recalled")}


def test_every_level_counts_what_it_says(capsys, dataset, model):
    found = as_json(capsys, dataset, model)
    assert found["schema"] == "tinycnn-evaluation/1"
    counts = {"studies": 6, "patients": 5, "views": 11, "refused": 1, "unlabelled": 1}
    counts |= {"refused_by_reason": {"neither PNG nor JPEG": 1}, "with_notes": 0, "notes": {}}
    assert found["dataset"] == {"path": str(dataset), "without_verdict": 0, **counts}
    cells = ("count", "true_positive", "false_positive", "true_negative", "false_negative")

    def row(level, part):
        return tuple(found["levels"][level][part][cell] for cell in cells)

    assert row("study", "all") == (5, 1, 0, 3, 1)
    assert row("image", "all") == (10, 2, 1, 6, 1)
    assert row("patient", "all") == (4, 1, 0, 2, 1)
    assert row("study", "XR_WRIST") == (2, 0, 0, 1, 1)
    assert found["levels"]["study"]["all"]["accuracy"]["value"] == 0.8
    assert found["levels"]["study"]["XR_WRIST"]["auroc"]["value"] == 0.0
    assert found["rules"]["any"]["all"]["false_positive"] == 1
    assert found["rules"]["mean"] == found["levels"]["study"]
    assert found["worst"]["studies"] == ["XR_WRIST/patient00003/study1"]
    assert [Path(p).parent.name for p in found["worst"]["images"]] == [
        "study1_negative",
        "study1_positive",
    ]
    unlabelled = found["studies"][-1]
    assert (unlabelled["label"], unlabelled["correct"], unlabelled["verdict_positive"]) == (
        None,
        None,
        True,
    )
    assert "DEMONSTRATION" in found["caution"]
    assert found["roc"]["all"][0] == [0.0, 0.0, None]
    assert sum(bin["count"] for bin in found["reliability"]["all"]) == 5


def test_rule_and_threshold_are_those_asked_for(capsys, dataset, model):
    found = as_json(capsys, dataset, model, "--rule", "max", "--threshold", "0.05")
    assert (found["rule"], found["threshold"]) == ("max", 0.05)
    table = found["levels"]["study"]["all"]
    assert (table["true_positive"], table["false_positive"]) == (2, 3)


def test_verdicts_are_those_of_predict(capsys, dataset, model):
    found = as_json(capsys, dataset, model)
    expected = {r.path: r for r in predict_studies(dataset, tinycnn.load(model, backend="numpy"))}
    assert len(found["studies"]) == len(expected)
    for study in found["studies"]:
        result = expected[study["path"]]
        assert study["probability"] == pytest.approx(result.probability, abs=1e-6)
        assert study["verdict_positive"] == result.positive
        assert [view["name"] for view in study["views"]] == [row.file for row in result.judged]


def test_output_is_whole_or_not_there(capsys, dataset, model, tmp_path, monkeypatch):
    target = tmp_path / "out.json"
    assert command(capsys, dataset, "--weights", model, "--json", "--output", target)[:2] == (0, "")
    assert json.loads(target.read_text())["interrupted"] is False
    before = target.read_bytes()

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dumps", fail)
    assert command(capsys, dataset, "--weights", model, "--json", "--output", target)[0] == 2
    assert target.read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("option", ["--output", "--html"])
def test_a_place_that_cannot_be_written_to_is_told_before_the_work(
    capsys, dataset, model, tmp_path, monkeypatch, option
):
    monkeypatch.setattr(evaluate, "_judge_all", lambda *_: pytest.fail("hours of work"))
    target = tmp_path / "nowhere" / "out"
    status, out, err = command(capsys, dataset, "--weights", model, option, target)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "cannot write" in err


def test_report_and_page_in_one_run(capsys, dataset, model, tmp_path):
    both = ("--json", "--output", tmp_path / "o.json", "--html", tmp_path / "o.html")
    assert command(capsys, dataset, "--weights", model, *both) == (0, "", "")
    assert json.loads((tmp_path / "o.json").read_text())["schema"] == "tinycnn-evaluation/1"
    assert (tmp_path / "o.html").read_text().endswith("</html>\n")
    assert not list(tmp_path.glob("*.part"))


def test_a_study_without_a_usable_view_is_counted(capsys, dataset, model):
    (dataset / "XR_HAND/patient00001/study1_positive/image1.png").write_bytes(b"")
    (dataset / "XR_HAND/patient00001/study1_positive/image2.png").unlink()
    found = as_json(capsys, dataset, model, status=1)
    assert found["dataset"]["without_verdict"] == 1
    assert found["levels"]["study"]["all"]["count"] == 4


def interrupt_after(monkeypatch, studies):
    original = evaluate.score

    def score(*arguments):
        for number, record in enumerate(original(*arguments)):
            if number == studies:
                raise KeyboardInterrupt
            yield record

    monkeypatch.setattr(evaluate, "score", score)


def test_an_interrupted_run_reports_and_goes_on(capsys, dataset, model, tmp_path, monkeypatch):
    kept = tmp_path / "journal"
    whole = as_json(capsys, dataset, model)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        status, out, err = command(capsys, dataset, "--weights", model, "--json", "--resume", kept)
    assert status == 130
    assert "interrupted after 3 of 6 studies" in err
    part = json.loads(out)
    assert part["interrupted"] is True
    assert part["dataset"]["studies"] == 3
    with kept.open("ab") as stream:
        stream.write(b'{"study": "XR_WR')  # the power failed
    decoded = []
    original = Panel.read
    monkeypatch.setattr(Panel, "read", lambda p, e: decoded.append(e) or original(p, e))
    resumed = as_json(capsys, dataset, model, "--resume", kept)
    assert len(decoded) == 4  # the views of the other three studies
    assert without_times(resumed) == without_times(whole)
    assert without_times(as_json(capsys, dataset, model, "--resume", kept)) == without_times(whole)
    assert len(decoded) == 4
    assert resumed["recalled"] == 3


SLOWLY = """
import sys, time
from tinycnn import cli, evaluate
original = evaluate.score
def score(*arguments):
    for record in original(*arguments):
        yield record
        print("one", file=sys.stderr, flush=True)
        time.sleep(60 if record.id.endswith("patient00002/study1") else 0)
evaluate.score = score
sys.exit(cli.main(["evaluate", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_writes_what_is_done(dataset, model, tmp_path, number):
    target, kept = tmp_path / "out.json", tmp_path / "journal"
    options = ["--weights", model, "--backend", "numpy", "--json", "--output", target]
    command = [sys.executable, "-c", SLOWLY, dataset, *options, "--resume", kept]
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=hear_interrupts
    ) as process:
        for _ in range(3):
            assert process.stderr.readline() == "one\n"
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == 128 + number
    assert rest.count("\n") == 1
    assert "interrupted after 3 of 6 studies" in rest
    found = json.loads(target.read_text())
    assert (found["interrupted"], found["dataset"]["studies"]) == (True, 3)
    assert kept.read_text().count("\n") == 4


def test_a_folder_without_labels_is_one_line(capsys, dataset, model):
    status, _, err = command(capsys, dataset / "XR_WRIST/patient00005", "--weights", model)
    assert (status, err.count("\n")) == (2, 1)
    assert "study1_positive" in err


def test_a_model_that_looks_for_no_label_is_one_line(capsys, dataset, tmp_path):
    save(brightness_model(decision=Decision()), tmp_path / "general.safetensors")
    options = ["--weights", tmp_path / "general.safetensors", "--resume", tmp_path / "journal"]
    status, _, err = command(capsys, dataset, *options)
    assert (status, err.count("\n"), (tmp_path / "journal").exists()) == (2, 1, False)
    assert "--positive" in err


def test_few_views_wait_however_many_there_are(dataset):
    """Views that are decoded and not yet judged are never more than a bound."""
    live, most = 0, 0
    original = Panel.read

    def read(panel, entry):
        nonlocal live, most
        live += 1
        most = max(most, live)
        return original(panel, entry)

    def predict(batch):
        nonlocal live
        live -= len(batch)
        return np.full((len(batch), 1), 0.25, np.float32)

    folders = [f for f in find_studies(dataset) for _ in range(100)]
    session = FakeSession(brightness_model(), predict)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Panel, "read", read)
        scored = list(run.score(folders, str(dataset), panel_of(session), 2))
    assert [r.path for r in scored] == [f.path for f in folders]
    assert most - 100 <= 2 * run.AHEAD + run.BATCH  # 100 of them are refused


def test_studies_that_need_no_network_are_told_at_once(tmp_path):
    for i in range(40):
        path = tmp_path / f"study{i}_positive" / "image1.png"
        path.parent.mkdir()
        path.write_bytes(b"")
    session = FakeSession(brightness_model())
    seen = []

    def folders():
        for folder in find_studies(tmp_path):
            seen.append(folder)
            yield folder

    scored = run.score(folders(), str(tmp_path), panel_of(session), 1)
    assert next(scored).refused[0][1] == "the file is empty"
    assert len(seen) <= run.AHEAD + 1
    scored.close()


def test_phantoms_with_a_shipped_model(capsys, tmp_path):
    import phantoms

    phantoms.write_dataset(tmp_path / "p", 12, seed=11)
    found = as_json(capsys, tmp_path / "p", "cnn5-phantoms", "--threads", "2")
    study = found["levels"]["study"]["all"]
    assert study["count"] == 12
    assert study["positive"] == sum(s["path"].endswith("_positive") for s in found["studies"])
    right = sum(s["correct"] for s in found["studies"])
    assert study["accuracy"]["value"] == right / 12
    assert study["accuracy"]["low"] <= right / 12 <= study["accuracy"]["high"]


def test_a_document_without_records_is_sound():
    found = document.document([], SOURCE, document.Run("d", Decision(positive=1)))
    nothing = dict.fromkeys(("value", "low", "high", "interval"))
    assert found["levels"]["study"]["all"]["kappa"] == nothing
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("root", "wanted"),
    [
        ("/data/valid", "XR_HAND/patient00001/study1"),
        ("/data/valid/XR_HAND/patient00001", "XR_HAND/patient00001/study1"),
        ("/data", "valid/XR_HAND/patient00001/study1"),
    ],
)
def test_a_study_is_called_by_where_it_lies(root, wanted):
    path = "/data/valid/XR_HAND/patient00001/study1_positive"
    assert records.study_id(root, Folder(path, (), parse_mura(path))) == wanted


def test_a_study_of_another_layout_is_called_by_its_folder():
    assert records.study_id("/data", Folder("/data/a/b\n", (), parse_mura("/data/a/b"))) == "a/b\\n"
