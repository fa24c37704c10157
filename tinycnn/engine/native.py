"""Machine code made callable: compiled for this machine once, then loaded from the cache.

Neither path imports Numba when the cache has the code: llvmlite's loader is enough.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import importlib.metadata
import sys
from collections.abc import Callable
from typing import Any

from tinycnn.engine import build, cache

_P, _I = ctypes.c_void_p, ctypes.c_int64
# Numba's own convention: (place of the result, place of the exception, arguments...) -> status.
_PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int32, _P, _P, _P, _I, _P, _P, _I, _I, _P)


@functools.cache
def load() -> Callable[..., int]:
    """Load the interpreter, ``run(table, rows, arena, weights, thread, threads, state) -> 0``.

    Addresses are integers. The call releases the GIL.
    """
    code = code_for(build.host())
    engine = _link(code)
    function = _PROTOTYPE(engine.get_function_address(build.ENTRY))
    unused = (ctypes.c_int64 * 2)()
    address = ctypes.addressof(unused)
    keep = (engine, unused)  # the code lives as long as the function

    def run(*arguments: int) -> int:
        return int(function(address, address + 8, *arguments)) if keep else -1

    return run


def code_for(target: build.Target) -> bytes:
    """Object code for ``target``, from the cache or compiled now."""
    versions = [importlib.metadata.version(name) for name in ("numba", "llvmlite")]
    name = cache.key(*dataclasses.astuple(target), *versions) + ".o"
    code = cache.load(name)
    if code is None:
        if sys.stderr.isatty():
            print("tinycnn: compiling kernels for this CPU, once ...", file=sys.stderr)
        code = build.object_code(target)
        cache.store(name, code)
    return code


def _link(code: bytes) -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine
