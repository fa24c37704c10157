"""``--check-with-keras``: the original file in Keras beside ours, layer by layer.

Keras runs in a child process. Nothing that Keras would have to execute or import reaches it: the
network was converted before, and what a file holds beside that is checked here once more.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from tinycnn.errors import ConversionError
from tinycnn.nn.graph import INPUT
from tinycnn.nn.model import Model
from tinycnn.nn.selftest import image_like
from tinycnn.nn.types import Array

from .isolation import take
from .keras import open_file
from .parity import TOLERANCE, relative

SEEDS = (2, 3)
SECONDS = 600.0
MAX_LINE = 1 << 16
MODULES = re.compile(r"(tensorflow\.|tf_keras\.)?keras(\.\w+)*|builtins")
CODE = frozenset({"Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer"})


@dataclass(frozen=True)
class Comparison:
    """What came of it: the largest difference of any layer, and the first layer that differs."""

    keras: str = ""
    layers: int = 0
    largest: float = 0.0
    at: str = ""
    first: str = ""  # the first that differs by more than the tolerance
    output: float = 0.0
    reason: str = ""  # why nothing was compared

    def __str__(self) -> str:
        """Spell it for people."""
        if self.reason:
            return f"not compared: {self.reason}"
        return (
            f"{self.keras}: {self.layers} layers compared, largest difference {self.largest:.1e} "
            f"(relative, layer {self.at!r}); of the whole network {self.output:.1e}"
        )


def compare(path: Path, model: Model, places: Mapping[str, str]) -> Comparison:
    """Run ``path`` in Keras; ConversionError names the first layer that differs beyond 1e-4.

    ``places``: our layer -> MODEL/LAYER in the file, as `keras.Imported` has them.
    """
    if not places:
        return Comparison(reason="the file holds no network that Keras could load")
    if importlib.util.find_spec("keras") is None:
        return Comparison(reason="Keras is not installed here")
    if found := dangerous(open_file(path).config):
        return Comparison(reason=f"the file asks Keras for {found}, which is never loaded")
    result = _compare(path, model, places)
    if result.first:
        raise ConversionError(
            f"layer {result.first!r} is the first that differs from {result.keras}, "
            f"by up to {result.largest:.1e} (relative); nothing was written: please report it"
        )
    return result


def dangerous(config: Any) -> str:
    """Name a class of a Keras configuration that is code, or imported from elsewhere; or ""."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            kind, module = value.get("class_name"), value.get("module")
            if isinstance(kind, str) and kind in CODE:
                return repr(kind)
            if isinstance(module, str) and not MODULES.fullmatch(module):
                return repr(f"{module}.{kind}")
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return ""


def _compare(path: Path, model: Model, places: Mapping[str, str]) -> Comparison:
    x = np.concatenate([image_like(model.input_shape, s, model.preprocessing) for s in SEEDS])
    theirs: dict[str, list[Array]] = {}
    for place, value in _run(path, x):
        if place is not None:
            theirs.setdefault(place, []).append(value)
        elif "error" in value:
            return Comparison(reason=f"Keras cannot run it: {value['error']}")
        else:
            return _beside(model, x, places, theirs, f"Keras {value['keras']}")
    return Comparison(reason="Keras ended without an answer")


def _beside(
    model: Model,
    x: Array,
    places: Mapping[str, str],
    theirs: dict[str, list[Array]],
    keras: str,
) -> Comparison:
    """Run each layer on what Keras's layers before it gave: differences do not add up on the way.

    What random or badly scaled weights make of the last bit would hide which layer is wrong.
    """
    graph, layers, largest, at, first = model.graph, 0, -1.0, "", ""
    values = {INPUT: x}
    for node in graph.nodes:
        weights = graph.node_weights(node, model.weights)
        with np.errstate(all="ignore"):
            values[node.name] = node.layer.forward(graph.arguments(node, values), weights)
        place = places.get(node.layer.name, "")
        if theirs.get(place):
            difference, values[node.name] = _match(values[node.name], theirs[place])
            layers += 1
            if not difference <= largest:
                largest, at = difference, place
            if not difference <= TOLERANCE:
                first = first or place
    output = relative(graph.forward(x, model.weights), values[graph.output])
    return Comparison(keras, layers, largest, at, first, output)


def _match(ours: Array, theirs: list[Array]) -> tuple[float, Array]:
    """Difference to the call that is nearest, and its value, which is then used up.

    A shared layer's calls come in Keras's order there and in ours here.
    """
    candidates = [_laid_out(each, ours) for each in theirs]
    differences = [
        float("inf") if ours.shape != each.shape else relative(ours, each) for each in candidates
    ]
    nearest = int(np.argmin(np.nan_to_num(differences, nan=np.inf)))
    del theirs[nearest]
    fits = ours.shape == candidates[nearest].shape
    return differences[nearest], candidates[nearest] if fits else ours


def _laid_out(theirs: Array, ours: Array) -> Array:
    """Put the channels last where the file has them first."""
    if ours.shape != theirs.shape and ours.ndim == theirs.ndim == 4:
        return theirs.transpose(0, 2, 3, 1)
    return theirs


def _run(path: Path, x: Array) -> Iterator[tuple[str | None, Any]]:
    """Yield (place, output) of all calls, and then (None, what the child says at the end)."""
    command = [sys.executable, "-P", "-m", "tinycnn.convert.keras_child", os.path.abspath(path)]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_ENABLE_ONEDNN_OPTS": "0"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**quiet, **os.environ},
    ) as process:  # fmt: skip
        timer = threading.Timer(SECONDS, process.kill)
        timer.start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            _send(process.stdin, x)
            yield from _answers(process.stdout)
        except (EOFError, BrokenPipeError, ValueError):
            yield None, {"error": "its process ended half-way"}
        finally:
            timer.cancel()
            process.kill()


def _send(stream: IO[bytes], x: Array) -> None:
    buffer = io.BytesIO()
    np.save(buffer, x, allow_pickle=False)
    stream.write(buffer.getvalue())
    stream.close()


def _answers(stream: IO[bytes]) -> Iterator[tuple[str | None, Any]]:
    while line := stream.readline(MAX_LINE):
        entry = json.loads(line)
        if "layer" not in entry:
            yield None, entry
            return
        data = take(stream, 4 * int(np.prod(entry["shape"])))
        yield entry["layer"], np.frombuffer(data, np.float32).reshape(entry["shape"])
    raise EOFError
