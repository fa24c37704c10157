"""Where the values of a picture lie, and which operation wants them where.

A *plain* picture is [row][column][channel], as in Keras. A *blocked* one is
[block][row][column][16]: 16 channels of a pixel lie together, then the next pixel's. Kernels then
read whole vectors, rows are contiguous, and pictures that are concatenated simply lie one behind
the other. The last block's unused channels hold nothing that is ever read. A picture that windows
will look beyond carries a ring of zeros (``ring``).
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from tinycnn.engine import ops
from tinycnn.engine.kernels.family import BLOCK
from tinycnn.engine.ops import NO_PADS, Net, Op, Pads
from tinycnn.lightclass import dataclass
from tinycnn.nn.graph import INPUT
from tinycnn.nn.types import Shape


@dataclass(frozen=True)
class Layout:
    """Distances in floats: ``pixel``, ``row`` and ``block`` apart; ``start``: the first pixel."""

    shape: Shape
    blocked: bool = False
    ring: Pads = NO_PADS

    @property
    def blocks(self) -> int:
        """Blocks of 16 channels; a plain picture is one block."""
        return -(-self.shape[-1] // BLOCK) if self.blocked else 1

    @property
    def pixel(self) -> int:
        """From one pixel to the next."""
        return BLOCK if self.blocked else self.shape[-1]

    @property
    def row(self) -> int:
        """From one row to the next; 0 where there are no rows."""
        if len(self.shape) != 3:
            return 0
        return (self.shape[1] + sum(self.ring[1])) * self.pixel

    @property
    def block(self) -> int:
        """From one block to the next; 0 for a plain picture."""
        return (self.shape[0] + sum(self.ring[0])) * self.row if self.blocked else 0

    @property
    def start(self) -> int:
        """The first pixel inside the ring."""
        return self.ring[0][0] * self.row + self.ring[1][0] * self.pixel if self.ringed else 0

    @property
    def ringed(self) -> bool:
        """Whether there is a ring of zeros."""
        return self.ring != NO_PADS

    @property
    def size(self) -> int:
        """Floats in all."""
        if self.blocked:
            return self.blocks * self.block
        return (self.shape[0] + sum(self.ring[0])) * self.row if self.ringed else prod(self.shape)


@dataclass(frozen=True, eq=False)
class Arranged:
    """A network in which every operation finds its inputs where it wants them."""

    net: Net
    layouts: dict[str, Layout]


def arrange(net: Net) -> Arranged:
    """Choose a layout for every value; put a `Convert` where two operations disagree."""
    arranger = _Arranger(net)
    for op in net.ops:
        arranger.add(op)
    arranged = replace(net, output=arranger.plain(net.output), ops=tuple(arranger.ops))
    return Arranged(arranged, _with_rings(arranged, arranger.layouts))


def _with_rings(net: Net, layouts: dict[str, Layout]) -> dict[str, Layout]:
    """Give values the rings that their readers look into."""
    needs = dict.fromkeys(layouts, NO_PADS)
    for op in reversed(net.ops):
        source = op.inputs[0]
        if isinstance(op, ops.Conv | ops.Depthwise) and layouts[op.output].blocked:
            reach = op.reach if isinstance(op, ops.Conv) else op.pads
            needs[source] = _largest(needs[source], reach)
        elif isinstance(op, ops.Pad) and layouts[op.output].blocked:
            needs[source] = _largest(needs[source], _plus(op.pads, needs[op.output]))
    result = {name: replace(layout, ring=needs[name]) for name, layout in layouts.items()}
    for op in net.ops:  # padding is a view: its ring is what is left of its input's
        if isinstance(op, ops.Pad) and layouts[op.output].blocked:
            ring = _plus(result[op.inputs[0]].ring, op.pads, -1)
            result[op.output] = replace(result[op.output], ring=ring)
    return result


def _largest(a: Pads, b: Pads) -> Pads:
    (at, ab), (al, ar) = a
    (bt, bb), (bl, br) = b
    return (max(at, bt), max(ab, bb)), (max(al, bl), max(ar, br))


def _plus(a: Pads, b: Pads, sign: int = 1) -> Pads:
    (at, ab), (al, ar) = a
    (bt, bb), (bl, br) = b
    return (at + sign * bt, ab + sign * bb), (al + sign * bl, ar + sign * br)


@dataclass(frozen=True, eq=False, kw_only=True)
class Convert(Op):
    """The same picture in another layout."""


class _Arranger:
    def __init__(self, net: Net) -> None:
        self.ops: list[Op] = []
        self.layouts: dict[str, Layout] = {INPUT: Layout(net.input_shape)}
        self.readers = net.readers()

    def add(self, op: Op) -> None:
        """Append ``op`` with inputs and output in the layouts that its kernel takes."""
        if self._is_stem(op):
            inputs, output = op.inputs, Layout(op.shape, blocked=True)
        elif wants_blocked(op, self.layouts):
            inputs = tuple(self.blocked(name) for name in op.inputs)
            output = Layout(op.shape, blocked=len(op.shape) == 3)
        else:
            inputs, output = tuple(self.plain(name) for name in op.inputs), Layout(op.shape)
        self.layouts[op.output] = output
        self.ops.append(replace(op, inputs=inputs))

    def plain(self, name: str) -> str:
        """Name of a plain copy of a value, or of the value if it is plain."""
        return self._convert(name, False)

    def blocked(self, name: str) -> str:
        """Name of a blocked copy of a value, or of the value if it is blocked."""
        return self._convert(name, True)

    def _convert(self, name: str, blocked: bool) -> str:
        layout = self.layouts[name]
        if len(layout.shape) != 3 or layout.blocked == blocked:
            return name
        copy = f"{name}#{'blocked' if blocked else 'plain'}"
        if copy not in self.layouts:
            self.layouts[copy] = Layout(layout.shape, blocked)
            self.ops.append(Convert(inputs=(name,), output=copy, shape=layout.shape))
        return copy

    def _is_stem(self, op: Op) -> bool:
        """A convolution of the network's input, which is read as it came: few channels."""
        return (
            isinstance(op, ops.Conv)
            and op.inputs == (INPUT,)
            and op.groups == 1
            and op.source[2] < BLOCK
            and op.dilation == (1, 1)
            and not isinstance(op, ops.Winograd)
            and self.readers[INPUT] == [op]
        )


def wants_blocked(op: Op, layouts: dict[str, Layout]) -> bool:
    """Whether ``op`` has a kernel for blocked pictures, and it is the better one here."""
    if isinstance(op, ops.Conv):
        return op.groups == 1
    if isinstance(op, ops.Depthwise):
        return op.kernel.shape[3] == 1
    if isinstance(op, ops.InvertedResidual | ops.Pool | ops.GlobalPool):
        return True
    mine = [layouts[name] for name in op.inputs]
    if isinstance(op, ops.Elementwise | ops.Affine | ops.Pad):
        return mine[0].blocked
    if isinstance(op, ops.Binary):
        return op.shapes[0] == op.shapes[1] and any(m.blocked for m in mine)
    if isinstance(op, ops.Concat):
        aligned = all(shape[-1] % BLOCK == 0 for shape in op.shapes[:-1])
        return op.dimension == 2 and aligned and all(m.blocked for m in mine)
    return False
