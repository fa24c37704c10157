"""HDF5 files are read in a process of their own, with limits on its time and memory.

The HDF5 library is C code that was not written for hostile files: single flipped bytes were seen
to send versions 1.14 and 2.0 into an endless loop. What happens in there ends as an error here.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from contextlib import suppress
from math import prod
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from tinycnn import children
from tinycnn.errors import ConversionError

from .hdf5 import MAX_TOTAL, Part, Source, read, size_of
from .hdf5_tree import Array, Group

SECONDS = 60.0  # to read one file, beside a second for each 10 MB of it
MEMORY = 1 << 30  # address space of the reading process, beside 8 bytes for each of the file's
MOST_MEMORY = MEMORY + 2 * MAX_TOTAL
MAX_HEADER = 256 << 20


class Hdf5Process:
    """A child process that reads HDF5 files, one after another; a new one follows one that died.

    Used as ``with Hdf5Process() as process: process.read(path)``.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Nothing starts before it is needed."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the child."""
        self._end()

    def read(self, source: Source) -> Group:
        """As `hdf5.read`; also a crash or a hang of the library is a ConversionError."""
        process = self._start()
        size = size_of(source)
        timer = threading.Timer(self.seconds + size / 10e6, process.kill)
        timer.start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            _send_request(process.stdin, source)
            return _receive(process.stdout)
        except (EOFError, BrokenPipeError) as error:
            raise ConversionError(
                f"damaged HDF5: the HDF5 library did not come back from it ({self._end()})"
            ) from error
        except BaseException as error:
            if not isinstance(error, ConversionError):
                self._end()  # interrupted half-way: what it would answer next is unknown
            raise
        finally:
            timer.cancel()

    def _start(self) -> subprocess.Popen[bytes]:
        if importlib.util.find_spec("h5py") is None:
            raise ConversionError("reading it needs h5py: pip install 'tinycnn[convert]'")
        if self.process is None:
            self.process = subprocess.Popen(
                children.command("convert.isolation"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # "::" switches plug-ins off: a file could name one.
                env=children.environment(HDF5_PLUGIN_PRELOAD="::", OPENBLAS_NUM_THREADS="1"),
            )
        return self.process

    def _end(self) -> str:
        """Stop the child; say how it ended."""
        if self.process is None:
            return ""
        process, self.process = self.process, None
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        try:
            status = process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        return f"signal {-status}" if status < 0 else f"status {status}"


def read_isolated(source: Source) -> Group:
    """Read one HDF5 file in a process of its own; see `hdf5.read`."""
    with Hdf5Process() as process:
        return process.read(source)


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are no more: the child's side."""
    while True:
        try:
            request = json.loads(take(requests, _length(requests)))
        except EOFError:
            return
        source = _requested(request, requests)
        try:
            _limit(size_of(source))
            _send_group(answers, read(source))
        except ConversionError as error:
            _send(answers, {"error": str(error)})
        except OSError as error:
            _send(answers, {"error": f"cannot be read: {error.strerror or error}"})


def _requested(request: dict[str, Any], stream: IO[bytes]) -> Source:
    if "path" not in request:
        return take(stream, request["bytes"])
    path = Path(request["path"])
    return Part(path, *request["part"]) if "part" in request else path


def _limit(size: int) -> None:
    """Bound what reading ``size`` bytes may cost: names can be repeated without end."""
    memory = min(MEMORY + 8 * size, MOST_MEMORY)
    with suppress(ImportError, OSError, ValueError):  # no such limits on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, MOST_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _send_request(stream: IO[bytes], source: Source) -> None:
    if isinstance(source, bytes):
        _send(stream, {"bytes": len(source)}, [source])
    elif isinstance(source, Part):
        part = [source.offset, source.size]
        _send(stream, {"path": str(source.path.absolute()), "part": part})
    else:
        _send(stream, {"path": str(source.absolute())})


def _send_group(stream: IO[bytes], group: Group) -> None:
    arrays = [array for each in group.walk() for array in each.arrays.values()]
    _send(stream, {"group": _describe(group)}, (np.ascontiguousarray(a).data for a in arrays))


def _describe(group: Group) -> dict[str, Any]:
    return {
        "attributes": group.attributes,
        "arrays": {name: array.shape for name, array in group.arrays.items()},
        "groups": {name: _describe(each) for name, each in group.groups.items()},
        "left_out": group.left_out,
    }


def _receive(stream: IO[bytes]) -> Group:
    answer = json.loads(take(stream, _length(stream)))
    if "error" in answer:
        raise ConversionError(answer["error"])
    # One block, which goes back to the system as a whole: many small ones would leave holes.
    block = np.empty(_values(answer["group"]), np.float32)
    _fill(stream, block.view(np.uint8).data)
    return _rebuild(answer["group"], block, [0])


def _values(described: dict[str, Any]) -> int:
    own = sum(map(prod, described["arrays"].values()))
    return own + sum(map(_values, described["groups"].values()))


def _rebuild(described: dict[str, Any], block: Array, at: list[int]) -> Group:
    """Inverse of `_describe`: arrays lie in the order in which `Group.walk` meets them."""
    attributes = {
        key: value if isinstance(value, str) else tuple(value)
        for key, value in described["attributes"].items()
    }
    arrays = {}
    for name, shape in described["arrays"].items():
        begin, at[0] = at[0], at[0] + prod(shape)
        arrays[name] = block[begin : at[0]].reshape(shape)
    groups = {name: _rebuild(each, block, at) for name, each in described["groups"].items()}
    return Group(attributes, groups, arrays, tuple(described["left_out"]))


def _send(stream: IO[bytes], header: dict[str, Any], parts: Any = ()) -> None:
    data = json.dumps(header).encode()
    stream.write(len(data).to_bytes(8, "little") + data)
    for part in parts:
        stream.write(part)
    stream.flush()


def _length(stream: IO[bytes]) -> int:
    length = int.from_bytes(take(stream, 8), "little")
    if length > MAX_HEADER:
        raise EOFError
    return length


def take(stream: IO[bytes], count: int) -> bytes:
    """Read exactly ``count`` bytes; EOFError if there are fewer."""
    buffer = bytearray(count)
    _fill(stream, memoryview(buffer))
    return bytes(buffer)


def _fill(stream: IO[bytes], view: memoryview) -> None:
    start = 0
    while start < len(view):
        count = stream.readinto(view[start:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        start += count


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
