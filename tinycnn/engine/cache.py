"""Machine code and programs kept between runs, in a private directory.

Whoever can write there can run code as the user, so it must be the user's own, closed to others
(mode 0700); where it cannot be, nothing is kept, and one line says so. A file's name is a hash of
all that its content depends on: kernel sources, CPU, versions. Its last 32 bytes are the SHA-256 of
the rest: a damaged file is compiled again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tinycnn.console import say

KEPT = {".o": 8 << 20, ".program": 96 << 20}  # bytes of each kind; of 0.4, and of up to 24 MB
ABANDONED = 3600.0  # seconds after which a file that was not finished is nobody's
# No link is followed, no other program inherits it, and opening a pipe does not wait for a writer.
SAFELY = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

WAITING = "tinycnn: another process is compiling kernels; waiting for it, a minute or so ..."


def directory() -> Path:
    """Where code is kept: TINYCNN_CACHE, else the user's cache directory; OSError without one."""
    if chosen := os.environ.get("TINYCNN_CACHE"):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinycnn"
    except RuntimeError as error:  # a user without an account, as in some containers
        raise FileNotFoundError("this user has no home directory") from error


def sources() -> str:
    """Hash of the kernels' sources, and of what makes machine code of them."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted([*(folder / "kernels").glob("*.py"), folder / "build.py"]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:32]


def key(*parts: str) -> str:
    """Hash of the kernels' sources and of ``parts``."""
    return hashlib.sha256("\0".join((sources(), *parts)).encode()).hexdigest()[:32]


def load(name: str, allocate: Callable[[int], Any] = bytearray) -> memoryview | None:
    """Return what was stored under ``name``; None if nothing sound and safe is there.

    ``allocate``: gives memory of so many bytes for it.
    """
    try:
        _secure(directory())
        descriptor = os.open(directory() / name, os.O_RDONLY | SAFELY)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if status.st_uid != os.getuid() or not stat.S_ISREG(status.st_mode):
                return None
            data = memoryview(allocate(status.st_size))
            if file.readinto(data) != len(data):
                return None
    except OSError:
        return None
    content, digest = data[:-32], data[-32:]
    return content if hashlib.sha256(content).digest() == digest else None


@contextlib.contextmanager
def one_compiler() -> Iterator[None]:
    """Let one process (and thread) at a time into the block; a line says so to the others.

    The system ends the lock with the process, however that ends. Where nothing can be kept there
    is nothing to wait for: no lock.
    """
    import fcntl

    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # also of a file system without locks
            _create_directory()
            lock = os.open(directory() / ".lock", os.O_RDWR | os.O_CREAT | SAFELY, 0o600)
            stack.callback(os.close, lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(WAITING)
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def store(name: str, *parts: bytes | memoryview) -> None:
    """Keep ``parts``, one after the other; OSError where that is impossible."""
    _create_directory()
    temporary = directory() / f".{name}.{os.getpid()}.{threading.get_ident()}"
    digest = hashlib.sha256()
    try:
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part)
                digest.update(part)
            file.write(digest.digest())
        os.replace(temporary, directory() / name)  # whole or not at all, also for two at once
    except BaseException:  # also Ctrl-C: a program has up to 24 MB
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _drop_old(Path(name).suffix)


def _drop_old(kind: str) -> None:
    """Keep the newest of a kind: every change of a kernel or of Numba makes another name.

    What a process left behind that was killed while it wrote goes, too.
    """
    name, left, kept = rf"\.?[0-9a-f]{{32}}\{kind}(\.\d+\.\d+)?", time.time() - ABANDONED, 0
    with contextlib.suppress(FileNotFoundError):  # another process was quicker
        ours = [path for path in directory().iterdir() if re.fullmatch(name, path.name)]
        for path in sorted(ours, key=lambda path: -path.lstat().st_mtime):
            status = path.lstat()
            if path.name.startswith("."):
                if status.st_mtime < left:
                    path.unlink()
                continue
            kept += status.st_size
            if kept > KEPT[kind]:
                path.unlink()


def _create_directory() -> None:
    directory().mkdir(mode=0o700, parents=True, exist_ok=True)
    _secure(directory())


def _secure(folder: Path) -> None:
    """Raise PermissionError unless ``folder`` is the user's own and closed to others."""
    status = os.lstat(folder)
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or mode & 0o077:
        raise PermissionError(f"{folder} is not a directory of this user's with mode 0700")
