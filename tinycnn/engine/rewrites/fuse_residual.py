"""A sum of a convolution and something else becomes the convolution's last step before the clip."""

from __future__ import annotations

from dataclasses import replace

from tinycnn.engine.ops import LINEAR, Binary, Conv, Net, Op


def fuse_residual(net: Net) -> Net:
    """Add(conv(x), y): conv(x) + y, stored once. The later of two convolutions takes the other."""
    readers, result = net.readers(), list[Op]()
    position: dict[str, int] = {}
    for op in net.ops:
        maker = _maker(op, result, position, readers) if isinstance(op, Binary) else None
        if maker is None:
            position[op.output] = len(result)
            result.append(op)
            continue
        assert isinstance(op, Binary)
        conv = result.pop(maker)
        other = next(name for name in op.inputs if name != conv.output)
        fused = replace(conv, inputs=(*conv.inputs, other), output=op.output, clip=op.clip)  # type: ignore[call-arg]
        # The other summand may have been made after the convolution: it takes the sum's place.
        position = {name: i - (i > maker) for name, i in position.items()}
        position[op.output] = len(result)
        result.append(fused)
    return replace(net, ops=tuple(result))


def _maker(
    op: Binary, result: list[Op], position: dict[str, int], readers: dict[str, list[Op]]
) -> int | None:
    """Index of the convolution that can take the sum over, the last of two."""
    if op.kind != "add" or op.shapes[0] != op.shapes[1] or op.inputs[0] == op.inputs[1]:
        return None
    places = [position[name] for name in op.inputs if name in position]
    for place in sorted(places, reverse=True):
        conv = result[place]
        free = isinstance(conv, Conv) and conv.clip == LINEAR and len(conv.inputs) == 1
        if free and isinstance(conv, Conv) and conv.groups == 1 and readers[conv.output] == [op]:
            return place
    return None
