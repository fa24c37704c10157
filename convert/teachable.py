"""Exports of Google's Teachable Machine: `keras_model.h5` with `labels.txt`, alone or in a zip.

They are recognised by their layers: nested Sequentials as that program, and no other, writes them.
Then the preparation of images is known, which the `.h5` does not tell, and mostly the labels.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path

from tinycnn.errors import ConversionError
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.types import Shape

from .keras_config import LayerConfig, ModelConfig, Ref
from .texts import decode

MODEL, LABELS = "keras_model.h5", "labels.txt"
MAX_LABELS = 1 << 16  # bytes
INPUT: Shape = (224, 224, 3)
# As in the sample code that comes with each export:
# ImageOps.fit(image, (224, 224), Image.Resampling.LANCZOS), then x / 127.5 - 1.
PREPROCESSING = Preprocessing(
    "rgb", "lanczos", crop_to_aspect_ratio=True, scale=1 / 127.5, offset=-1.0, fractional_crop=True
)


def count_classes(model: ModelConfig) -> int:
    """How many classes an export has; 0 for all that is not built like one.

    Sequential(Sequential(MobileNet, pooling), Sequential(Dense relu, Dense softmax without bias)).
    """
    if model.inputs != (Ref(""),) or model.input_shape != INPUT:
        return 0
    parts = [_chained(layer) for layer in model.layers.values()]
    if len(parts) != 2 or [_class(layer) for part in parts for layer in part] != [
        *("Functional", "GlobalAveragePooling2D"),
        *("Dense", "Dense"),
    ]:
        return 0
    hidden, last = (layer.config for layer in parts[1])
    units = last.get("units")
    if (hidden.get("activation"), last.get("activation")) != ("relu", "softmax"):
        return 0
    return units if last.get("use_bias") is False and type(units) is int else 0


def labels(data: bytes | None, classes: int) -> tuple[tuple[str, ...], str]:
    """Read labels, one line for each class, such as "0 Class 1", with numbers or without.

    Also what there is to say of the file: how it was read, or why it was not; None: there is none.
    """
    if data is None:
        return (), f"there is no {LABELS} beside it"
    try:
        if len(data) > MAX_LABELS:
            raise ConversionError(f"more than {MAX_LABELS} bytes")
        text, caveat = decode(data)
        names = _names([line.strip() for line in text.splitlines()], classes)
    except ConversionError as error:
        return (), f"{LABELS} cannot be read: {error}"
    return names, f"{LABELS} is {caveat}" if caveat else ""


def _names(lines: list[str], classes: int) -> tuple[str, ...]:
    lines = [line for line in lines if line]
    if len(lines) != classes:
        raise ConversionError(f"{len(lines)} labels for {classes} classes")
    numbered = [m for line in lines if (m := re.fullmatch(r"(\d{1,4})\s+(.+)", line, re.ASCII))]
    if numbered and [int(m[1]) for m in numbered] != list(range(classes)):
        raise ConversionError(f"its lines are not numbered from 0 to {classes - 1}, nor without")
    names = tuple(m[2] for m in numbered) or tuple(lines)
    if not all(name.isprintable() for name in names):
        raise ConversionError("it holds what cannot be printed")
    return names


def recognised(names: tuple[str, ...], caveat: str) -> str:
    """Say that a file is an export, how its images are prepared, and what is known of its labels.

    ``names`` and ``caveat``: as `labels` gives them.
    """
    with_labels = f" with the labels {', '.join(names)}" if names else ""
    unknown = "" if names else ", so that its labels are unknown; give --labels"
    return (
        f"recognised: an export of Teachable Machine{with_labels}; images are prepared as its "
        "sample code does (RGB, the middle square, lanczos, x / 127.5 - 1), where no option says "
        f"otherwise{f'; {caveat}' * bool(caveat)}{unknown}"
    )


def beside(path: Path) -> bytes | None:
    """Return what `labels.txt` beside a model holds; None if it is no small regular file."""
    file = path.with_name(LABELS)
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            return None
        with file.open("rb") as stream:
            return stream.read(MAX_LABELS + 1)
    except OSError:
        return None


def _chained(layer: LayerConfig) -> list[LayerConfig]:
    if layer.class_name != "Sequential" or layer.model is None:
        return []
    return list(layer.model.layers.values())


def _class(layer: LayerConfig) -> str:
    return "Functional" if layer.class_name == "Model" else layer.class_name
