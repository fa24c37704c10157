from __future__ import annotations

import io
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tinycnn import __version__, cli, files, progress
from tinycnn.errors import ModelFileError, UsageError

ROOT = Path(__file__).resolve().parents[1]


def python(*arguments, **options):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_version_and_help(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"tinycnn {__version__}\n"
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in cli.COMMANDS)


def test_run_is_called_by_its_own_name():
    done = python("-m", "tinycnn.cli", env=os.environ | {"TINYCNN_PROGRAM": "./run"})
    assert done.stderr.startswith("usage: ./run ")
    assert "test       run the tests" in done.stderr
    assert "tinycnn COMMAND" not in done.stderr
    done = python("-m", "tinycnn.cli", "eval", env=os.environ | {"TINYCNN_PROGRAM": "./run"})
    assert re.search(r"\(choose from .*info'?, '?test'?\)", done.stderr)


def test_the_package_runs_as_the_console_script_does():
    done = python("-m", "tinycnn", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"tinycnn {__version__}\n", "")


def test_no_command_shows_the_help_and_fails(capsys):
    assert cli.main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "predict" in captured.err


def test_an_unknown_command_names_the_known(capsys):
    assert cli.main(["predcit"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "predict" in err


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(name, capsys):
    assert cli.main([name, "--help"]) == 0
    assert f"tinycnn {name}" in capsys.readouterr().out


def test_only_the_command_asked_for_is_imported():
    code = "import sys; from tinycnn.cli import main; main(['--version']); print(*sys.modules)"
    loaded = python("-c", code).stdout.split()
    assert "tinycnn.cli" in loaded
    assert {"numpy", "numba", "PIL", "tinycnn.predict"} & set(loaded) == set()


def test_module_and_sub_command_are_the_same():
    sub = python("-m", "tinycnn.cli", "predict", "--help")
    module = python("-m", "tinycnn.predict", "--help")
    assert (sub.returncode, sub.stdout) == (0, module.stdout)


def fails(error):
    def command(_):
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ModelFileError("a\n b"), "tinycnn x: a b"),
        (OSError(28, "No space left on device"), "tinycnn x: No space left on device"),
        (FileNotFoundError(2, "No such file", "f"), "tinycnn x: No such file: 'f'"),
        (MemoryError(), "tinycnn x: not enough memory"),
        (KeyError("k"), "tinycnn x: internal error, KeyError: 'k'; please report it"),
    ],
)
def test_errors_are_one_line_and_status_2(capsys, error, line):
    assert cli.run("x", fails(error), []) == 2
    err = capsys.readouterr().err
    assert err.startswith(line)
    assert err.count("\n") == 1
    assert cli.run("x", fails(error), ["--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_32_bits_are_refused_in_one_line(capsys, monkeypatch):
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    assert cli.main(["predict", "anything"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "64-bit Raspberry Pi OS" in err


def test_interruption(capsys):
    assert cli.run("x", fails(KeyboardInterrupt()), []) == 130
    assert capsys.readouterr().err == "tinycnn x: interrupted\n"


def test_a_reader_that_left_is_no_error():
    endless = "cli.run('x', lambda _: print('a\\n' * 9999999) or 0)"
    code = f"import sys; from tinycnn import cli; sys.exit({endless})"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == cli.READER_GONE


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_one_line_and_status_2():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tinycnn.cli", "info"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, "tinycnn info: No space left on device\n")


def test_what_the_terminal_cannot_spell_is_escaped():
    code = "from tinycnn import cli; cli.run('x', lambda _: print('R\\xf6ntgen') or 0)"
    done = python("-c", code, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.stdout, done.returncode) == ("R\\xf6ntgen\n", 0)


def test_info(capsys):
    assert cli.main(["info"]) == 0
    out = capsys.readouterr().out
    assert __version__ in out
    assert "numpy" in out.lower()


class TestAtomicWrite:
    def test_appears_when_complete(self, tmp_path):
        path = tmp_path / "a"
        with files.atomic_write(path) as stream:
            stream.write("new")
            stream.flush()
            assert not path.exists()
        assert path.read_text() == "new"
        assert os.listdir(tmp_path) == ["a"]

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
    def test_an_error_leaves_the_old_file_and_nothing_else(self, tmp_path, error):
        path = tmp_path / "a"
        path.write_text("old")

        def fail():
            with files.atomic_write(path, "wb") as stream:
                stream.write(b"new")
                raise error

        with pytest.raises(error):
            fail()
        assert path.read_text() == "old"
        assert os.listdir(tmp_path) == ["a"]

    def test_permissions_are_kept_and_new_ones_follow_the_umask(self, tmp_path):
        old, new = tmp_path / "old", tmp_path / "new"
        old.write_text("x")
        old.chmod(0o640)
        before = os.umask(0o027)
        try:
            for path in (old, new):
                with files.atomic_write(path) as stream:
                    stream.write("y")
        finally:
            os.umask(before)
        assert stat.S_IMODE(old.stat().st_mode) == 0o640
        assert stat.S_IMODE(new.stat().st_mode) == 0o640

    def test_a_link_stays_a_link(self, tmp_path):
        (tmp_path / "link").symlink_to("file")
        with files.atomic_write(tmp_path / "link") as stream:
            stream.write("x")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "file").read_text() == "x"

    def test_a_device_is_not_replaced(self):
        with files.atomic_write("/dev/null") as stream:
            stream.write("x")
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)

    def test_places_that_cannot_be_written(self, tmp_path):
        for path in (tmp_path, tmp_path / "no" / "such"):
            with pytest.raises(UsageError, match="cannot write"), files.atomic_write(path):
                pass


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestProgress:
    def test_nothing_without_a_terminal_or_when_it_is_quick(self, monkeypatch):
        for stream in (io.StringIO(), Terminal()):
            with progress.Progress(3, stream=stream) as bar:
                bar.advance()
            assert stream.getvalue() == ""

    def test_shows_count_rate_and_time_left_then_cleans_up(self, monkeypatch):
        now = [100.0]
        monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
        monkeypatch.setenv("COLUMNS", "120")
        stream = Terminal()
        with progress.Progress(200, "studies", stream) as bar:
            now[0] += 10
            bar.advance(20)
            line = stream.getvalue()
            assert "20/200 studies" in line
            assert "10%" in line
            assert "2.0/s" in line
            assert "1:30 left" in line
        assert stream.getvalue().endswith("\r\x1b[K")

    def test_a_narrow_terminal_is_not_overrun(self, monkeypatch):
        monkeypatch.setattr(progress, "DELAY", 0)
        monkeypatch.setenv("COLUMNS", "30")
        stream = Terminal()
        with progress.Progress(9, stream=stream) as bar:
            bar.advance()
            assert len(stream.getvalue().removeprefix("\r\x1b[K")) < 30
