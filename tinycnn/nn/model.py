"""A model: a graph, its weights, and everything needed to use it honestly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from tinycnn.errors import ModelFileError
from tinycnn.lightclass import dataclass
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.selftest import SelfTest, image_like
from tinycnn.nn.types import Array, Shape, Weights, has_type

if TYPE_CHECKING:
    from tinycnn.nn.graph import Graph

Rule = Literal["mean", "any", "max"]


MAX_PART = 64  # characters of a name; MURA's longest is XR_SHOULDER
MAX_TEXT = 200
MAX_PARTS = 64  # body parts that a calibration tells apart; MURA has 7
TEMPERATURES = (0.01, 100.0)  # beyond these every probability is 0, 1 or one half


@dataclass(frozen=True)
class Sample:
    """Studies of one body part that a calibration has seen, and of how many patients they are."""

    positive: int
    negative: int
    patients: int

    def __post_init__(self) -> None:
        """Refuse counts that cannot be."""
        counts = (self.positive, self.negative, self.patients)
        if min(counts) < 0 or self.patients > self.positive + self.negative:
            raise ModelFileError(f"calibration: {counts} are no counts of studies and patients")


@dataclass(frozen=True)
class Calibration:
    """What the thresholds and the temperature of a `Decision` come from.

    ``target``: what the thresholds were chosen for ("sensitivity 0.95", "best kappa", or "none"),
    with ``rule``. ``parts``: body part, or "all" of them together -> the studies there were.
    ``tinycnn``: the version that did it.
    """

    dataset: str
    target: str
    rule: Rule
    tinycnn: str
    parts: Mapping[str, Sample]

    def __post_init__(self) -> None:
        """Refuse what could not stand on a line of its own."""
        for text in (self.dataset, self.target, self.tinycnn):
            _need_label(text, MAX_TEXT)
        _need_parts(self.parts)


@dataclass(frozen=True)
class Decision:
    """How the scores of a study's views become one verdict.

    ``positive`` is the index of the label that is looked for ("abnormal"); None for a classifier
    without such a label, whose verdict is the label with the highest mean score.
    A view's probability p is the score of that label, with ``temperature`` T: the sigmoid of
    logit(score) / T. The study is positive, by ``rule``:
    "mean": mean p >= threshold; "max": largest p >= threshold; "any": as "max", but the
    probability that is reported is the share of positive views.

    ``thresholds``, by body part, go before ``threshold``; that of "all" is for other body parts.
    ``calibration`` says where they and the temperature come from.
    """

    rule: Rule = "mean"
    threshold: float = 0.5
    positive: int | None = None
    temperature: float = 1.0
    thresholds: Mapping[str, float] = field(default_factory=dict)
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        """Refuse a threshold that no probability, or every one, would reach, and the like."""
        _need_threshold("threshold", self.threshold)
        low, high = TEMPERATURES
        if not low <= self.temperature <= high:
            raise ModelFileError(
                f"decision: temperature must lie in [{low:g}, {high:g}], not {self.temperature}"
            )
        if self.calibration is not None:
            self._check_calibrated(self.calibration)
        elif self.thresholds or self.temperature != 1.0:
            raise ModelFileError("decision: thresholds or a temperature, but no calibration")

    def _check_calibrated(self, calibration: Calibration) -> None:
        if self.positive is None:
            raise ModelFileError("decision: a calibration, but no label that is looked for")
        _need_parts(self.thresholds)
        for part, value in self.thresholds.items():
            _need_threshold(f"threshold of {part}", value)
            if part not in calibration.parts:
                raise ModelFileError(f"decision: the calibration has not seen {part!r}")

    def threshold_of(self, body_part: str | None) -> str | None:
        """Whose threshold applies to ``body_part``: its own, that of "all", or None: the plain."""
        return next((part for part in (body_part, "all") if part in self.thresholds), None)

    def on(self, body_part: str | None) -> Decision:
        """The same with the ``threshold`` that applies to ``body_part``."""
        part = self.threshold_of(body_part)
        return self if part is None else replace(self, threshold=self.thresholds[part])


def _need_threshold(what: str, value: object) -> None:
    if not has_type(value, float) or not 0.0 < value < 1.0:  # type: ignore[operator]
        raise ModelFileError(f"decision: {what} must lie in (0, 1), not {str(value)[:60]}")


def _need_parts(parts: Mapping[str, object]) -> None:
    if len(parts) > MAX_PARTS:
        raise ModelFileError(f"calibration: {len(parts)} body parts; at most {MAX_PARTS}")
    for name in parts:
        _need_label(name, MAX_PART)


def _need_label(text: str, most: int) -> None:
    if not 0 < len(text) <= most or not text.isprintable():
        raise ModelFileError(
            f"calibration: {text[:60]!r} cannot be printed, or is not of 1 to {most}"
        )


@dataclass(frozen=True)
class Figures:
    """What a model was measured to be worth on one body part; counts of studies, not of images."""

    studies: int
    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int
    rule: Rule = "mean"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        """Refuse counts that do not add up."""
        counts = (
            self.true_positive,
            self.false_positive,
            self.true_negative,
            self.false_negative,
        )
        if min(counts) < 0 or sum(counts) != self.studies or self.studies < 1:
            raise ModelFileError(f"accuracy: {counts} do not add up to {self.studies} studies")

    @property
    def accuracy(self) -> float:
        """Share of studies judged rightly."""
        return (self.true_positive + self.true_negative) / self.studies

    @property
    def sensitivity(self) -> float | None:
        """Share of abnormal studies that were found; None if there was none."""
        positives = self.true_positive + self.false_negative
        return self.true_positive / positives if positives else None

    @property
    def specificity(self) -> float | None:
        """Share of normal studies that were left alone; None if there was none."""
        negatives = self.true_negative + self.false_positive
        return self.true_negative / negatives if negatives else None


@dataclass(frozen=True)
class Provenance:
    """Where the weights come from and what they are worth.

    ``demonstration``: made to show the program; must never pass for a medical result.
    ``accuracy``: by body part as MURA spells it ("XR_WRIST"), and "all".
    """

    trained_on: str = "unknown"
    demonstration: bool = False
    source: str = ""
    licence: str = ""
    notes: str = ""
    evaluated_on: str = ""
    accuracy: Mapping[str, Figures] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A graph with weights (``LAYER/WEIGHT`` -> float32 array) and what belongs to it.

    Checked as a whole when made: every weight that the graph asks for is there, in its shape, and
    no other; one label for each class; a positive label that exists.
    ``unverified``: read from a file that has neither a digest nor a self-test.
    """

    graph: Graph
    weights: Weights
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    labels: tuple[str, ...] = ()
    decision: Decision = field(default_factory=Decision)
    provenance: Provenance = field(default_factory=Provenance)
    self_test: SelfTest | None = None
    name: str = "model"
    unverified: bool = False

    def __post_init__(self) -> None:
        """Refuse a model whose parts do not fit together."""
        self.graph.check_weights(self.weights)
        if len(self.input_shape) == 3 and self.input_shape[2] != self.preprocessing.channels:
            raise ModelFileError(
                f"preprocessing gives {self.preprocessing.channels} channels, "
                f"the network takes {self.input_shape[2]}"
            )
        classes = max(self.classes, 2)  # one sigmoid unit tells two labels apart
        if self.labels and len(self.labels) != classes:
            raise ModelFileError(f"{len(self.labels)} labels for {classes} classes")
        positive = self.decision.positive
        if positive is not None and not 0 <= positive < classes:
            raise ModelFileError(f"decision: no class {positive} among {classes}")

    @cached_property
    def input_shape(self) -> Shape:
        """(H, W, C) of one image."""
        return self.graph.input_shape

    @cached_property
    def classes(self) -> int:
        """Number of scores the network gives; 1 for a single sigmoid unit."""
        return self.graph.output_shape[-1]

    @cached_property
    def independent(self) -> bool:
        """Whether each score is a probability by itself, and none excludes another: sigmoids."""
        from tinycnn.nn.endings import are_independent

        return are_independent(self.graph)

    @cached_property
    def test_input(self) -> Array | None:
        """What the self-test is run on, (1, H, W, C); None without one."""
        test = self.self_test
        if test is None:
            return None
        return image_like(self.input_shape, test.seed, self.preprocessing)

    def forward(self, x: Array) -> Array:
        """Reference result, in plain NumPy, for x (N, H, W, C) float32 -> (N, classes)."""
        return self.graph.forward(x, self.weights)


class RecalledModel(Model):
    """A model that was read and checked before: its network is read when somebody asks for it.

    ``read`` gives the whole model; ``parts``: the fields of `Model` but ``graph`` and ``weights``.
    """

    @classmethod
    def of(
        cls, read: Callable[[], Model], input_shape: Shape, classes: int, **parts: Any
    ) -> RecalledModel:
        """Make one without a check: `Model` made it, with what the same file says."""
        model = cls.__new__(cls)
        model.__dict__.update(parts, _read=read, input_shape=input_shape, classes=classes)
        return model

    def __reduce__(self) -> tuple[type[Model], tuple[Any, ...]]:
        """Copies, and what is sent to another process, are whole models."""
        return Model, tuple(getattr(self, one.name) for one in fields(self))

    def __getattr__(self, name: str) -> Any:  # only for what is not there (yet)
        if name not in ("graph", "weights"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        whole = self._read()
        self.__dict__.update(graph=whole.graph, weights=whole.weights)
        return self.__dict__[name]
