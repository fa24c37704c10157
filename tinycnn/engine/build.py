"""From kernels in Python to machine code: Numba types them, LLVM compiles them for one CPU.

Numba gives LLVM's intermediate code without optimising it; one pass of LLVM's pipeline for the
wanted CPU makes object code of it. The same way serves this machine and others (docs/decisions).
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinycnn import children, memory
from tinycnn.engine import cache
from tinycnn.engine.kernels.family import CURRENT, cpu_identity, of_host
from tinycnn.engine.libraries import CPUS, ENTRY, SOURCES, is_library, seal, signature
from tinycnn.errors import BackendError


@dataclass(frozen=True)
class Target:
    """What LLVM must know of a CPU: triple, name, feature flags."""

    triple: str
    cpu: str
    features: str = ""
    family: str = "generic"


# What LLVM is told when a family is forced that is not the CPU's own.
FORCED = {"avx512": "x86-64-v4", "avx2": "x86-64-v3", "neon": "cortex-a72", "generic": "x86-64"}


NATIVE = "native"
ENOUGH = 1 << 30  # bytes of address space; it takes half of that


def host() -> Target:
    """Describe this machine without asking LLVM, which takes long to load: see `_resolve`."""
    cpu, features = cpu_identity()
    return Target(NATIVE, cpu, features, CURRENT.name)


def _resolve(target: Target) -> Target:
    """What LLVM calls this machine's CPU; a forced family is compiled for its plainest member."""
    import llvmlite.binding as llvm

    if target.triple != NATIVE:
        return target
    triple = llvm.get_process_triple()
    if target.family != of_host():
        return Target(triple, FORCED[target.family], "", target.family)
    features = llvm.get_host_cpu_features().flatten()
    return Target(triple, llvm.get_host_cpu_name(), features, target.family)


def need_numba() -> None:
    """BackendError without the compiler."""
    if importlib.util.find_spec("numba") is None:
        raise BackendError("compiling the kernels needs Numba; install it: pip install numba")


def object_code(target: Target) -> bytes:
    """Compile for ``target`` in a process of its own: 350 MB of compiler leave with it.

    A shared library where the machine has a linker, else a relocatable object.
    """
    arguments = [target.triple, target.cpu, target.features, target.family]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "kernels.o")
        done = subprocess.run(
            children.command("engine.build", *arguments, str(out)), capture_output=True, text=True,
            env=children.environment(TINYCNN_FAMILY=target.family, OPENBLAS_NUM_THREADS="1"),
        )  # fmt: skip
        if done.returncode:
            raise BackendError(
                f"kernels could not be compiled ({_reason(done)}); use --backend numpy"
            )
        return _linked(out, target).read_bytes()


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """Why the compiler failed; the system kills whoever takes more memory than there is."""
    limited = (memory.limit() or ENOUGH) < ENOUGH
    if limited or done.returncode == -signal.SIGKILL or memory.says_so(done.stderr):
        return memory.told()
    errors = [line for line in done.stderr.splitlines() if "Error" in line]
    return (errors or done.stderr.splitlines() or [f"exit status {done.returncode}"])[-1]


def shared_library(name: str) -> bytes:
    """Make the shared library for a CPU of `CPUS`, whatever machine this is."""
    need_numba()
    cpu = CPUS[name]
    llvm_name = "generic" if name == "armv8-a" else name
    with cache.one_compiler():
        code = object_code(Target(cpu.triple, llvm_name, "", cpu.family))
    if not is_library(code):
        package = f"binutils-{cpu.machine.replace('_', '-')}-linux-gnu"
        raise BackendError(f"no linker for {cpu.machine}: install the system package {package}")
    return seal(code)


def _linked(path: Path, target: Target) -> Path:
    """Link an object file to a shared library, if a linker for the target is there and willing."""
    machine = platform.machine() if target.triple == NATIVE else target.triple.split("-")[0]
    names = [f"{machine}-linux-gnu-ld", *(["ld"] if machine == platform.machine() else [])]
    linker = next(filter(None, map(shutil.which, names)), None)
    library = path.with_suffix(".so")
    if linker is None:
        return path
    # Symbols help to read this machine's code; elsewhere they would hold the name of a folder.
    strip = [] if target.triple == NATIVE else ["--strip-all"]
    options = ["-shared", "-z", "noexecstack", "--build-id=none", *strip]
    done = subprocess.run([linker, *options, "-o", library, path], capture_output=True)
    return path if done.returncode else library


def compile_here(target: Target) -> bytes:
    """Compile the interpreter with all kernels for ``target``: an ELF object with one symbol."""
    import llvmlite.binding as llvm

    target = _resolve(target)
    module, name = _intermediate_code()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, reloc="pic", codemodel="default"
    )
    module.triple, module.data_layout = target.triple, str(machine.target_data)
    _hide_all_but(module, name)
    _sign(module)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    return bytes(machine.emit_object(module))


def _intermediate_code() -> tuple[Any, str]:
    """LLVM module of the interpreter and all kernels, and the interpreter's name in it.

    Numba links to each function a copy of all that it calls, and makes machine code of it, for
    nothing: 900 MB, a third of the time. Here a function is only itself; all are linked at the end.
    """
    sys.modules["scipy"] = None  # type: ignore[assignment]  # Numba would import it for its BLAS
    from numba.core import config
    from numba.core.codegen import JITCodeLibrary
    from numba.core.registry import cpu_target

    class Alone(JITCodeLibrary):  # type: ignore[misc]
        def finalize(self) -> None:
            self._finalized = True

        def get_pointer_to_function(self, name: str) -> int:
            return 0  # there is no machine code

    codegen = cpu_target.target_context.codegen()
    codegen._library_class, codegen.set_env = Alone, lambda name, environment: None
    config.OPT = type(config.OPT)(0)
    from tinycnn.engine.kernels.interpreter import SIGNATURE, run

    run.compile(SIGNATURE)
    compiled = run.overloads[SIGNATURE]
    return _linked_modules(compiled.library), compiled.fndesc.llvm_func_name


def _linked_modules(library: Any) -> Any:
    """One LLVM module of a function and all that it calls, each once."""
    import llvmlite.binding as llvm

    module, left, seen = llvm.parse_assembly(""), [library], set()
    while left:
        one = left.pop()
        if one not in seen:
            seen.add(one)
            left += one._linking_libraries
            module.link_in(one._final_module)
    return module


def _sign(module: Any) -> None:
    """Put the signature of the sources into the module, where `libraries.load` looks for it."""
    import llvmlite.binding as llvm

    text = f'@{SOURCES} = constant [32 x i8] c"{signature()}"'
    module.link_in(llvm.parse_assembly(text))


def _hide_all_but(module: Any, name: str) -> None:
    """Everything else becomes internal, so that it is inlined or vanishes."""
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = "external" if function.name == name else "internal"
        if function.name == name:
            function.name = ENTRY
    for variable in module.global_variables:
        if not variable.is_declaration:
            variable.linkage = "internal"


def _end_with_parent() -> None:
    """If the process that waits for the code is killed, so is this one: the next one compiles."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    _end_with_parent()
    *described, path = sys.argv[1:]
    Path(path).write_bytes(compile_here(Target(*described)))
