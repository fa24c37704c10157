"""Keras files in: `.h5`, `.keras`, weights alone; a graph and its weights out. No Keras needed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tinycnn.errors import ConversionError, TinycnnError
from tinycnn.nn import strictjson
from tinycnn.nn.architectures import ARCHITECTURES
from tinycnn.nn.graph import Graph
from tinycnn.nn.types import Array, Shape

from . import teachable
from .archive import Export, read_archive
from .dialect import Dialect, find_dialect
from .foreign import describe_file, describe_folder
from .hdf5 import Source
from .hdf5_tree import Group
from .isolation import read_isolated
from .keras1 import translate
from .keras_config import ModelConfig, parse_model
from .keras_graph import Watch, as_it_is, build_graph
from .keras_match import match_architecture
from .keras_weights import collect, is_keras3
from .onnx import is_onnx, read_onnx

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
Hdf5Reader = Callable[[Source], Group]
ZIP_MAGIC = b"PK\x03\x04"


@dataclass(frozen=True)
class Imported:
    """A network as it was found: graph, weights (``LAYER/WEIGHT``), and where it came from.

    ``classes``: of an export of Teachable Machine, else 0. ``labels``: its own, if they are known;
    ``caveat``: what there is to say of them.
    ``places``: our layer -> its place in the file, MODEL/LAYER, whose output it gives.
    """

    graph: Graph
    weights: Mapping[str, Array]
    name: str
    origin: str
    classes: int = 0
    labels: tuple[str, ...] = ()
    caveat: str = ""
    note: str = ""  # what the conversion assumes
    usual: str = ""  # how inputs are usually prepared for such a network
    places: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Opened:
    """A Keras file, read as data: ``root`` holds the weights; no ``config``: weights alone.

    ``labels``: the text of an export's, or of the file beside it.
    """

    root: Group
    config: Any
    dialect: Dialect
    suffix: str
    optimizer: bool  # whether training could go on from it
    labels: bytes | None = None


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
    if not magic.startswith((ZIP_MAGIC, HDF5_MAGIC)) and is_onnx(path, magic):
        if architecture or kernels:
            option = "architecture" if architecture else "kernels"
            raise ConversionError(f"holds its own {option}; leave --{option} away")
        graph, weights, origin = read_onnx(path, shape)
        return Imported(graph, weights, "", origin)
    opened = open_file(path, read_hdf5, kernels)
    if opened.config is None:
        return weights_alone(opened, architecture)
    if architecture:
        raise ConversionError("holds its own architecture; leave --architecture away")
    return convert(opened, parse_model(opened.config), shape)


def open_file(
    path: Path, read_hdf5: Hdf5Reader = read_isolated, kernels: str | None = None
) -> Opened:
    """Read what a Keras file holds, without making a network of it; ConversionError, OSError."""
    magic = _magic(path)
    if magic.startswith(ZIP_MAGIC):
        if kernels:
            raise ConversionError("Keras 3 never turns kernels; leave --kernels away")
        archive = read_archive(path)
        if isinstance(archive, Export):
            return replace(_from_hdf5(read_hdf5(archive.model), None), labels=archive.labels)
        dialect = Dialect(_version(archive.metadata), "tensorflow")
        if dialect.keras1:
            raise ConversionError("its metadata.json does not say which Keras wrote it")
        root = read_hdf5(archive.weights)
        return Opened(root, archive.config, dialect, ".keras", bool(root.left_out))
    if magic.startswith(HDF5_MAGIC):
        return replace(_from_hdf5(read_hdf5(path), kernels), labels=teachable.beside(path))
    raise ConversionError(describe_file(path.name, magic))


def _from_hdf5(root: Group, kernels: str | None) -> Opened:
    text, optimizer = root.text("model_config"), bool(root.left_out)
    weights = root.groups.get("model_weights", root)
    dialect = find_dialect(root, weights, kernels)
    if text is None:
        return Opened(weights, None, dialect, ".h5", optimizer)
    try:
        config = strictjson.loads(text)
    except ValueError as error:
        raise ConversionError(f"its configuration: {error}") from None
    return Opened(
        weights, translate(config) if dialect.keras1 else config, dialect, ".h5", optimizer
    )


def convert(
    opened: Opened, model: ModelConfig, shape: Shape | None, watch: Watch = as_it_is
) -> Imported:
    """Make a network of a file that holds one; ``watch``: see `build_graph`."""
    graph, leaves = build_graph(model, shape, opened.dialect, watch)
    weights = _in_graph_order(graph, collect(opened.root, model, leaves, opened.dialect))
    places = {leaf.layers[-1].name: "/".join(leaf.path) for leaf in leaves.values()}
    classes = teachable.count_classes(model)
    labels, caveat = teachable.labels(opened.labels, classes) if classes else ((), "")
    origin = f"{opened.dialect}, {opened.suffix}"
    return Imported(graph, weights, model.name, origin, classes, labels, caveat, places=places)


def weights_alone(opened: Opened, architecture: Graph | None) -> Imported:
    """Put the weights of a file that holds nothing else into the network that they belong to."""
    root, dialect = opened.root, opened.dialect
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


def need_classifier(graph: Graph) -> None:
    """ConversionError unless the network takes pictures and gives a row of scores."""
    if len(graph.input_shape) != 3 or graph.input_shape[2] not in (1, 3):
        raise ConversionError(
            f"the network takes {graph.input_shape}; images are (height, width, 1 or 3)"
        )
    if len(graph.output_shape) != 1:
        raise ConversionError(
            f"the network gives {graph.output_shape} for an image; a classifier gives a row"
        )


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
