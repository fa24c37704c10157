"""The console script ``tinycnn``, and what all commands share.

A command is a module with ``main(argv) -> int``. `run` gives each the same manners: one line on
standard error and status 2 for an error (the traceback with ``--debug``), 130 for Ctrl-C, 143 for
SIGTERM, silence for a reader that left (``| head``) and for a standard stream that is closed.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from tinycnn import __version__, memory, signals
from tinycnn.bits import need_64_bits
from tinycnn.console import let_go, open_streams, say
from tinycnn.errors import PROGRAM, TinycnnError, UsageError

# name: (module, what it does); a module is imported only when its command is asked for
COMMANDS = {
    "predict": ("tinycnn.predict", "judge one study, or a folder of many"),
    "evaluate": ("tinycnn.evaluate", "measure a model on a folder of labelled studies"),
    "convert": ("tinycnn.convert.__main__", "turn a Keras file into a tinycnn model file"),
    "inspect": ("tinycnn.inspecting", "what a model file holds, and what stops its conversion"),
    "benchmark": ("tinycnn.benchmark", "how fast, and where the time goes"),
    "calibrate": ("tinycnn.calibrate", "thresholds by body part, and a temperature"),
    "build": ("tinycnn.build", "compile the kernels ahead of time, for a named CPU"),
    "info": ("tinycnn.info", "version, backends and shipped weights"),
}

# Our kernels use no BLAS, and starting its threads takes as long as importing NumPy. The reference
# multiplies row by row: BLAS's two threads wait for each other at each, on a busy machine 50 times
# longer than one takes (DenseNet-169: 7.6 s for an image, against 0.14 s).
ONE_BLAS_THREAD = ("predict", "evaluate", "convert", "inspect")

# What `./run` does before it starts this program.
OF_RUN = {"test": "run the tests"} if PROGRAM != "tinycnn" else {}
READER_GONE = 141  # 128 + SIGPIPE
MAX_LINE = 4000  # characters of an error


class Formatter(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal; argparse asks for that with `shutil`, at every option (1.3 ms)."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    try:
        return int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size().columns or 80
    except (OSError, ValueError):
        return 80


class Parser(argparse.ArgumentParser):
    """argparse whose errors are UsageErrors, with the options that every command has."""

    def __init__(self, command: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=f"{PROGRAM} {command}".strip(),
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=Formatter,
        )
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def error(self, message: str) -> NoReturn:
        """Raise UsageError instead of printing the usage and leaving."""
        raise UsageError(f"{message}; see `{self.prog} --help`")


def script() -> NoReturn:
    """The console script: `main`, and then out, without taking apart what ends anyway.

    That takes 27 of 190 ms, and collecting garbage on the way 5: what is imported stays.
    """
    gc.set_threshold(50_000)
    sys.excepthook = _say_and_end
    status = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sub-command that ``argv`` names; return the exit status."""
    return run("", _dispatch, sys.argv[1:] if argv is None else argv)


def run(
    command: str, function: Callable[[Sequence[str]], int], argv: Sequence[str] | None = None
) -> int:
    """Call ``function(argv)`` and turn whatever ends it into an exit status and one line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    prog = f"{PROGRAM} {command}".strip()
    open_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a label that the terminal cannot spell is no error
            stream.reconfigure(errors="backslashreplace")
    try:
        need_64_bits()
        with signals.raised():
            status = function(arguments)
        sys.stdout.flush()
        return status
    except SystemExit as leave:  # --help and --version
        return leave.code if isinstance(leave.code, int) else 0
    except KeyboardInterrupt as interruption:
        say(f"{prog}: interrupted {interruption}".rstrip())
        return signals.status(interruption)
    except BrokenPipeError:
        return READER_GONE
    except Exception as error:
        if "--debug" in arguments:
            import traceback

            say(traceback.format_exc())
        say(f"{prog}: {_one_line(error)}")
        return 2
    finally:
        _let_go_of_stdout()


def warn(command: str, text: str) -> None:
    """Say on standard error, in one line, what the user should know and what stops nothing."""
    say(f"{PROGRAM} {command}: warning: {printable(text)}")


def _dispatch(argv: Sequence[str]) -> int:
    if argv and argv[0] in COMMANDS:
        _prepare(argv[0], argv)
        module = importlib.import_module(COMMANDS[argv[0]][0])
        status: int = module.main(list(argv[1:]))
        return status
    known = {name: does for name, (_, does) in COMMANDS.items()} | OF_RUN
    commands = "\n".join(f"  {name:<10} {does}" for name, does in known.items())
    parser = Parser(
        "",
        "Run Keras image classifiers on a small computer, without TensorFlow.",
        f"commands:\n{commands}\n\n`{PROGRAM} COMMAND --help` tells more.",
    )
    parser.add_argument("command", metavar="COMMAND", nargs="?", choices=list(known))
    parser.add_argument("--version", action="version", version=f"tinycnn {__version__}")
    parser.parse_args(argv)
    parser.print_help(sys.stderr)
    return 2


def _prepare(command: str, argv: Sequence[str]) -> None:
    """Settle what must be settled before NumPy is imported."""
    if command in ONE_BLAS_THREAD and "numpy" not in argv:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    memory.need_for_numpy()


def prepare_module(command: str) -> None:
    """Do for ``python -m tinycnn.COMMAND`` what it cannot: its own imports come first."""
    sys.excepthook = _say_and_end
    _prepare(command, sys.argv)


def _say_and_end(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if memory.is_short(error) or memory.is_used_up():
        say(f"{PROGRAM}: {memory.told()}")
        os._exit(2)
    sys.__excepthook__(kind, error, trace)


def _one_line(error: Exception) -> str:
    text = printable(" ".join(str(error).split()))
    if memory.is_short(error):
        return f"{memory.told()} ({text})" if text else memory.told()
    if isinstance(error, TinycnnError):
        return text
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename!r}" if error.filename else error.strerror
    if memory.is_used_up():
        return memory.told()
    name = type(error).__name__
    return f"internal error, {name}: {text}; please report it with the output of --debug"


def printable(text: str) -> str:
    """Spell out what could steer a terminal: a model file may have put it there."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:MAX_LINE])
    return shown + ", ..." * (len(text) > MAX_LINE)


def _let_go_of_stdout() -> None:
    """If nothing more can be written (pipe closed, disk full), keep Python from trying at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        let_go(sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
