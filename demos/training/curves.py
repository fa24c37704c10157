"""Loss and accuracy by epoch as a PNG, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

WIDTH, HEIGHT, MARGIN = 480, 300, 44
COLOURS = {"training": "#1f5fa8", "validation": "#c04a00"}
Line = Sequence[float]


def draw(history: Sequence[dict[str, float]], path: Path) -> None:
    """Two diagrams side by side, training and validation in each."""
    picture = Image.new("RGB", (2 * WIDTH, HEIGHT), "white")
    pen = ImageDraw.Draw(picture)
    for column, name in enumerate(("loss", "accuracy")):
        lines = {
            "training": [row[name] for row in history],
            "validation": [row[f"val_{name}"] for row in history],
        }
        _diagram(pen, column * WIDTH, name, lines)
    picture.save(path)


def points(values: Line, left: int, low: float, high: float) -> list[tuple[float, float]]:
    """Pixels (x, y) of a line; the first epoch at the left edge, `high` at the upper one."""
    across, down = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN
    last = max(1, len(values) - 1)
    return [
        (left + MARGIN + across * i / last, MARGIN + down * (high - value) / (high - low))
        for i, value in enumerate(values)
    ]


def _diagram(pen: ImageDraw.ImageDraw, left: int, title: str, lines: dict[str, Line]) -> None:
    everything = [value for line in lines.values() for value in line]
    low = min([0.0, *everything])
    high = max(everything) if title == "loss" else 1.0
    high = high if high > low else low + 1.0
    box = (left + MARGIN, MARGIN, left + WIDTH - MARGIN, HEIGHT - MARGIN)
    pen.rectangle(box, outline="#888888")
    pen.text((box[0], MARGIN - 30), title, fill="black")
    for value, y in ((high, box[1]), (low, box[3])):
        pen.text((left + 4, y - 6), f"{value:.3g}", fill="black")
    epochs = len(next(iter(lines.values())))
    pen.text((box[0], box[3] + 6), "epoch 1", fill="black")
    pen.text((box[2] - 24, box[3] + 6), str(epochs), fill="black")
    for number, (name, line) in enumerate(lines.items()):
        where = points(line, left, low, high)
        if len(where) == 1:
            pen.ellipse([where[0][0] - 2, where[0][1] - 2, where[0][0] + 2, where[0][1] + 2],
                        fill=COLOURS[name])  # fmt: skip
        pen.line(where, fill=COLOURS[name], width=2)
        pen.text((box[0] + 120 * number, MARGIN - 16), name, fill=COLOURS[name])
