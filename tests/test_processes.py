"""Commands as processes: standard streams that are closed, and signals that end them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.signals import hear_interrupts
from tests.studies.conftest import brightness_model
from tests.test_calibrate import draw
from tinycnn import cli, files
from tinycnn.nn import modelfile

ROOT = Path(__file__).resolve().parents[1]
ONNX = ROOT / "tests/convert/onnx_data/torch_plain_dynamo.onnx"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model and 40 labelled studies, and an empty folder for results."""
    folder = tmp_path_factory.mktemp("commands")
    modelfile.save(brightness_model(), folder / "model.safetensors")
    draw(folder / "data", "XR_HAND")
    return folder


PANEL = "--weights {here}/model.safetensors --backend numpy"
COMMANDS = {
    "predict": f"predict {{here}}/data {PANEL} --output {{new}}/a.txt",
    "predict --json": f"predict {{here}}/data {PANEL} --json --output {{new}}/a.json",
    "evaluate": f"evaluate {{here}}/data {PANEL} --csv --output {{new}}/a.csv --html {{new}}/a.html"
    " --resume {new}/journal --bootstrap 9",
    "convert": f"convert {ONNX} --output {{new}}/a.safetensors",
    "inspect": "inspect {here}/model.safetensors --json",
    "benchmark": "benchmark --weights {here}/model.safetensors --rounds 1 --json",
    "calibrate": "calibrate {here}/model.safetensors {here}/data -o {new}/a.safetensors "
    "--kappa --backend numpy",
    "build": "build --cpu z80",
    "info": "info",
    "help": "--help",
    "none": "",
    "no study": f"predict {{here}}/nowhere {PANEL}",
}
CLOSED = {"output": ">&-", "error": "2>&-", "all": "<&- >&- 2>&-", "error is full": "2>/dev/full"}


def run(line: str, place: Path, new: Path, streams: str = "") -> tuple[int, str, set[str]]:
    """Status of a command, what it says on the streams that are open, and what files it writes."""
    new.mkdir()
    words = line.format(here=place, new=new).split()
    command = ["sh", "-c", f'exec "$@" {streams}', "sh", sys.executable, "-m", "tinycnn", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr, {path.name for path in new.iterdir()}


@pytest.fixture(scope="module", params=COMMANDS)
def case(request, place, tmp_path_factory):
    """A command, and its status and files where all streams are open."""
    status, _, names = run(COMMANDS[request.param], place, tmp_path_factory.mktemp("x") / "new")
    return COMMANDS[request.param], status, names


@pytest.mark.parametrize("streams", CLOSED.values(), ids=CLOSED)
def test_with_closed_streams_a_command_does_the_same(case, place, tmp_path, streams):
    line, status, names = case
    found, said, written = run(line, place, tmp_path / "new", streams)
    assert (found, written) == (status, names)
    assert "Traceback" not in said
    assert "internal error" not in said


def test_every_command_is_tried():
    assert {line.split()[0] for line in COMMANDS.values() if line} >= cli.COMMANDS.keys()


def test_a_file_is_not_written_into_by_what_goes_to_a_closed_stream(place, tmp_path):
    """The first file that is opened would take the number 1, and what C code prints."""
    line = COMMANDS["predict --json"]
    run(line, place, tmp_path / "one")
    run(line, place, tmp_path / "two", ">&-")
    texts = [(tmp_path / each / "a.json").read_text() for each in ("one", "two")]
    assert len({text.count("\n") for text in texts}) == 1


# Predicts, evaluates or converts up to the moment when the result is being written.
AT_WORK = """
import os, sys, time
from tinycnn import cli, files

def wait(descriptor):
    print("now", file=sys.stderr, flush=True)
    time.sleep(60)

files.os = type(os)("os")
vars(files.os).update(vars(os), fsync=wait)
sys.exit(cli.main(sys.argv[1:]))
"""
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def start(line: str, place: Path, new: Path, *before: str) -> subprocess.Popen[str]:
    """Start a command and return when it has begun to write its result."""
    new.mkdir(exist_ok=True)
    command = [*before, sys.executable, "-c", AT_WORK, *line.format(here=place, new=new).split()]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=hear_interrupts,
    )  # fmt: skip
    assert process.stderr is not None
    for text in process.stderr:
        if text == "now\n":
            break
    return process


@pytest.mark.parametrize("number", STATUS)
@pytest.mark.parametrize("name", ["predict", "evaluate", "convert", "calibrate"])
def test_a_signal_leaves_nothing_behind(place, tmp_path, name, number):
    with start(COMMANDS[name], place, tmp_path / "new") as process:
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    by = "" if number == signal.SIGINT else f" by {number.name}"
    assert (process.returncode, said) == (STATUS[number], f"tinycnn {name}: interrupted{by}\n")
    assert set(os.listdir(tmp_path / "new")) <= {"journal"}


def test_nohup_keeps_its_meaning(place, tmp_path):
    with start(COMMANDS["predict"], place, tmp_path / "new", "nohup") as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 143


def test_the_handlers_are_put_back():
    def command(argv):
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        return 0

    before = [signal.getsignal(number) for number in STATUS]
    assert cli.run("x", command, []) == 0
    assert [signal.getsignal(number) for number in STATUS] == before


@pytest.mark.parametrize("name", ["predict", "convert"])
def test_what_a_killed_run_left_goes_with_the_next(place, tmp_path, name):
    new = tmp_path / "new"
    with start(COMMANDS[name], place, new) as process:
        process.kill()
    (left,) = os.listdir(new)
    assert left.endswith(".part")
    foreign = ["b" + left[1:], left + ".part", left[:-5], left[:-6] + "x.part"]
    for each in foreign:
        (new / each).write_text("")
    command = [sys.executable, "-m", "tinycnn", *COMMANDS[name].format(here=place, new=new).split()]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0
    suffix = left.split(".")[1]
    assert sorted(os.listdir(new)) == sorted([*foreign, f"a.{suffix}"])


def test_a_file_that_is_being_written_is_left_alone(place, tmp_path):
    new = tmp_path / "new"
    with start(COMMANDS["predict"], place, new) as process:
        (left,) = os.listdir(new)
        with files.atomic_write(new / "a.txt") as stream:
            stream.write("mine")
            assert left in os.listdir(new)
        process.terminate()
    assert os.listdir(new) == ["a.txt"]
