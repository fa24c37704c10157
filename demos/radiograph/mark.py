"""The mark of a drawn film: a note before its pixels, which `demos/train.py` looks for."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image, PngImagePlugin

COMMENT = "drawn phantom, not a patient"
HEAD = 4096  # bytes within which the note stands; `save_png` puts it right after the size


def save_png(image: Image.Image, path: Path) -> None:
    """Write a PNG with the mark, whole or not at all."""
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", COMMENT)
    partial_path = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        image.save(partial_path, "PNG", pnginfo=note, compress_level=2)
        os.replace(partial_path, path)
    except BaseException:
        partial_path.unlink(missing_ok=True)
        raise


def is_drawn(path: str | os.PathLike[str]) -> bool:
    """Whether the file bears the mark, wherever it was copied to; OSError if it cannot be read."""
    with open(path, "rb") as file:
        return COMMENT.encode("latin-1") in file.read(HEAD)
