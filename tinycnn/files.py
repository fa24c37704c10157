"""Results that are written whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any, Literal

from tinycnn.errors import UsageError


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Open ``path`` for writing; it appears, or changes, only when the block ends without an error.

    The data goes to a temporary file in the same directory, is flushed to the disk and renamed.
    What is no regular file (/dev/stdout, a pipe) is written directly: renaming would replace it.
    UsageError where the place cannot be written to; OSError (a full disk) leaves the old file.
    """
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target):
        with _open_directly(target, mode) as stream:
            yield stream
        return
    temporary = f"{target}.{os.urandom(4).hex()}.part"
    stream = _create(temporary, target, mode)
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


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
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UsageError(f"cannot write {target!r}: {error.strerror}") from error
    with suppress(OSError):  # an existing file keeps its permissions
        os.fchmod(descriptor, stat.S_IMODE(os.stat(target).st_mode))
    return os.fdopen(descriptor, mode, encoding=None if mode == "wb" else "utf-8")
