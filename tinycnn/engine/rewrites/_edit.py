"""What rewrites share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tinycnn.engine.ops import Net, Op


def merge_pairs(net: Net, merge: Callable[[Op, Op], Op | None]) -> Net:
    """Replace (maker, its only reader) by ``merge(maker, reader)`` wherever that is not None.

    One pass is enough for chains: what was merged is the next reader's maker.
    """
    readers = net.readers()
    result: list[Op] = []
    position: dict[str, int] = {}
    for op in net.ops:
        maker = position.get(op.inputs[0])
        merged = None
        if maker is not None and len(readers[op.inputs[0]]) == 1 and len(op.inputs) == 1:
            merged = merge(result[maker], op)
        if merged is None or maker is None:
            position[op.output] = len(result)
            result.append(op)
        else:
            result[maker] = replace(merged, output=op.output, shape=op.shape)
            position[op.output] = maker
    return replace(net, ops=tuple(result))
