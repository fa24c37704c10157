"""Every demo imports this first: the tinycnn of this checkout is found from any folder.

A Python that cannot run the demos is told so in one line, not by a traceback.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def missing(*modules: str) -> str:
    """Those of `modules` that are not installed, for a sentence; "" if all are. Imports none."""
    return ", ".join(name for name in modules if find_spec(name) is None)


def why_not() -> str:
    """What this Python lacks for any of the demos, or ""."""
    if sys.version_info < (3, 11):  # noqa: UP036 (any Python may be told to run them)
        return "the demos need Python 3.11 or newer"
    absent = missing("numpy", "PIL")
    return absent and f"{absent} missing"


if reason := why_not():
    script = Path(sys.argv[0])
    venv = ROOT / ".venv" / "bin" / "python"
    sys.exit(
        f"{script.stem}: {sys.executable}: {reason}; type {ROOT / 'run'} info, which makes .venv, "
        f"then {venv} {script}"
    )
sys.path.insert(1, str(ROOT))
