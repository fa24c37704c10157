"""What a file does not say and no option said: told to the user, who alone can know it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from tinycnn.nn import layers as nn
from tinycnn.nn.endings import activation_of, last_layer
from tinycnn.nn.graph import INPUT, Graph
from tinycnn.nn.model import Model

SCALING = ("scale", "offset", "standardization")
GEOMETRY = (nn.Resizing, nn.ZeroPadding2D, nn.Cropping2D, nn.Permute, nn.Identity, nn.Dropout)


def assumptions(
    model: Model, chosen: argparse.Namespace, usual: str, said: bool = False
) -> Iterator[str]:
    """Yield a line for each thing that was assumed; ``usual``: how others prepare such inputs.

    ``said``: whether the network's end was told already.
    """
    p, inside = model.preprocessing, scales_itself(model.graph)
    scaled = [f"--{name}" for name in SCALING if getattr(chosen, name) is not None]
    if scaled and inside:
        yield (
            f"warning: the network scales its inputs itself (layer {inside!r}), and "
            f"{' and '.join(scaled)} scales them before: right only if training did both"
        )
    elif inside:
        yield f"the network scales its inputs itself (layer {inside!r}); nothing is done before"
    elif not scaled:
        yield (
            f"assumed, because no option says otherwise: {p.color_mode} grey levels 0 to 255 go "
            "into the network unscaled; if training scaled them, give --scale, --offset or "
            f"--standardization{f' ({usual})' * bool(usual)}"
        )
    if chosen.interpolation is None:
        yield (
            f"assumed, because no option says otherwise: images are resized with "
            f"{p.interpolation!r}, load_img's default; else give --interpolation"
        )
    ending = activation_of(last_layer(model.graph))
    if chosen.architecture and not (chosen.activation or said) and ending == "softmax":
        yield (
            "assumed, because no option says otherwise: one label excludes the others (softmax); "
            "if several can be true of one image, give --activation sigmoid"
        )
    if chosen.architecture and not chosen.input:
        size = "x".join(map(str, model.input_shape))
        yield f"assumed, because no option says otherwise: images of {size}; else give --input"


def scales_itself(graph: Graph) -> str:
    """Name of the layer that scales the input before all that computes; "" if there is none."""
    values = {INPUT}
    for node in graph.nodes:
        if values.isdisjoint(node.inputs):
            continue
        if isinstance(node.layer, nn.Rescaling | nn.Normalization):
            return node.name
        if isinstance(node.layer, GEOMETRY):
            values.add(node.name)
    return ""
