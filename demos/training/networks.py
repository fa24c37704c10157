"""The networks that can be trained, in Keras, each with one sigmoid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.errors import ConversionError
from tinycnn.nn import modelfile
from training.config import Network
from training.moments import Array64

Shape = tuple[int, int, int]


def build(network: Network, shape: Shape) -> Any:
    """The model that the config names, for images (H, W, C); it begins with `network.weights`."""
    model = {"cnn5": cnn5, "conv4": conv4}.get(network.name, application)(network, shape)
    _quicken(model)
    if network.weights:
        _begin_with(model, network.weights)
    return model


def _quicken(model: Any) -> None:
    """Let batch-norm's statistics follow within some tens of steps: momentum 0.9 at most.

    Keras's 0.99, and the 0.999 of MobileNetV2, need more steps than a short training has: until
    then the network is good in training and guesses in validation.
    """
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, 0.9)


def _begin_with(model: Any, path: str) -> None:
    """Take the weights that fit; ConversionError if none does, rather than train from nothing."""
    if not Path(path).is_file():
        raise ConversionError(
            f"network.weights: {path}: no such file; give a Keras .h5 or .keras, or a .safetensors"
        )
    before = [array.copy() for array in model.get_weights()]
    if path.endswith(".safetensors"):
        _take(model, modelfile.load(Path(path)).weights)
    else:
        model.load_weights(path, **_how(path))
    pairs = zip(before, model.get_weights(), strict=True)
    taken = sum(not np.array_equal(old, new) for old, new in pairs)
    if not taken:
        raise ConversionError(f"network.weights: {path}: no layer of it fits this {model.name}")
    print(f"{path}: {taken} of {len(before)} arrays taken")


def _take(model: Any, weights: Mapping[str, Any]) -> None:
    """Put a tinycnn model's arrays where layer, name and shape are the same.

    Keras 3 calls a depthwise kernel "kernel"; the file keeps Keras 2's "depthwise_kernel".
    """
    for layer in model.layers:
        for variable in layer.weights:
            names = (f"{layer.name}/{prefix}{variable.name}" for prefix in ("", "depthwise_"))
            array = next((weights[name] for name in names if name in weights), None)
            if array is not None and array.shape == tuple(variable.shape):
                variable.assign(array)


def _how(path: str) -> dict[str, bool]:
    """Old HDF5 files are matched by the layers' names."""
    old = path.endswith(".h5") and not path.endswith(".weights.h5")
    return {"skip_mismatch": True, **({"by_name": True} if old else {})}


def standardised(model: Any, mean: Array64, deviation: Array64, grey_level: float) -> Any:
    """`model` after Keras's Normalization with these two images (H, W, C), kept as weights.

    A pixel that hardly ever changes counts as deviating by one grey level: what is new there
    would be as large as the deviation was small.
    """
    import keras

    layer = keras.layers.Normalization(axis=(1, 2, 3), name="standardisation")
    layer.build((None, *mean.shape))
    layer.adapt_mean.assign(mean)
    layer.adapt_variance.assign(np.maximum(deviation, abs(grey_level)) ** 2)
    layer.finalize_state()
    return keras.Sequential([keras.Input(mean.shape), layer, model], name=model.name + "_pixelwise")


def application(network: Network, shape: Shape) -> Any:
    """One of Keras's own networks, global average pooling, dropout, one sigmoid."""
    import keras

    names = {"mobilenet_v2": "MobileNetV2", "densenet169": "DenseNet169", "resnet50": "ResNet50"}
    options = {"alpha": network.alpha} if network.name == "mobilenet_v2" else {}
    backbone = getattr(keras.applications, names[network.name])(
        input_shape=shape, weights=None, include_top=False, pooling="avg", **options
    )
    features = keras.layers.Dropout(network.dropout)(backbone.output)
    score = keras.layers.Dense(1, activation="sigmoid", name="positive")(features)
    return keras.Model(backbone.input, score, name=network.name)


def cnn5(network: Network, shape: Shape) -> Any:
    """The five-layer CNN of the shoulder report: 3x3 'valid' convolutions, 2x2 pools."""
    from keras import Input, Sequential, layers

    def block(filters: int) -> list[Any]:
        return [layers.Conv2D(filters, 3), layers.BatchNormalization(), layers.ReLU()]

    return Sequential(
        [
            Input(shape),
            *block(32), *block(32), layers.MaxPooling2D(2),
            *block(64), *block(64), layers.MaxPooling2D(2),
            layers.Conv2D(32, 3, activation="relu"), layers.BatchNormalization(),
            layers.MaxPooling2D(2, strides=2),
            layers.Flatten(),
            layers.Dense(128, activation="relu"), layers.BatchNormalization(),
            layers.Dropout(network.dropout),
            layers.Dense(64, activation="relu"),
            layers.Dense(1, activation="sigmoid", name="positive"),
        ],
        name="cnn5",
    )  # fmt: skip


def conv4(network: Network, shape: Shape) -> Any:
    """Conv4 of the reports: five 3x3 convolutions with batch-norm and pooling, Dense 64."""
    from keras import Input, Sequential, layers

    stack: list[Any] = [Input(shape)]
    for filters in (2, 4, 8, 16, 32):
        stack += [layers.Conv2D(filters, 3, padding="same"), layers.BatchNormalization()]
        stack += [layers.ReLU(), layers.MaxPooling2D(2)]
    stack += [layers.Flatten(), layers.Dense(64, activation="relu")]
    stack += [layers.Dropout(network.dropout)]
    stack += [layers.Dense(1, activation="sigmoid", name="positive")]
    return Sequential(stack, name="conv4")
