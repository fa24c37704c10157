"""Configurations in which something was replaced: refused in one line, or converted; no crash."""

import gzip
import io
import json
import random
from pathlib import Path

import h5py
import pytest
from tinycnn.convert.dialect import Dialect
from tinycnn.convert.keras_config import parse_model
from tinycnn.convert.keras_graph import build_graph

from tinycnn.errors import TinycnnError

HERE = Path(__file__).parent
COUNT = 150
ODD = (
    *(
        None,
        True,
        0,
        -1,
        3,
        1e30,
        1 << 70,
        2.0**40,
        "x",
        "a\nb",
        "",
        "conv",
        [],
        {},
        [[1]],
        [1, 2, 3],
    ),
    *(["input_1", 0, 0], {"class_name": "__slice__"}, {"value": 1, "type": "ndarray"}),
    {"class_name": "__numpy__", "config": {"value": ["a"]}},
)


def places(value, path=()):
    """Where something stands, at every depth."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


def change(config, path, rng):
    """Replace or remove what stands at ``path``, if that is still there."""
    try:
        for key in path[:-1]:
            config = config[key]
        if isinstance(config, dict) and rng.random() < 0.15:
            del config[path[-1]]
        else:
            config[path[-1]] = rng.choice(ODD)
    except (LookupError, TypeError):
        return


@pytest.mark.parametrize("name", ["operations", "nodes", "layers"])
def test_no_configuration_crashes_the_converter(name):
    data = gzip.decompress((HERE / f"goldens/{name}.h5.gz").read_bytes())
    with h5py.File(io.BytesIO(data)) as file:
        text = file.attrs["model_config"]
    everywhere = list(places(json.loads(text)))
    refused = []
    for number in range(COUNT):
        rng, config = random.Random(f"{name}/{number}"), json.loads(text)
        for _ in range(rng.choice((1, 1, 2, 4))):
            change(config, rng.choice(everywhere), rng)
        try:
            build_graph(parse_model(config), None, Dialect("2.15.0", "tensorflow"))
        except TinycnnError as error:
            refused.append(str(error))
    assert COUNT / 10 < len(refused) < COUNT
    assert not any("\n" in line for line in refused)
