"""Results that are written whole or not at all."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any, Literal

from tinycnn.errors import UsageError

ABANDONED = 86400.0  # seconds


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Open ``path`` for writing; it appears, or changes, only when the block ends without an error.

    The data goes to a temporary file in the same directory (the stream's ``name``), is flushed to
    the disk and renamed. What a killed process has left of the same file is removed first.
    What is no regular file (/dev/stdout, a pipe) is written directly: renaming would replace it.
    UsageError where the place cannot be written to; OSError (a full disk) leaves the old file.
    """
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target):
        with _open_directly(target, mode) as stream:
            yield stream
        return
    _remove_abandoned(target)
    temporary = f"{target}.{os.urandom(4).hex()}.part"
    try:
        with _create(temporary, target, mode) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            os.replace(temporary, target)  # while it is locked
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _remove_abandoned(target: str) -> None:
    """Remove the temporary files of ``target`` whose writers are gone."""
    folder, name = os.path.split(target)
    ours = re.compile(re.escape(name) + r"\.[0-9a-f]{8}\.part")
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if ours.fullmatch(entry.name):
                _remove_if_abandoned(entry.path)


def _remove_if_abandoned(path: str) -> None:
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if _is_abandoned(descriptor):
                os.unlink(path)
        finally:
            os.close(descriptor)


def _is_abandoned(descriptor: int) -> bool:
    """Whether this is a file of this user's that no process holds locked, as `_open_new` does."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return time.time() - status.st_mtime > ABANDONED
    return True


def need_apart(results: Mapping[str, str | None], sources: Iterable[str]) -> None:
    """UsageError if a result would replace a file that is read, or another result.

    ``results``: option -> path, or None where it is not given. ``sources``: paths.
    """
    taken = {os.path.realpath(path): "a file that is read here" for path in sources}
    for option, path in results.items():
        if path is None or (os.path.exists(path) and not os.path.isfile(path)):
            continue  # pipes and /dev/null take as much as there is
        real = os.path.realpath(path)
        if real in taken:
            raise UsageError(f"{option} {path!r}: that is {taken[real]}; name another file")
        taken[real] = f"the file of {option}"


def _open_directly(target: str, mode: Literal["w", "wb"]) -> IO[Any]:
    if os.path.isdir(target):
        raise UsageError(f"cannot write {target!r}: it is a folder; give the name of a file")
    return open(target, mode, encoding=None if mode == "wb" else "utf-8")


def _create(temporary: str, target: str, mode: Literal["w", "wb"]) -> IO[Any]:
    """Open a new file, locked until it is closed or the process is gone."""
    try:
        encoding = None if mode == "wb" else "utf-8"
        stream = open(temporary, mode, encoding=encoding, opener=_open_new)  # noqa: SIM115
    except OSError as error:
        raise UsageError(f"cannot write {target!r}: {error.strerror}") from error
    with suppress(OSError):  # an existing file keeps its permissions
        os.fchmod(stream.fileno(), stat.S_IMODE(os.stat(target).st_mode))
    return stream


def _open_new(path: str, flags: int) -> int:
    while True:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # taken for abandoned in the moment before it was locked
