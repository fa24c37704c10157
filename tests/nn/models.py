"""Small models, and model files taken apart and put together again."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from tinycnn.nn import layers as nn
from tinycnn.nn import modelfile
from tinycnn.nn.graph import Graph, Input, Sequential, from_tensors
from tinycnn.nn.model import Calibration, Decision, Figures, Model, Provenance, Sample
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.selftest import record

CALIBRATION = Calibration(
    "drawings", "sensitivity 0.95", "any", "0.1.0",
    {"XR_HAND": Sample(3, 90, 80), "XR_WRIST": Sample(40, 60, 90), "all": Sample(43, 150, 160)},
)  # fmt: skip


def weights_for(graph: Graph, seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        name: (random.random(shape) * 0.5 + 0.1).astype(np.float16).astype(np.float32)
        for name, shape in graph.weight_shapes.items()
    }


def small() -> Model:
    """Two layers with weights; its file has 2 KB."""
    layers = [nn.Conv2D(2, 3, activation="relu"), nn.Flatten(), nn.Dense(1, activation="sigmoid")]
    graph = Sequential(layers, (4, 4, 1))
    weights, preprocessing = weights_for(graph), Preprocessing("grayscale", scale=1 / 255)
    test = record(graph, weights, preprocessing)
    labels = ("normal", "abnormal")
    return Model(graph, weights, preprocessing, labels, self_test=test, name="m")


def every_layer() -> Model:
    """One layer of every class, and all metadata."""
    graph = _every_layer()
    weights = weights_for(graph)
    preprocessing = Preprocessing(
        "rgb", "bicubic", True, True, 1 / 127.5, (-1.0, 0.0, 0.5), "featurewise",
        (0.1, 0.2, 0.3), (1.0, 2.0, 3.0),
    )  # fmt: skip
    return Model(
        graph,
        weights,
        preprocessing,
        labels=("normal", "abnormal", "weiß nicht"),
        decision=Decision("any", 0.25, 1, 1.5, {"XR_WRIST": 0.3, "all": 0.4}, CALIBRATION),
        provenance=Provenance(
            "drawings", True, "here", "Apache-2.0", "a note", "unseen drawings",
            {"XR_WRIST": Figures(10, 3, 2, 4, 1, "max", 0.4), "all": Figures(1, 0, 0, 1, 0)},
        ),
        self_test=record(graph, weights, preprocessing, seed=7),
        name="m",
    )  # fmt: skip


def _every_layer() -> Graph:
    x = inputs = Input((9, 8, 3))
    for layer in (
        nn.Rescaling(0.5, (0.0, 0.1, 0.2)), nn.Normalization(), nn.ZeroPadding2D(((0, 1), (2, 0))),
        nn.Conv2D(6, 3, (2, 1), groups=3, padding="same"), nn.BatchNormalization(),
        nn.DepthwiseConv2D(3, depth_multiplier=2), nn.LeakyReLU(), nn.LayerNormalization((2, 3)),
        nn.SeparableConv2D(4, 2, use_bias=False), nn.PReLU((1, 2)), nn.ELU(0.5),
        nn.Conv2DTranspose(4, 3, 2, output_padding=1), nn.ReLU(6.0), nn.Cropping2D((1, 1)),
        nn.UpSampling2D(2, "bilinear"), nn.MaxPooling2D(), nn.AveragePooling2D(2, 1, "same"),
        nn.Resizing(5, 4), nn.Permute((2, 1, 3)), nn.Activation("tanh"), nn.Softmax(),
        nn.Dropout(0.1), nn.SpatialDropout2D(), nn.AlphaDropout(), nn.GaussianDropout(),
        nn.GaussianNoise(), nn.ActivityRegularization(), nn.Identity(),
    ):  # fmt: skip
        x = layer(x)
    y = nn.Conv2D(4, 1)(x)
    for merge in (nn.Add, nn.Subtract, nn.Multiply, nn.Average, nn.Maximum, nn.Minimum):
        x = merge()([x, y])
    x = nn.Concatenate()([x, y])
    high = nn.GlobalMaxPooling2D()(x)
    mean = nn.Flatten()(nn.GlobalAveragePooling2D(keepdims=True)(x))
    both = nn.Reshape((-1,))(nn.Concatenate()([high, mean]))
    return from_tensors(inputs, nn.Dense(3, activation="softmax")(both))


def equal(a: Model, b: Model) -> bool:
    """Whether two models say and compute the same."""
    return (
        modelfile.to_json(a) == modelfile.to_json(b)
        and dataclasses.replace(a, weights=b.weights) == b
        and set(a.weights) == set(b.weights)
        and all((a.weights[name] == b.weights[name]).all() for name in a.weights)
    )


def taken_apart(data: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """(header without metadata, our metadata, weights)."""
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    metadata = json.loads(header.pop("__metadata__")["tinycnn"])
    del metadata["sha256"]
    return header, metadata, data[8 + size :]


def put_together(header: Any, metadata: Any, weights: bytes) -> bytes:
    """A model file without a digest, as someone would make it who means ill."""
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    return with_header(json.dumps({"__metadata__": {"tinycnn": text}, **header}), weights)


def with_header(text: str | bytes, weights: bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw + weights


def edited(data: bytes, edit: Callable[[dict[str, Any], dict[str, Any]], Any]) -> bytes:
    """The file after ``edit(header, metadata)``."""
    header, metadata, weights = taken_apart(data)
    edit(header, metadata)
    return put_together(header, metadata, weights)
