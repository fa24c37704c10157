"""Average pooling before a 1x1 convolution instead of after it: the same, from fewer pixels."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

from tinycnn.engine.ops import LINEAR, NO_PADS, Conv, Net, Op, Pool


def pool_first(net: Net) -> Net:
    """Swap a 1x1 convolution and the average pooling that alone reads it.

    One mixes channels, the other pixels, with weights that sum to 1 (cells outside do not count):
    so the order is free, bias included. DenseNet's transitions multiply a quarter as often.
    """
    readers, result = net.readers(), list[Op]()
    position: dict[str, int] = {}
    for op in net.ops:
        place = position.get(op.inputs[0])
        if place is not None and _gains(result[place], op) and readers[op.inputs[0]] == [op]:
            result[place], op = _swapped(result[place], op)
        position[op.output] = len(result)
        result.append(op)
    return replace(net, ops=tuple(result))


def _gains(conv: Op, pool: Op) -> bool:
    if not (isinstance(conv, Conv) and isinstance(pool, Pool) and pool.kind == "mean"):
        return False
    pointwise = conv.kernel.shape[:2] == (1, 1) and conv.strides == (1, 1) and conv.pads == NO_PADS
    linear = conv.clip == LINEAR and len(conv.inputs) == 1
    return pointwise and linear and 2 * prod(pool.shape[:2]) <= prod(pool.source[:2])


def _swapped(conv: Any, pool: Any) -> tuple[Op, Op]:
    """Both under the other's name: each takes the other's place."""
    middle = (*pool.shape[:2], conv.source[2])
    first = replace(pool, inputs=conv.inputs, output=conv.output, shape=middle, source=conv.source)
    second = replace(conv, inputs=pool.inputs, output=pool.output, shape=pool.shape, source=middle)
    return first, second
