"""What convert says about what a file does not say."""

import numpy as np
import pytest
from tinycnn.convert import options
from tinycnn.convert.assumptions import assumptions, scales_itself
from tinycnn.convert.scores import with_probabilities

from tinycnn.benchmarks.networks import random_weights
from tinycnn.errors import ConversionError, UsageError
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Sequential
from tinycnn.nn.model import Model

RANDOM = np.random.default_rng(1)
CONV = [nn.Conv2D(2, 3), nn.Flatten(), nn.Dense(1, activation="sigmoid")]


def said(layers, *arguments):
    chosen = options.parser().parse_args(["m.h5", *arguments])
    graph = Sequential([*layers, *CONV], (8, 8, 1))
    preprocessing = options.preprocessing(chosen, graph.input_shape)
    return list(
        assumptions(
            Model(graph, random_weights(graph, RANDOM), preprocessing), chosen, "as others do"
        )
    )


def test_nothing_said_everything_assumed():
    scaling, resizing = said([])
    assert "grayscale grey levels 0 to 255 go into the network unscaled" in scaling
    assert "(as others do)" in scaling
    assert "resized with 'nearest'" in resizing


def test_a_scale_says_nothing_of_the_resizing():
    (line,) = said([], "--scale", "1/255")
    assert "resized with 'nearest'" in line
    assert said([], "--scale", "1/255", "--interpolation", "bilinear") == []


def test_a_network_that_scales_is_not_scaled_twice_in_silence():
    scaling, _ = said([nn.Resizing(4, 4), nn.Rescaling(1 / 255, name="inside")])
    assert "scales its inputs itself (layer 'inside'); nothing is done before" in scaling
    warning, _ = said([nn.Rescaling(1 / 255, name="inside")], "--scale", "1/255")
    assert warning.startswith("warning: the network scales its inputs itself (layer 'inside')")


def test_a_rescaling_later_on_is_none_of_the_inputs():
    assert scales_itself(Sequential([*CONV, nn.Rescaling(2.0)], (8, 8, 1))) == ""


def test_the_size_of_weights_alone():
    *_, size = said([], "--architecture", "cnn5")
    assert "images of 8x8x1; else give --input" in size


def test_mean_without_its_standardization():
    with pytest.raises(UsageError, match="--standardization featurewise; give that, too"):
        said([], "--mean", "0.5", "--std", "0.5")


def test_probabilities_are_not_put_behind_probabilities():
    with pytest.raises(ConversionError, match="ends in probabilities already"):
        with_probabilities(Sequential(CONV, (8, 8, 1)), "softmax")
