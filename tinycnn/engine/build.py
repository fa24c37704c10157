"""From kernels in Python to machine code: Numba types them, LLVM compiles them for one CPU.

Numba gives LLVM's intermediate code without optimising it; one pass of LLVM's pipeline for the
wanted CPU makes object code of it. The same way serves this machine and others (docs/decisions).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tinycnn
from tinycnn.engine.kernels.family import CURRENT, of_host
from tinycnn.errors import BackendError

ENTRY = "tinycnn_run"


@dataclass(frozen=True)
class Target:
    """What LLVM must know of a CPU: triple, name, feature flags."""

    triple: str
    cpu: str
    features: str = ""
    family: str = "generic"


# What LLVM is told when a family is forced that is not the CPU's own.
FORCED = {"avx512": "x86-64-v4", "avx2": "x86-64-v3", "neon": "cortex-a72", "generic": "x86-64"}


def host() -> Target:
    """Describe this machine's CPU, as LLVM sees it; a forced family as its plainest member."""
    import llvmlite.binding as llvm

    triple = llvm.get_process_triple()
    if CURRENT.name != of_host():
        return Target(triple, FORCED[CURRENT.name], "", CURRENT.name)
    features = llvm.get_host_cpu_features().flatten()
    return Target(triple, llvm.get_host_cpu_name(), features, CURRENT.name)


def object_code(target: Target) -> bytes:
    """Compile for ``target`` in a process of its own: 300 MB of compiler leave with it."""
    root = str(Path(tinycnn.__file__).resolve().parent.parent)
    environment = os.environ | {"TINYCNN_FAMILY": target.family, "PYTHONPATH": root}
    arguments = [target.triple, target.cpu, target.features, target.family]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "kernels.o")
        # -P: nothing is imported from the current directory
        command = [sys.executable, "-P", "-m", "tinycnn.engine.build", *arguments, str(out)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise BackendError(f"kernels could not be compiled ({last}); use --backend numpy")
        return out.read_bytes()


def compile_here(target: Target) -> bytes:
    """Compile the interpreter with all kernels for ``target``: an ELF object with one symbol."""
    import llvmlite.binding as llvm

    text, name = _intermediate_code()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, reloc="pic", codemodel="default"
    )
    module = llvm.parse_assembly(_retarget(text, target.triple, str(machine.target_data)))
    _hide_all_but(module, name)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    return bytes(machine.emit_object(module))


def _intermediate_code() -> tuple[str, str]:
    """LLVM assembly of interpreter and kernels, and the interpreter's name in it."""
    from numba.core import config

    level = config.OPT
    config.OPT = type(level)(0)
    try:
        from tinycnn.engine.kernels.interpreter import SIGNATURE, run

        run.compile(SIGNATURE)
    finally:
        config.OPT = level
    compiled = run.overloads[SIGNATURE]
    return compiled.library.get_llvm_str(), compiled.fndesc.llvm_func_name


def _retarget(text: str, triple: str, layout: str) -> str:
    import re

    text = re.sub(r"^target triple = .*$", f'target triple = "{triple}"', text, flags=re.M)
    return re.sub(r"^target datalayout = .*$", f'target datalayout = "{layout}"', text, flags=re.M)


def _hide_all_but(module: object, name: str) -> None:
    """Everything else becomes internal, so that it is inlined or vanishes."""
    for function in module.functions:  # type: ignore[attr-defined]
        if not function.is_declaration:
            function.linkage = "external" if function.name == name else "internal"
        if function.name == name:
            function.name = ENTRY
    for variable in module.global_variables:  # type: ignore[attr-defined]
        if not variable.is_declaration:
            variable.linkage = "internal"


if __name__ == "__main__":
    *described, path = sys.argv[1:]
    Path(path).write_bytes(compile_here(Target(*described)))
