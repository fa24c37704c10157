"""How the house is built: who may import whom, how large files are, and what is promised where."""

from __future__ import annotations

import ast
import graphlib
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tinycnn import errors
from tinycnn.engine import libraries
from tinycnn.nn.modelfile import save

ROOT = Path(__file__).resolve().parents[1]
# Folder -> import name, as [tool.setuptools.package-dir] maps them.
HOMES = {"tinycnn": "tinycnn", "convert": "tinycnn.convert", "weights": "tinycnn.weights"}
LONGEST = 400

# Room -> the rooms it may import; everything that is in no room is a command, which may import all.
# One way only: commands -> evaluation -> studies -> nn <- engine, and the kernels stand alone.
ROOMS = {
    "tinycnn.safepath": set(),
    "tinycnn.errors": set(),
    "tinycnn.lightclass": set(),
    "tinycnn.progress": set(),
    "tinycnn.console": set(),
    "tinycnn.memory": set(),
    "tinycnn.children": set(),
    "tinycnn.files": {"tinycnn.errors"},
    "tinycnn.weights": set(),
    "tinycnn.nn": {"tinycnn.errors", "tinycnn.files", "tinycnn.lightclass"},
    "tinycnn.engine.kernels": set(),
    "tinycnn.engine": {
        "tinycnn.children",
        "tinycnn.console",
        "tinycnn.memory",
        "tinycnn.errors",
        "tinycnn.lightclass",
        "tinycnn.nn",
        "tinycnn.progress",
        "tinycnn.engine.kernels",
    },
    "tinycnn.studies": {"tinycnn.errors", "tinycnn.lightclass", "tinycnn.nn"},
    "tinycnn.evaluation": {
        "tinycnn.errors",
        "tinycnn.lightclass",
        "tinycnn.nn",
        "tinycnn.studies",
    },
}
NOWHERE = ("tensorflow", "keras", "pickle", "dill", "joblib", "shelve", "marshal")
# Library -> where alone it may be imported.
KEPT_IN: dict[str, Collection[str]] = {
    "numba": {"tinycnn.engine.kernels", "tinycnn.engine.build"},
    "llvmlite": {"tinycnn.engine.kernels", "tinycnn.engine.build", "tinycnn.engine.native"},
    "PIL": {"tinycnn.studies"},
    "h5py": {"tinycnn.convert"},
    "dask": {"tinycnn.cluster"},
    "distributed": {"tinycnn.cluster", "tinycnn.clusterjob"},
    **dict.fromkeys(NOWHERE, ()),
    "keras": {"tinycnn.convert.keras_child"},  # a process of its own, only where one asks for it
}
COMPILERS = {"jit", "njit", "cfunc", "vectorize", "guvectorize", "stencil", "jitclass", "overload"}


def module_name(path: Path) -> str:
    folder, *rest = path.relative_to(ROOT).with_suffix("").parts
    return ".".join([HOMES[folder], *rest]).removesuffix(".__init__")


FILES = {module_name(p): p for home in HOMES for p in sorted((ROOT / home).rglob("*.py"))}
TREES = {name: ast.parse(path.read_bytes()) for name, path in FILES.items()}
MODULES = sorted(FILES)


def inside(name: str, places: Collection[str]) -> bool:
    return any(f"{name}.".startswith(f"{place}.") for place in places)


def room(name: str) -> str | None:
    return max((place for place in ROOMS if inside(name, [place])), key=len, default=None)


def imported(name: str, tree: ast.AST) -> Iterator[str]:
    """Absolute names of the modules that the statements below ``tree`` import."""
    is_package = FILES[name].name == "__init__.py"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = name.split(".") if is_package else name.split(".")[:-1]
            parents = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            whole = (f"{base}.{alias.name}" for alias in node.names)
            yield from (target if target in FILES else base for target in whole)


def imported_at_once(name: str) -> set[str]:
    """What importing ``name`` imports: not what stands in functions or is for type checkers."""
    now = [
        node for node in TREES[name].body
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Try)
    ]  # fmt: skip
    return {target for node in now for target in imported(name, node)}


def offences(allowed: Callable[[str, str], bool]) -> list[str]:
    """Imports that are not ``allowed(name, target)``."""
    pairs = ((name, target) for name in MODULES for target in imported(name, TREES[name]))
    return [f"{name} imports {target}" for name, target in pairs if not allowed(name, target)]


def test_imports_go_one_way():
    def allowed(name: str, target: str) -> bool:
        home = room(name)
        if home is None or not inside(target, ["tinycnn"]):
            return True
        return room(target) in ROOMS[home] | {home}

    assert offences(allowed) == []


def test_the_converter_knows_no_radiographs():
    def allowed(name: str, target: str) -> bool:
        return not (inside(name, ["tinycnn.convert"]) and inside(target, ["tinycnn.studies"]))

    assert offences(allowed) == []


def test_libraries_stay_in_their_rooms():
    def allowed(name: str, target: str) -> bool:
        places = KEPT_IN.get(target.split(".")[0])
        return places is None or inside(name, places)

    assert offences(allowed) == []


def test_no_module_imports_itself_in_a_circle():
    graph = {name: imported_at_once(name) & FILES.keys() - {name} for name in MODULES}
    assert list(graphlib.TopologicalSorter(graph).static_order())  # CycleError names the circle


def test_compiler_options_stand_in_one_file():
    for name in MODULES:
        if name == "tinycnn.engine.kernels._jit":
            continue
        for node in ast.walk(TREES[name]):
            called = getattr(node, "attr", getattr(node, "id", None))
            assert called not in COMPILERS, f"{FILES[name]}:{node.lineno}: {called}; use _jit.py"


def test_processes_of_our_own_are_started_in_one_place():
    """A child that is found among installed packages may be of another version than its parent."""
    starters = {name for name, path in FILES.items() if '"-m"' in path.read_text()}
    assert starters == {"tinycnn.children", "tinycnn.safepath"}  # the latter compares


def test_every_module_says_what_it_is():
    assert [name for name in MODULES if not ast.get_docstring(TREES[name])] == []


def test_no_file_is_too_long():
    folders = [*HOMES, "demos", "tests"]
    lengths = {
        path: path.read_bytes().count(b"\n")
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
    }
    assert [path for path, length in lengths.items() if length > LONGEST] == []


def with_all() -> list[str]:
    def assigns(node: ast.stmt) -> bool:
        return isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"

    return [name for name in MODULES if any(map(assigns, TREES[name].body))]


@pytest.mark.parametrize("name", with_all())
def test_all_equals_reality(name):
    module = importlib.import_module(name)
    promised = module.__all__
    assert len(set(promised)) == len(promised)
    assert [word for word in promised if not hasattr(module, word)] == []
    own = {
        word for word, value in vars(module).items()
        if inside(getattr(value, "__module__", None) or "", [name]) and not word.startswith("_")
    }  # fmt: skip
    assert own - set(promised) == set()


def test_packages_in_pyproject_equal_the_folders():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {name for name, path in FILES.items() if path.name == "__init__.py"}
    assert sorted(settings["packages"]) == sorted(folders)
    assert settings["package-dir"] == {HOMES[home]: home for home in ("convert", "weights")}


def test_the_tree_of_exceptions_is_drawn_as_it_is():
    drawn, above = {}, [(-1, "Exception")]
    for line in errors.__doc__.splitlines():
        found = re.match(r"([ |`-]*?)(\w+Error)\b", line)
        if not found:
            continue
        depth = len(found[1])
        while above[-1][0] >= depth:
            above.pop()
        drawn[found[2]] = above[-1][1]
        above.append((depth, found[2]))
    classes = (value for value in vars(errors).values() if isinstance(value, type))
    assert {c.__name__: c.__bases__[0].__name__ for c in classes} == drawn


def test_exceptions_are_defined_in_errors_only():
    for name in MODULES:
        classes = (node for node in ast.walk(TREES[name]) if isinstance(node, ast.ClassDef))
        raised = [c.name for c in classes if c.name.endswith(("Error", "Exception"))]
        assert name == "tinycnn.errors" or raised == [], FILES[name]


CHILD = """
import pickle, sys
def refuse(*_, **__): raise AssertionError("something is unpickled")
pickle.load = pickle.loads = pickle.Unpickler = refuse  # NumPy imports it; nobody may use it
import tinycnn
model = tinycnn.load(sys.argv[1], backend=sys.argv[2])
assert tinycnn.predict_study(sys.argv[3], model).verdict
print(*sorted({name.split(".")[0] for name in sys.modules}), "tinycnn.convert" in sys.modules)
"""


def run_time_modules(*arguments: object) -> set[str]:
    command = [sys.executable, "-W", "error", "-c", CHILD, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_judging_a_study_imports_nothing_heavy_and_unpickles_nothing(tmp_path):
    from tests.studies.conftest import brightness_model, save_gray

    save(brightness_model(), tmp_path / "model.safetensors")
    save_gray(tmp_path / "view.png", 77)
    arguments = tmp_path / "model.safetensors", "numba", tmp_path / "view.png"
    code = "import sys, tinycnn; tinycnn.load(*sys.argv[1:])"  # compiles, unless that is done
    subprocess.run([sys.executable, "-c", code, *map(str, arguments[:2])], cwd=ROOT, check=True)
    for backend in ("numba", "numpy"):
        loaded = run_time_modules(arguments[0], backend, arguments[2])
        unwanted = {"tensorflow", "keras", "h5py", "True", "numba", "pytest", "safetensors"}
        assert loaded & unwanted == set(), backend
        assert {"numpy", "PIL", "False"} <= loaded


PREDICT = """
import sys
from tinycnn import cli
status = cli.main(["predict", sys.argv[1], "--weights", sys.argv[2], "--threads", "1"])
print(status, *sys.modules)
"""
LATER = {  # what `predict` of a PNG does without, and what it would cost at every start, in ms
    "numpy.random": 5, "numpy.ma": 3, "numpy.fft": 1, "numpy.testing": 30, "importlib.metadata": 10,
    "email": 8, "subprocess": 2, "csv": 1, "asyncio": 30, "unittest": 10, "concurrent.futures": 5,
    "multiprocessing": 4, "xml": 3, "PIL.JpegImagePlugin": 2, "PIL.GifImagePlugin": 1,
    "tinycnn.studies.records": 2, "tinycnn.convert": 9, "tinycnn.benchmark": 9,
    "tinycnn.nn.graph": 12, "tinycnn.nn.modelfile": 2, "tinycnn.engine.lower": 2,
    "tinycnn.engine.plan": 6, "tinycnn.nn.summary": 1, "safetensors": 3, "h5py": 60, "numba": 500,
}  # fmt: skip


def test_predict_imports_nothing_before_it_is_used(tmp_path):
    from tests.studies.conftest import brightness_model, save_gray

    save(brightness_model(), tmp_path / "model.safetensors")
    save_gray(tmp_path / "view.png", 77)
    command = [sys.executable, "-c", PREDICT, tmp_path / "view.png", tmp_path / "model.safetensors"]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)  # compiles, if need be
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    status, *modules = done.stdout.splitlines()[-1].split()
    assert status == "0"
    allowed = {"subprocess"} if libraries.find() is None else set()  # the compiler
    assert {name for name in modules if name in LATER} - allowed == set()
    homes = {name.partition(".")[0].lstrip("_") for name in modules}
    foreign = {n for n in homes if n in packages_distributions() and n != "distutils-precedence"}
    assert foreign <= {"numpy", "PIL", "tinycnn", "distutils_hack"}
