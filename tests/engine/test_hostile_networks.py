"""Networks that once crashed the engine or came out wrong: small twins, and the files."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.backends import WORKING
from tests.corpus import CORPUS
from tests.differential.worker import ROOT, Worker
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Graph, Input, Node, from_tensors

HOSTILE = CORPUS.parent / "hostile"
FILES = sorted(p for n in (1, 2, 3, 6) for p in HOSTILE.glob(f"F{n}/*"))


def chain(shape, *layers):
    """A network of layers one behind the other; (layer, place) reads the output of that place."""
    nodes = []
    for i, each in enumerate(layers):
        layer, *sources = each if isinstance(each, tuple) else (each, i - 1)
        names = tuple("input" if s < 0 else f"n{s}" for s in sources)
        nodes.append(Node(f"n{i}", type(layer)(**layer.config() | {"name": f"n{i}"}), names))
    return Graph(shape, tuple(nodes))


def wide(kind, *options):
    """A window of one row that looks far to both sides: zeros after the last row had no room."""
    layer = kind(*options, (1, 3), padding="same", dilation_rate=(1, 5000))
    return chain((1, 1, 1), layer, nn.GlobalAveragePooling2D())


def inception():
    """Branches of 1xN and Nx1 convolutions and of a pooling, concatenated."""
    x = inputs = Input((9, 11, 3))
    a = nn.Conv2D(16, 1, activation="relu")(x)
    b = nn.Conv2D(8, (1, 7), padding="same")(nn.Conv2D(8, 1)(x))
    b = nn.Conv2D(16, (7, 1), padding="same", activation="relu")(b)
    c = nn.Conv2D(8, (1, 3), padding="same")(nn.AveragePooling2D(3, 1, "same")(x))
    y = nn.Concatenate()([a, b, c])
    return from_tensors(inputs, nn.Dense(2, activation="softmax")(nn.GlobalMaxPooling2D()(y)))


def squeezed():
    """A pixel of 32 channels, with zeros around it for the window behind."""
    return chain(
        (8, 8, 1), nn.Conv2D(32, 3), nn.GlobalAveragePooling2D(True),
        nn.Conv2D(8, 3, padding="same", activation="relu"), nn.GlobalAveragePooling2D(),
        nn.Dense(2, activation="softmax"),
    )  # fmt: skip


def overwritten():
    """The zeros beside a dead branch's input lay over the value of another."""
    dead = nn.Conv2D(8, (2, 8), (3, 3), padding="same", activation="squareplus")
    return chain(
        (33, 3, 1), nn.GaussianDropout(), (nn.Concatenate(), 0, -1, 0), (dead, 0),
        nn.BatchNormalization(), (nn.GlobalAveragePooling2D(True), 1), nn.Flatten(),
    )  # fmt: skip


def dead_output():
    """What is merged takes its maker's place: the last operation is the dead one."""
    return chain((8, 8, 1), nn.GlobalAveragePooling2D(), nn.Dense(2), (nn.Dense(3), 0),
                 (nn.ReLU(), 1))  # fmt: skip


def dead_separable():
    """The readers of a dead node were looked up."""
    dead = nn.SeparableConv2D(16, 3, (2, 3), depth_multiplier=2)
    last = nn.SeparableConv2D(8, 3, (3, 1), padding="same", dilation_rate=2, use_bias=False)
    return chain((5, 11, 1), nn.Dense(3, activation="relu"), (nn.Multiply(), -1, 0), dead,
                 (last, 0), nn.GlobalMaxPooling2D())  # fmt: skip


TWINS = {
    "F1 wide window": wide(nn.Conv2D, 1),
    "F1 wide depthwise window": wide(nn.DepthwiseConv2D),
    "F1 inception": inception(),
    "F1 overwritten": overwritten(),
    "F2 squeezed": squeezed(),
    "F3 dead output": dead_output(),
    "F6 dead separable": dead_separable(),
    "fewer tiles than groups of them": chain((64, 64, 64), nn.Conv2D(8, 3, 32, padding="same")),
    "a softmax beside working memory": chain(
        (1, 4, 1), nn.Resizing(3, 4), nn.Flatten(), nn.Activation("softmax")
    ),
}


@pytest.fixture(scope="module")
def worker():
    with Worker() as made:
        yield made


@pytest.mark.parametrize("backend", [name for name in WORKING if name != "numpy"])
@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("name", TWINS)
def test_twin(name, guarded, backend, worker):
    answer = worker.ask(graph=TWINS[name].to_json(), guarded=guarded, backend=backend)
    assert answer["graph"]
    assert answer["wrong"] == ""


@pytest.mark.skipif(not FILES, reason="the files lie outside of the repository")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file(path, worker):
    answer = worker.ask(file=str(path), guarded=True)
    assert answer["graph"]
    assert answer["wrong"] == ""


BEYOND = """
import ctypes
from tests.engine.guarded import between_pages
memory = between_pages(100, {at_end})
ctypes.memset(memory.ctypes.data + {place}, 1, 1)
"""


@pytest.mark.parametrize(
    ("at_end", "place", "dies"),
    [(True, 127, False), (True, 128, True), (False, 0, False), (False, -1, True)],
)
def test_a_byte_beyond_is_the_end(at_end, place, dies):
    code = BEYOND.format(at_end=at_end, place=place)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == (-11 if dies else 0)


PLANTED = """
from dataclasses import replace
import numpy as np
from tests.differential import case, check
from tests.engine import guarded
from tests.engine.test_hostile_networks import TWINS
from tinycnn.engine.kernels.instructions import ATTACHED, RING
made = case.from_graph(TWINS["F1 wide window"], 0, "tiny")
(program,), _ = check.planned(made, (1,))
table = program.table.copy()
(row,) = np.flatnonzero(table[:, 0] == RING.code)[:1]
table[row, RING.bottom] += {rows}  # rows of zeros that the buffer has no room for
program = replace(program, table=table, memory=None)  # or the verifier would refuse it
guarded.execution(program, 1, "numba", True).run(made.x)
"""


@pytest.mark.parametrize(("rows", "status"), [(0, 0), (1, -11)])
def test_a_planted_fault_of_a_kernel_is_the_end(rows, status):
    code = PLANTED.format(rows=rows)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == status
