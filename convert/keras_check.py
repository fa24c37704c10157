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
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from tinycnn import children
from tinycnn.errors import ConversionError
from tinycnn.nn.graph import INPUT
from tinycnn.nn.model import Model
from tinycnn.nn.selftest import difference, image_like
from tinycnn.nn.tolerance import HALVES, Exact, of_layer
from tinycnn.nn.types import Array

from .isolation import take
from .keras import open_file

SEEDS = (2, 3)
RUNS = 3  # of each layer, to find what may differ
SECONDS = 600.0
MAX_LINE = 1 << 16
MODULES = re.compile(r"(tensorflow\.|tf_keras\.)?keras(\.\w+)*|builtins")
CODE = frozenset({"Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer"})


class Call(NamedTuple):
    """What a layer gave in Keras, as float32, and the type that it was computed in."""

    value: Array
    kind: str


@dataclass(frozen=True)
class Comparison:
    """What came of it: the layer that is nearest to the limit, and the first that is beyond.

    ``largest`` and ``explained``: its difference and what rounding explains, in its largest value.
    """

    keras: str = ""
    layers: int = 0
    largest: float = 0.0
    explained: float = 1.0
    at: str = ""
    kinds: frozenset[str] = frozenset()  # of half precision
    wrong: str = ""  # the first layer that differs by more than rounding explains, and by how much
    output: float = 0.0
    reason: str = ""  # why nothing was compared

    def __str__(self) -> str:
        """Spell it for people."""
        if self.reason:
            return f"not compared: {self.reason}"
        there = f", computed there in {' and '.join(sorted(self.kinds))}" if self.kinds else ""
        return (
            f"{self.keras}: {self.layers} layers compared{there}; of layer {self.at!r} the largest "
            f"difference {self.largest:.1e}, {self.explained:.1e} allowed; of the whole network "
            f"{self.output:.1e}"
        )

    def with_layer(self, place: str, call: Call, right: Exact) -> Comparison:
        """Add what was found of one layer."""
        size = max(float(np.abs(right.value).max()), 1e-30)
        distance, explained = difference(call.value, right.value) / size, right.allowed / size
        kinds = self.kinds | ({call.kind} & HALVES)
        result = replace(self, layers=self.layers + 1, kinds=kinds)
        if not self.at or distance * self.explained > self.largest * explained:
            result = replace(result, largest=distance, explained=explained, at=place)
        if self.wrong or right.admits(call.value):
            return result
        wrong = (
            f"layer {place!r} is the first that differs from {self.keras}, by {distance:.1e} of "
            f"its largest value; rounding in {call.kind} explains {explained:.1e}"
        )
        return replace(result, wrong=wrong)


def compare(
    path: Path, model: Model, places: Mapping[str, str], stored: str = "float32"
) -> Comparison:
    """Run ``path`` in Keras; ConversionError names the first layer that differs from it.

    ``places``: our layer -> MODEL/LAYER in the file, as `keras.Imported` has them. ``stored``: the
    type that the model's weights were rounded to. `tinycnn.nn.tolerance` says what may differ.
    """
    if not places:
        return Comparison(reason="the file holds no network that Keras could load")
    if importlib.util.find_spec("keras") is None:
        return Comparison(reason="Keras is not installed here")
    if found := dangerous(open_file(path).config):
        return Comparison(reason=f"the file asks Keras for {found}, which is never loaded")
    result = _compare(path, model, places, stored)
    if result.wrong:
        raise ConversionError(
            f"{result.wrong}; nothing was written. It is converted wrongly: please report it"
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


def _compare(path: Path, model: Model, places: Mapping[str, str], stored: str) -> Comparison:
    x = np.concatenate([image_like(model.input_shape, s, model.preprocessing) for s in SEEDS])
    theirs: dict[str, list[Call]] = {}
    for place, value in _run(path, x):
        if place is not None:
            theirs.setdefault(place, []).append(value)
        elif "error" in value:
            return Comparison(reason=f"Keras cannot run it: {value['error']}")
        else:
            return _beside(model, x, places, theirs, f"Keras {value['keras']}", stored)
    return Comparison(reason="Keras ended without an answer")


def _beside(
    model: Model,
    x: Array,
    places: Mapping[str, str],
    theirs: dict[str, list[Call]],
    keras: str,
    stored: str,
) -> Comparison:
    """Run each layer on what Keras's layers before it gave: differences do not add up on the way.

    What random or badly scaled weights make of the last bit would hide which layer is wrong.
    """
    graph, result = model.graph, Comparison(keras)
    values = {INPUT: x}
    for node in graph.nodes:
        weights, arguments = graph.node_weights(node, model.weights), graph.arguments(node, values)
        calls, place = theirs.get(places.get(node.layer.name, "")), places.get(node.layer.name, "")
        if not calls:
            with np.errstate(all="ignore"):
                values[node.name] = node.layer.forward(arguments, weights)
            continue
        right = of_layer(node, arguments, weights, calls[0].kind, stored, RUNS)
        call = _nearest(right, calls)
        if call.kind in HALVES and not np.isfinite(call.value).all():
            return Comparison(reason=f"{keras} gives NaN or infinity in {call.kind}, at {place!r}")
        result = result.with_layer(place, call, right)
        fits = call.value.shape == right.value.shape
        values[node.name] = call.value if fits else right.value.astype(np.float32)
    found, last = graph.forward(x, model.weights), values[graph.output]
    return replace(result, output=difference(found, last) / max(float(np.abs(last).max()), 1e-30))


def _nearest(right: Exact, calls: list[Call]) -> Call:
    """Take the call of a layer out of ``calls`` that is nearest to what is right.

    A shared layer's calls come in Keras's order there and in ours here.
    """
    laid_out = [Call(_laid_out(call.value, right.value), call.kind) for call in calls]
    nearest = int(np.argmin([difference(call.value, right.value) for call in laid_out]))
    del calls[nearest]
    return laid_out[nearest]


def _laid_out(theirs: Array, ours: Array) -> Array:
    """Put the channels last where the file has them first."""
    if ours.shape != theirs.shape and ours.ndim == theirs.ndim == 4:
        return theirs.transpose(0, 2, 3, 1)
    return theirs


def _run(path: Path, x: Array) -> Iterator[tuple[str | None, Any]]:
    """Yield (place, output) of all calls, and then (None, what the child says at the end)."""
    command = children.command("convert.keras_child", os.path.abspath(path))
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_ENABLE_ONEDNN_OPTS": "0"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**quiet, **children.environment()},
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
        value = np.frombuffer(data, np.float32).reshape(entry["shape"])
        yield entry["layer"], Call(value, entry["type"])
    raise EOFError
