"""Start Keras on TensorFlow: ask whether it is there, and keep what its libraries say to itself."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from _checkout import ROOT, missing

EXTRA = ("keras", "tensorflow", "h5py")


def need_keras() -> None:
    """ModuleNotFoundError if a package of the extra `train` is missing; imports none."""
    if absent := missing(*EXTRA):
        command = f"{sys.executable} -m pip install -e '{ROOT}[train,jit]'"
        raise ModuleNotFoundError(f"{absent} missing: install the extra `train`: {command}")


def start_keras(threads: int) -> str:
    """Import Keras, let TensorFlow look for devices; says what will compute.

    Standard error is held back meanwhile, and shown if that fails: TensorFlow's libraries complain
    of a GPU that is not there before any log level holds.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(threads)  # TensorFlow reads them when it computes for the first time
    with held_back():
        import keras
        import tensorflow

        devices = [d.device_type for d in tensorflow.config.list_physical_devices()]
    return f"Keras {keras.__version__}, TensorFlow {tensorflow.__version__} on {', '.join(devices)}"


@contextmanager
def held_back() -> Iterator[None]:
    """What is written to file 2 meanwhile is shown only if an exception goes through."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            file.seek(0)
            os.write(2, file.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
