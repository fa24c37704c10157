"""Files as memory: weights are views of the model file, and need no memory of their own.

Pages that were read stay in the system's cache of files; `forget` hands ours back, so that they do
not count beside the packed copy that kernels read. See docs/decisions/008-mapped-models.md.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np


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
