"""From a model file to a session: all that is known of the file from an earlier run is used."""

from __future__ import annotations

import hashlib
import os
import threading

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

    hashing = threading.Thread(target=digest.update, args=(data,))  # it lets other threads run
    hashing.start()
    known, small = None, len(data) <= prepared.LARGEST and backend != "numpy"
    try:
        if small:
            hashing.join()
            known = prepared.recall(digest.hexdigest(), threads, file.stem, whole)
        model, program = known or (whole(), None)
    finally:
        hashing.join()
    found = digest.hexdigest()
    session = Session(model, backend, threads, path=str(file), model_hash=found, program=program)
    if small and not known and session.program:
        prepared.keep(found, threads, model, session.program)
    return session
