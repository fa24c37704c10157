"""Random networks, and random options of every layer, against real Keras."""

from __future__ import annotations

import numpy as np
import pytest
from tinycnn.convert import keras as converter
from tinycnn.convert.hdf5 import read as read_here

from tests.differential import blocks, keras_model, options
from tests.differential.builder import TINY, Builder, UnfitError
from tests.differential.case import Case, from_graph, from_seed
from tests.differential.draw import Draw
from tests.differential.keras_model import representable
from tests.differential.tolerance import OTHERS, difference
from tinycnn.errors import GraphError
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import INPUT

pytest.importorskip("keras")
pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]
MERGING = dict.fromkeys(blocks.MERGES, (blocks.merge, blocks.broadcast))
MERGING[nn.Concatenate] = (blocks.concatenation, blocks.inception)
TIMES = 12  # options of a layer are drawn


@pytest.mark.parametrize("seed", range(60))
def test_network_and_its_files(seed, tmp_path):
    case = from_seed(seed, ("tiny", "real")[seed % 2], representable)
    assert keras_model.check(case) == ""
    model = keras_model.model_of(case.graph, case.weights)
    for name in ("m.keras", "m.h5"):
        model.save(tmp_path / name)
        found = converter.read(tmp_path / name, read_hdf5=read_here)
        assert difference(case, found.graph.forward(case.x, found.weights)) == "", name


def one_layer(kind, number: int) -> Case | None:
    """A network around one layer of a class; None where this draw does not fit."""
    draw = Draw(f"{kind.__name__} {number}")
    shape = draw.pick(*TINY.sides), draw.pick(*TINY.sides), draw.pick(*TINY.inputs)
    b = Builder(draw, TINY, shape, number)
    try:
        x = INPUT if draw.chance(0.8) else b.add(options.reshape(b, shape), INPUT)
        merges = MERGING.get(kind)
        x = draw.pick(*merges)(b, x) if merges else b.add(options.of(kind, b, x), x)
        graph = representable(b.graph().until(x))
        return from_graph(graph, number, "tiny") if kind in layers_of(graph) else None
    except (UnfitError, GraphError):
        return None


def layers_of(graph) -> set[type]:
    return {type(node.layer) for node in graph.nodes}


@pytest.mark.parametrize("kind", nn.LAYERS.values(), ids=nn.LAYERS)
def test_every_layer_with_random_options(kind):
    drawn = filter(None, (one_layer(kind, number) for number in range(1000)))
    for case in [next(drawn) for _ in range(TIMES)]:
        model = keras_model.model_of(case.graph, case.weights)
        got = np.asarray(model(case.x, training=False))
        assert difference(case, got, OTHERS) == "", case.graph.nodes
