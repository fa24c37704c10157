"""Leave out what does nothing at inference: dropout and its kin, and clips without bounds."""

from __future__ import annotations

from dataclasses import replace

from tinycnn.engine.ops import Net, Op, View
from tinycnn.nn.graph import INPUT


def drop_no_ops(net: Net) -> Net:
    """Views that keep the shape vanish; their readers read what they read."""
    shapes = {INPUT: net.input_shape} | {op.output: op.shape for op in net.ops}
    renamed: dict[str, str] = {}
    result: list[Op] = []
    for op in net.ops:
        inputs = tuple(renamed.get(name, name) for name in op.inputs)
        if isinstance(op, View) and shapes[inputs[0]] == op.shape and op.output != net.output:
            renamed[op.output] = inputs[0]
        else:
            result.append(replace(op, inputs=inputs))
    return replace(net, ops=tuple(result))
