"""The page of an evaluation: whole, harmless, the same every time, and about what it was given."""

from __future__ import annotations

import base64
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.sample import PARTS, document, measure
from tinycnn.evaluation import gallery, markup
from tinycnn.evaluation.page import POLICY, page

VOID = {"meta", "img", "br", "wbr", "line", "rect", "circle", "polygon", "polyline"}
ALLOWED = VOID | {
    "html", "head", "title", "style", "body", "header", "main", "footer", "section", "div", "p",
    "h1", "h2", "h3", "strong", "b", "em", "small", "bdi", "dl", "dt", "dd", "table", "caption",
    "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "svg", "text", "nav", "ul", "li",
    "a",
}  # fmt: skip
HOSTILE = "</title></style><script>alert(1)</script>\"' onload=x \x1b[2J\u202egnp.\0\ud800&amp;"


class Reader(HTMLParser):
    """Every tag closed in its turn; collects tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.words = ""

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> names an attribute twice"
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in VOID, f"<{tag}/>"
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


def read(html: str) -> Reader:
    """Parse the page, and check what is true of every page."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    assert set(reader.tags) <= ALLOWED
    assert reader.tags["table"] == reader.tags["caption"]
    for tag, name, value in reader.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name not in ("srcset", "action"), (tag, name)
        if name == "src":
            assert value.startswith("data:image/jpeg;base64,")
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert ("meta", "content", POLICY) in reader.attributes
    identities = [value for _, name, value in reader.attributes if name == "id"]
    links = [value for _, name, value in reader.attributes if name == "href"]
    assert links == [f"#{identity}" for identity in identities]  # the contents, and nothing else
    assert len(set(identities)) == len(identities)
    html.encode("utf-8")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u200e\u200f\u202a-\u202e\u2066-\u2069]", html)
    assert "nan" not in re.findall(r'="([^"]*)"', html)
    return reader


@pytest.fixture
def pictures(tmp_path):
    """Paths of a gray, a colour and a 16-bit image, and of three that cannot be shown."""
    random = np.random.default_rng(1)
    noise = random.integers(0, 256, (300, 200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "colour.jpg")
    Image.fromarray(noise[..., 0]).save(tmp_path / "gray.png")
    Image.fromarray(noise[..., 0].astype(np.uint16) << 8).save(tmp_path / "deep.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "gray.png").read_bytes()[:-900])
    (tmp_path / "link.png").symlink_to(tmp_path / "gray.png")
    names = "colour.jpg", "gray.png", "deep.png", "torn.png", "link.png", "gone.png"
    return tuple(str(tmp_path / name) for name in names)


def test_everything_is_there(pictures):
    reader = read(page(document(images=pictures)))
    for words in (
        "At a glance", "DEMONSTRATION WEIGHTS", "not a diagnosis", "Beside radiologists",
        "ROC curves", "Rules side by side", "Confusion matrices", "Reliability",
        "Studies it got most wrong", "Images it got most wrong", "MURA baseline",
        "Always saying", "All body parts", "95\u202f% bootstrap by patient",
    ):  # fmt: skip
        assert words in reader.words, words
    assert all(part.removeprefix("XR_").capitalize() in reader.words for part in PARTS)
    charts = [v for tag, name, v in reader.attributes if (tag, name) == ("svg", "aria-label")]
    kinds = Counter(words.split(",")[0] for words in charts)
    assert kinds == {"ROC curve": 8, "Reliability diagram": 8, "Cohen\u2019s kappa": 8}
    alts = [value for tag, name, value in reader.attributes if (tag, name) == ("img", "alt")]
    assert len(alts) == reader.tags["img"] > 24
    assert all(alts)


def test_the_figures_are_the_document_s():
    given = document(levels={"study": {"all": {
        "count": 1234, "positive": 234, "true_positive": 200, "false_negative": 34,
        "false_positive": 77, "true_negative": 923, "sensitivity": measure(200 / 234),
        "kappa": {"value": -0.125, "low": -0.3, "high": 0.05},
    }}})  # fmt: skip
    words = read(page(given, gallery=False)).words
    assert "found 200 of 234 positive studies, and called 77 of 1,000 negative ones" in words
    assert "\u201cnegative\u201d would be right in 81.0\u202f%" in words
    assert "85.5\u202f%" in words
    assert "\u22120.12\u22120.30 to 0.05" in words
    assert "92392.3\u202f%" in words  # the matrix: 923, which is 92.3 % of the negative ones


def test_the_operating_point_lies_where_it_was_measured():
    given = document(studies=4, parts=("XR_HAND",))
    given["roc"] = {"all": [[0, 0, 2], [0, 0.5, 0.9], [1, 1, 0.1]]}
    given["levels"]["study"]["all"] |= {"specificity": measure(0.75), "sensitivity": measure(0.5)}
    html = page(given, gallery=False)
    curve = re.search(r'<polyline points="([^"]*)" class="curve"', html)
    assert curve[1] == "44,216 44,113 250,10"
    corner = re.search(r'class="curve"/><polygon points="([\d.]+),([\d.]+) ', html)
    assert (float(corner[1]), float(corner[2])) == (44 + 206 / 4, 113 - 5.5)


def test_the_same_document_gives_the_same_page(pictures):
    given = document(images=pictures)
    assert page(given) == page(json.loads(json.dumps(given)))


def hostile(value):
    """``value`` with every text in it, keys of body parts included, replaced by `HOSTILE`."""
    if isinstance(value, dict):
        return {
            f"{key}{HOSTILE}" if key.startswith("XR_") else key: hostile(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return f"{value}{HOSTILE}" if isinstance(value, str) else value


def test_names_cannot_become_markup():
    given = hostile(document())
    reader = read(page(given))
    assert reader.tags["figure"] > 60
    assert reader.tags["title"] == reader.tags["style"] == 1
    assert "<script>alert(1)</script>" in reader.words  # as text
    assert "\\x1b[2J\\u202egnp." in reader.words


def test_long_names_are_cut():
    name = "x" * 5000
    given = document(model={"name": name, "trained_on": name, "demonstration": True})
    assert "x" * 400 not in page(given, gallery=False)


def without(value, wanted):
    """``value`` with None, or not-a-number, for every number."""
    if isinstance(value, dict):
        return {key: without(item, wanted) for key, item in value.items()}
    if isinstance(value, list):
        return [without(item, wanted) for item in value]
    return wanted if isinstance(value, float) else value


@pytest.mark.parametrize("number", [None, float("nan"), float("inf"), 10**400, "0.5", True, []])
def test_figures_that_are_undefined(number):
    words = read(page(without(document(), number))).words
    assert "\N{EN DASH}" in words
    assert not re.search(r"\b(nan|inf|None)\b", words)


def test_a_rounded_zero_has_no_sign():
    assert [markup.figure(n) for n in (-0.004, -0.006, 0.0)] == ["0.00", "\u22120.01", "0.00"]


@pytest.mark.parametrize("key", sorted(document(studies=1)))
@pytest.mark.parametrize("value", [None, {}, [], "text", 3])
def test_a_document_that_lacks_something(key, value):
    read(page({**document(studies=9), key: value}))
    whole = document(studies=9)
    del whole[key]
    read(page(whole))


def test_an_empty_document():
    words = read(page({})).words
    assert "Not a diagnosis" in words
    assert "there is nothing to count" in words


@pytest.mark.parametrize("positive", [0.0, 1.1])
def test_one_class_only(positive):
    words = read(page(document(positive=positive))).words
    assert "undefined: one class only" in words
    assert "would be right in 100.0\u202f%" in words


def test_no_study():
    words = read(page(document(studies=0))).words
    assert "there is nothing to count" in words
    assert "most wrong" not in words


def test_studies_without_a_body_part():
    given = document(studies=300, parts=("unknown",))
    for study in given["studies"]:
        study |= {"body_part": None, "patient": None}
    words = read(page(given)).words
    assert "Unknown" in words
    assert "All body parts" in words


def test_real_weights_bear_no_banner_and_no_interruption():
    given = document()
    for model in (given["model"], *given["models"]):
        model["demonstration"] = False
    words = read(page(given)).words
    assert "DEMONSTRATION" not in words
    given["models"][1]["demonstration"] = True  # one is enough
    assert "DEMONSTRATION" in read(page(given)).words
    del given["models"]
    assert "no comparison" not in words
    assert "no comparison" in read(page(document())).words
    assert "Interrupted" not in words
    assert "Interrupted" in read(page({**given, "interrupted": True})).words


def test_pictures_are_small_and_right(pictures):
    html = page(document(images=pictures[:3]))
    for data in set(re.findall(r"base64,([^\"]*)", html)):
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "L", (107, 160))
            image.load()
    assert len(html) < 2_000_000  # of noise, which compresses worst


def test_a_picture_that_cannot_be_shown_says_why(pictures):
    given = document(images=pictures[3:])
    given["worst"]["images"][:0] = ["bad\0.png", 7, None]
    reader = read(page(given))
    assert reader.tags["img"] == 0
    for reason in ("No such file", "truncated", "symbolic link", "null byte"):
        assert reason in reader.words, reason


def test_a_refused_file_is_named_in_its_card():
    given = document(studies=1)
    given["studies"][0]["refused"] = [{"name": "<b>.png", "reason": "the file is empty"}]
    assert "<b>.png was refused: the file is empty" in read(page(given)).words


def test_what_is_left_out_is_named():
    given = document(studies=30)
    assert "Left out" not in read(page(given, gallery=False)).words
    given["studies"][0]["refused"] = [{"name": f"{i}.png", "reason": "empty"} for i in range(30)]
    given["studies"][1]["label"] = None
    given["studies"][2]["views"] = []
    words = read(page(given, gallery=False)).words
    first = "XR_ELBOW/patient00000/study1"
    assert f"Files refused: 30{first}, 0.png: empty{first}, 1.png: empty" in words
    assert f"{first}, 23.png: emptyand 6 moreStudies without a label: 1XR_FINGER/patient" in words
    assert "Studies without a usable view: 1XR_FOREARM/patient00002/study1" in words


def test_a_view_is_judged_by_the_threshold_of_its_body_part():
    given = document(studies=1, parts=("XR_HAND",), thresholds={"all": 0.2, "XR_HAND": 0.8})
    given["studies"][0] |= {"label": 0, "probability": 0.7, "verdict_positive": False}
    given["studies"][0]["views"] = [{"name": "image1.png", "path": "missing.png"}]
    given["studies"][0]["views"][0]["probability"] = 0.7
    given["worst"] = {"studies": [], "images": ["missing.png"]}
    assert "named negative,judged negative" in read(page(given)).words
    given["thresholds"] = {"all": 0.2}
    assert "named negative,judged positive" in read(page(given)).words


def test_each_picture_of_a_study_has_its_own_score(pictures):
    given = document(studies=1, images=pictures[:2])
    given["studies"][0]["views"] = [
        {"name": f"image{i}.png", "path": path, "probability": i / 8}
        for i, path in enumerate(pictures[:2], 1)
    ]
    given["worst"]["images"] = []
    html = page(given)
    assert re.findall(r"<small>(0\.\d\d)</small></div>", html) == ["0.12", "0.25"]
    assert 'alt="View image2.png of XR_ELBOW/patient00000/study1"' in html


def test_without_a_gallery_no_file_is_opened(monkeypatch):
    monkeypatch.setattr(gallery, "thumbnail", lambda *_: pytest.fail("opened"))
    words = read(page(document(), gallery=False)).words
    assert "most wrong" not in words
    assert "contains images" not in words


def test_a_large_evaluation_stays_small():
    parts = tuple(f"XR_P{i}" for i in range(400))
    given = document(studies=4000, parts=parts)
    many = np.linspace(0, 1, 100_000).tolist()
    given["roc"] = {part: [[x, x**0.5, 1 - x] for x in many[:: 100_000 // 500]] for part in parts}
    given["roc"]["all"] = [[x, x**0.5, 1 - x] for x in many]
    html = page(given)
    assert len(html) < 2_000_000
    assert "24 of 400 body parts are shown" in read(html).words


def test_what_is_more_probable_is_not_the_verdict_of_a_rule():
    given = document(studies=1)
    given["studies"][0] |= {"label": 1, "probability": 0.4, "verdict_positive": True}
    given["worst"]["images"] = []
    assert "named positive,judged positive" in read(page(given)).words


def test_body_parts_that_nobody_else_was_measured_on_stand_alone():
    kappa = {"all": {"best of three radiologists": {"value": 0.778, "low": None, "high": None}}}
    html = page(document(published={"source": "the paper", "kappa": kappa}), gallery=False)
    assert "All body parts: Best of three radiologists 0.778; This model 0." in html
    assert "This model alone: Elbow 0." in html
    assert "Source: the paper" in html


def test_rules_that_look_equal_are_both_the_best():
    given = document(studies=20, parts=("XR_HAND",))
    for rule, kappa in (("mean", 0.5811), ("any", 0.5799), ("max", 0.3)):
        given["rules"][rule] = {"all": {"kappa": measure(kappa)}}
    assert page(given, gallery=False).count('<td class="best">0.58') == 2
