"""Networks by name, with the published parameter counts, for weights-only files and benchmarks.

Layers are named as in ``keras.applications`` wherever Keras has the network, so that weights that
Keras saved find their place by name.
"""

from __future__ import annotations

from collections.abc import Callable

from tinycnn.errors import UsageError
from tinycnn.nn.architectures.densenet import densenet121, densenet169, densenet201
from tinycnn.nn.architectures.mobilenet import mobilenet
from tinycnn.nn.architectures.mobilenet_v2 import mobilenet_v2
from tinycnn.nn.architectures.resnet import resnet50
from tinycnn.nn.architectures.shoulder import five_layer_cnn, one_layer_cnn, three_layer_cnn
from tinycnn.nn.graph import Graph
from tinycnn.nn.layers.base import Shape

# (input_shape, classes, alpha) -> graph; a network without a width factor takes alpha 1 only
ARCHITECTURES: dict[str, Callable[[Shape, int, float], Graph]] = {
    "mobilenet_v2": mobilenet_v2,
    "mobilenet": mobilenet,
    "densenet121": densenet121,
    "densenet169": densenet169,
    "densenet201": densenet201,
    "resnet50": resnet50,
    "cnn1": one_layer_cnn,
    "cnn3": three_layer_cnn,
    "cnn5": five_layer_cnn,
}


def build(
    name: str, input_shape: Shape = (224, 224, 1), classes: int = 2, alpha: float = 1.0
) -> Graph:
    """Build the network ``name`` for images of ``input_shape`` (H, W, C); UsageError if unknown.

    One class ends in a sigmoid, more in a softmax.
    """
    builder = ARCHITECTURES.get(name)
    if builder is None:
        raise UsageError(f"no architecture {name!r}; there are {', '.join(ARCHITECTURES)}")
    if len(input_shape) != 3:
        raise UsageError(f"{name} takes images (height, width, channels), not {input_shape}")
    return builder(tuple(input_shape), classes, alpha)


__all__ = ["ARCHITECTURES", "build", *sorted(f.__name__ for f in ARCHITECTURES.values())]
