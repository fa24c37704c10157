"""Safetensors files that others wrote: a JSON header, then the tensors without a gap.

The format: https://github.com/huggingface/safetensors#format. Read here, not by its library, which
accepts duplicate keys and unknown entries, and whose NumPy side has no bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import IO, Any

from tinycnn.errors import ConversionError
from tinycnn.nn import strictjson

from .torch_files import MAX_FILE, Saved
from .torch_tensors import BFLOAT16, ElementType, Storage, Tensor, is_count, make_tensor

MAX_HEADER = 4 << 20
TYPES = {
    "F32": "float32",
    "F16": "float16",
    "BF16": BFLOAT16,
    "F64": "float64",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def read_safetensors(file: IO[bytes]) -> Saved:
    """Read a file's header. Its tensors can be read as long as ``file`` is open."""
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size > MAX_FILE or not 2 <= length <= min(MAX_HEADER, size - 8):
        raise ConversionError("a safetensors file that is too large, or cut off")
    try:
        header = strictjson.loads(file.read(length), MAX_HEADER)
    except ValueError as error:
        raise ConversionError(f"safetensors: {error}") from None
    if not isinstance(header, dict):
        raise ConversionError("safetensors: the header is no object")
    metadata = header.pop("__metadata__", {})
    if isinstance(metadata, dict) and "tinycnn" in metadata:
        raise ConversionError("a model file of tinycnn's; it needs no conversion")
    return Saved(_tensors(file, header, 8 + length, size), "safetensors")


def _tensors(file: IO[bytes], header: dict[str, Any], start: int, size: int) -> dict[str, Tensor]:
    """Read the entries; they must fill the file without gap or overlap."""
    at, tensors = start, {}
    for name, entry in sorted(header.items(), key=_begin):
        kind, shape, count = _entry(name, entry)
        if entry["data_offsets"] != [at - start, at - start + count * kind.size]:
            raise ConversionError(f"safetensors: {name[:100]!r} does not lie behind the one before")
        storage = Storage(kind, count, _reader(file, at, count * kind.size))
        tensors[name] = make_tensor(storage, 0, shape, contiguous(shape))
        at += count * kind.size
    if at != size:
        raise ConversionError(f"safetensors: {size} bytes, but its tensors end at {at}")
    return {name: tensors[name] for name in header}


def _begin(item: tuple[str, Any]) -> tuple[int, int]:
    """Where a tensor lies; of those that begin at one place, the empty ones first."""
    name, entry = item
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(is_count, offsets)):
        raise ConversionError(f"safetensors: {name[:100]!r} has no data_offsets")
    return offsets[0], offsets[1]


def _entry(name: str, entry: dict[str, Any]) -> tuple[ElementType, tuple[int, ...], int]:
    kind, shape = TYPES.get(str(entry.get("dtype"))), entry.get("shape")
    if kind is None:
        raise ConversionError(f"safetensors: {name[:100]!r} is of type {entry.get('dtype')!r:.50}")
    if not isinstance(shape, list) or len(shape) > 8 or not all(map(is_count, shape)):
        raise ConversionError(f"safetensors: {name[:100]!r} has no shape")
    if set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ConversionError(f"safetensors: {name[:100]!r} has entries {sorted(entry)!r:.100}")
    return ElementType(kind), tuple(shape), prod(shape)


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides, in elements, of a tensor whose last axis runs fastest."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _reader(file: IO[bytes], at: int, size: int) -> Callable[[], bytes]:
    def load() -> bytes:
        file.seek(at)
        return file.read(size)

    return load
