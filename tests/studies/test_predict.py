from __future__ import annotations

import csv
import io
import json
import os
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import tinycnn
from tests.studies.conftest import brightness_model, save_gray
from tinycnn import predict
from tinycnn.errors import ModelFileError
from tinycnn.nn.model import Decision
from tinycnn.studies.verdict import predict_study


@pytest.fixture
def run(monkeypatch, capsys, session):
    """Run the command on the fake session; return status, standard output and standard error."""
    asked = {}

    def load(weights, **options):
        asked.update(options, weights=weights)
        return session

    monkeypatch.setattr(tinycnn, "load", load)

    def call(*argv):
        status = predict.main([str(argument) for argument in argv])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    call.session, call.asked = session, asked
    return call


def strictly(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def mura(tmp_path):
    """One positive hand, one study with a refused view, one without a usable view."""
    root = tmp_path / "MURA"
    hand = root / "XR_HAND" / "patient00001" / "study1_positive"
    save_gray(hand / "image1.png", 255)
    save_gray(hand / "image2.png", 102)
    (hand / "._image1.png").write_bytes(b"\0\5\x16\7")
    wrist = root / "XR_WRIST" / "patient00002" / "study1_negative"
    save_gray(wrist / "image1.png", 51)
    (wrist / "image2.png").write_bytes(b"GIF89a")
    empty = root / "XR_WRIST" / "patient00010" / "study1_negative"
    empty.mkdir(parents=True)
    (empty / "image1.png").write_bytes(b"")
    (root / "labels.csv").write_text("x")
    return root


def test_text_for_one_study(run, mura):
    status, out, err = run(mura / "XR_HAND")
    assert (status, err) == (0, "")
    assert "XR_HAND patient00001 study1" in out
    assert "image2.png            p(abnormal) 0.400" in out
    assert "=> ABNORMAL  (mean 0.700 of 2 views, threshold 0.5)" in out
    assert "The folder's name says: positive." in out
    flowing = " ".join(out.split())
    assert "On XR_HAND this model judged 7 of 10 studies rightly" in flowing
    assert "measured on unseen drawings" in flowing
    assert "DEMONSTRATION ONLY: these weights were trained on drawings" in flowing
    assert flowing.count("This is not a diagnosis") == 1
    assert "see below" not in flowing
    assert "._image1.png" not in out


def test_text_for_many_studies(run, mura):
    status, out, _ = run(mura)
    assert status == 1
    mark = "  (demonstration weights; not a diagnosis; see below)"
    verdicts = [line for line in out.splitlines() if line.startswith("  => ")]
    assert [line.endswith(mark) for line in verdicts] == [True, True, False]
    assert out.count("DEMONSTRATION ONLY") == out.count("This is not a diagnosis") == 1
    assert out.index("3 studies:") < out.index("DEMONSTRATION ONLY")
    assert "\n2 of 2 verdicts agree with the folders' names\n" in out
    assert "REFUSED: neither PNG nor JPEG" in out
    assert "=> NORMAL  (mean 0.200 of 1 view, 1 more REFUSED" in out
    assert "=> NO VERDICT: not one usable view" in out
    assert "3 studies: 1 abnormal, 1 normal, 1 WITHOUT A VERDICT; 2 views refused" in out
    assert out.index("patient00002") < out.index("patient00010")


def test_weights_that_are_no_demonstration_are_no_diagnosis_either(run, mura):
    provenance = replace(run.session.model.provenance, demonstration=False)
    run.session.model = replace(run.session.model, provenance=provenance)
    _, out, _ = run(mura)
    assert out.count("  (not a diagnosis; see below)\n") == 2
    assert "demonstration" not in out.lower()


def test_verdicts_that_do_not_agree_with_the_names(run, mura):
    _, out, _ = run(mura, "--threshold", "0.9")
    assert "\n1 of 2 verdicts agree with the folders' names\n" in out
    assert "agree" not in run(mura / "XR_HAND")[1]


def test_columns_stay_aligned(run, tmp_path):
    save_gray(tmp_path / "a.png", 204)
    save_gray(tmp_path / "a_name_of_thirty_characters.png", 51)
    _, out, _ = run(tmp_path)
    columns = [line.index("p(abnormal)") for line in out.splitlines() if "p(abnormal)" in line]
    assert columns == [35, 35]


def test_text_of_the_other_rules(run, mura):
    _, out, _ = run(mura / "XR_HAND", "--rule", "any")
    assert "=> ABNORMAL  (1 at or above 0.5, of 2 views)" in out
    _, out, _ = run(mura / "XR_HAND", "--rule", "max")
    assert "=> ABNORMAL  (largest 1.000 of 2 views, threshold 0.5)" in out


def test_json(run, mura):
    status, out, _ = run(mura, "--json", "--rule", "max", "--threshold", "0.3")
    assert status == 1
    document = strictly(out)
    assert document["schema"] == "tinycnn.predict/1"
    assert document["model"]["sha256"] == "0" * 64
    assert document["model"]["preprocessing"]["color_mode"] == "grayscale"
    assert document["model"]["demonstration"] is True
    assert document["backend"] == "fake"
    hand, wrist, empty = document["studies"]
    assert (hand["rule"], hand["threshold"], hand["label"]) == ("max", 0.3, "positive")
    assert (hand["verdict"], hand["positive"], hand["probability"]) == ("abnormal", True, 1.0)
    assert hand["worth"]["figures"]["sensitivity"] == 0.8
    assert [f["status"] for f in hand["files"]] == ["ignored", "judged", "judged"]
    assert hand["files"][2]["probability"] == pytest.approx(0.4)
    assert hand["files"][2]["scores"][0] == {"label": "normal", "score": pytest.approx(0.6)}
    assert wrist["files"][1]["reason"].startswith("neither PNG nor JPEG")
    assert wrist["worth"]["figures"] is None
    assert (empty["verdict"], empty["probability"]) == (None, None)
    assert document["summary"]["without_verdict"] == 1
    assert [entry["path"] for entry in document["ignored"]] == [str(mura / "labels.csv")]
    files = sum(len(study["files"]) for study in document["studies"]) + len(document["ignored"])
    assert files == sum(len(names) for *_, names in os.walk(mura))


def test_csv(run, mura):
    status, out, _ = run(mura, "--csv")
    assert status == 1
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["status"] for row in rows] == ["ignored", *["judged"] * 3, "refused", "refused"]
    assert rows[1]["verdict"] == "abnormal"
    assert float(rows[1]["study_probability"]) == pytest.approx(0.7)
    assert rows[-1]["verdict"] == ""
    assert all(row["caution"].startswith("DEMONSTRATION") for row in rows)
    assert {(row["rule"], row["threshold"]) for row in rows} == {("mean", "0.5")}
    assert {row["notes"] for row in rows if row["status"] != "judged"} == {""}


def test_csv_keeps_the_notes(run, tmp_path):
    Image.fromarray(np.arange(1000, 1108, dtype=np.uint16).reshape(9, 12)).save(tmp_path / "a.png")
    _, out, _ = run(tmp_path, "--csv", "--rule", "max", "--threshold", "0.3")
    (row,) = csv.DictReader(io.StringIO(out))
    columns = ["rule", "threshold", "notes", "temperature", "threshold_of", "labels_found"]
    assert list(row)[-6:] == columns
    assert (row["rule"], row["threshold"]) == ("max", "0.3")
    assert "taken as 12 bits in a 16-bit file" in row["notes"]


def test_links_that_were_not_followed_are_told(run, mura, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "study").symlink_to(mura / "XR_HAND")
    status, _, err = run(alone)
    assert status == 2
    assert "0 files seen" in err
    assert err.endswith("; 1 symbolic link not followed\n")
    (mura / "more").symlink_to(alone)
    assert "\nnot followed: 1 symbolic link\n" in run(mura)[1]


def test_one_view_refused(run, mura):
    (mura / "XR_WRIST" / "patient00002" / "study1_negative" / "image2.png").unlink()
    assert "; 1 view refused; " in run(mura)[1]


def test_no_formula_reaches_a_spreadsheet(run, tmp_path):
    save_gray(tmp_path / "=cmd()|x.png", 1)
    _, out, _ = run(tmp_path, "--csv")
    (row,) = csv.DictReader(io.StringIO(out))
    assert row["file"] == "'=cmd()|x.png"


def test_names_cannot_steer_the_terminal(run, tmp_path):
    save_gray(tmp_path / "s\x1b[2J" / "evil\x1b]0;x\x07\n\u202e.png", 1)
    save_gray(tmp_path / "s\x1b[2J" / os.fsdecode(b"\xff.png"), 1)
    for form in ((), ("--csv",)):
        status, out, _ = run(tmp_path, *form)
        assert status == 0
        assert all(line.isprintable() for line in out.splitlines())
    document = strictly(run(tmp_path, "--json")[1])
    names = [file["file"] for file in document["studies"][0]["files"]]
    assert names == ["evil\x1b]0;x\x07\n\u202e.png", r"\udcff.png"]


def test_output_goes_to_a_file(run, mura, tmp_path):
    for form in ((), ("--json",), ("--csv",)):
        status, out, _ = run(mura, *form, "--output", tmp_path / "result")
        assert (status, out) == (1, "")
        assert "abnormal" in (tmp_path / "result").read_text().lower()
    assert [p.name for p in tmp_path.iterdir() if "part" in p.name] == []


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
def test_interruption_keeps_what_was_said_but_nothing_half(run, mura, tmp_path, form):
    def interrupt(batch):
        if batch[:, :6].max() < 0.3:  # the second study
            raise KeyboardInterrupt
        return batch[:, :6].mean((1, 2))

    run.session.function = interrupt
    status, out, err = run(mura, *form)
    assert status == 130
    assert err == "tinycnn predict: interrupted\n"
    assert ("ABNORMAL" in out.upper()) == (form != ("--json",))
    assert form != ("--json",) or out == ""
    assert out.count("This is not a diagnosis") == (form == ())
    (tmp_path / "result").write_text("old")
    assert run(mura, *form, "--output", tmp_path / "result")[0] == 130
    assert (tmp_path / "result").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["MURA", "result"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["{}/nowhere"], "No such file"),
        (["{}/MURA/labels.csv"], "no study"),
        ([], "required: STUDY_DIR"),
        (["{}/MURA", "--threshold", "1"], "between 0 and 1"),
        (["{}/MURA", "--threshold", "nan"], "between 0 and 1"),
        (["{}/MURA", "--threshold", "abc"], "must be a number between 0 and 1, not 'abc'"),
        (["{}/MURA", "--rule", "median"], "invalid choice"),
        (["{}/MURA", "--threads", "0"], "1 or more"),
        (["{}/MURA", "--threads", "x"], "1 or more, not 'x'"),
        (["{}/MURA/labels.csv"], "1 file seen, none"),
        (["{}/MURA", "--json", "--csv"], "not allowed with"),
        (["{}/MURA", "--output", "{}"], "it is a folder"),
        (["{}/MURA", "--output", "{}/no/such/place"], "cannot write"),
        (["{}/MURA", "--bogus"], "unrecognized"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(run, mura, tmp_path, argv, message):
    status, out, err = run(*[argument.format(tmp_path) for argument in argv])
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("tinycnn predict: ")
    assert err.count("\n") == 1


def test_an_unreadable_model_is_one_line_and_status_2(run, mura, monkeypatch, capsys):
    def load(*_, **__):
        raise ModelFileError("x.safetensors: damaged")

    monkeypatch.setattr(tinycnn, "load", load)
    assert run(mura) == (2, "", "tinycnn predict: x.safetensors: damaged\n")
    assert "Traceback" in run(mura, "--debug")[2]


def test_options_reach_the_engine(run, mura):
    run(mura, "--weights", "w", "--backend", "numpy", "--threads", "3")
    assert run.asked == {"weights": "w", "backend": "numpy", "threads": 3}
    run(mura)
    assert run.asked["weights"] == "mobilenetv2-phantoms"


def test_a_general_classifier(run, tmp_path):
    run.session.model = replace(
        brightness_model(), labels=("cat", "dog"), decision=Decision(positive=None)
    )
    save_gray(tmp_path / "a.png", 204)
    status, out, _ = run(tmp_path)
    assert status == 0
    assert "dog 0.800, cat 0.200" in out
    assert "=> dog  (mean score 0.800 of 1 view)" in out
    assert "body part" not in out
    assert "This model judged 7 of 10 studies rightly" in out
    (row,) = csv.DictReader(io.StringIO(run(tmp_path, "--csv")[1]))
    assert (row["rule"], row["threshold"]) == ("", "")
    assert strictly(run(tmp_path, "--json")[1])["studies"][0]["positive"] is None
    status, _, err = run(tmp_path, "--threshold", "0.3")
    assert status == 2
    assert "looks for no label" in err


def test_no_verdict_is_made_of_what_is_no_number(run, tmp_path):
    run.session.function = lambda x: np.full((len(x), 1), np.nan, np.float32)
    save_gray(tmp_path / "a.png", 204)
    for form in ((), ("--json",), ("--csv",)):
        status, out, _ = run(tmp_path, *form)
        assert status == 1
        assert "not finite" in out
        assert "nan" not in out


def test_memory_does_not_grow_with_the_number_of_studies(run, tmp_path):
    image = save_gray(tmp_path / "seed" / "a.png", 1).read_bytes()

    def peak(count):
        root = tmp_path / str(count)
        for i in range(count):
            (root / f"s{i}").mkdir(parents=True)
            (root / f"s{i}" / "a.png").write_bytes(image)
        tracemalloc.start()
        assert run(root, "--json", "--output", tmp_path / "out")[0] == 0
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(2)  # imports and caches count once
    few, many = peak(20), peak(620)
    assert many - few < 600 * 600  # the names of sibling folders, no more


def test_the_real_session_has_the_same_face_as_the_fake(tmp_path):
    session = pytest.importorskip("tinycnn.engine.session")
    real = session.Session(brightness_model(), "numpy")
    save_gray(tmp_path / "a.png", 255)
    assert predict_study(tmp_path, real).verdict == "abnormal"
