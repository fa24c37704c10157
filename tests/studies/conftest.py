from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tinycnn.nn.graph import Sequential
from tinycnn.nn.layers import Cropping2D, Dense, GlobalAveragePooling2D
from tinycnn.nn.model import Decision, Figures, Model, Provenance
from tinycnn.nn.preprocessing import Preprocessing

FIGURES = Figures(10, true_positive=4, false_positive=2, true_negative=3, false_negative=1)


@dataclass
class FakeSession:
    """A session without an engine: the reference, or any function of the batch."""

    model: Model
    function: Callable[[Any], Any] | None = None
    backend: str = "fake"
    model_hash: str = "0" * 64
    path: str = "fake.safetensors"

    def predict(self, batch):
        assert batch.ndim == 4
        assert batch.dtype == np.float32
        return (self.function or self.model.forward)(batch)


def brightness_model(**changes: Any) -> Model:
    """Gray 8 x 8 images; the probability of "abnormal" is what `save_gray` was given, of 255."""
    upper = Cropping2D(((0, 2), (0, 0)))  # 6 of the 8 rows
    graph = Sequential(
        [upper, GlobalAveragePooling2D(), Dense(1, activation="linear", name="dense")],
        input_shape=(8, 8, 1),
    )
    model = Model(
        graph,
        {
            "dense/kernel": np.ones((1, 1), np.float32),
            "dense/bias": np.zeros(1, np.float32),
        },
        preprocessing=Preprocessing(color_mode="grayscale", scale=1 / 255),
        labels=("normal", "abnormal"),
        decision=Decision(positive=1),
        provenance=Provenance(
            trained_on="drawings",
            demonstration=True,
            evaluated_on="unseen drawings",
            accuracy={"XR_HAND": FIGURES, "all": FIGURES},
        ),
        name="brightness",
    )
    return replace(model, **changes)


@pytest.fixture
def session() -> FakeSession:
    return FakeSession(brightness_model())


def save_gray(path: Path, level: int, size: tuple[int, int] = (12, 9)) -> Path:
    """An image of ``level``; the lowest quarter differs, since one of one level is refused."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", size, level)
    image.paste(level ^ 128, (0, -(-3 * size[1] // 4), *size))
    image.save(path)
    return path


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int = 8,
    height: int = 8,
    rows: bytes | None = None,
    *,
    depth: int = 8,
    colour: int = 0,
    interlace: int = 0,
    before: bytes = b"",
) -> bytes:
    """A PNG file made by hand: gray 8-bit zeros unless ``rows`` (filtered, inflated) are given."""
    rows = bytes(height * (width + 1)) if rows is None else rows
    header = struct.pack(">2I5B", width, height, depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), before, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )
