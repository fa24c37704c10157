"""Runs the original file in Keras, in a process of its own: the only place that imports Keras.

``python -m tinycnn.convert.keras_child FILE`` takes a batch (`.npy`) on standard input and answers
with a line of JSON for each call of a layer, in the order of the calls, followed by its output as
float32; the line names the type that it was computed in. The last line says which Keras it was; or
the only one, why it cannot be done.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np

Keep = Callable[[str, Any], None]


def main(path: str, batch: IO[bytes], answers: IO[bytes]) -> None:
    """Load ``path``, run it on the batch, write every layer's output; see above."""

    def say(entry: dict[str, Any], data: bytes = b"") -> None:
        answers.write(json.dumps(entry).encode() + b"\n" + data)

    def keep(place: str, value: Any) -> None:
        with contextlib.suppress(Exception):  # a list, a ragged tensor: not what we compare
            found = np.ascontiguousarray(np.asarray(keras.ops.convert_to_numpy(value)), np.float32)
            kind = keras.backend.standardize_dtype(value.dtype)
            say({"layer": place, "shape": found.shape, "type": kind}, found.tobytes())

    try:
        x = np.load(io.BytesIO(batch.read()), allow_pickle=False)
        import keras

        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        for place, layer in _layers(model, ""):
            layer.call = _seen(layer.call, place, keep)
        model(x, training=False)
        say({"keras": f"{keras.__version__} on {keras.backend.backend()}"})
    except Exception as error:  # of Keras: of any kind
        lines = str(error).strip().splitlines() or [""]
        say({"error": f"{type(error).__name__}: {lines[0][:200]}"})
    answers.flush()


def _layers(model: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """All layers and operations that are no models, with their places."""
    for layer in getattr(model, "operations", model.layers):
        if hasattr(layer, "layers") and hasattr(layer, "get_layer"):
            yield from _layers(layer, f"{prefix}{layer.name}/")
        else:
            yield prefix + layer.name, layer


def _seen(call: Callable[..., Any], place: str, keep: Keep) -> Callable[..., Any]:
    import functools

    @functools.wraps(call)
    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        value = call(*arguments, **keywords)
        keep(place, value)
        return value

    return wrapped


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with os.fdopen(os.dup(1), "wb") as own:
        os.dup2(2, 1)  # what libraries print is no answer
        main(sys.argv[1], sys.stdin.buffer, own)
