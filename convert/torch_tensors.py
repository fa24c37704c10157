"""Tensors of PyTorch as files describe them, and the names that build them.

A description is checked when it is read, against the storage that it lies in; the storage's bytes
are read when the tensor is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from tinycnn.errors import ConversionError
from tinycnn.nn.types import Array, Shape

from .torch_pickle import Maker, Opaque, add_entry

MAX_RANK = 8
MAX_COUNT = 1 << 40  # elements; what a file can hold is checked where it is read

BFLOAT16 = "bfloat16"  # the upper half of a float32; NumPy has no such type
# torch's storage class -> NumPy's name of its elements
STORAGES = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": BFLOAT16,
    "DoubleStorage": "float64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
FLOATS = ("float32", "float16", BFLOAT16, "float64")


@dataclass(frozen=True)
class ElementType:
    """What the name of a storage class stands for in a pickle."""

    name: str

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return 2 if self.name == BFLOAT16 else np.dtype(self.name).itemsize


@dataclass(frozen=True, eq=False)
class Storage:
    """A row of ``count`` elements; ``load()`` reads its bytes."""

    kind: ElementType
    count: int
    load: Callable[[], bytes]
    little_endian: bool = True

    @cached_property
    def data(self) -> bytes:
        """The bytes, read once."""
        data, size = self.load(), self.count * self.kind.size
        if len(data) != size:
            raise ConversionError(f"a storage of {len(data)} bytes, {size} declared")
        return data


@dataclass(frozen=True, eq=False)
class Tensor:
    """A picture of a storage: ``offset`` and ``strides`` count elements, as in PyTorch."""

    storage: Storage
    offset: int
    shape: Shape
    strides: Shape

    @property
    def is_float(self) -> bool:
        """Whether it can be a weight."""
        return self.storage.kind.name in FLOATS

    def array(self) -> Array:
        """Read the elements as float32, or as int64 where they are whole numbers."""
        kind = self.storage.kind
        raw = "uint16" if kind.name == BFLOAT16 else kind.name
        dtype = np.dtype(raw).newbyteorder("<" if self.storage.little_endian else ">")
        strides = tuple(stride * kind.size for stride in self.strides)
        # NumPy itself refuses strides that lead out of the buffer: the second check of two.
        array: Any = np.ndarray(
            self.shape, dtype, self.storage.data, self.offset * kind.size, strides
        )
        if kind.name == BFLOAT16:
            return (array.astype(np.uint32) << 16).view(np.float32)
        with np.errstate(over="ignore"):  # what overflows is infinite, and refused by name
            return array.astype(np.float32 if self.is_float else np.int64)


def make_tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> Tensor:
    """Check a tensor's description; ValueError if it does not lie inside of its storage."""
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without a storage")
    for numbers in (shape, strides):
        if not isinstance(numbers, tuple) or not all(map(is_count, numbers)):
            raise ValueError("a tensor's shape or strides are no row of whole numbers")
    if len(shape) != len(strides) or len(shape) > MAX_RANK or not is_count(offset):
        raise ValueError("a tensor's shape, strides and offset do not fit together")
    # An element that is there twice (stride 0) would let a small file ask for any memory.
    if prod(shape) > storage.count:
        raise ValueError(f"a tensor {shape} in a storage of {storage.count} elements")
    reach = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
    if prod(shape) and reach > storage.count:
        raise ValueError(f"a tensor that reaches to {reach} of {storage.count} elements")
    return Tensor(storage, offset, shape, strides)


def is_count(value: Any) -> bool:
    """Whether ``value`` can count elements: `True` is an int too."""
    return type(value) is int and 0 <= value <= MAX_COUNT


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    return make_tensor(storage, offset, shape, strides)


def _parameter(tensor: Any, *_: Any) -> Any:
    if not isinstance(tensor, Tensor):
        raise ValueError("a parameter that is no tensor")
    return tensor


def _ordered(pairs: Any = ()) -> dict[Any, Any]:
    """Make a dict; Python 2 hands the entries over as a list of pairs."""
    if not isinstance(pairs, Iterable) or isinstance(pairs, str):
        raise ValueError("an OrderedDict that is none")
    result: dict[Any, Any] = {}
    for key, value in pairs:
        add_entry(result, key, value)
    return result


def _opaque(*_: Any) -> Opaque:
    return Opaque()


# All that a pickle may name. The last ones stand beside the weights in checkpoints: what NumPy's
# scalars, argparse's options and torch's devices and types are made of.
NAMES: Mapping[str, Any] = {
    "torch._utils._rebuild_tensor": Maker(_tensor),
    "torch._utils._rebuild_tensor_v2": Maker(_tensor),
    "torch._utils._rebuild_parameter": Maker(_parameter),
    "torch._utils._rebuild_parameter_with_state": Maker(_parameter),
    "collections.OrderedDict": Maker(_ordered),
    **{f"torch.{storage}": ElementType(kind) for storage, kind in STORAGES.items()},
    **dict.fromkeys(
        (
            "_codecs.encode",
            "argparse.Namespace",
            "numpy.core.multiarray.scalar",
            "numpy._core.multiarray.scalar",
            "numpy.dtype",
            "torch.Size",
            "torch.device",
        ),
        Maker(_opaque),
    ),
    **dict.fromkeys(("torch.float32", "torch.float16", "torch.bfloat16"), Opaque()),
}
