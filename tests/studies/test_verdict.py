from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.studies.conftest import FakeSession, brightness_model, save_gray
from tinycnn.errors import ImageError, StudyError, UsageError
from tinycnn.nn.graph import Sequential
from tinycnn.nn.layers import Dense
from tinycnn.nn.model import Decision, Model
from tinycnn.studies import panel
from tinycnn.studies.verdict import decide, predict_studies, predict_study, read_images

PROBABILITIES = st.lists(st.floats(0, 1), min_size=1, max_size=9)


def study(folder, *levels):
    for i, level in enumerate(levels, 1):
        save_gray(folder / f"image{i}.png", level)
    return folder


def test_mean_of_the_views_against_the_threshold(tmp_path, session):
    result = predict_study(study(tmp_path, 255, 51), session)
    assert [row.probability for row in result.rows] == pytest.approx([1.0, 0.2])
    assert result.probability == pytest.approx(0.6)
    assert (result.verdict, result.positive) == ("abnormal", True)
    assert result.rows[1].scores == pytest.approx((0.8, 0.2))


def test_a_study_below_the_threshold_gets_the_other_label(tmp_path, session):
    result = predict_study(study(tmp_path, 25, 51), session)
    assert (result.verdict, result.positive) == ("normal", False)


def test_rules():
    views = [0.9, 0.4, 0.2]
    assert decide(views, Decision("mean", 0.6, 1)) == (False, pytest.approx(0.5))
    assert decide(views, Decision("max", 0.5, 1)) == (True, 0.9)
    assert decide(views, Decision("any", 0.5, 1)) == (True, pytest.approx(1 / 3))
    assert decide([0.5], Decision("mean", 0.5, 1)) == (True, 0.5)


@given(PROBABILITIES, st.floats(0.01, 0.99))
def test_any_and_max_agree_and_mean_is_never_bolder(views, threshold):
    verdicts = {
        rule: decide(views, Decision(rule, threshold, 1))[0] for rule in ("mean", "any", "max")
    }
    assert verdicts["any"] == verdicts["max"]
    if max(views) < threshold - 1e-12:  # the mean of equal numbers may differ in its last bit
        assert not verdicts["mean"]


@given(PROBABILITIES, st.floats(0.01, 0.99), st.sampled_from(["mean", "any", "max"]))
def test_the_order_of_views_does_not_matter(views, threshold, rule):
    decision = Decision(rule, threshold, 1)
    ordered, shuffled = decide(sorted(views), decision), decide(sorted(views)[::-1], decision)
    assert ordered[1] == pytest.approx(shuffled[1])


def test_a_decision_replaces_the_models_own(tmp_path, session):
    path = study(tmp_path, 255, 0, 0)
    assert predict_study(path, session).verdict == "normal"
    result = predict_study(path, session, Decision("any", 0.5, 1))
    assert (result.verdict, result.probability) == ("abnormal", pytest.approx(1 / 3))
    assert "measured with rule mean" in result.worth.statement


def test_a_refused_view_leaves_the_others_judged(tmp_path, session):
    study(tmp_path, 255, 204)
    (tmp_path / "image3.png").write_bytes(b"nothing")
    (tmp_path / "notes.txt").write_bytes(b"")
    result = predict_study(tmp_path, session)
    assert [row.status for row in result.rows] == ["judged", "judged", "refused", "ignored"]
    assert result.verdict == "abnormal"
    assert "neither PNG nor JPEG" in result.refused[0].reason


def test_no_usable_view_no_verdict(tmp_path, session):
    (tmp_path / "image1.png").write_bytes(b"nothing")
    result = predict_study(tmp_path, session)
    assert (result.verdict, result.positive, result.probability) == (None, None, None)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_refuses_its_view_only(tmp_path, session, bad):
    session.function = lambda x: np.where(x[:, :6].mean((1, 2)) > 0.9, bad, x[:, :6].mean((1, 2)))
    result = predict_study(study(tmp_path, 255, 51), session)
    assert [row.status for row in result.rows] == ["refused", "judged"]
    assert "not finite" in result.rows[0].reason
    assert result.probability == pytest.approx(0.2)


def test_logits_are_no_probabilities(tmp_path, session):
    session.function = lambda x: np.full((len(x), 1), 3.2, np.float32)
    result = predict_study(study(tmp_path, 9), session)
    assert result.verdict is None
    assert "3.2 is no probability" in result.rows[0].reason


def test_rounding_beyond_one_is_no_error(tmp_path, session):
    session.function = lambda x: np.full((len(x), 1), np.nextafter(np.float32(1), np.float32(2)))
    assert predict_study(study(tmp_path, 9), session).probability == 1.0


def test_views_are_judged_in_small_batches(tmp_path, session):
    sizes = []
    session.function = lambda x: sizes.append(len(x)) or x[:, :6].mean((1, 2))
    result = predict_study(study(tmp_path, *range(20)), session)
    assert sizes == [8, 8, 4]
    assert [row.probability for row in result.rows] == pytest.approx(np.arange(20) / 255)


def three_classes(**changes):
    graph = Sequential([Dense(3, name="d")], input_shape=(8, 8, 1))
    weights = {"d/kernel": np.ones((1, 3), np.float32), "d/bias": np.zeros(3, np.float32)}
    return replace(brightness_model(), graph=graph, weights=weights, **changes)


def test_a_classifier_without_a_positive_label_names_the_best(tmp_path):
    model = three_classes(labels=("cat", "dog", "owl"), decision=Decision())
    scores = iter([[[5.0, 7.0, 1.0], [5.0, 1.0, 4.0]]])
    session = FakeSession(model, lambda x: np.array(next(scores), np.float32))
    result = predict_study(study(tmp_path, 1, 2), session)
    assert (result.verdict, result.probability, result.positive) == ("cat", 5.0, None)
    assert result.rows[0].probability is None


def test_a_positive_label_among_three(tmp_path):
    model = three_classes(labels=("fine", "bad", "odd"), decision=Decision(positive=1))
    session = FakeSession(model, lambda x: np.array([[0.7, 0.2, 0.1]] * len(x), np.float32))
    result = predict_study(study(tmp_path, 1), session)
    assert (result.verdict, result.probability) == ("not bad", pytest.approx(0.2))


def test_labels_are_made_up_where_the_model_has_none(tmp_path):
    model = brightness_model(labels=(), decision=Decision(positive=0))
    result = predict_study(study(tmp_path, 51), FakeSession(model))
    assert (result.verdict, result.probability) == ("positive", pytest.approx(0.8))


def test_worth_is_that_of_the_body_part(tmp_path, session):
    hand = study(tmp_path / "XR_HAND" / "patient1" / "study1_positive", 9)
    known = predict_study(hand, session)
    assert known.worth.measured_on == "XR_HAND"
    assert "7 of 10 studies rightly" in known.worth.statement
    assert "sensitivity 80.0%, specificity 60.0%" in known.worth.statement
    assert "unseen drawings" in known.worth.statement
    elbow = study(tmp_path / "XR_ELBOW" / "patient1" / "study1_positive", 9)
    unmeasured = predict_study(elbow, session)
    assert unmeasured.worth.figures is None
    assert "never measured" in unmeasured.worth.statement
    unknown = predict_study(study(tmp_path / "other", 9), session)
    assert unknown.worth.measured_on == "all"


def test_cautions(tmp_path, session):
    result = predict_study(study(tmp_path, 9), session)
    assert result.cautions[0].startswith("DEMONSTRATION ONLY")
    assert "trained on drawings" in result.cautions[0]
    assert "not a diagnosis" in result.cautions[1]
    honest = brightness_model(provenance=replace(session.model.provenance, demonstration=False))
    (caution,) = predict_study(tmp_path, FakeSession(honest)).cautions
    assert "not a diagnosis" in caution


def test_a_vanished_file_is_a_row(tmp_path, session, monkeypatch):
    study(tmp_path, 9, 9)
    results = predict_studies(tmp_path, session)
    read = panel.read_pictures

    def vanish(path, *rest):
        if path.endswith("image2.png"):
            (tmp_path / "image2.png").unlink()
        return read(path, *rest)

    monkeypatch.setattr(panel, "read_pictures", vanish)
    (result,) = results
    assert [row.status for row in result.rows] == ["judged", "refused"]
    assert "No such file" in result.rows[1].reason


def test_none_or_several_studies_are_an_error(tmp_path, session):
    with pytest.raises(StudyError, match="no image"):
        predict_study(tmp_path, session)
    study(tmp_path / "a", 1)
    study(tmp_path / "b", 1)
    with pytest.raises(StudyError, match="predict_studies"):
        predict_study(tmp_path, session)
    assert len(list(predict_studies(tmp_path, session))) == 2


@pytest.mark.parametrize("function", [predict_study, predict_studies])
def test_a_model_that_was_not_loaded(tmp_path, function):
    for name in ("some-name", tmp_path / "some-name"):
        with pytest.raises(UsageError, match=r"pass tinycnn\.load\('.*some-name'\)"):
            function(study(tmp_path, 1), name)


def test_a_general_classifier_has_no_body_part(tmp_path):
    unmeasured = replace(brightness_model().provenance, accuracy={})
    model = brightness_model(decision=Decision(), provenance=unmeasured)
    statement = predict_study(study(tmp_path, 1), FakeSession(model)).worth.statement
    assert statement == "how good this model is was never measured"


def test_a_model_that_takes_no_images(tmp_path):
    graph = Sequential([Dense(2, name="d")], input_shape=(4,))
    weights = {"d/kernel": np.ones((4, 2), np.float32), "d/bias": np.zeros(2, np.float32)}
    with pytest.raises(UsageError, match="not images"):
        predict_study(study(tmp_path, 1), FakeSession(Model(graph, weights)))


def test_read_images_gives_what_predict_wants(tmp_path, session):
    folder = study(tmp_path, 255, 51)
    paths = [folder / "image1.png", str(folder / "image2.png")]
    batch = read_images(paths, session)
    assert batch.shape == (2, *session.model.input_shape)
    assert batch.dtype == np.float32
    assert session.predict(batch).ravel() == pytest.approx([1.0, 0.2])
    assert read_images([], session).shape == (0, *session.model.input_shape)
    (folder / "broken.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"broken\.png: "):
        read_images([folder / "broken.png"], session)
