"""One process at a time compiles for a cache; the others wait, and use what it made."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.signals import hear_interrupts
from tinycnn.engine import cache

# A compiler that takes its time (argument 2, seconds) and leaves a mark in a file (argument 1).
COMPILER = """
import os, sys, time
from tinycnn.engine import build, native

def compile(target):
    with open(sys.argv[1], "a") as log:
        log.write(f"{os.getpid()}\\n")
    time.sleep(float(sys.argv[2]))
    return b"code"

build.object_code = compile
assert native.code_for(build.Target("x86_64-linux-gnu", "any")) == b"code"
"""
WAITS = f"{cache.WAITING}\n".encode()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYCNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def start(log: Path, seconds: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "error", "-c", COMPILER, str(log), str(seconds)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=hear_interrupts)


def wait_for(true: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_others_wait_and_say_so(folder, tmp_path):
    log = tmp_path / "log"
    first = start(log, 3.0)
    wait_for(log.exists)
    others = [start(log, 3.0) for _ in range(3)]
    assert first.communicate(timeout=60)[1] == b""
    assert [process.communicate(timeout=60)[1] for process in others] == [WAITS] * 3
    assert [process.returncode for process in (first, *others)] == [0] * 4
    assert log.read_text() == f"{first.pid}\n"
    status = os.stat(folder / ".lock")
    assert stat.S_IMODE(status.st_mode) == 0o600


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_compiler_that_is_killed_lets_the_next_one_in(folder, tmp_path, number):
    log = tmp_path / "log"
    first = start(log, 600.0)
    wait_for(log.exists)
    second = start(log, 0.0)
    assert second.stderr is not None
    assert second.stderr.readline() == WAITS
    first.send_signal(number)
    assert second.communicate(timeout=60)[1] == b""
    assert second.returncode == 0
    first.communicate(timeout=60)
    assert len(log.read_text().splitlines()) == 2


def test_without_a_cache_there_is_no_lock(tmp_path, monkeypatch):
    """Nothing would be found there after a wait."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TINYCNN_CACHE", str(tmp_path / "file"))
    log = tmp_path / "log"
    both = [start(log, 2.0) for _ in range(2)]
    for process in both:
        assert b"are not kept" in process.communicate(timeout=60)[1]
    assert len(log.read_text().splitlines()) == 2


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "read-only"])
def test_an_odd_lock_stops_nothing(folder, tmp_path, kind, monkeypatch):
    folder.mkdir(mode=0o700)
    lock = folder / ".lock"
    if kind == "link":
        lock.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(lock)
    elif kind == "folder":
        lock.mkdir()
    else:
        lock.touch(mode=0o400)
    log = tmp_path / "log"
    process = start(log, 0.0)
    assert (process.communicate(timeout=60)[1], process.returncode) == (b"", 0)
    assert not (tmp_path / "elsewhere").exists()


def test_no_other_program_inherits_the_lock(folder):
    with cache.one_compiler():
        (lock,) = (fd for fd in os.listdir("/proc/self/fd") if points_at(fd, folder / ".lock"))
        assert not os.get_inheritable(int(lock))
    assert not any(points_at(fd, folder / ".lock") for fd in os.listdir("/proc/self/fd"))


def points_at(descriptor: str, path: Path) -> bool:
    link = f"/proc/self/fd/{descriptor}"
    return os.path.lexists(link) and os.readlink(link) == str(path)


WAITS_FOR_CODE = "from tinycnn.engine import build; build.object_code(build.host())"


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the children of a process")
def test_the_compiler_ends_with_the_process_that_waits_for_it():
    """Else it would go on beside the next one, with all its memory."""
    with subprocess.Popen([sys.executable, "-c", WAITS_FOR_CODE]) as parent:
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        wait_for(lambda: compiling(children.read_text().split()))
        (child,) = children.read_text().split()
        parent.kill()
    wait_for(lambda: not Path("/proc", child).exists() or "Z" in state(child))


def compiling(children: list[str]) -> bool:
    """Whether the only child has come as far as Numba."""
    return len(children) == 1 and "_dispatcher" in Path("/proc", children[0], "maps").read_text()


def state(process: str) -> str:
    return Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0]
