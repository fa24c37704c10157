"""What a training run does: one TOML file, every option typed and checked.

A recipe of `demos/recipes`, or a file of your own, says what differs from the defaults below; the
whole of it is saved beside the result, so that the run can be done again.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from tinycnn.errors import TinycnnError

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
NETWORKS = ("mobilenet_v2", "cnn5", "conv4", "densenet169", "resnet50")
OPTIMIZERS = ("adam", "adamw", "sgd", "adagrad")
SCHEDULES = ("constant", "step", "plateau", "cosine")


class ConfigError(TinycnnError):
    """A config that says something which cannot be done."""


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} = {value!r}: expected a number from {low:g} to {high:g}")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} = {value!r}: expected one of {', '.join(known)}")


@dataclass(frozen=True)
class Data:
    """Which studies: `body_parts` of MURA (none: all of them), and who is held out.

    `folds`: 0 for one split with the share `validation` of the patients held out; else so many
    runs, every patient held out in one of them. `name`: how the name of DATA begins that `labels`
    and [provenance] are about; they are left out for other data.
    """

    name: str = ""
    body_parts: tuple[str, ...] = ()
    validation: float = 0.1
    folds: int = 0
    labels: tuple[str, ...] = ("negative", "positive")

    def __post_init__(self) -> None:
        """Refuse splits that leave nothing to train or to validate with."""
        _within("data.validation", self.validation, 0.001, 0.9)
        _within("data.folds", self.folds, 0, 100)
        if self.folds == 1 or len(set(self.labels)) != 2:
            raise ConfigError("data: expected folds = 0 or at least 2, and two different labels")


@dataclass(frozen=True)
class Image:
    """From a file to the network's input; the meaning is that of `tinycnn.nn.preprocessing`.

    `standardization = "featurewise"` takes mean and deviation per channel of the training images,
    "pixelwise" a mean and a deviation image, as a Normalization layer before the network.
    """

    height: int = 224
    width: int = 224
    color_mode: str = "grayscale"
    interpolation: str = "bilinear"
    crop_to_aspect_ratio: bool = False
    scale: float = 1.0
    offset: float = 0.0
    standardization: str = "none"

    def __post_init__(self) -> None:
        """Refuse sizes and names that nothing can be made of."""
        _within("image.height", self.height, 8, 2048)
        _within("image.width", self.width, 8, 2048)
        _one_of("image.color_mode", self.color_mode, ("grayscale", "rgb"))
        known = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
        _one_of("image.interpolation", self.interpolation, known)
        known = ("none", "samplewise", "featurewise", "pixelwise")
        _one_of("image.standardization", self.standardization, known)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, 1 if self.color_mode == "grayscale" else 3


@dataclass(frozen=True)
class Network:
    """The architecture; `weights`: a Keras or tinycnn file that it begins with, layer by layer.

    Layers whose weights do not fit (another head, another input) begin untrained. `dropout` and
    `alpha` hold where the architecture has them.
    """

    name: str = "mobilenet_v2"
    alpha: float = 1.0
    dropout: float = 0.25
    weights: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        _one_of("network.name", self.name, NETWORKS)
        _within("network.alpha", self.alpha, 0.05, 2.0)
        _within("network.dropout", self.dropout, 0.0, 0.95)


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training images, 0 or "" for none; shares are of the size or of 255.

    `crop`: the share of height and width that is cut off, at a random place. `blur`: the largest
    sigma, pixels. `noise`: deviation, grey levels of 255. `rotation`: degrees either way; `shear`,
    `translation` and `zoom`: shares either way.
    """

    flip: str = ""
    crop: float = 0.0
    rotation: float = 0.0
    translation: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0
    blur: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        """Refuse changes that leave no image."""
        known = ("", "horizontal", "vertical", "horizontal_and_vertical")
        _one_of("augmentation.flip", self.flip, known)
        limits = {"rotation": 180.0, "blur": 10.0, "noise": 128.0}
        for item in dataclasses.fields(self)[1:]:
            value = getattr(self, item.name)
            _within(f"augmentation.{item.name}", value, 0.0, limits.get(item.name, 0.9))


@dataclass(frozen=True)
class Training:
    """How the weights are found.

    `schedule`: "step" multiplies the rate by `factor` every `patience` epochs, "plateau" when
    the validation loss has not fallen for `patience` epochs; "cosine" warms up over a tenth of the
    steps, then falls to a thousandth. `early_stopping`: epochs without progress, 0 for never.
    `class_weights`: both classes weigh the same, however many images each has.
    """

    optimizer: str = "adam"
    rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    epochs: int = 30
    batch: int = 32
    schedule: str = "constant"
    factor: float = 0.1
    patience: int = 5
    early_stopping: int = 0
    class_weights: bool = True
    tensorboard: bool = False

    def __post_init__(self) -> None:
        """Refuse what would not train."""
        _one_of("training.optimizer", self.optimizer, OPTIMIZERS)
        _one_of("training.schedule", self.schedule, SCHEDULES)
        limits = {
            "rate": (1e-8, 10.0), "momentum": (0.0, 0.999), "weight_decay": (0.0, 1.0),
            "epochs": (1, 100_000), "batch": (1, 4096), "factor": (0.001, 0.999),
            "patience": (1, 10_000), "early_stopping": (0, 10_000),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            _within(f"training.{name}", getattr(self, name), low, high)


@dataclass(frozen=True)
class Provenance:
    """What the model file will say about where it comes from.

    `trained_on`: whose data, to which what they held is added; by itself the name of DATA. Of
    drawings (demos/phantoms.py) it says just that, and `demonstration` is true.
    """

    trained_on: str = ""
    licence: str = ""
    notes: str = ""
    demonstration: bool = False


@dataclass(frozen=True)
class Config:
    """A whole run. `seed` fixes the split, the first weights, the order and the augmentation."""

    seed: int = 1
    threads: int = 2
    data: Data = field(default_factory=Data)
    image: Image = field(default_factory=Image)
    network: Network = field(default_factory=Network)
    augmentation: Augmentation = field(default_factory=Augmentation)
    training: Training = field(default_factory=Training)
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        """Refuse numbers that NumPy or TensorFlow would not take."""
        _within("seed", self.seed, 0, 2**31 - 1)
        _within("threads", self.threads, 1, 256)


def recipes() -> list[str]:
    """Names of the recipes that ship."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load(name_or_path: str, changes: tuple[str, ...] = ()) -> Config:
    """Read a recipe by its name, or a TOML file; `changes` are "section.option=value"."""
    path = RECIPES / f"{name_or_path}.toml" if name_or_path in recipes() else Path(name_or_path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = ", ".join(recipes())
        raise ConfigError(f"{path}: {error.strerror}; the recipes are {known}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no TOML: {error}") from error
    for change in changes:
        _change(table, change)
    return parse(table)


def _change(table: dict[str, Any], change: str) -> None:
    """Put one "section.option=value" into `table`; the value is TOML, or else text."""
    name, equals, text = change.partition("=")
    if not equals:
        raise ConfigError(f"--set {change}: expected section.option=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, option = name.strip().split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {change}: {section} is no section")
    table[option] = value


def parse(table: Mapping[str, Any]) -> Config:
    """Make the config that `table` describes; ConfigError names what is unknown or wrong."""
    return _record(Config, table, "")


def _record(kind: type[Any], table: Mapping[str, Any], where: str) -> Any:
    hints = get_type_hints(kind)
    if unknown := sorted(set(table) - set(hints)):
        raise ConfigError(f"{where}{unknown[0]}: no such option; {_instead(unknown[0], hints)}")
    return kind(**{k: _value(hints[k], v, f"{where}{k}") for k, v in table.items()})


def _instead(name: str, hints: Mapping[str, Any]) -> str:
    """The sections that have an option of that name, or else what there is."""
    sections = {key: get_type_hints(h) for key, h in hints.items() if dataclasses.is_dataclass(h)}
    found = [f"{key}.{name}" for key, options in sections.items() if name in options]
    return f"write {' or '.join(found)}" if found else f"there are {', '.join(hints)}"


def _value(hint: Any, value: Any, name: str) -> Any:
    """`value` as the type `hint`; whole numbers pass for float, nothing else is converted."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise ConfigError(f"{name} = {value!r}: expected a section [{name}]")
        return _record(hint, value, f"{name}.")
    if hint == tuple[str, ...]:
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise ConfigError(f"{name} = {value!r}: expected a list of texts")
        return tuple(value)
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint or (hint is float and not math.isfinite(value)):
        raise ConfigError(f"{name} = {value!r}: expected {hint.__name__}")
    return value


def to_toml(config: Config) -> str:
    """The whole config; `parse` of it gives an equal one."""
    plain, sections = [], []
    for name, value in dataclasses.asdict(config).items():
        if isinstance(value, dict):
            rows = [f"{key} = {_toml(inner)}" for key, inner in value.items()]
            sections.append("\n".join([f"\n[{name}]", *rows]))
        else:
            plain.append(f"{name} = {_toml(value)}")
    return "\n".join([*plain, *sections]) + "\n"


def _toml(value: Any) -> str:
    """JSON's texts, lists and booleans are TOML's, once DEL is escaped; so are finite numbers."""
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")
