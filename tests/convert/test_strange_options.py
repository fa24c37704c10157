"""Configurations of Keras 1 and of channels-first models with any value replaced by any other."""

import copy
import random

import pytest
from tinycnn.convert.dialect import Dialect
from tinycnn.convert.keras1 import translate
from tinycnn.convert.keras_config import parse_model
from tinycnn.convert.keras_graph import build_graph

from tests.convert.keras_files import layer
from tests.convert.test_keras1 import conv1, dense1, functional, merge, norm1, theano_model
from tinycnn.errors import TinycnnError

JUNK = (
    *(None, True, 0, 1, -1, 3, 1 << 40, 1.5, float("inf"), "", "th", "tf", "same", "sum", "relu"),
    *([], [[]], [1], [1, 2], [0, 0], [-1, 3], ["x", 0, 0], [["in", 1, 0]], [None, 2, 9, 8], {}),
    *({"class_name": "ReLU"}, {"class_name": "Sequential", "config": []}, "channels_first"),
)
FIRST = {"data_format": "channels_first"}


def merging():
    return functional(
        (layer("InputLayer", "in", batch_input_shape=[None, 2, 9, 8]), []),
        (conv1("c", 2, 3, 3, border_mode="same"), [["in", 0, 0]]),
        (norm1("bn"), [["c", 0, 0]]),
        (merge("sum", "sum"), [["bn", 0, 0], ["in", 0, 0]]),
        (merge("cat", "concat", concat_axis=1), [["sum", 0, 0], ["c", 0, 0]]),
        (layer("ZeroPadding2D", "pad", padding={"top_pad": 1}), [["cat", 0, 0]]),
        (layer("PReLU", "p"), [["pad", 0, 0]]),
        (layer("Flatten", "flat"), [["p", 0, 0]]),
        (dense1("d", 2), [["flat", 0, 0]]),
        ends=["d", 0, 0],
    )


def channels_first():
    convolution = {"filters": 3, "kernel_size": [3, 2], "padding": "same", "strides": [2, 1]}
    layers = [
        layer("Conv2D", "c", batch_input_shape=[None, 2, 9, 8], **convolution, **FIRST),
        layer("Softmax", "s", axis=1),
        layer("LayerNormalization", "l", axis=[1]),
        layer("PReLU", "p", shared_axes=[2, 3]),
        layer("Rescaling", "r", scale=0.5, offset=1.0),
        layer("MaxPooling2D", "m", pool_size=[2, 2], padding="valid", **FIRST),
        layer("Permute", "t", dims=[2, 3, 1]),
        layer("Activation", "a", activation="softmax"),
        layer("Flatten", "f", **FIRST),
    ]
    return {"class_name": "Sequential", "config": {"name": "first", "layers": layers}}


CASES = {
    "theano": ({"class_name": "Sequential", "config": theano_model()[0]}, "1.2.2"),
    "merging": (merging(), None),
    "channels first": (channels_first(), "2.1.6"),
}


def places(value):
    """Every (container, key) below ``value``."""
    keys = value if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


def convert(config, version):
    model = parse_model(translate(config) if Dialect(version, None).keras1 else config)
    return build_graph(model, None, Dialect(version, "theano"))[0]


@pytest.mark.parametrize("name", CASES)
def test_the_seeds_are_sound(name):
    assert len(convert(*CASES[name]).output_shape) == 1


@pytest.mark.parametrize("name", CASES)
def test_all_end_in_one_line(name):
    original, version = CASES[name]
    refused = []
    for seed in range(1500):
        rng = random.Random(f"{name}/{seed}")
        config = copy.deepcopy(original)
        for _ in range(rng.choice((1, 1, 2))):
            container, key = rng.choice(list(places(config)))
            container[key] = copy.deepcopy(rng.choice(JUNK))
        try:
            convert(config, version)
        except TinycnnError as error:
            refused.append(str(error))
    assert 300 < len(refused) < 1500
    assert not [message for message in refused if "\n" in message]
