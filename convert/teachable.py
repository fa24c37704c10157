"""Exports of Google's Teachable Machine: `keras_model.h5` with `labels.txt`, alone or in a zip.

They are recognised by both: nested Sequentials as that program writes them, and labels numbered
from 0. Then labels and the preparation of images are known, which the `.h5` alone does not tell.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path

from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.types import Shape

from .keras_config import LayerConfig, ModelConfig, Ref

MODEL, LABELS = "keras_model.h5", "labels.txt"
MAX_LABELS = 1 << 16  # bytes
INPUT: Shape = (224, 224, 3)
# As in the sample code that comes with each export:
# ImageOps.fit(image, (224, 224), Image.Resampling.LANCZOS), then x / 127.5 - 1.
PREPROCESSING = Preprocessing(
    "rgb", "lanczos", crop_to_aspect_ratio=True, scale=1 / 127.5, offset=-1.0
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


def labels(data: bytes, classes: int) -> tuple[str, ...]:
    """Read lines such as "0 Class 1"; none unless there is exactly one for each class."""
    try:
        lines = [line.strip() for line in data[: MAX_LABELS + 1].decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        return ()
    found = [re.fullmatch(r"(\d{1,4}) (.+)", line, re.ASCII) for line in lines if line]
    names = tuple(m[2].strip() for m in found if m and m[2].isprintable())
    numbers = [int(m[1]) for m in found if m]
    fits = 0 < classes == len(found) == len(names) and numbers == list(range(classes))
    return names if fits and len(data) <= MAX_LABELS else ()


def beside(path: Path) -> bytes:
    """Return what `labels.txt` beside a model holds; nothing if it is no small regular file."""
    file = path.with_name(LABELS)
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_LABELS:
            return b""
        with file.open("rb") as stream:
            return stream.read(MAX_LABELS + 1)
    except OSError:
        return b""


def _chained(layer: LayerConfig) -> list[LayerConfig]:
    if layer.class_name != "Sequential" or layer.model is None:
        return []
    return list(layer.model.layers.values())


def _class(layer: LayerConfig) -> str:
    return "Functional" if layer.class_name == "Model" else layer.class_name
