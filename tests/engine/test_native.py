"""Machine code is loaded in two ways: as a library, or as an object where there is no linker."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
from types import SimpleNamespace

import pytest

from tinycnn.engine import build, native
from tinycnn.engine.kernels.family import CURRENT
from tinycnn.errors import BackendError

PROGRAM = """
define i32 @tinycnn_run(i32 %a) {
  %b = add i32 %a, 7
  ret i32 %b
}
"""


def small_object() -> bytes:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(reloc="pic", codemodel="default")
    return machine.emit_object(llvm.parse_assembly(PROGRAM))


def run(code: bytes) -> int:
    keep, place = native._link(code)
    assert keep
    return ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int32)(place)(35)


def test_object_without_a_linker(tmp_path, monkeypatch):
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    path = tmp_path / "kernels.o"
    path.write_bytes(small_object())
    assert build._linked(path, build.host()) == path
    assert run(path.read_bytes()) == 42


def test_library_with_a_linker(tmp_path):
    if not build.shutil.which("ld"):
        pytest.skip("no ld on this machine")
    path = tmp_path / "kernels.o"
    path.write_bytes(small_object())
    library = build._linked(path, build.host())
    assert library.suffix == ".so"
    assert run(library.read_bytes()) == 42


def test_a_linker_that_fails_is_done_without(tmp_path, monkeypatch):
    monkeypatch.setattr(build.shutil, "which", lambda name: "/bin/false")
    path = tmp_path / "kernels.o"
    path.write_bytes(small_object())
    assert build._linked(path, build.host()) == path


def test_a_compiler_that_fails_is_one_line():
    target = build.Target("no-such-triple", "no-such-cpu", "", CURRENT.name)
    with pytest.raises(BackendError, match="could not be compiled"):
        build.object_code(target)


@pytest.mark.parametrize("package", ["numba", "llvmlite", "pytest"])
def test_versions_are_those_of_the_metadata(package):
    assert native._version(package) == importlib.metadata.version(package)


def test_a_version_without_its_folder(monkeypatch):
    found = SimpleNamespace(path=os.path, listdir=lambda path: ["numba", "numba-1.egg-info"])
    monkeypatch.setattr(native, "os", found)  # not os itself: other readers of metadata use that
    assert native._version("numba") == importlib.metadata.version("numba")
