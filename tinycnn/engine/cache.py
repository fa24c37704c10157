"""Machine code kept between runs, in a private directory.

Whoever can write there can run code as the user, so it must be the user's own, closed to others
(mode 0700); where it cannot be, nothing is kept, and one line says so. A file's name is a hash of
all that its content depends on: kernel sources, CPU, versions. Its last 32 bytes are the SHA-256 of
the rest: a damaged file is compiled again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import stat
import threading
from pathlib import Path

KEPT = 12  # of some 200 kB each

log = logging.getLogger("tinycnn")


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


def load(name: str) -> bytes | None:
    """Return what was stored under ``name``; None if nothing sound and safe is there."""
    try:
        _secure(directory())
        descriptor = os.open(directory() / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(file.fileno()).st_uid != os.getuid():
                return None
            data = file.read()
    except OSError:
        return None
    content, digest = data[:-32], data[-32:]
    return content if hashlib.sha256(content).digest() == digest else None


def store(name: str, content: bytes) -> None:
    """Keep ``content``; where that is impossible, say so in one line and go on."""
    temporary = None
    try:
        temporary = directory() / f".{name}.{os.getpid()}.{threading.get_ident()}"
        directory().mkdir(mode=0o700, parents=True, exist_ok=True)
        _secure(directory())
        temporary.write_bytes(content + hashlib.sha256(content).digest())
        os.replace(temporary, directory() / name)  # whole or not at all, also for two at once
        _drop_old()
    except OSError as error:
        log.warning("compiled kernels are not kept (%s); set TINYCNN_CACHE to a folder", error)
        with contextlib.suppress(OSError):
            if temporary:
                temporary.unlink(missing_ok=True)


def _drop_old() -> None:
    """Keep the newest `KEPT` files: every change of a kernel or of Numba makes another name."""
    ours = [path for path in directory().iterdir() if re.fullmatch(r"[0-9a-f]{32}\.o", path.name)]
    with contextlib.suppress(FileNotFoundError):  # another process was quicker
        for path in sorted(ours, key=lambda path: path.lstat().st_mtime)[:-KEPT]:
            path.unlink()


def _secure(folder: Path) -> None:
    """Raise PermissionError unless ``folder`` is the user's own and closed to others."""
    status = os.lstat(folder)
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or mode & 0o077:
        raise PermissionError(f"{folder} is not a directory of this user's with mode 0700")
