"""A network under construction: nodes so far, their shapes, and what is still allowed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from tests.differential.draw import Draw
from tinycnn.errors import GraphError
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import INPUT, Graph, Node
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.layers.core import Identity
from tinycnn.nn.layers.merging import Merge
from tinycnn.nn.types import Shape


class UnfitError(Exception):
    """A choice that leads to no network of the wanted kind: another one is made."""


@dataclass(frozen=True)
class Size:
    """How large networks become: ``blocks`` structures, each value and all work below a limit."""

    name: str
    channels: tuple[int, ...]
    inputs: tuple[int, ...]  # channels of the input
    sides: tuple[int, ...]  # rows and columns of the input
    blocks: tuple[int, int]
    most_values: int
    most_macs: int
    caches: tuple[int, ...]  # bytes of the second-level cache that the engine is told


KB = 1 << 10
TINY = Size(
    "tiny", (1, 2, 3, 5, 15, 16, 17, 31, 33), (1, 2, 3, 5, 15, 16, 17, 31, 33),
    (1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 17), (1, 7), 12_000, 3_000_000, (16 * KB, 64 * KB, 256 * KB),
)  # fmt: skip
REAL = Size(
    "real", (16, 17, 24, 32, 33, 40, 48, 64, 96), (1, 3, 3, 3, 16, 32),
    (14, 15, 16, 20, 24, 28, 32, 33, 40, 56, 64), (2, 6), 150_000, 50_000_000,
    (256 * KB, 512 * KB, 1024 * KB),
)  # fmt: skip
SIZES = {size.name: size for size in (TINY, REAL)}

MOST_MERGED = 3  # dimensions of what element-wise layers of several inputs take

# Layers whose float32 results have no rounding error: values moved, compared, or left alone.
EXACT = (
    *(Identity, nn.Flatten, nn.Reshape, nn.Permute, nn.ZeroPadding2D, nn.Cropping2D),
    *(nn.MaxPooling2D, nn.GlobalMaxPooling2D, nn.Maximum, nn.Minimum, nn.Concatenate),
)


def has_jump(layer: Layer) -> bool:
    """Whether the layer's function is not continuous."""
    shrinks = getattr(layer, "activation", "") == "hard_shrink"
    return shrinks or (isinstance(layer, nn.ReLU) and layer.threshold != 0)


def note_exact(node: Node, exact: set[str]) -> None:
    """Add a node to the ``exact`` values if it is one.

    UnfitError for a jump behind values with rounding errors: two right answers differ there, if one
    value lies below the jump and the other above.
    """
    follows = exact.issuperset(node.inputs)
    alone = isinstance(node.layer, nn.Activation | nn.ReLU)
    if has_jump(node.layer) and not (follows and alone):
        raise UnfitError(f"{node.name} has a jump, and inputs with rounding errors")
    if follows and isinstance(node.layer, EXACT):
        exact.add(node.name)


class Builder:
    """Adds nodes, names them, and refuses what is too large.

    ``turn`` counts the networks that have the same feature: what has few values takes its turn.
    ``cache``: see `Size`.
    """

    def __init__(self, draw: Draw, size: Size, shape: Shape, turn: int = 0) -> None:
        self.draw, self.size, self.turn = draw, size, turn
        self.cache = int(draw.pick(*size.caches))
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {INPUT: shape}
        self.exact = {INPUT}
        self.macs = 0

    def add(self, layer: Layer, *inputs: str) -> str:
        """A node for ``layer``; a layer that has a name already is shared."""
        name = f"n{len(self.nodes)}"
        layer = layer if layer.name else replace(layer, name=name)
        shapes: Any = [self.shapes[i] for i in inputs]
        source = shapes if layer.merges else shapes[0]
        shape = layer.output_shape(source)
        if isinstance(layer, Merge) and len(shape) > MOST_MERGED:
            raise UnfitError(f"{name}: the engine refuses more than {MOST_MERGED} dimensions")
        macs, working = layer.steps(source), layer.working_shapes(source)
        most = max(map(prod, [shape, *working, *layer.weight_shapes(source).values()]))
        if most > self.size.most_values or self.macs + macs > self.size.most_macs:
            raise UnfitError(f"{name} is too large")
        node = Node(name, layer, inputs)
        note_exact(node, self.exact)
        self.macs += macs
        self.nodes.append(node)
        self.shapes[name] = shape
        return name

    def chain(self, x: str, *layers: Layer) -> str:
        """One layer after the other."""
        for layer in layers:
            x = self.add(layer, x)
        return x

    def attempt(self, block: Callable[[Builder, str], str], x: str) -> str | None:
        """What ``block`` makes of ``x``; None, and nothing added, where it does not fit."""
        before = list(self.nodes), dict(self.shapes), set(self.exact), self.macs
        try:
            return block(self, x)
        except (UnfitError, GraphError):
            self.nodes, self.shapes, self.exact, self.macs = before
            return None

    def image(self, x: str) -> Shape:
        """The shape of ``x``, which must be (H, W, C)."""
        if len(self.shapes[x]) != 3:
            raise UnfitError(f"{x} is no image")
        return self.shapes[x]

    def channels(self) -> int:
        """A number of channels."""
        return int(self.draw.pick(*self.size.channels))

    def like(self, x: str) -> list[str]:
        """All values of the same shape as ``x``, ``x`` among them."""
        return [name for name, shape in self.shapes.items() if shape == self.shapes[x]]

    def graph(self) -> Graph:
        """The network so far; the last node is the output."""
        return Graph(self.shapes[INPUT], tuple(self.nodes))
