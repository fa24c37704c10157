"""The one place that talks to Numba: options, and what plain Python cannot say.

A test forbids Numba decorators elsewhere.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinycnn.engine.kernels.family import CURRENT

OPTIONS: dict[str, Any] = {
    "error_model": "numpy",  # no exceptions: a kernel has nobody to raise them to
    "boundscheck": False,  # pointers have no bounds
    "no_cpython_wrapper": True,  # called from compiled code and through ctypes, never from Python
    "no_cfunc_wrapper": True,
    "_nrt": False,  # no reference counts: nothing is allocated
    # Not `fastmath=True`: its nnan and ninf flags would make isnan(nan) false.
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}

PART = 1 << 18  # vectors of 16 values: from a tenth of a millisecond on a fast core to 2

FLOATS = types.CPointer(types.float32)
INTEGERS = types.CPointer(types.int64)
BYTES = types.CPointer(types.int8)
KERNEL = (INTEGERS, BYTES, BYTES, types.int64, types.int64)

kernel: Any = numba.njit(**OPTIONS)
helper: Any = numba.njit(**OPTIONS, inline="never")


def typed(*arguments: Any) -> Any:
    """Like `helper` with its types told: otherwise each constant argument makes a version."""
    return numba.njit(types.void(*arguments), **OPTIONS)


def _pointer_cast(target: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.gep(args[0], [args[1]])
        return builder.bitcast(pointer, context.get_value_type(target))

    return codegen


@intrinsic  # type: ignore[untyped-decorator]
def floats(typing: Any, base: Any, offset: Any) -> Any:
    """``(float *)(base + offset)``: ``offset`` in bytes."""
    return FLOATS(base, types.int64), _pointer_cast(FLOATS)


@intrinsic  # type: ignore[untyped-decorator]
def integers(typing: Any, base: Any, offset: Any) -> Any:
    """``(int32_t *)(base + offset)``: ``offset`` in bytes."""
    target = types.CPointer(types.int32)
    return target(base, types.int64), _pointer_cast(target)


@intrinsic  # type: ignore[untyped-decorator]
def longs(typing: Any, base: Any, offset: Any) -> Any:
    """``(int64_t *)(base + offset)``: ``offset`` in bytes."""
    return INTEGERS(base, types.int64), _pointer_cast(INTEGERS)


@intrinsic  # type: ignore[untyped-decorator]
def null(typing: Any) -> Any:
    """``(float *)0``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(FLOATS), None)

    return FLOATS(), codegen


@intrinsic  # type: ignore[untyped-decorator]
def ahead(typing: Any, pointer: Any, count: Any) -> Any:
    """``pointer + count``, in elements."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def parameter(typing: Any, row: Any, index: Any) -> Any:
    """Read the float32 that lies in the low half of ``row[index]``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.gep(args[0], [args[1]])
        return builder.load(builder.bitcast(pointer, ir.FloatType().as_pointer()))

    return types.float32(row, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def atomic_add(typing: Any, pointer: Any, value: Any) -> Any:
    """Add to an int64 that other threads see; return what it was."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", args[0], args[1], "seq_cst")

    return types.int64(pointer, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def atomic_load(typing: Any, pointer: Any) -> Any:
    """Read an int64 that other threads write."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(args[0], "acquire", 8)

    return types.int64(pointer), codegen


@intrinsic  # type: ignore[untyped-decorator]
def atomic_store(typing: Any, pointer: Any, value: Any) -> Any:
    """Write an int64 that other threads read."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[1], args[0], "release", 8)
        return context.get_dummy_value()

    return types.void(pointer, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def pause(typing: Any) -> Any:
    """Tell the core that this is a waiting loop; Arm's cores take no notice of such a hint."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if CURRENT.name != "neon":
            kind = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic  # type: ignore[untyped-decorator]
def futex(typing: Any, address: Any, operation: Any, value: Any) -> Any:
    """Linux's ``futex(address, operation, value)``: 128 waits while it is value, 129 wakes."""
    call = 98 if CURRENT.name == "neon" else 202

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        long = ir.IntType(64)
        place = builder.ptrtoint(args[0], long)
        kind = ir.FunctionType(long, [long] * 5)
        function = cgutils.get_or_insert_function(builder.module, kind, "syscall")
        numbers = [ir.Constant(long, call), place, args[1], args[2], ir.Constant(long, 0)]
        return builder.call(function, numbers)

    return types.int64(address, types.int64, types.int64), codegen


@helper
def share_begin(total, thread, threads):
    """First of the ``total`` pieces of work that ``thread`` of ``threads`` takes."""
    return total * thread // threads


@helper
def in_parts(count, work):
    """In how many parts to share a row of ``count`` items of so much ``work``: one, as a rule."""
    return max(min(count, count * work // PART), 1)


@helper
def share_end(total, thread, threads):
    """One behind the last."""
    return total * (thread + 1) // threads
