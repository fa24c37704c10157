"""A forked child has none of its parent's threads, and its own threads predict at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHILDREN, CALLERS = 40, 8

PARENT = """
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # that forking with threads is dangerous
from tests.engine.test_session import BATCH, MODEL, agrees
from tinycnn.engine.session import Session

children, callers, threads, busy = map(int, sys.argv[1:])
session, right = Session(MODEL, "numba", threads), []

def predict(times):
    for _ in range(times):
        right.append(agrees(session.predict(BATCH[:2])))

def start(count, times):
    started = [threading.Thread(target=predict, args=(times,), daemon=True) for _ in range(count)]
    for thread in started:
        thread.start()
    return started

def child():
    right.clear()
    sys.setswitchinterval(1e-5)  # what is left open between two lines is entered at once
    for thread in start(callers, 3):
        thread.join(20)
    return 2 if len(right) < 3 * callers else 0 if all(right) else 1

start(busy, 10**6)  # so that forks find the session in the midst of a run
ends = []
for _ in range(children):
    process = os.fork()
    if process == 0:
        os._exit(child())
    ends.append(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
    if ends[-1] == 2:
        break  # one that hangs is enough
others = sum(end not in (0, 1, 2) for end in ends)
print("wrong:", ends.count(1), "hung:", ends.count(2), "others:", others)
predict(1)
os._exit(0 if right[-1] else 3)
"""


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("busy", [0, 2])
def test_threads_of_a_child_that_predict_at_once(threads, busy):
    numbers = map(str, (CHILDREN, CALLERS, threads, busy))
    command = [sys.executable, "-c", PARENT, *numbers]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("wrong: 0 hung: 0 others: 0\n", 0), done.stderr
