"""The self-test that travels in a model file and is replayed at every load."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import repeat, starmap
from math import inf, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn.errors import SelfTestError
from tinycnn.lightclass import dataclass
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.types import MAX_FLOAT, Array, Shape, Weights

if TYPE_CHECKING:
    from tinycnn.nn.graph import Graph
    from tinycnn.nn.model import Model
    from tinycnn.nn.tolerance import Exact

OLD_TOLERANCE = 1e-4  # of the largest expected value, where a file does not say what is allowed
MOST_BELIEVED = 0.01  # of the largest expected value: a file that allows more is not believed
SAMPLES = 8  # values kept of each intermediate activation
PROBES = 6  # intermediate activations kept


@dataclass(frozen=True)
class SelfTest:
    """A seed, the output that its input must give, and samples of layers on the way.

    ``probes``: node name -> values at positions spread evenly over that node's flat output.
    ``allowed``: by how much a right program's output may differ (absolute; see `tolerance`); None
    in files of versions that did not know.
    """

    seed: int
    expected: tuple[float, ...]
    probes: Mapping[str, tuple[float, ...]]
    allowed: float | None = None


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
    """Compute the self-test of a model, in float64; `tolerance` says what it takes."""
    from tinycnn.nn.tolerance import measure

    names = [node.name for node in graph.nodes[:-1]]
    wanted = {names[i] for i in np.linspace(0, len(names) - 1, PROBES).astype(int)} if names else ()
    watched = _watched(graph, wanted)
    right = measure(graph, weights, image_like(graph.input_shape, seed, preprocessing), watched)
    for name, exact in right.items():
        if not np.isfinite(exact.allowed):
            what = "the model" if name == graph.output else f"layer {name!r}"
            raise SelfTestError(f"{what} gives NaN or infinity for an image-like input")
    expected = right.pop(graph.output)
    allowed = min(float(f"{expected.allowed:.2e}"), MAX_FLOAT)
    probes = {name: _float32(exact.value) for name, exact in right.items()}
    return SelfTest(seed, _float32(expected.value), probes, allowed)


def replay(model: Model, predict: Callable[[Array], Array] | None = None) -> float:
    """Run a model's test, with ``predict`` or else the reference; the largest relative difference.

    0 for a model without one. What differs by more than the file allows is compared with float64
    here. SelfTestError names the first layer that is wrong, or the backend if the file is right.
    """
    test, x = model.self_test, model.test_input
    if test is None or x is None:
        return 0.0
    found, largest = (predict or model.forward)(x), max(map(abs, test.expected), default=0.0)
    distance = difference(found, test.expected)
    if not distance <= _believed(test, largest):  # a NaN is not <= anything
        _compare_with_float64(model, test, x, found)
    return distance / max(largest, 1e-6)


def _believed(test: SelfTest, largest: float) -> float:
    """How far an output may be from the expected one without a second look."""
    if test.allowed is None:
        return OLD_TOLERANCE * max(largest, 1e-6)
    return min(test.allowed, MOST_BELIEVED * largest)


def _compare_with_float64(model: Model, test: SelfTest, x: Array, found: Array) -> None:
    """SelfTestError unless file and backend are as near to float64 as float32 can be.

    Takes the time of some ten images: for a file of an older version, which says nothing of what is
    allowed, for one that allows very much, and for what is wrong.
    """
    from tinycnn.nn.tolerance import measure

    output = model.graph.output
    right = measure(model.graph, model.weights, x, _watched(model.graph, test.probes))
    for name, values in {**test.probes, output: test.expected}.items():
        if not right[name].admits(values):
            layer = f"layer {name!r} is the first that" if name != output else "the output"
            raise SelfTestError(
                f"self-test: {layer} differs, by {_spell(right[name], values)}; "
                "the model file is damaged: convert it again"
            )
    if not right[output].admits(found):
        raise SelfTestError(
            f"self-test: the backend differs by {_spell(right[output], found)} from the reference, "
            "which is right; use --backend numpy and report it"
        )


def _watched(graph: Graph, probes: Iterable[str]) -> dict[str, Callable[[Array], Array]]:
    """What is compared: samples of some layers, and all of the output."""
    return {**dict.fromkeys(probes, _sample), graph.output: np.ravel}


def _spell(right: Exact, found: object) -> str:
    distance = difference(found, right.value)
    return f"{distance:.2g} (rounding explains {right.allowed:.2g})"


def _sample(value: Array) -> Array:
    flat = value.ravel()
    return flat[np.linspace(0, flat.size - 1, SAMPLES).astype(int)]


def _float32(value: Array) -> tuple[float, ...]:
    return tuple(map(float, value.astype(np.float32)))


def difference(found: Any, expected: Any) -> float:
    """Largest absolute difference; infinity for another size, or where one is not finite."""
    a, b = (np.ravel(np.asarray(value, np.float64)) for value in (found, expected))
    if a.shape != b.shape or not np.isfinite(a).all() or not np.isfinite(b).all():
        return inf
    return float(np.abs(a - b).max(initial=0.0))
