"""The options of ``tinycnn convert``, and what they say about a model."""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any, get_args

from tinycnn import cli
from tinycnn.errors import PROGRAM, ConversionError, TinycnnError, UsageError
from tinycnn.nn import strictjson
from tinycnn.nn.architectures import ARCHITECTURES
from tinycnn.nn.architectures.torchvision import TORCHVISION
from tinycnn.nn.model import Decision, Figures, Provenance, Rule
from tinycnn.nn.preprocessing import ColorMode, Interpolation, Preprocessing, Standardization
from tinycnn.nn.types import Shape

from .scores import Choice
from .texts import decode

EPILOG = f"""\
examples:
  {PROGRAM} convert model.keras --labels normal,abnormal --positive abnormal --scale 1/255
  {PROGRAM} convert weights.h5 --architecture mobilenet_v2 --input 224x224x1 --classes 2
  {PROGRAM} convert weights.h5 --architecture mobilenet:alpha=0.5,head=conv --classes 3
  {PROGRAM} convert weights.h5 --architecture cnn5:dense=128-64-32,dropout=0.5
  {PROGRAM} convert model.pth --architecture densenet169 --labels normal,abnormal

architectures: {", ".join(ARCHITECTURES)}
of PyTorch: {", ".join(TORCHVISION)}

Nothing in the file is executed. The preprocessing must be the one of the training: what is not
said here is printed as assumed. exit status: 0 converted; 2 not; 130 interrupted"""

MAX_LABELS_FILE = 1 << 20


def parser() -> cli.Parser:
    """Build the command line."""
    p = cli.Parser("convert", "Turn a Keras, ONNX or PyTorch file into a model file.", EPILOG)
    p.add_argument(
        "model", type=Path,
        help=".h5, .keras, .weights.h5, converted_keras.zip, .onnx or PyTorch's .pth",
    )  # fmt: skip
    p.add_argument("-o", "--output", type=Path, help="file to write; default: beside the input")
    p.add_argument("--force", action="store_true", help="replace an existing file")
    p.add_argument("--dtype", choices=("float32", "float16"), default="float32")
    p.add_argument(
        "--check-with-keras", action="store_true", help="compare layer by layer, where Keras is"
    )
    p.add_argument("--verbose", action="store_true", help="print a table of the layers")
    _network(p.add_argument_group("network, for files of weights alone"))
    _preprocessing(p.add_argument_group("preprocessing, as in training"))
    _meaning(p.add_argument_group("labels and decision"))
    _provenance(p.add_argument_group("provenance"))
    return p


def _network(group: Any) -> None:
    group.add_argument("--architecture", metavar="NAME[:OPTION=VALUE,...]")
    group.add_argument("--alpha", type=_number, help="width factor")
    group.add_argument(
        "--input", type=_shape, metavar="HxWxC", help="also for files that leave the size open"
    )
    group.add_argument(
        "--classes", type=int,
        help="default: the architecture's own; of a PyTorch file, as many as it has",
    )  # fmt: skip
    group.add_argument(
        "--kernels", choices=("tensorflow", "theano"),
        help="whose they are in a file of Keras 1 that does not say it",
    )  # fmt: skip


def _preprocessing(group: Any) -> None:
    group.add_argument("--color-mode", choices=get_args(ColorMode))
    group.add_argument(
        "--interpolation", choices=get_args(Interpolation), help="default: nearest, as load_img"
    )
    group.add_argument("--crop-to-aspect-ratio", action="store_true", default=None)
    group.add_argument(
        "--fractional-crop", action="store_true", default=None,
        help="crop at fractions of a pixel, as ImageOps.fit; default: at whole ones, as load_img",
    )  # fmt: skip
    group.add_argument("--scale", type=_number, help="factor for grey levels, such as 1/127.5")
    group.add_argument(
        "--offset", type=_numbers, metavar="N[,N,N]",
        help="summand after it; one, or one per channel: --offset=-1,-1,-1",
    )  # fmt: skip
    group.add_argument("--standardization", choices=get_args(Standardization))
    group.add_argument("--mean", type=_numbers, help="of the training set, for featurewise")
    group.add_argument("--std", type=_numbers, help="of the training set, for featurewise")
    group.add_argument("--bgr", action="store_true", default=None, help="channels blue first")


def _meaning(group: Any) -> None:
    group.add_argument(
        "--activation", choices=get_args(Choice), help="behind the scores; default: where needed"
    )
    group.add_argument("--labels", help="names of the classes in order, a,b,c, or a text file")
    group.add_argument("--positive", metavar="LABEL", help="the label that is looked for")
    group.add_argument("--rule", choices=get_args(Rule), help="default: mean")
    group.add_argument("--threshold", type=_number, help="default: 0.5")


def _provenance(group: Any) -> None:
    group.add_argument("--trained-on", metavar="TEXT", default="unknown")
    group.add_argument("--demonstration", action="store_true", help="never a medical result")
    group.add_argument("--licence", metavar="TEXT", default="")
    group.add_argument("--notes", metavar="TEXT", default="")
    group.add_argument("--evaluated-on", metavar="TEXT", default="")
    group.add_argument(
        "--accuracy", type=Path, metavar="FILE.json", help="figures by body part: see model.Figures"
    )


PREPROCESSING = (
    *("color_mode", "interpolation", "crop_to_aspect_ratio", "fractional_crop"),
    *("scale", "offset", "standardization", "mean", "std", "bgr"),
)


def preprocessing(
    options: argparse.Namespace, input_shape: Shape, known: Preprocessing | None = None
) -> Preprocessing:
    """Make the preprocessing; ``known``: what holds for such a file, where no option says else."""
    given = {k: v for k in PREPROCESSING if (v := getattr(options, k)) is not None}
    if "offset" in given and len(given["offset"]) == 1:
        given["offset"] = given["offset"][0]
    if known is not None:
        return dataclasses.replace(known, **given)
    default = "grayscale" if input_shape[-1] == 1 else "rgb"
    if ("mean" in given or "std" in given) and "standardization" not in given:
        raise UsageError("--mean and --std are for --standardization featurewise; give that, too")
    return Preprocessing(**{"color_mode": default, **given})


def labels(options: argparse.Namespace) -> tuple[str, ...]:
    """Read the labels from the option, or from the file that it names: one on each line."""
    text = options.labels
    if not text:
        return ()
    path = Path(text)
    if "," in text or not path.is_file():
        if "," not in text and ("/" in text or path.suffix == ".txt"):
            raise UsageError(f"--labels: no file {text}")
        return _checked(tuple(part.strip() for part in text.split(",")))
    try:
        data, caveat = decode(_small_file(path))
    except ConversionError as error:
        raise UsageError(f"--labels {path}: {error}") from None
    if caveat:
        print(f"note: {path}: {caveat}", file=sys.stderr)
    lines = (re.sub(r"^\d+[:\s]\s*", "", line.strip()) for line in data.splitlines())
    return _checked(tuple(line for line in lines if line))


def _checked(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not name or not name.isprintable():
            raise UsageError(f"--labels: {name!r} is empty or cannot be printed")
    return names


def numbered(names: tuple[str, ...]) -> tuple[str, ...]:
    """Tell equal labels apart: crane, crane (2). ImageNet's list has two pairs of them."""
    seen, result = Counter[str](), list[str]()
    for name in names:
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    name, count = Counter(result).most_common(1)[0] if result else ("", 0)
    if count > 1:
        raise UsageError(f"--labels: {name!r} is in the list, and what a repeated label becomes")
    return tuple(result)


def check_count(names: tuple[str, ...], classes: int) -> None:
    """Refuse a list of labels that is not as long as the row of scores."""
    if not names or len(names) == classes:
        return
    hint = ""
    if len(names) == classes + 1:
        hint = ", exactly one too many"
        if names[0].lower() == "background":
            hint += "; the first is 'background', which this network does not have: drop that line"
    raise UsageError(f"--labels: {len(names)} labels for {classes} classes{hint}")


def need_used(options: argparse.Namespace, is_pytorch: bool) -> None:
    """UsageError for an option that says nothing of this kind of file."""
    for name in ("alpha", "classes"):
        if getattr(options, name) is not None and not (options.architecture or is_pytorch):
            raise UsageError(f"--{name} is for files of weights alone: it needs --architecture")
    if options.kernels and is_pytorch:
        raise UsageError("--kernels is for files of Keras 1; leave it away")


def decision(
    options: argparse.Namespace, names: tuple[str, ...], independent: bool = False
) -> Decision:
    """Make the decision rule; the positive label must be one of ``names``, and only one.

    ``independent``: whether each label is decided on, also where none is looked for.
    """
    positive = None
    if options.positive is not None:
        if (count := names.count(options.positive)) > 1:
            raise UsageError(
                f"--positive {options.positive!r}: {count} labels are called that; "
                "give each a name of its own in --labels"
            )
        if options.positive not in names:
            raise UsageError(
                f"--positive {options.positive!r} is none of the labels: {', '.join(names)}"
                if names
                else "--positive needs --labels"
            )
        positive = names.index(options.positive)
    keys = ("rule", "threshold")
    given: dict[str, Any] = {k: v for k in keys if (v := getattr(options, k)) is not None}
    made = Decision(**given, positive=positive)
    if given and positive is None and not independent:
        raise UsageError(
            f"--{next(iter(given))} needs --positive LABEL: else the verdict is the label with the "
            "highest mean score"
        )
    return made


def provenance(options: argparse.Namespace, origin: str) -> Provenance:
    """Make the provenance; ``origin`` says what the weights were read from."""
    return Provenance(
        trained_on=options.trained_on,
        demonstration=options.demonstration,
        source=f"{options.model.name} ({origin})",
        licence=options.licence,
        notes=options.notes,
        evaluated_on=options.evaluated_on,
        accuracy=_accuracy(options.accuracy) if options.accuracy else {},
    )


def _accuracy(path: Path) -> dict[str, Figures]:
    """Read ``{"XR_WRIST": {"studies": 90, "true_positive": 40, ...}, "all": ...}``."""
    names = {f.name for f in dataclasses.fields(Figures)}
    try:
        data = strictjson.loads(_small_file(path).decode("utf-8"))
        if not isinstance(data, dict) or not all(
            isinstance(v, dict) and set(v) <= names for v in data.values()
        ):
            raise ValueError(f"each body part needs {', '.join(sorted(names))}")
        return {part: Figures(**values) for part, values in data.items()}
    except (TypeError, ValueError, TinycnnError) as error:
        raise UsageError(f"--accuracy {path}: {error}") from error


def _small_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_LABELS_FILE + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > MAX_LABELS_FILE:
        raise UsageError(f"{path}: longer than {MAX_LABELS_FILE} bytes")
    return data


def _number(text: str) -> float:
    """Read a number or a fraction: 1/127.5."""
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is no number (1/127.5 is one)") from None


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(_number(part) for part in text.split(","))


def _shape(text: str) -> Shape:
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})x([13])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no HEIGHTxWIDTHxCHANNELS (1 or 3 channels)")
    return int(found[1]), int(found[2]), int(found[3])
