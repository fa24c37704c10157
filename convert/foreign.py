"""Files that are no Keras file: what they are, by their first bytes or names, and what to do."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

SAVE = "model.save('NAME.keras'), and convert that (NAME.h5 before TensorFlow 2.12)"
LOAD = (
    f"where the model was made, in Python: {SAVE}; a folder that Keras 2 saved can be loaded "
    "with tf_keras.models.load_model('FOLDER') and saved so"
)
AGAIN = (
    "export it again, from Teachable Machine as 'Keras', from Python by model.save('NAME.keras')"
)
CHECKPOINT = re.compile(r"checkpoint|.*\.(ckpt|index|meta|data-\d{5}-of-\d{5})", re.ASCII)
UNPACKED = ("config.json", "metadata.json", "model.weights.h5")


def describe_file(name: str, start: bytes) -> str:
    """Say what a file is that begins with ``start``, at least 16 bytes of it if it has them."""
    if start[4:8] == b"TFL3":
        return "a TensorFlow Lite model; convert the Keras model that it was made of"
    if start[:1] == b"\x80":
        return "a Python pickle, which is never loaded; save the model as .keras"
    if start[8:9] == b"{":
        return "a safetensors file; if it is tinycnn's, it needs no conversion"
    if name.endswith((".pb", ".pbtxt")):
        return f"a TensorFlow graph; {LOAD}"
    if CHECKPOINT.fullmatch(name):
        return (
            "a TensorFlow checkpoint, weights without a network; in Python, build the network, "
            f"model.load_weights('{name[:40]}'); {SAVE}"
        )
    if start[:1] == b"{":
        return f"JSON: a network without its weights, or TensorFlow.js; in Python: {SAVE}"
    return "not a Keras model: neither HDF5 (.h5) nor a zip archive (.keras), ONNX or PyTorch's"


def describe_folder(path: Path) -> str:
    """Say what a folder is, by the names in it."""
    if any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        return f"a TensorFlow SavedModel folder; {LOAD}"
    if all((path / name).is_file() for name in UNPACKED):
        return f"an unpacked .keras file; pack it again: zip NAME.keras {' '.join(UNPACKED)}"
    if (path / "checkpoint").is_file():
        return describe_file("checkpoint", b"")
    if (path / "model.json").is_file():
        return describe_file("model.json", b"{")
    return "a folder; give a .h5 or .keras file"


def describe_zip(names: Collection[str]) -> str | None:
    """Say what an archive is that is no `.keras` file, by the names in it; None if unknown."""
    last = {name.rpartition("/")[2] for name in names}
    if "saved_model.pb" in last:
        return f"a zip archive of a TensorFlow SavedModel; {AGAIN}"
    if any(name.endswith(".tflite") for name in last):
        return f"a zip archive of a TensorFlow Lite model; {AGAIN}"
    if "model.json" in last:
        return f"a zip archive of a TensorFlow.js model; {AGAIN}"
    if {"keras_model.h5", "model.weights.h5"} & last:
        return "a zip archive of a folder; unpack it, and convert the file or folder that is in it"
    return None
