"""Small Keras files written with h5py alone, for tests that need no Keras."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

CONV = {"filters": 3, "kernel_size": [3, 3], "strides": [1, 1], "padding": "same"}
DENSE = {"units": 2, "activation": "softmax", "use_bias": True}


def layer(class_name: str, name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"name": name, **config}}


def small_layers() -> list[dict[str, Any]]:
    return [
        layer("InputLayer", "in", batch_input_shape=[None, 8, 8, 1]),
        layer("Conv2D", "conv", **CONV),
        layer("BatchNormalization", "bn", axis=[3], epsilon=0.001),
        layer("GlobalAveragePooling2D", "pool", keepdims=False),
        layer("Dense", "dense", **DENSE),
    ]


def small_config(layers: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    found = small_layers() if layers is None else layers
    return {"class_name": "Sequential", "config": {"name": "small", "layers": found}}


def small_weights() -> dict[str, dict[str, np.ndarray]]:
    random = np.random.default_rng(5)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    return {
        "conv": {"kernel:0": normal(3, 3, 1, 3), "bias:0": normal(3)},
        "bn": {
            "gamma:0": normal(3),
            "beta:0": normal(3),
            "moving_mean:0": normal(3),
            "moving_variance:0": np.abs(normal(3)) + 0.5,
        },
        "pool": {},
        "dense": {"kernel:0": normal(3, 2), "bias:0": normal(2)},
    }


def write_h5(
    path: Path | io.BytesIO,
    config: dict[str, Any] | str | None = None,
    weights: dict[str, dict[str, Any]] | None = None,
    version: str = "2.8.0",
) -> None:
    """Write a full-model `.h5` as tf.keras 2 does."""
    with h5py.File(path, "w") as file:
        text = config if isinstance(config, str) else json.dumps(config or small_config())
        file.attrs["model_config"] = text
        file.attrs["keras_version"] = version
        fill_weights(file.create_group("model_weights"), weights or small_weights())


def write_keras1(
    path: Path | io.BytesIO,
    layers: list[dict[str, Any]] | dict[str, Any] | None,
    weights: dict[str, dict[str, Any]],
    end: str = ":0",
) -> None:
    """Write a `.h5` as Keras 1.2.2 did; Theano's names have no ``end``. No layers: weights alone.

    Arrays are called NAME_W, without a group between, and no backend is noted.
    """
    with h5py.File(path, "w") as file:
        group = file
        if layers is not None:
            listed = {"class_name": "Sequential", "config": layers}
            config = layers if isinstance(layers, dict) else listed
            file.attrs["model_config"] = json.dumps(config).encode()
            file.attrs["keras_version"] = b"1.2.2"
            group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for name, arrays in weights.items():
            sub = group.create_group(name)
            names = [key if "_" in key else f"{name}_{key}" for key in arrays]
            sub.attrs["weight_names"] = [f"{key}{end}".encode() for key in names]
            for key, value in zip(names, arrays.values(), strict=True):
                sub[f"{key}{end}"] = value


def fill_weights(group: Any, weights: dict[str, dict[str, Any]]) -> None:
    group.attrs["layer_names"] = [name.encode() for name in weights]
    for name, arrays in weights.items():
        sub = group.create_group(name)
        sub.attrs["weight_names"] = [f"{name}/{key}".encode() for key in arrays]
        for key, value in arrays.items():
            sub[f"{name}/{key}"] = value


def weights_h5() -> bytes:
    """The HDF5 part of a `.keras` file."""
    buffer = io.BytesIO()
    stems = {"conv": "conv2d", "bn": "batch_normalization", "dense": "dense"}
    with h5py.File(buffer, "w") as file:
        for name, stem in stems.items():
            group = file.create_group(f"layers/{stem}/vars")
            group.attrs["name"] = name
            for i, value in enumerate(small_weights()[name].values()):
                group[str(i)] = value
    return buffer.getvalue()


def write_keras(path: Path, members: dict[str, bytes] | None = None, **changed: bytes) -> None:
    """Write a `.keras` file; ``members`` replaces or adds entries."""
    content = {
        "metadata.json": b'{"keras_version": "3.5.0"}',
        "config.json": json.dumps(small_config()).encode(),
        "model.weights.h5": weights_h5(),
        **(members or {}),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
