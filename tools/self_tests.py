#!/usr/bin/env python3
"""Give model files a new self-test, as this version writes it; all else stays, weights to the bit.

    python tools/self_tests.py weights/*.safetensors

For files of versions that did not know what rounding explains: docs/decisions/015-tolerance.md.
Whether such a file is sound is found out first, by its own self-test.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.errors import ModelFileError, TinycnnError
from tinycnn.nn import modelfile
from tinycnn.nn.selftest import record, replay


def renew(path: Path) -> float:
    """Write ``path`` again with a new self-test; return by how much an output may differ."""
    model = modelfile.load(path)
    replay(model)
    seed = model.self_test.seed if model.self_test else 1
    test = record(model.graph, model.weights, model.preprocessing, seed)
    before = {name: value.tobytes() for name, value in model.weights.items()}
    modelfile.save(replace(model, self_test=test), path, stored_type(path))
    after = modelfile.load(path).weights
    if {name: value.tobytes() for name, value in after.items()} != before:
        raise ModelFileError(f"{path}: the weights have changed")
    assert test.allowed is not None
    return test.allowed


def stored_type(path: Path) -> str:
    """The type of the weights in a model file, "float32" or "float16"."""
    with path.open("rb") as file:
        header: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    del header["__metadata__"]
    kinds = {np.dtype(modelfile.TYPES[entry["dtype"]]).name for entry in header.values()}
    if len(kinds) > 1:
        raise ModelFileError(f"{path}: weights of several types")
    return kinds.pop() if kinds else "float32"


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    try:
        for name in arguments:
            print(f"{name}: its output may differ by {renew(Path(name)):.1e}")
    except TinycnnError as error:
        print(f"self_tests: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
