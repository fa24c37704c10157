"""Keras files in: `.h5`, `.keras`, weights alone; a graph and its weights out. No Keras needed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinycnn.errors import ConversionError, TinycnnError
from tinycnn.nn import strictjson
from tinycnn.nn.architectures import ARCHITECTURES
from tinycnn.nn.graph import Graph
from tinycnn.nn.layers.base import Array, Shape

from . import teachable
from .archive import Export, read_archive
from .dialect import Dialect, find_dialect
from .foreign import describe_file, describe_folder
from .hdf5 import Group
from .isolation import read_isolated
from .keras1 import translate
from .keras_config import ModelConfig, parse_model
from .keras_graph import build_graph
from .keras_match import match_architecture
from .keras_weights import collect, is_keras3
from .onnx import is_onnx, read_onnx

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
Hdf5Reader = Callable[[Path | bytes], Group]
ZIP_MAGIC = b"PK\x03\x04"


@dataclass(frozen=True)
class Imported:
    """A network as it was found: graph, weights (``LAYER/WEIGHT``), and where it came from.

    ``labels``: of an export of Teachable Machine. ``classes``: what it has if it is built like one.
    """

    graph: Graph
    weights: Mapping[str, Array]
    name: str
    origin: str
    classes: int = 0
    labels: tuple[str, ...] = ()
    note: str = ""  # what the conversion assumes
    usual: str = ""  # how inputs are usually prepared for such a network


def read(
    path: str | os.PathLike[str],
    architecture: Graph | None = None,
    input_shape: Shape | None = None,
    read_hdf5: Hdf5Reader = read_isolated,
    kernels: str | None = None,
) -> Imported:
    """Read a Keras file; ConversionError, with the file's name, for all that cannot be converted.

    ``architecture``: the network that a file of weights alone belongs to.
    ``input_shape``: (H, W, C) where the file leaves it open.
    ``read_hdf5``: how to read HDF5; the default starts a process of its own for it.
    ``kernels``: "tensorflow" or "theano", where a file of Keras 1 does not say whose they are.
    """
    path = Path(path)
    try:
        return _read(path, architecture, input_shape, read_hdf5, kernels)
    except OSError as error:
        raise ConversionError(f"cannot read {path}: {error.strerror or error}") from error
    except TinycnnError as error:
        raise ConversionError(f"{path}: {error}") from error


def _read(
    path: Path,
    architecture: Graph | None,
    shape: Shape | None,
    read_hdf5: Hdf5Reader,
    kernels: str | None,
) -> Imported:
    magic = _magic(path)
    if magic.startswith(ZIP_MAGIC):
        if architecture:
            raise ConversionError("holds its own architecture; leave --architecture away")
        if kernels:
            raise ConversionError("Keras 3 never turns kernels; leave --kernels away")
        archive = read_archive(path)
        if isinstance(archive, Export):
            found = _from_hdf5(read_hdf5(archive.model), None, shape, None)
            return _labelled(found, archive.labels)
        dialect = Dialect(_version(archive.metadata), "tensorflow")
        if dialect.keras1:
            raise ConversionError("its metadata.json does not say which Keras wrote it")
        root = read_hdf5(archive.weights)
        return _convert(root, parse_model(archive.config), dialect, ".keras", shape)
    if magic.startswith(HDF5_MAGIC):
        found = _from_hdf5(read_hdf5(path), architecture, shape, kernels)
        return _labelled(found, teachable.beside(path)) if found.classes else found
    if is_onnx(path, magic):
        if architecture:
            raise ConversionError("holds its own architecture; leave --architecture away")
        graph, weights, origin = read_onnx(path, shape)
        return Imported(graph, weights, "", origin)
    raise ConversionError(describe_file(path.name, magic))


def _labelled(found: Imported, labels: bytes) -> Imported:
    return replace(found, labels=teachable.labels(labels, found.classes))


def _from_hdf5(
    root: Group, architecture: Graph | None, shape: Shape | None, kernels: str | None
) -> Imported:
    text = root.text("model_config")
    weights = root.groups.get("model_weights", root)
    dialect = find_dialect(root, weights, kernels)
    if text is None:
        return _weights_only(weights, architecture, dialect)
    if architecture:
        raise ConversionError("holds its own architecture; leave --architecture away")
    try:
        config = strictjson.loads(text)
    except ValueError as error:
        raise ConversionError(f"its configuration: {error}") from None
    model = parse_model(translate(config) if dialect.keras1 else config)
    return _convert(weights, model, dialect, ".h5", shape)


def _convert(
    root: Group, model: ModelConfig, dialect: Dialect, suffix: str, shape: Shape | None
) -> Imported:
    graph, leaves = build_graph(model, shape, dialect)
    weights = collect(root, model, leaves, dialect)
    return Imported(
        graph, _in_graph_order(graph, weights), model.name, f"{dialect}, {suffix}",
        teachable.count_classes(model),
    )  # fmt: skip


def _weights_only(root: Group, architecture: Graph | None, dialect: Dialect) -> Imported:
    if not is_keras3(root) and not root.names("layer_names"):
        raise ConversionError("an HDF5 file, but nothing that Keras saved")
    if architecture is None:
        raise ConversionError(
            "holds weights alone; say which network they belong to: "
            "--architecture NAME --input HEIGHTxWIDTHxCHANNELS --classes N; names are "
            f"{', '.join(ARCHITECTURES)}; of any other network save the whole model, in Keras: "
            "model.save('NAME.keras'), and convert that"
        )
    weights = _in_graph_order(architecture, match_architecture(root, architecture, dialect))
    return Imported(architecture, weights, "", f"{dialect}, weights alone")


def _in_graph_order(graph: Graph, weights: Mapping[str, Array]) -> dict[str, Array]:
    """Leave out what belongs to no layer of the output's, and check the rest."""
    wanted = {key: weights[key] for key in graph.weight_shapes if key in weights}
    graph.check_weights(wanted)
    return wanted


def _version(metadata: Any) -> str | None:
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) else None


def _magic(path: Path) -> bytes:
    """Read the first bytes of a regular file; nothing else is opened."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise ConversionError(describe_folder(path))
    if not stat.S_ISREG(mode):
        raise ConversionError("not a regular file")
    with path.open("rb") as file:
        return file.read(16)
