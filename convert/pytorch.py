"""PyTorch's state dicts in, without PyTorch: `.pth`, `.pt`, `.bin` or safetensors.

A state dict holds tensors and their names, no network. So the network must be named; it is
torchvision's of that name, and every tensor must have its place in it.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from tinycnn.errors import ConversionError, TinycnnError
from tinycnn.nn.architectures.torchvision import TORCHVISION
from tinycnn.nn.endings import last_layer
from tinycnn.nn.graph import Graph, Node
from tinycnn.nn.layers import Flatten
from tinycnn.nn.types import Array, Shape

from .foreign_safetensors import read_safetensors
from .keras import ZIP_MAGIC, Imported
from .scores import Choice, ended_in
from .torch_files import LEGACY_MAGIC, Saved, is_archive, read_archive, read_legacy
from .torch_state import State, comes_first, find_state, some, with_head
from .torch_tensors import Tensor

SIZE = (224, 224)
CHEXNET = 14  # labels of ChestX-ray14, and of CheXpert
# Keras's weight -> PyTorch's
NAMES = {
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# Weight and rank -> which axis of PyTorch's tensor each of ours is
AXES = {
    ("kernel", 4): (2, 3, 1, 0),  # (out, in, kh, kw) -> (kh, kw, in, out)
    ("depthwise_kernel", 4): (2, 3, 0, 1),  # (channels, 1, kh, kw) -> (kh, kw, channels, 1)
    ("kernel", 2): (1, 0),  # (out, in) -> (in, out)
}


def is_pytorch(path: Path) -> bool:
    """Whether a file, by its content, is for `read`; False for what cannot be read at all."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with path.open("rb") as file:
            head = file.read(len(LEGACY_MAGIC))
            if head.startswith(ZIP_MAGIC):
                return is_archive(zipfile.ZipFile(file).namelist())
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile):
        return False
    return head == LEGACY_MAGIC or _is_safetensors(head)


def read(
    path: str | os.PathLike[str],
    architecture: str | None = None,
    input_shape: Shape | None = None,
    classes: int | None = None,
    alpha: float = 1.0,
    activation: Choice | None = None,
) -> Imported:
    """Read a state dict into torchvision's network ``architecture``.

    ``input_shape`` (H, W, C): 224x224 and the file's channels if not given. ``classes``: as in
    the file; ConversionError, with the file's name, if that differs, and for all that cannot be
    converted. ``activation``: what makes scores of the logits, which no state dict holds.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            saved = _saved(file)
            state = find_state(saved.value)
            network = architecture, input_shape, classes, alpha
            return _convert(state, saved.origin, *network, activation)
    except OSError as error:
        raise ConversionError(f"cannot read {path}: {error.strerror or error}") from error
    except TinycnnError as error:
        raise ConversionError(f"{path}: {error}") from error


def survey(path: Path) -> tuple[str, State, list[str]]:
    """What wrote a state dict, its tensors (not to be read any more), and options that it fits."""
    with path.open("rb") as file:
        saved = _saved(file)
        state = find_state(saved.value)
        fits = [f"--architecture {name}" for name in TORCHVISION if _fits(state, name, 1.0)]
        return saved.origin, state, fits


def _saved(file: IO[bytes]) -> Saved:
    head = file.read(len(LEGACY_MAGIC))
    file.seek(0)
    if head.startswith(ZIP_MAGIC):
        return read_archive(file)
    return read_legacy(file) if head == LEGACY_MAGIC else read_safetensors(file)


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{"


def _convert(
    state: State,
    origin: str,
    name: str | None,
    input_shape: Shape | None,
    classes: int | None,
    alpha: float,
    activation: Choice | None,
) -> Imported:
    if name not in TORCHVISION:
        what = "say which network: --architecture NAME" if name is None else f"no {name!r} here"
        raise ConversionError(
            f"a state dict of PyTorch with {len(state)} tensors; {what}; "
            f"names are {', '.join(TORCHVISION)}{_hint(state, alpha)}"
        )
    given = state
    graph, state = _network(state, name, input_shape, classes, alpha)
    if problems := list(_problems(graph, state)):
        raise ConversionError(
            f"does not fit torchvision's {name}: {'; '.join(problems)}{_hint(state, alpha)}"
        )
    weights = {f"{n.layer.name}/{w}": a for n in graph.nodes for w, a in _arrays(graph, n, state)}
    graph.check_weights(weights)
    head = last_layer(graph).name
    ending = activation or _ending(given, head, graph.output_shape[0])
    graph = ended_in(graph, ending)
    note, usual = _notes(graph, ending, asked=activation is not None)
    return Imported(graph, weights, name, f"{origin}, torchvision's {name}", note=note, usual=usual)


def _network(
    state: State, name: str, shape: Shape | None, classes: int | None, alpha: float
) -> tuple[Graph, State]:
    """Build the network with as many channels and classes as the file has."""
    build = TORCHVISION[name]
    draft = build((*SIZE, 3), 2, alpha)
    first = next(key for key in draft.weight_shapes).partition("/")[0]
    state = with_head(state, draft.output)
    channels = _size(state, f"{first}.weight", 4, 1) or 3
    found = _size(state, f"{draft.output}.weight", 2, 0) or classes or 2
    if classes not in (None, found):
        raise ConversionError(f"--classes {classes}, but its {draft.output!r} has {found}")
    return build(shape or (*SIZE, channels), found, alpha), state


def _size(state: State, key: str, rank: int, axis: int) -> int:
    tensor = state.get(key)
    return tensor.shape[axis] if tensor and len(tensor.shape) == rank else 0


def _wanted(graph: Graph) -> dict[str, Shape]:
    """PyTorch's key -> shape of each tensor that the network needs."""
    wanted = {}
    for key, shape in graph.weight_shapes.items():
        layer, _, weight = key.rpartition("/")
        axes = AXES.get((weight, len(shape)), (0,))
        theirs = tuple(shape[axes.index(axis)] for axis in range(len(shape)))
        wanted[f"{layer}.{NAMES[weight]}"] = theirs
    return wanted


def _problems(graph: Graph, state: State) -> Iterator[str]:
    """Say everything that does not fit, in three lists."""
    wanted = _wanted(graph)
    if missing := [key for key in wanted if key not in state]:
        yield f"{len(missing)} tensors are missing ({some(missing)})"
    if extra := [key for key in state if key not in wanted]:
        yield f"{len(extra)} have no place in it ({some(extra)})"
    wrong = [
        f"{key} is {state[key].shape}, not {shape}"
        for key, shape in wanted.items()
        if key in state and state[key].shape != shape
    ]
    if wrong:
        yield f"{len(wrong)} are of another shape ({some(wrong)})"


def _hint(state: State, alpha: float) -> str:
    """Name the networks of which the file has each tensor, in its shape, and nothing more."""
    found = [name for name in TORCHVISION if _fits(state, name, alpha)]
    return f"; by its tensors it may be {' or '.join(found)}" if found else ""


def _fits(state: State, name: str, alpha: float) -> bool:
    try:
        graph, named = _network(state, name, None, None, alpha)
    except TinycnnError:
        return False
    return not list(_problems(graph, named))


def _arrays(graph: Graph, node: Node, state: State) -> Iterator[tuple[str, Array]]:
    """Yield (our name, array) of each weight of a layer."""
    for weight, shape in node.layer.weight_shapes(graph.arguments(node, graph.shapes)).items():
        key = f"{node.layer.name}.{NAMES[weight]}"
        array = _floats(key, state[key])
        if weight == "kernel" and (picture := _flattened(graph, node)):
            array = _rows_last(array, picture)
        axes = AXES.get((weight, len(shape)), (0,))
        yield weight, np.ascontiguousarray(array.transpose(axes))


def _floats(key: str, tensor: Tensor) -> Array:
    if not tensor.is_float:
        raise ConversionError(f"tensor {key!r} is of {tensor.storage.kind.name}, no weights")
    array = tensor.array()
    if not np.isfinite(array).all():
        raise ConversionError(f"tensor {key!r} holds NaN or infinity, or what float32 cannot")
    return array


def _flattened(graph: Graph, node: Node) -> Shape | None:
    """Shape of the picture (H, W, C) whose flattened pixels a layer takes, or None."""
    for source in graph.nodes:
        if source.name in node.inputs and isinstance(source.layer, Flatten):
            return graph.shapes[source.inputs[0]]
    return None


def _rows_last(array: Array, picture: Shape) -> Array:
    """(out, C * H * W), as PyTorch flattens a picture, to (out, H * W * C)."""
    rows, columns, channels = picture
    whole = array.reshape(-1, channels, rows, columns)
    return whole.transpose(0, 2, 3, 1).reshape(len(array), -1)


def _ending(state: State, head: str, classes: int) -> Choice:
    """What makes scores of the logits; ConversionError where the file tells that it is not usual.

    CheXNet's is Sequential(Linear, Sigmoid), of 14 labels, where torchvision has a Linear layer.
    """
    if classes == 1:
        return "sigmoid"
    if not comes_first(state, head):
        return "softmax"
    if classes == CHEXNET:
        return "sigmoid"
    raise ConversionError(
        f"{head}.0 is the first layer of a Sequential, and a state dict does not say what follows "
        "it: give --activation sigmoid (each label by itself) or softmax (one label of all)"
    )


def _notes(graph: Graph, ending: Choice, asked: bool) -> tuple[str, str]:
    """What the conversion assumes; and how inputs were usually prepared."""
    ours = {"none": "them, too", "sigmoid": "a sigmoid of each", "softmax": "a softmax of them"}
    note = (
        "taken to be torchvision's network, whose layers without weights no state dict holds; "
        f"PyTorch's ends in logits, this one in {ours[ending]}"
    )
    if not asked and ending == "softmax":
        note += "; if several labels can be true of one image, give --activation sigmoid"
    elif not asked and graph.output_shape[0] > 1:
        note += f", as CheXNet's {CHEXNET} labels; --activation softmax if one excludes the others"
    if graph.input_shape[-1] == 1:
        return note, "ToTensor() is --scale 1/255"
    return note, (
        "ToTensor() and Normalize() with ImageNet's figures are --scale 1/255 --standardization "
        "featurewise --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --interpolation bilinear"
    )
