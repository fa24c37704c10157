"""A network as a table for people, in the manner of Keras's ``summary()``."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinycnn.nn.graph import Graph, Node

HEADER = ("Layer (type)", "Output Shape", "Param #", "MACs", "Connected to")
BYTES = 4  # of a float32


def summarise(graph: Graph) -> str:
    """Return a table of all layers, and below it the sums.

    Shapes are without the batch, as everywhere here. A layer that is called twice has its
    parameters counted once. MACs are multiply-adds for one image.
    """
    counted: set[str] = set()
    inputs = ("input", spell_shape(graph.input_shape), "0", "0", "")
    lines = table([HEADER, inputs, *(_row(graph, node, counted) for node in graph.nodes)])
    largest = max(prod(shape) for shape in graph.shapes.values())
    return "\n".join(
        [
            *lines,
            f"Total params: {graph.parameters:,} ({spell_size(graph.parameters * BYTES)})",
            f"Multiply-adds for one image: {graph.macs:,}",
            f"Largest layer's output: {spell_size(largest * BYTES)}",
        ]
    )


def _row(graph: Graph, node: Node, counted: set[str]) -> tuple[str, ...]:
    layer = node.layer
    arguments = [graph.shapes[source] for source in node.inputs]
    shapes = arguments if layer.merges else arguments[0]
    new = layer.name not in counted
    counted.add(layer.name)
    parameters = sum(map(prod, layer.weight_shapes(shapes).values())) if new else 0
    return (
        f"{node.name} ({type(layer).__name__})",
        spell_shape(graph.shapes[node.name]),
        f"{parameters:,}",
        f"{layer.macs(shapes):,}",
        ", ".join(node.inputs),
    )


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lay out rows as wide as `HEADER`, which is the first of them, between rules."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER) - 1)]
    lines = []
    for row in rows:
        name, shape, parameters, macs, inputs = row
        cells = [
            name.ljust(widths[0]),
            shape.ljust(widths[1]),
            parameters.rjust(widths[2]),
            macs.rjust(widths[3]),
            inputs,
        ]
        lines.append("  ".join(cells).rstrip())
    rule = "-" * max(map(len, lines))
    return [rule, lines[0], rule, *lines[1:], rule]


def spell_shape(shape: tuple[int, ...]) -> str:
    """Spell a shape as Python does."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def spell_size(count: int) -> str:
    """Spell a number of bytes."""
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.2f} {unit}" if unit != "bytes" else f"{count} bytes"
        count /= 1000  # type: ignore[assignment]
    return f"{count:.2f} GB"
