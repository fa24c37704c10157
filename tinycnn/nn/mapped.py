"""Files as memory: weights are views of the model file, and need no memory of their own.

Pages that were read stay in the system's cache of files; `forget` hands ours back, so that they do
not count beside the packed copy that kernels read. See docs/decisions/008-mapped-models.md.
"""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.errors import PROGRAM, ModelFileError

MAX_FILE = 1 << 30  # VGG19, the largest of its time, has 0.55 GB
MAX_HEADER = 4 << 20  # Python's objects take up to 25 times the memory of their JSON
KERAS = (b"\x89HDF\r\n\x1a\n", b"PK\x03\x04")  # how .h5 and .keras files begin


def mapped(descriptor: int, size: int) -> mmap.mmap:
    """The first ``size`` bytes of an open file, read-only; the descriptor may be closed."""
    return mmap.mmap(descriptor, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)


def forget(array: Any) -> None:
    """Give up the pages under an array that is a view of a mapped file; else nothing is done.

    Its values stay: whoever reads them again has them read from the file again.
    """
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    file = base.obj if isinstance(base, memoryview) else base
    if isinstance(file, mmap.mmap) and hasattr(file, "madvise"):
        begin = array.ctypes.data - np.frombuffer(file, np.uint8).ctypes.data
        first = begin // mmap.PAGESIZE * mmap.PAGESIZE
        file.madvise(mmap.MADV_DONTNEED, first, begin + array.nbytes - first)


def read(path: Path) -> mmap.mmap:
    """Map a file's bytes, if it is a file of ours by its first bytes and not too large."""
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ModelFileError(f"cannot read {path}: not a regular file")
            if status.st_size > MAX_FILE:
                raise ModelFileError(f"{path}: {status.st_size} bytes; at most {MAX_FILE} are read")
            header_size(os.pread(descriptor, 9, 0), status.st_size, path)
            return mapped(descriptor, status.st_size)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # a path with a null character
        raise ModelFileError(f"cannot read {str(path)!r}: {error}") from error


def header_size(head: bytes, length: int, path: object = "MODEL") -> int:
    """Size of the header of a file of ``length`` bytes that begins with ``head``."""
    if head.startswith(KERAS):
        raise ModelFileError(f"{path}: a Keras file; make a model of it: {PROGRAM} convert {path}")
    size = int.from_bytes(head[:8], "little")
    if not 2 <= size <= min(MAX_HEADER, length - 8) or head[8:9] != b"{":
        raise ModelFileError(f"{path}: no model file, or cut off; {PROGRAM} convert makes them")
    return size
