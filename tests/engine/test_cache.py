"""The cache of machine code: private, checked, and never in the way."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time

import pytest

from tinycnn.engine import build, cache, native

CODE = b"\x7fELF and so on"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYCNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def compiled(monkeypatch):
    """Count compilations; each takes no time."""
    calls = []
    monkeypatch.setattr(build, "object_code", lambda target: calls.append(target) or CODE)
    return calls


TARGET = build.Target("x86_64-unknown-linux-gnu", "znver3", "+avx2")


def kept(folder) -> list[str]:
    """What lies there, but for the lock of whoever compiles."""
    return sorted(set(os.listdir(folder)) - {".lock"})


def test_compiled_once(folder, compiled):
    assert [native.code_for(TARGET) for _ in range(3)] == [CODE] * 3
    assert len(compiled) == 1
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(kept(folder)) == 1


@pytest.mark.parametrize("field", ["triple", "cpu", "features"])
def test_another_target_is_another_file(folder, compiled, field):
    native.code_for(TARGET)
    native.code_for(build.Target(**{**vars(TARGET), field: "other"}))
    assert len(compiled) == len(kept(folder)) == 2


def test_the_name_depends_on_every_source(folder, monkeypatch, tmp_path):
    kernels = tmp_path / "engine" / "kernels"
    kernels.mkdir(parents=True)
    (kernels.parent / "build.py").write_text("a")
    (kernels / "conv.py").write_text("b")
    monkeypatch.setattr(cache, "__file__", str(kernels.parent / "cache.py"))
    names = [cache.key("x")]
    for path in (kernels.parent / "build.py", kernels / "conv.py", kernels / "new.py"):
        path.write_text("changed")
        names.append(cache.key("x"))
    names += [cache.key("y"), cache.key("x", ""), cache.key("", "x")]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[:-1], lambda data: data[1:], lambda data: b"?" + data[1:],
     lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: data + b"\0"],
)  # fmt: skip
def test_a_damaged_file_is_compiled_again(folder, compiled, damage):
    native.code_for(TARGET)
    (path,) = map(folder.joinpath, kept(folder))
    path.write_bytes(damage(path.read_bytes()))
    assert native.code_for(TARGET) == CODE
    assert native.code_for(TARGET) == CODE
    assert len(compiled) == 2


def refused(compiled, caplog, count=1) -> None:
    """It works, compiles every time, and says so in one line each time."""
    for _ in range(count):
        assert native.code_for(TARGET) == CODE
    assert len(compiled) == count
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == count
    assert all("TINYCNN_CACHE" in line and "\n" not in line for line in lines)


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o707, 0o701])
def test_a_folder_open_to_others(folder, compiled, caplog, mode):
    cache.directory().mkdir(mode=0o700)
    cache.store("a.o", CODE)
    folder.chmod(mode)
    assert cache.load("a.o") is None
    refused(compiled, caplog, 2)


def test_a_folder_of_another_user(folder, compiled, caplog, monkeypatch):
    cache.store("a.o", CODE)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert cache.load("a.o") is None
    refused(compiled, caplog)


def test_a_file_of_another_user(folder, monkeypatch):
    """The folder may be ours while a file in it was moved there by root."""
    cache.store("a.o", CODE)
    monkeypatch.setattr(cache, "_secure", lambda folder: None)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert cache.load("a.o") is None


def test_a_link_instead_of_the_folder(folder, compiled, caplog, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    refused(compiled, caplog)
    assert not os.listdir(tmp_path / "elsewhere")


def test_a_link_instead_of_the_file(folder, tmp_path):
    cache.store("a.o", CODE)
    (folder / "a.o").rename(tmp_path / "elsewhere.o")
    (folder / "a.o").symlink_to(tmp_path / "elsewhere.o")
    assert cache.load("a.o") is None


def test_a_pipe_instead_of_the_file(folder):
    cache.store("a.o", CODE)
    os.mkfifo(folder / "b.o")
    assert cache.load("b.o") is None  # and does not wait for a writer


def test_a_folder_instead_of_the_file(folder, compiled, caplog):
    cache.store("a.o", CODE)
    (folder / "b.o").mkdir()
    assert cache.load("b.o") is None
    with pytest.raises(IsADirectoryError):
        cache.store("b.o", CODE)
    assert sorted(os.listdir(folder)) == ["a.o", "b.o"]


def test_a_file_instead_of_the_folder(folder, compiled, caplog):
    folder.write_text("")
    refused(compiled, caplog)


def test_nothing_writable(compiled, caplog, monkeypatch):
    monkeypatch.setenv("TINYCNN_CACHE", "/proc/tinycnn/cache")
    refused(compiled, caplog)


def test_a_full_disk(folder, compiled, caplog, monkeypatch):
    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    refused(compiled, caplog)
    assert kept(folder) == []


def test_control_c_leaves_nothing_half_written(folder, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.store("a.o", CODE)
    assert kept(folder) == []


def test_a_user_without_a_home(compiled, caplog, monkeypatch):
    def fail() -> None:
        raise RuntimeError("Could not determine home directory.")

    for name in ("TINYCNN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cache.Path, "home", fail)
    refused(compiled, caplog)


def test_where(monkeypatch):
    monkeypatch.delenv("TINYCNN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert str(cache.directory()) == "/x/tinycnn"


def test_threads_at_once(folder, caplog):
    threads = [threading.Thread(target=cache.store, args=("a.o", CODE * 1000)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.load("a.o") == CODE * 1000
    assert os.listdir(folder) == ["a.o"]
    assert not caplog.records


WRITER = """
import sys
from tinycnn.engine import cache
for i in range(100):
    cache.store("a.o", b"x" * 100_000)
    assert cache.load("a.o") == b"x" * 100_000
"""


def test_processes_at_once(folder):
    command = [sys.executable, "-W", "error", "-c", WRITER]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate(timeout=60)[1] for process in running] == [b""] * 3
    assert [process.returncode for process in running] == [0] * 3
    assert os.listdir(folder) == ["a.o"]


def test_log_goes_through_logging(folder, compiled, caplog):
    folder.write_text("")
    with caplog.at_level(logging.ERROR, "tinycnn"):
        native.code_for(TARGET)
    assert not caplog.records


def test_old_code_is_dropped_and_nothing_else(folder, monkeypatch):
    monkeypatch.setitem(cache.KEPT, ".o", 12 * (len(CODE) + 32))
    cache.store("first.o", CODE)
    cache.store("0" * 32 + ".program", CODE)
    (folder / "notes.txt").write_text("mine")
    for i in range(17):
        cache.store(f"{i:032x}.o", CODE)
        os.utime(folder / f"{i:032x}.o", (i, i))
    cache.store("f" * 32 + ".o", CODE)
    left = set(kept(folder))
    assert {"first.o", "notes.txt", "0" * 32 + ".program", "f" * 32 + ".o"} <= left
    assert len(left) == 12 + 3


def test_what_a_killed_process_left_goes_after_an_hour(folder):
    cache.store("a" * 32 + ".o", CODE)
    for i, age in enumerate([10, 2 * cache.ABANDONED]):
        path = folder / f".{'b' * 32}.o.77.{i}"
        path.write_bytes(CODE)
        os.utime(path, (time.time() - age,) * 2)
    cache.store("c" * 32 + ".o", CODE)
    assert len(kept(folder)) == 3
    assert (folder / f".{'b' * 32}.o.77.0").exists()
