"""VGG (Simonyan and Zisserman 2015, table 1), layer by layer as in ``keras.applications``."""

from __future__ import annotations

from tinycnn.nn.architectures._heads import score_activation
from tinycnn.nn.graph import Graph, Sequential
from tinycnn.nn.layers import Conv2D, Dense, Flatten, Layer, MaxPooling2D
from tinycnn.nn.types import Shape

# (channels, 3x3 convolutions) of the five blocks
BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def vgg16(input_shape: Shape = (224, 224, 3), classes: int = 2) -> Graph:
    """VGG16; 138,357,544 parameters at 224x224x3 and 1000 classes."""
    layers: list[Layer] = []
    for block, (channels, count) in enumerate(BLOCKS, start=1):
        for conv in range(1, count + 1):
            name = f"block{block}_conv{conv}"
            layers += [Conv2D(channels, 3, padding="same", activation="relu", name=name)]
        layers += [MaxPooling2D(2, 2, name=f"block{block}_pool")]
    layers += [
        Flatten(name="flatten"),
        Dense(4096, activation="relu", name="fc1"),
        Dense(4096, activation="relu", name="fc2"),
        Dense(classes, activation=score_activation(classes), name="predictions"),
    ]
    return Sequential(layers, input_shape)
