"""The layers, by Keras's names. `LAYERS` maps a class name in a model file to its class."""

from tinycnn.nn.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.layers.convolution import (
    Conv2D,
    Conv2DTranspose,
    DepthwiseConv2D,
    SeparableConv2D,
)
from tinycnn.nn.layers.core import (
    ActivityRegularization,
    AlphaDropout,
    Dense,
    Dropout,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    Identity,
    Permute,
    Reshape,
    SpatialDropout2D,
)
from tinycnn.nn.layers.merging import (
    Add,
    Average,
    Concatenate,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
)
from tinycnn.nn.layers.normalization import (
    BatchNormalization,
    LayerNormalization,
    Normalization,
    Rescaling,
)
from tinycnn.nn.layers.pooling import (
    AveragePooling2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
)
from tinycnn.nn.layers.reshaping import Cropping2D, Resizing, UpSampling2D, ZeroPadding2D
from tinycnn.nn.types import Array, Shape, Weights

LAYERS: dict[str, type[Layer]] = {
    layer.__name__: layer
    for layer in (
        *(Conv2D, DepthwiseConv2D, SeparableConv2D, Conv2DTranspose, Dense),
        *(BatchNormalization, LayerNormalization, Normalization, Rescaling),
        *(Activation, ReLU, LeakyReLU, PReLU, ELU, Softmax),
        *(MaxPooling2D, AveragePooling2D, GlobalMaxPooling2D, GlobalAveragePooling2D),
        *(ZeroPadding2D, Cropping2D, UpSampling2D, Resizing, Flatten, Reshape, Permute),
        *(Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate),
        *(Identity, Dropout, SpatialDropout2D, AlphaDropout, GaussianDropout, GaussianNoise),
        ActivityRegularization,
    )
}

__all__ = [
    "ELU",
    "LAYERS",
    "Activation",
    "ActivityRegularization",
    "Add",
    "AlphaDropout",
    "Array",
    "Average",
    "AveragePooling2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Conv2DTranspose",
    "Cropping2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "Identity",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "ReLU",
    "Rescaling",
    "Reshape",
    "Resizing",
    "SeparableConv2D",
    "Shape",
    "Softmax",
    "SpatialDropout2D",
    "Subtract",
    "UpSampling2D",
    "Weights",
    "ZeroPadding2D",
]
