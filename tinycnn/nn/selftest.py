"""The self-test that travels in a model file and is replayed at every load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import repeat, starmap
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn.errors import SelfTestError
from tinycnn.lightclass import dataclass
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.types import Array, Shape, Weights

if TYPE_CHECKING:
    from tinycnn.nn.graph import Graph
    from tinycnn.nn.model import Model

TOLERANCE = 1e-4  # relative to the largest expected value; float32 sums of any order stay below
SAMPLES = 8  # values kept of each intermediate activation
PROBES = 6  # intermediate activations kept


@dataclass(frozen=True)
class SelfTest:
    """A seed, the output that its input must give, and samples of layers on the way.

    ``probes``: node name -> values at positions spread evenly over that node's flat output.
    """

    seed: int
    expected: tuple[float, ...]
    probes: Mapping[str, tuple[float, ...]]


def image_like(shape: Shape, seed: int, preprocessing: Preprocessing) -> Array:
    """Make a seeded input (1, H, W, C): smooth structures with grain, preprocessed.

    The numbers of `RandomState`, whose stream NumPy froze for good: the same in every version.
    """
    height, width, channels = shape
    numbers = mersenne_twister(seed)
    coarse = _take(numbers, (9, 9, channels))
    rows, columns = np.linspace(0, 7.999, height), np.linspace(0, 7.999, width)
    r, c = rows.astype(int), columns.astype(int)
    dr, dc = (rows - r)[:, None, None], (columns - c)[None, :, None]
    upper = coarse[r][:, c] * (1 - dc) + coarse[r][:, c + 1] * dc
    lower = coarse[r + 1][:, c] * (1 - dc) + coarse[r + 1][:, c + 1] * dc
    smooth = upper * (1 - dr) + lower * dr
    grain = _take(numbers, shape)
    pixels = np.floor(255.0 * (0.85 * smooth + 0.15 * grain))
    return preprocessing.normalise(pixels[None])


def mersenne_twister(seed: int) -> Callable[[], float]:
    """What gives the numbers of ``np.random.RandomState(seed).random_sample``, one by one.

    Python's generator is the same one (Matsumoto and Nishimura 1998), only seeded in another way.
    Importing numpy.random takes 5 ms and 3 MB of every process that loads a model.
    """
    from random import Random  # 0.7 ms, which a model that was prepared before does not need

    words = [seed]
    for i in range(1, 624):
        words.append((1812433253 * (words[-1] ^ words[-1] >> 30) + i) & 0xFFFFFFFF)
    random = Random()
    random.setstate((3, (*words, 624), None))
    return random.random


def _take(numbers: Callable[[], float], shape: Shape) -> Array:
    """An array (float64) of numbers; 1 ms for 25,000."""
    size = prod(shape)
    values: Any = np.fromiter(starmap(numbers, repeat((), size)), np.float64, size)
    return values.reshape(shape)


def record(graph: Graph, weights: Weights, preprocessing: Preprocessing, seed: int = 1) -> SelfTest:
    """Compute the self-test of a model with the reference."""
    names = [node.name for node in graph.nodes[:-1]]
    wanted = {names[i] for i in np.linspace(0, len(names) - 1, PROBES).astype(int)} if names else ()
    probes: dict[str, tuple[float, ...]] = {}

    def keep(name: str, value: Array) -> None:
        if name in wanted:
            probes[name] = _sample(value)
            if not np.isfinite(probes[name]).all():
                raise SelfTestError(f"layer {name!r} gives NaN or infinity for an image-like input")

    x = image_like(graph.input_shape, seed, preprocessing)
    expected = graph.forward(x, weights, keep)
    if not np.isfinite(expected).all():
        raise SelfTestError("the model gives NaN or infinity for an image-like input")
    return SelfTest(seed, tuple(float(v) for v in expected.ravel()), probes)


def replay(model: Model, predict: Callable[[Array], Array] | None = None) -> float:
    """Run a model's test, with ``predict`` or else the reference; the largest relative difference.

    0 for a model without one. SelfTestError names the first layer that is wrong, or the backend if
    the reference is right.
    """
    test, x = model.self_test, model.test_input
    if test is None or x is None:
        return 0.0
    if predict is None:
        return _replay_reference(model, test, x)
    difference = _difference(predict(x), test.expected)
    if difference <= TOLERANCE:
        return difference
    _replay_reference(model, test, x)
    raise SelfTestError(
        f"self-test: the backend differs by {difference:.2g} from the reference, which is right; "
        "use --backend numpy and report it"
    )


def _replay_reference(model: Model, test: SelfTest, x: Array) -> float:
    def keep(name: str, value: Array) -> None:
        if name in test.probes:
            difference = _difference(_sample(value), test.probes[name])
            if not difference <= TOLERANCE:  # a NaN is not <= anything
                raise SelfTestError(
                    f"self-test: layer {name!r} is the first that differs, by {difference:.2g} "
                    "(relative); the model file is damaged: convert it again"
                )

    difference = _difference(model.graph.forward(x, model.weights, keep), test.expected)
    if not difference <= TOLERANCE:
        raise SelfTestError(
            f"self-test: the output differs by {difference:.2g} (relative); "
            "the model file is damaged: convert it again"
        )
    return difference


def _sample(value: Array) -> tuple[float, ...]:
    flat = value.ravel()
    return tuple(float(v) for v in flat[np.linspace(0, flat.size - 1, SAMPLES).astype(int)])


def _difference(got: object, expected: object) -> float:
    """Largest difference relative to the largest expected value; infinity for NaN or a shape."""
    a, b = np.ravel(np.asarray(got, np.float64)), np.ravel(np.asarray(expected, np.float64))
    if a.shape != b.shape or not np.isfinite(a).all() or not np.isfinite(b).all():
        return float("inf")
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-6))
