"""Expand, depthwise, project: one operation that never stores the expanded picture.

Worth it where the expanded picture is larger than a second-level cache likes and the weights, which
pass once for each row, are small: MobileNetV2's first half (measured: docs/benchmarks.md).
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from tinycnn.engine import caches
from tinycnn.engine.kernels.family import BLOCK
from tinycnn.engine.ops import LINEAR, Conv, Depthwise, InvertedResidual, Net, Op


def fuse_inverted_residual(net: Net) -> Net:
    """Merge Conv 1x1, Depthwise 3x3, Conv 1x1 where nobody else reads what is between."""
    readers, result = net.readers(), list[Op]()
    for op in net.ops:
        block = _block(op, result, readers)
        if block is not None:
            del result[-2:]
        result.append(op if block is None else block)
    return replace(net, ops=tuple(result))


def _block(op: Op, before: list[Op], readers: dict[str, list[Op]]) -> InvertedResidual | None:
    if len(before) < 2 or not isinstance(op, Conv):
        return None
    expand, depthwise, project = before[-2], before[-1], op
    if not isinstance(expand, Conv) or not isinstance(depthwise, Depthwise):
        return None
    chained = depthwise.inputs == (expand.output,) and project.inputs[0] == depthwise.output
    alone = readers[expand.output] == [depthwise] and readers[depthwise.output] == [project]
    if not (chained and alone and _fits(expand, depthwise, project)):
        return None
    return InvertedResidual(
        inputs=(expand.inputs[0], *project.inputs[1:]), output=project.output,
        shape=project.shape, source=expand.source, expand=expand, depthwise=depthwise,
        project=project,
    )  # fmt: skip


def _fits(expand: Conv, depthwise: Depthwise, project: Conv) -> bool:
    pointwise = all(
        c.kernel.shape[:2] == (1, 1) and c.strides == (1, 1) and c.groups == 1
        for c in (expand, project)
    )
    three = depthwise.kernel.shape[:2] == (3, 3) and depthwise.kernel.shape[3] == 1
    strides = depthwise.strides in ((1, 1), (2, 2)) and depthwise.dilation == (1, 1)
    padded = max(depthwise.pads[0] + depthwise.pads[1]) <= 1 and expand.pads == project.pads
    clips = expand.clip == depthwise.clip and project.clip == LINEAR and len(expand.inputs) == 1
    blocks = expand.shape[2] % BLOCK == 0
    large = 4 * prod(expand.shape) >= caches.least_expanded_bytes()
    light = expand.kernel.nbytes + project.kernel.nbytes <= caches.most_fused_weights()
    return pointwise and three and strides and padded and clips and blocks and large and light
