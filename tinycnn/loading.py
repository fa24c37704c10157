"""From a model file to a session: all that is known of the file from an earlier run is used."""

from __future__ import annotations

import hashlib
import mmap
import os
import threading
from pathlib import Path

from tinycnn.engine import prepared
from tinycnn.engine.session import Session, checked_threads
from tinycnn.errors import ModelFileError
from tinycnn.nn.mapped import read
from tinycnn.nn.model import Model
from tinycnn.weights import find, names


def load(path: str | os.PathLike[str], backend: str | None, threads: int | None) -> Session:
    """See `tinycnn.load`."""
    file = find(os.fspath(path))
    looks_like_a_name = os.fspath(path).isprintable() and file.parts == (file.stem,)
    if looks_like_a_name and not os.path.lexists(file):
        raise ModelFileError(f"no model {path!r}; a path, or one of: {', '.join(names())}")
    data, digest, threads = read(file), hashlib.sha256(), checked_threads(threads)

    def whole() -> Model:
        from tinycnn.nn import modelfile

        return modelfile.parse(data, file)

    def again() -> Model:
        _need_unchanged(data, digest.digest(), file)
        return whole()

    hashing = threading.Thread(target=digest.update, args=(data,))  # it lets other threads run
    hashing.start()
    known, small = None, len(data) <= prepared.LARGEST and backend != "numpy"
    try:
        if small:
            hashing.join()
            known = prepared.recall(digest.hexdigest(), threads, file.stem, again)
        model, program = known or (whole(), None)
    finally:
        hashing.join()
    if model.unverified:
        _say_so(file)
    found = digest.hexdigest()
    session = Session(model, backend, threads, path=str(file), model_hash=found, program=program)
    if small and not known and session.program:
        _need_unchanged(data, digest.digest(), file)  # or another file's program has this name
        prepared.keep(found, threads, model, session.program)
    return session


def _say_so(file: Path) -> None:
    import logging  # 2 ms

    logging.getLogger("tinycnn").warning(
        "%r: has neither a digest nor a self-test: nothing shows that it is whole, or computed "
        "rightly here; convert the original again",
        str(file),
    )


def _need_unchanged(data: mmap.mmap, digest: bytes, file: Path) -> None:
    """ModelFileError if a mapped file was written to, or cut off, since it had this SHA-256."""
    if data.size() != len(data) or hashlib.sha256(data).digest() != digest:
        raise ModelFileError(f"{file}: was written to since it was opened; load it again")
