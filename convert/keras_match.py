"""Weights-only files to one of our architectures: by layer names, else in Keras's order.

Never by guess: what does not fit is listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinycnn.errors import ConversionError
from tinycnn.nn.graph import Graph
from tinycnn.nn.layers import Flatten
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.types import Array, Shape

from .dialect import Dialect, split_name
from .hdf5_tree import Group
from .keras_config import snake_case
from .keras_order import keras_order
from .keras_weights import (
    OTHER_NAMES,
    STATE,
    Stored,
    is_keras3,
    keras3_arrays,
    keras3_layers,
    legacy_arrays,
)
from .kernels import FROM_OUT_FIRST, arrange


@dataclass(frozen=True)
class Saved:
    """The arrays of one saved layer, with its name, and in Keras 3's layout its class."""

    name: str
    arrays: tuple[Stored, ...]
    stem: str = ""

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Shapes in the file's order."""
        return tuple(value.shape for value in self.values)

    @property
    def values(self) -> tuple[Array, ...]:
        """The arrays themselves."""
        return tuple(item.value for item in self.arrays)

    @property
    def turned_shapes(self) -> tuple[Shape, ...]:
        """Shapes if kernels are (out, in, rows, columns) and are turned to our order."""
        return tuple(
            value.transpose(FROM_OUT_FIRST).shape if value.ndim == 4 else value.shape
            for value in self.values
        )


@dataclass(frozen=True)
class Wanted:
    """One layer of the architecture that has weights."""

    layer: Layer
    shapes: Mapping[str, Shape]

    @property
    def stem(self) -> str:
        """The layer's class as Keras 3 names its group."""
        return snake_case(type(self.layer).__name__)

    @property
    def is_named(self) -> bool:
        """Whether the name was given on purpose: conv2d_3 was not."""
        return not re.fullmatch(rf"{self.stem}(_\d+)?", self.layer.name)


def match_architecture(root: Group, graph: Graph, dialect: Dialect) -> dict[str, Array]:
    """Return the file's arrays under the graph's names; ConversionError lists what does not fit."""
    saved = list(_keras3(root) if is_keras3(root) else _legacy(root))
    wanted = list(_wanted(graph))
    weights: dict[str, Array] = {}
    pairs = _pairs(wanted, saved)
    out_first = _is_out_first(pairs, graph, dialect)
    for want, have in pairs:
        for key, item in zip(_names(want, have), have.arrays, strict=True):
            if not np.isfinite(item.value).all():
                raise ConversionError(f"layer {want.layer.name!r}: {key!r} holds NaN or infinity")
            weights[f"{want.layer.name}/{key}"] = arrange(
                item.value, want.layer, key, dialect, out_first=out_first, order={}
            )
    return weights


def _is_out_first(pairs: Sequence[tuple[Wanted, Saved]], graph: Graph, dialect: Dialect) -> bool:
    """Whether the kernels lie as Keras 1 laid them with dim_ordering "th"; all do, or none does."""
    wrong = [pair for pair in pairs if not _fits(*pair)]
    turned = dialect.keras1 and all(_fits(*pair, out_first=True) for pair in pairs)
    if wrong and not turned:
        raise ConversionError(f"{len(wrong)} layers do not fit the architecture: {_list(wrong)}")
    if not turned or not any(value.ndim == 4 for _, have in pairs for value in have.values):
        return False
    if not wrong:
        raise ConversionError("its kernels fit in TensorFlow's order and in Theano's alike")
    _check_flatten(graph)
    return True


def _check_flatten(graph: Graph) -> None:
    """Refuse rows of a Dense layer that count the channels first."""
    for node in graph.nodes:
        shape = graph.shapes[node.inputs[0]]
        if isinstance(node.layer, Flatten) and len(shape) == 3 and shape[:2] != (1, 1):
            raise ConversionError(
                f"layer {node.name!r}: its values count the channels first in a file with "
                "Theano's order; load it with Keras 2 and save the whole model"
            )


def _wanted(graph: Graph) -> Iterator[Wanted]:
    for node in keras_order(graph):
        prefix = f"{node.layer.name}/"
        shapes = {k: s for k, s in graph.weight_shapes.items() if k.startswith(prefix)}
        if shapes:
            yield Wanted(node.layer, {k.removeprefix(prefix): s for k, s in shapes.items()})


def _legacy(root: Group) -> Iterator[Saved]:
    """Yield the layers of a `.h5` in order; those of nested models by their arrays' paths."""
    for name in root.names("layer_names"):
        group = root.at(name)
        if group is None:
            raise ConversionError(f"the layer {name!r} is listed in the file, but not there")
        owners: dict[str, list[Stored]] = {}
        items = [item for item in legacy_arrays(group) if item.weight not in STATE]
        for owner, item in zip(_owners(items), items, strict=True):
            owners.setdefault(owner, []).append(item)
        for owner, items in owners.items():
            last = owner.rpartition("/")[2] or name
            yield Saved(name if len(owners) == 1 else last, tuple(items))


def _owners(items: Sequence[Stored]) -> list[str]:
    """Paths of the layers that these arrays of one group belong to.

    Keras 1 let an initial value name its variable ("uniform1"): that is the next layer's.
    """
    old = [split_name(item.path) for item in items]
    owners = [
        o[0] if o else item.path.rpartition("/")[0] for o, item in zip(old, items, strict=True)
    ]
    if any(old):
        for i in reversed(range(len(items) - 1)):
            owners[i] = owners[i] or owners[i + 1]
    return owners


def _keras3(root: Group) -> Iterator[Saved]:
    """Yield the layers of a `.weights.h5`; the order is known within one class only."""
    for stem, name, group in keras3_layers(root):
        yield Saved(name, tuple(keras3_arrays(group)), stem)


def _pairs(wanted: Sequence[Wanted], saved: Sequence[Saved]) -> list[tuple[Wanted, Saved]]:
    """Pair by name if all names agree; else given names first, and the rest in order."""
    by_name = {have.name: have for have in saved}
    everything = len(by_name) == len(saved) == len(wanted) and all(
        want.layer.name in by_name for want in wanted
    )
    pairs = [
        (want, by_name[want.layer.name])
        for want in wanted
        if want.layer.name in by_name and (everything or want.is_named)
    ]
    taken = {id(part) for pair in pairs for part in pair}
    rest = [w for w in wanted if id(w) not in taken], [h for h in saved if id(h) not in taken]
    return pairs + _in_order(*rest)


def _in_order(wanted: Sequence[Wanted], saved: Sequence[Saved]) -> list[tuple[Wanted, Saved]]:
    if any(have.stem for have in saved):  # Keras 3: classes first, in which the order is known
        wanted = sorted(wanted, key=lambda want: want.stem)
        saved = sorted(saved, key=lambda have: have.stem)
    if len(wanted) != len(saved):
        raise ConversionError(
            f"the architecture has {len(wanted)} more layers with weights "
            f"({_some([f'{w.layer.name} {_spell(w.shapes.values())}' for w in wanted], 4)}), "
            f"the file {len(saved)} "
            f"({_some([f'{h.name or h.stem} {_spell(h.shapes)}' for h in saved], 4)})"
        )
    return list(zip(wanted, saved, strict=True))


def _fits(want: Wanted, have: Saved, out_first: bool = False) -> bool:
    names = _names(want, have)
    shapes = have.turned_shapes if out_first else have.shapes
    return len(names) == len(have.arrays) and shapes == tuple(want.shapes[n] for n in names)


def _names(want: Wanted, have: Saved) -> list[str]:
    """Our names for a saved layer's arrays: by theirs if all are known, else by order."""
    names = [
        a.weight if a.weight in want.shapes else OTHER_NAMES.get(a.weight, "") for a in have.arrays
    ]
    return names if sorted(names) == sorted(want.shapes) else list(want.shapes)


def _list(pairs: Sequence[tuple[Wanted, Saved]]) -> str:
    return _some(
        [
            f"{want.layer.name} needs {_spell(want.shapes.values())}, "
            f"{'the file' if have.name == want.layer.name else have.name or have.stem} "
            f"has {_spell(have.shapes)}"
            for want, have in pairs
        ],
        limit=4,
    )


def _spell(shapes: Iterable[Shape]) -> str:
    return " ".join(map(str, shapes)) or "nothing"


def _some(items: Sequence[str], limit: int = 8) -> str:
    items = list(dict.fromkeys(items))
    more = f", and {len(items) - limit} more" if len(items) > limit else ""
    return (", ".join(items[:limit]) or "none") + more
