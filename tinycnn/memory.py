"""Too little memory: noticed before NumPy is imported, recognised in what others raise, told."""

from __future__ import annotations

import errno
import mmap
import os
import sys

PLENTY = 512 << 20  # bytes of address space; importing NumPy takes 85 MB of it
MARGIN = 8 << 20
# What other packages, the loader, LLVM and Python's threads say of it, in lower case.
SAID = (
    *("memoryerror", "not enough memory", "out of memory", "allocate memory", "memory allocation"),
    *("bad_alloc", "failed to map", "zero-fill pages", "start new thread"),
)


def need_for_numpy() -> None:
    """MemoryError if there is too little for NumPy.

    Its OpenBLAS would end the process, with status 1, which has another meaning.
    """
    try:
        _map(PLENTY).close()
    except OSError:
        if "numpy" not in sys.modules and not _numpy_fits():
            raise MemoryError from None


def _numpy_fits() -> bool:
    """Whether NumPy can be imported, tried in a process of its own."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.dup2(os.open(os.devnull, os.O_RDWR), 2)
            left = _map(MARGIN)  # for what is imported before it
            import numpy  # noqa: F401

            left.close()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def _map(size: int) -> mmap.mmap:
    """Take so much address space; no page of it is ever there."""
    return mmap.mmap(-1, size, mmap.MAP_PRIVATE, mmap.PROT_READ)


def is_short(error: BaseException) -> bool:
    """Whether an error, or what it came from, means that there is not enough memory."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    if isinstance(error, ImportError | OSError | RuntimeError) and says_so(str(error)):
        return True
    return error.__cause__ is not None and is_short(error.__cause__)


def is_used_up() -> bool:
    """Whether so little is left that any error may come from that."""
    try:
        _map(MARGIN).close()
    except OSError:
        return True
    return False


def says_so(text: str) -> bool:
    """Whether a message is about a lack of memory."""
    return any(words in text.lower() for words in SAID)


def limit() -> int | None:
    """How many bytes of address space are allowed; None: any, or not known."""
    try:
        import resource
    except (ImportError, MemoryError, OSError):  # there is not even enough for that
        return None
    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if allowed == resource.RLIM_INFINITY else allowed


def told() -> str:
    """What is wrong, and what to do about it."""
    if allowed := limit():
        return f"not enough memory: {allowed >> 20} MB are allowed; raise that limit (ulimit -v)"
    return "not enough memory; end other programs, or raise a limit that was set (ulimit -v)"
