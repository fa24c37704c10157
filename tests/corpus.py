"""Where the real files lie that users have: `../shared/corpus`, or as TINYCNN_CORPUS says.

Beside them, in `wild` and `hostile`, those that once failed.
"""

import os
from pathlib import Path

import numpy as np

CORPUS = Path(
    os.environ.get(
        "TINYCNN_CORPUS", Path(__file__).resolve().parents[1] / ".." / "shared" / "corpus"
    )
)
WILD, HOSTILE = (CORPUS.parent / name for name in ("wild", "hostile"))


def golden(name):
    """Input and output: stored, or the input by its recipe."""
    with np.load(CORPUS / f"{name}_golden.npz") as file:
        if "shape" in file:
            random = np.random.default_rng(7).random(tuple(file["shape"]), dtype=np.float32)
            return random * 2 - 1, file["y"]
        if "y_float32" in file:  # of 8-bit images, unscaled
            x = np.random.default_rng(7).integers(0, 256, (3, 224, 224, 3), np.uint8)
            return x.astype(np.float32), file["y_float32"]
        keys = sorted(file)
        return tuple(next(file[k] for k in keys if k.endswith(end)) for end in ("_x", "_y"))
