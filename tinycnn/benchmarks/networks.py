"""The networks that are measured: by name with seeded random weights, or from a model file."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from tinycnn.nn.architectures import KERAS, build, own_size
from tinycnn.nn.graph import Graph
from tinycnn.nn.layers import Add
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.types import Array, Shape


@dataclass(frozen=True)
class Network:
    """What to build: ``name`` of an architecture, options and all (`architectures.build`)."""

    name: str
    input_shape: Shape = (224, 224, 3)
    classes: int = 1000
    alpha: float = 1.0

    @property
    def title(self) -> str:
        """Name for people: "mobilenet_v2 0.35 224x224x3"."""
        width = f" {self.alpha:g}" if self.name.startswith("mobilenet") else ""
        return f"{self.name}{width} {'x'.join(map(str, self.input_shape))}"


SMALL = (32, 32, 1)
DEFAULT = (
    Network("mobilenet_v2"),
    Network("mobilenet_v2", alpha=0.35),
    Network("mobilenet"),
    Network("cnn5", SMALL, 1),
    Network("densenet169"),
    Network("resnet50"),
)


def usual(name: str) -> Network:
    """Give a network the input and classes it is usually measured with: ImageNet's, or its own."""
    base = name.partition(":")[0]
    return Network(name) if base in KERAS else Network(name, *own_size(base))


def random_model(network: Network, seed: int = 1) -> Model:
    """Build a network with weights that let values neither die out nor blow up on the way."""
    graph = build(network.name, network.input_shape, network.classes, network.alpha)
    weights = random_weights(graph, np.random.default_rng(seed))
    preprocessing = Preprocessing("grayscale" if graph.input_shape[2] == 1 else "rgb")
    return Model(graph, weights, preprocessing, name=network.name)


def random_weights(graph: Graph, random: np.random.Generator) -> dict[str, Array]:
    """Weights by He et al. 2015; batch-norm near the identity, its variances positive.

    Summands of a residual sum are halved: otherwise the values double with every block, and scores
    that are all 0 and 1 would be the same for any images.
    """
    added = {name for n in graph.nodes if isinstance(n.layer, Add) for name in n.inputs}
    return {
        name: _random(name, shape, 0.5 if name.partition("/")[0] in added else 1.0, random)
        for name, shape in graph.weight_shapes.items()
    }


def _random(name: str, shape: Shape, damping: float, random: np.random.Generator) -> Array:
    kind = name.rpartition("/")[2]
    if kind in ("gamma", "moving_variance"):
        value: Any = random.uniform(0.6, 1.4, shape) * (damping if kind == "gamma" else 1.0)
    elif kind == "depthwise_kernel":
        value = random.normal(0, (2 / prod(shape[:2])) ** 0.5, shape)
    elif kind.endswith("kernel"):
        value = random.normal(0, (2 / prod(shape[:-1])) ** 0.5, shape)
    else:
        value = random.normal(0, 0.1, shape)
    return np.asarray(value, np.float32)


def random_images(shape: Shape, count: int, seed: int = 2) -> Array:
    """A batch (count, H, W, C) of values in -1..1, float32."""
    batch = np.random.default_rng(seed).uniform(-1, 1, (count, *shape))
    return batch.astype(np.float32)
