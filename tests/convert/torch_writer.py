"""What `torch.save` writes, without PyTorch: by the instruction, so that it can be wrong."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tinycnn.convert import pytorch

from tinycnn.errors import ConversionError
from tinycnn.nn.graph import Graph

KINDS = {
    "float32": "FloatStorage", "float16": "HalfStorage", "float64": "DoubleStorage",
    "int64": "LongStorage", "uint8": "ByteStorage",
}  # fmt: skip
NONE, TRUE, FALSE = b"N", b"\x88", b"\x89"
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2}}


def word(text: str) -> bytes:
    raw = text.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x0a" + value.to_bytes(10, "little", signed=True)


def row(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def numbers(values: Any) -> bytes:
    return row(*map(number, values))


def name(module: str, what: str) -> bytes:
    return f"c{module}\n{what}\n".encode()


def call(maker: bytes, *arguments: bytes) -> bytes:
    return maker + row(*arguments) + b"R"


def ordered(entries: Mapping[str, bytes] | None = None) -> bytes:
    items = b"".join(word(key) + value for key, value in (entries or {}).items())
    return name("collections", "OrderedDict") + b")R" + b"(" + items + b"u"


def storage(key: str, count: int, kind: str = "FloatStorage") -> bytes:
    parts = word("storage"), name("torch", kind), word(key), word("cpu"), number(count)
    return row(*parts) + b"Q"


def tensor(store: bytes, offset: Any, shape: Any, strides: Any) -> bytes:
    parts = [part if isinstance(part, bytes) else numbers(part) for part in (shape, strides)]
    first = offset if isinstance(offset, bytes) else number(offset)
    return call(name("torch._utils", "_rebuild_tensor_v2"), store, first, *parts, FALSE, ordered())


def program(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def plain(value: Any) -> bytes:
    """A pickle of plain values."""
    if isinstance(value, dict):
        return b"}(" + b"".join(plain(k) + plain(v) for k, v in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(plain, value)) + b"e"
    if isinstance(value, bool):
        return TRUE if value else FALSE
    return word(value) if isinstance(value, str) else number(value)


def archive(
    pickle: bytes,
    storages: Mapping[str, bytes],
    extra: Mapping[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """The zip archive of PyTorch 1.6 and later."""
    members = {"data.pkl": pickle, "byteorder": b"little", "version": b"3\n"}
    members |= {f"data/{key}": data for key, data in storages.items()} | dict(extra or {})
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", compression) as file:
        for member, data in members.items():
            file.writestr(f"archive/{member}", data)
    return result.getvalue()


def legacy(pickle: bytes, storages: Mapping[str, bytes], size: int = 4) -> bytes:
    """The file of PyTorch before 1.6; ``size``: bytes of an element."""
    parts = [program(b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"), program(number(1001))]
    parts += [program(plain(SYSTEM)), pickle, program(plain(list(storages)))]
    for data in storages.values():
        parts.append(struct.pack("<q", len(data) // size) + data)
    return b"".join(parts)


def parts_of(arrays: Mapping[str, Any]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """(key -> instructions, storages) of a state dict."""
    entries, storages = {}, {}
    for index, (key, array) in enumerate(arrays.items()):
        strides = [prod(array.shape[axis + 1 :]) for axis in range(array.ndim)]
        store = storage(str(index), array.size, KINDS[array.dtype.name])
        entries[key] = tensor(store, 0, array.shape, strides)
        storages[str(index)] = array.tobytes()
    return entries, storages


def save(path: Path, arrays: Mapping[str, Any], within: str = "") -> Path:
    """Write a state dict, or a checkpoint that has it under the key ``within``."""
    entries, storages = parts_of(arrays)
    body = ordered(entries)
    if within:
        body = b"}(" + word("epoch") + number(7) + word(within) + body + b"u"
    path.write_bytes(archive(program(body), storages))
    return path


def state_for(graph: Graph) -> dict[str, Any]:
    """A state dict whose values follow from the keys alone, of the sizes that training gives."""
    return {key: _values(key, shape) for key, shape in pytorch._wanted(graph).items()}


def _values(key: str, shape: tuple[int, ...]) -> Any:
    random = np.random.default_rng(zlib.crc32(key.encode()))
    if len(shape) > 1:
        reach = (6 / prod(shape[1:])) ** 0.5
        return random.uniform(-reach, reach, shape).astype(np.float32)
    low, high = (-0.3, 0.3)
    if key.endswith(".running_var"):
        low, high = 0.5, 1.5
    elif key.endswith(".weight"):  # ResNet's sums would grow until the softmax says 1 and 0
        low, high = (0.1, 0.8) if key.startswith("layer") else (0.5, 1.5)
    return random.uniform(low, high, shape).astype(np.float32)


def images(shape: tuple[int, ...]) -> Any:
    """Two images (2, H, W, C), a weak one and a strong one, brighter to the right."""
    x = np.random.default_rng(5).uniform(-1, 1, (2, *shape)) + np.linspace(-1, 1, shape[1])[:, None]
    return (x * np.reshape([0.5, 2], (2, 1, 1, 1))).astype(np.float32)


def read(data: bytes, folder: Path) -> Any:
    """What `convert` makes of a file with these bytes, up to the question of its network."""
    path = folder / "model.pth"
    path.write_bytes(data)
    assert pytorch.is_pytorch(path)
    return pytorch.read(path)


def refused(data: bytes, words: str, folder: Path) -> None:
    """Check that a file is refused in one line that has ``words``."""
    with pytest.raises(ConversionError) as caught:
        read(data, folder)
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    assert len(message) < 700
