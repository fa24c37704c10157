"""The model file: safetensors, with everything that is not a weight as JSON in its metadata.

Nothing in it is executed. It is checked as a whole before a weight is used: size, header, graph,
shapes, finiteness. The library `safetensors` reads what is written here, but is not used: its
reader (0.8.0) accepts duplicate keys, unknown fields and gaps, and copies; its writer holds all
weights twice more. Here weights are written one by one, and become views of the mapped file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from tinycnn.errors import PROGRAM, GraphError, ModelFileError, UsageError
from tinycnn.files import atomic_write
from tinycnn.nn import records, strictjson
from tinycnn.nn.graph import Graph
from tinycnn.nn.mapped import MAX_HEADER, header_size, read
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.selftest import SelfTest
from tinycnn.nn.types import Array, Weights, has_type, tupled

FORMAT = "tinycnn-model/1"
MAX_MESSAGE = 500
MAX_VALUES = 1 << 18  # of the header's JSON; DenseNet-201, of 708 layers, has 25,000
MAX_RANK = 8  # of a weight: a kernel has 4
CALIBRATED = ("temperature", "thresholds", "calibration")  # of a decision, if it has them
DIGEST = ', "sha256": '  # the last entry of the metadata: of all before it, and the weights
TYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}

Buffer = bytes | bytearray | mmap.mmap


def save(model: Model, path: str | os.PathLike[str], dtype: str = "float32") -> None:
    """Write ``model`` to ``path`` whole or not at all; weights as "float32" or "float16".

    A float16 file is rounded: record its self-test from the rounded weights (see `rounded`).
    """
    try:
        with atomic_write(path, "wb") as file:
            write(model, file, dtype)
    except OSError as error:
        raise ModelFileError(f"cannot write {os.fspath(path)}: {error.strerror}") from error
    except UsageError as error:
        raise ModelFileError(str(error)) from None


def write(model: Model, file: IO[bytes], dtype: str = "float32") -> None:
    """Write ``model`` to an open file; see `save`."""
    if dtype not in ("float32", "float16"):
        raise ModelFileError(f"weights are stored as float32 or float16, not {dtype}")
    for name, value in _as_stored(model, dtype):
        _need_finite(name, value)
    text = json.dumps(to_json(model), allow_nan=False).removesuffix("}")
    text += f'{DIGEST}"{_digest(text, _as_stored(model, dtype))}"}}'
    file.write(_new_header(model, dtype, text))
    for _, value in _as_stored(model, dtype):
        file.write(value.data)
    file.flush()


def _as_stored(model: Model, dtype: str) -> Iterator[tuple[str, Any]]:
    """Yield the weights by name, each converted only while it is looked at."""
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused by name
        for name in sorted(model.weights):
            yield name, np.ascontiguousarray(model.weights[name], np.dtype(dtype).newbyteorder("<"))


def _new_header(model: Model, dtype: str, text: str) -> bytes:
    """Begin a file: the header's size, and the header, with spaces up to a multiple of 8."""
    kind = next(key for key, value in TYPES.items() if value == np.dtype(dtype))
    header: dict[str, Any] = {"__metadata__": {"tinycnn": text}}
    begin = 0
    for name in sorted(model.weights):
        shape = model.weights[name].shape
        end = begin + prod(shape) * TYPES[kind].itemsize
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
        begin = end
    data = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    data += b" " * (-len(data) % 8)
    return len(data).to_bytes(8, "little") + data


def rounded(weights: Weights) -> dict[str, Array]:
    """Weights as a float16 file gives them back."""
    with np.errstate(over="ignore"):  # what overflows is refused by `save`, by name
        return {k: v.astype(np.float16).astype(np.float32) for k, v in weights.items()}


def load(path: str | os.PathLike[str]) -> Model:
    """Read and check a model file; ModelFileError says what is wrong with it.

    Weights of type float32 are views of the mapped file, not copies, and cannot be written to.
    The self-test is not replayed here: whoever runs the model does that, with its own backend.
    """
    return parse(read(Path(path)), Path(path))


def parse(data: Buffer, path: Path) -> Model:
    """Make a model of a file's bytes; see `load`."""
    try:
        header, start = _header(data)
        metadata, text = _metadata(header)
        stored = _stored(data, header, start)
        digest = metadata.pop("sha256", None) if isinstance(metadata, dict) else None
        # Who edits a file by hand may leave the digest out; the self-test is replayed all the same.
        if digest not in (None, _digest(text, sorted(stored.items()))):
            raise ModelFileError("damaged: the weights or metadata are not those that were written")
        for name, value in stored.items():
            _need_finite(name, value)
        model = from_json(metadata, stored, path.stem)
        unverified = digest is None and model.self_test is None
        return dataclasses.replace(model, unverified=True) if unverified else model
    except (ModelFileError, GraphError) as error:
        raise ModelFileError(f"{path}: {error}"[: len(str(path)) + MAX_MESSAGE]) from None


def to_json(model: Model) -> dict[str, Any]:
    """Everything but the weights, in plain JSON types."""
    parts = ("preprocessing", "decision", "provenance", "self_test")
    rest = {p: dataclasses.asdict(v) for p in parts if (v := getattr(model, p)) is not None}
    if model.decision.calibration is None:  # versions before calibration read these files, too
        for name in CALIBRATED:
            del rest["decision"][name]
    if not model.preprocessing.fractional_crop:  # nor do they know this
        del rest["preprocessing"]["fractional_crop"]
    if model.self_test is not None and model.self_test.allowed is None:  # and those before it
        del rest["self_test"]["allowed"]
    return {
        "format": FORMAT,
        "labels": list(model.labels),
        "graph": model.graph.to_json(),
        **rest,
    }


def from_json(data: Any, stored: Mapping[str, Any], name: str) -> Model:
    """Inverse of `to_json`; ``stored``: the weights, float32 or float16."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else None
        raise ModelFileError(f"format {found!r}; this version reads {FORMAT!r}")
    known = {"format", "labels", "graph", "preprocessing", "decision", "provenance", "self_test"}
    if unknown := sorted(set(data) - known):
        raise ModelFileError(f"unknown entry {unknown[0]!r} in the metadata")
    labels = tupled(data.get("labels", []))
    if not has_type(labels, tuple[str, ...]):
        raise ModelFileError("labels must be a list of strings")
    test = data.get("self_test")
    graph = Graph.from_json(data.get("graph", {}))
    _need_classifier(graph)
    return Model(
        graph=graph,
        # Only now: float16 is copied, and the network may be one that is refused.
        weights={name: np.asarray(value, np.float32) for name, value in stored.items()},
        preprocessing=records.record(Preprocessing, data.get("preprocessing", {})),
        labels=labels,
        decision=records.decision(data.get("decision", {})),
        provenance=records.provenance(data.get("provenance", {})),
        self_test=None if test is None else _self_test(test, graph),
        name=name,
    )


def _need_classifier(graph: Graph) -> None:
    if len(graph.input_shape) != 3 or len(graph.output_shape) != 1:
        shapes = f"from {graph.input_shape} to {graph.output_shape}"
        raise ModelFileError(f"a network {shapes} does not classify pictures (H, W, C)")


def _self_test(data: Any, graph: Graph) -> SelfTest:
    test = records.self_test(data)
    if unknown := sorted(set(test.probes) - set(graph.shapes)):
        raise ModelFileError(f"self_test: there is no layer {unknown[0]!r}")
    return test


def _header(data: Buffer) -> tuple[dict[str, Any], int]:
    """Parse the header strictly: (entries, where the weights begin)."""
    size = header_size(bytes(data[:9]), len(data))
    try:
        header = strictjson.loads(bytes(data[8 : 8 + size]), MAX_HEADER, MAX_VALUES)
    except ValueError as error:
        raise ModelFileError(f"header: {error}") from None
    if not isinstance(header, dict):
        raise ModelFileError("header: not an object")
    return header, 8 + size


def _metadata(header: dict[str, Any]) -> tuple[Any, str]:
    """Take our JSON out of the header's metadata: (parsed, as it stands up to the digest)."""
    try:
        metadata = dict(header.pop("__metadata__"))
        text = metadata.pop("tinycnn")
        if metadata:
            raise ValueError(f"unknown entry {min(metadata)!r}")
        return strictjson.loads(text, MAX_HEADER, MAX_VALUES), text.rpartition(DIGEST)[0]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"safetensors, but not a tinycnn model ({error}); make one with {PROGRAM} convert"
        ) from None


def _digest(text: str, tensors: Iterable[tuple[str, Any]]) -> str:
    """SHA-256 of all that a file says, weights by name: finds damage, but not intent."""
    digest = hashlib.sha256(text.encode())
    for name, value in tensors:
        digest.update(name.encode())
        digest.update(value)
    return digest.hexdigest()


def _stored(data: Buffer, header: dict[str, Any], start: int) -> dict[str, Any]:
    """Check that the tensors fill the file without gap or overlap; views of each as stored."""
    end = 0
    for name, entry in sorted(header.items(), key=_offset):
        end = _check_entry(name, entry, end)
    if start + end != len(data):
        raise ModelFileError(f"{len(data)} bytes, but header and weights take {start + end}")
    view = memoryview(data).toreadonly()[start:]

    def array(entry: dict[str, Any]) -> Any:
        part = view[slice(*entry["data_offsets"])]
        return np.frombuffer(part, TYPES[entry["dtype"]]).reshape(entry["shape"])

    return {name: array(entry) for name, entry in header.items()}


def _offset(item: tuple[str, Any]) -> int:
    try:
        begin = item[1]["data_offsets"][0]
    except (KeyError, TypeError, IndexError):
        begin = None
    if type(begin) is not int:
        raise ModelFileError(f"header: weight {item[0]!r} has no data_offsets")
    return begin


def _check_entry(name: str, entry: dict[str, Any], begin: int) -> int:
    if set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ModelFileError(f"header: weight {name!r} has entries {sorted(entry)}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    kind = TYPES.get(str(entry["dtype"]))
    if kind is None:
        raise ModelFileError(f"weight {name!r}: type {entry['dtype']}; F32 and F16 are read")
    whole = has_type(tupled(shape), tuple[int, ...]) and len(shape) <= MAX_RANK
    if not whole or min(shape, default=1) < 1:
        raise ModelFileError(f"weight {name!r}: {shape} is not a shape")
    end = begin + prod(shape) * kind.itemsize
    if offsets != [begin, end]:
        raise ModelFileError(f"weight {name!r}: lies at {offsets}, expected {[begin, end]}")
    return end


def _need_finite(name: str, value: Any) -> None:
    # Not np.isfinite: that makes an array. A NaN is its own minimum.
    if value.size and not np.isfinite([value.min(), value.max()]).all():
        raise ModelFileError(f"weight {name!r} holds NaN or infinity (or is too large for float16)")
