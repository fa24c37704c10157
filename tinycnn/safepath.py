"""Keep ``python -m tinycnn...`` from importing what lies in the current directory.

`python -m` puts the current directory first on `sys.path`. Inside a folder of images that came from
elsewhere, a `PIL.py` or `numpy.py` lying there would be run as code. The package imports this
module before anything else. What Python itself imports to find it can still come from there:
`importlib.py`, `types.py`, `contextlib.py` and a few more, and a `tinycnn.py` or a package of that
name. `python -P` and the console script `tinycnn` do not have the problem.

No `from __future__ import ...` here: that is an import too.
"""

import os
import sys


def drop_current_directory() -> None:
    """Take the current directory off the front of `sys.path` if `python -m tinycnn` put it there.

    A program that imports tinycnn keeps its path. Where the current directory is the one tinycnn
    itself was loaded from (a checkout), it goes to the end: installed packages come first.
    """
    if sys.flags.safe_path or not module_asked_for() or not sys.path:
        return
    first = sys.path[0]
    if os.path.realpath(first) != os.path.realpath(os.getcwd()):
        return
    del sys.path[0]
    home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    if os.path.realpath(first) == home:
        sys.path.append(first)


def module_asked_for() -> str:
    """ "tinycnn.predict" while Python looks for that, to run it by `-m`; else ""."""
    # sys.argv[0] is "-m" only while Python looks for the module that it was told to run.
    if sys.argv[:1] == ["-m"]:
        for argument in sys.orig_argv[1:]:
            name = argument.removeprefix("-m")
            if name.split(".")[0] == "tinycnn":
                return name
    return ""


drop_current_directory()
