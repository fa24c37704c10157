"""Machine code made callable: compiled for this machine once, then loaded from the cache.

With the code in the cache Numba is not imported, and where it was linked to a library (see
`build`), llvmlite neither.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinycnn.console import say
from tinycnn.engine import cache, libraries
from tinycnn.errors import BackendError

if TYPE_CHECKING:
    from tinycnn.engine.build import Target

_P, _I = ctypes.c_void_p, ctypes.c_int64
# Numba's own convention: (place of the result, place of the exception, arguments...) -> status.
_PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int32, _P, _P, _P, _I, _P, _P, _I, _I, _P)


@functools.cache
def load(backend: str | None = None) -> Callable[..., int]:
    """Load the interpreter, ``run(table, rows, arena, weights, thread, threads, state) -> 0``.

    ``backend``: "native", a library compiled ahead of time, or "numba", compiled here and now;
    None takes the first that there is. BackendError where none can be had.
    Addresses are integers. The call releases the GIL.
    """
    if backend == "native" or (backend is None and not libraries.problem()):
        path = libraries.find()
        if path is None:
            raise BackendError(libraries.problem())
        keep, place = libraries.load(path)
    else:
        from tinycnn.engine.build import host, need_numba

        need_numba()
        keep, place = _link(code_for(host()))
    function = _PROTOTYPE(place)
    unused = (ctypes.c_int64 * 2)()
    address = ctypes.addressof(unused)

    def run(*arguments: int) -> int:
        # The code, and the places nobody looks at, live as long as this function.
        return int(function(address, address + 8, *arguments)) if keep and unused else -1

    return run


def code_for(target: Target) -> bytes:
    """Object code for ``target``, from the cache or compiled now, by one process at a time."""
    versions = [_version(name) for name in ("numba", "llvmlite")]
    name = cache.key(*dataclasses.astuple(target), *versions) + ".o"
    if kept := cache.load(name):
        return bytes(kept)
    with cache.one_compiler():
        kept = cache.load(name)  # another process has compiled it meanwhile
        return bytes(kept) if kept else _compiled(target, name)


def _compiled(target: Target, name: str) -> bytes:
    from tinycnn.engine import build

    if sys.stderr is not None and sys.stderr.isatty():
        say("tinycnn: compiling kernels for this CPU, once ...")
    code = build.object_code(target)
    try:
        cache.store(name, code)
    except OSError as error:
        import logging

        log = logging.getLogger("tinycnn")
        log.warning("compiled kernels are not kept (%s); set TINYCNN_CACHE to a folder", error)
    return code


def _version(package: str) -> str:
    """Version of an installed package, by the folder that its installer left beside it.

    `importlib.metadata` tells it as well, and takes 10 ms to be imported.
    """
    spec = importlib.util.find_spec(package)
    if spec and spec.origin:
        beside = os.path.dirname(os.path.dirname(spec.origin))
        found = [n for n in os.listdir(beside) if n.startswith(f"{package}-")]
        if len(found) == 1 and found[0].endswith(".dist-info"):
            return found[0].removeprefix(f"{package}-").removesuffix(".dist-info")
    from importlib.metadata import version

    return version(package)


def _link(code: bytes) -> tuple[Any, int]:
    """Load machine code: (what keeps it loaded, address of the interpreter)."""
    if libraries.is_library(code):
        return _load_library(code)
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine, engine.get_function_address(libraries.ENTRY)


def _load_library(code: bytes) -> tuple[Any, int]:
    """Load from memory, not by name: what was checked is what runs."""
    # It stays open: the loader knows libraries by name, and another file with this one's number
    # would be taken for it.
    descriptor = os.memfd_create("tinycnn", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(code)
    library = ctypes.CDLL(f"/proc/self/fd/{descriptor}")
    place = ctypes.cast(getattr(library, libraries.ENTRY), ctypes.c_void_p).value
    assert place is not None
    return library, place
