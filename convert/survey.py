"""What a foreign model file holds: a row for each layer, and everything that stops its conversion.

The files go through the same readers as for a conversion: nothing in them is executed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from tinycnn.errors import ConversionError, GraphError, TinycnnError
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import INPUT, Graph, Tensor
from tinycnn.nn.types import Array, Shape

from . import keras, pytorch, teachable
from .fitting import fitting
from .foreign import describe_folder
from .hdf5_tree import Group
from .keras_config import LayerConfig, ModelConfig, parse_model
from .keras_graph import leaves_of
from .keras_layers import convert_layer
from .onnx import is_onnx

OPEN_SIZE = 224  # what figures are for where the file leaves the picture's size open
SOME_SHAPE = (64, 64, 64)


@dataclass(frozen=True)
class Row:
    """One call of a layer; its shape is None where it hangs on a layer that is not known."""

    name: str
    kind: str
    shape: Shape | None
    parameters: int
    macs: int
    inputs: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True)
class Stored:
    """One array of a file of weights alone; ``dtype`` as the file spells it, if it is known."""

    name: str
    shape: Shape
    dtype: str = ""


@dataclass(frozen=True)
class Survey:
    """All that is known of a file without running it.

    ``graph`` and ``weights``: only of a file that can be converted. ``problems``: what stops the
    conversion beside the rows' own. ``fits``: architectures that the stored arrays belong to.
    """

    format: str
    origin: str
    name: str = ""
    input_shape: Shape | None = None
    rows: tuple[Row, ...] = ()
    problems: tuple[str, ...] = ()
    arrays: tuple[Stored, ...] = ()
    fits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    optimizer: bool | None = None
    graph: Graph | None = None
    weights: Mapping[str, Array] | None = None


def survey(path: Path, input_shape: Shape | None = None) -> Survey:
    """Look into a foreign file; ConversionError for what no reader here can read."""
    if path.is_dir():
        raise ConversionError(f"{path}: {describe_folder(path)}")
    try:
        with path.open("rb") as file:
            head = file.read(16) if path.is_file() else b""
        reader = next((read for knows, read in FORMATS if knows(path, head)), _keras)
        return reader(path, input_shape)
    except OSError as error:
        raise ConversionError(f"cannot read {path}: {error.strerror or error}") from error
    except TinycnnError as error:
        raise ConversionError(f"{path}: {error}") from error


def rows_of(graph: Graph) -> tuple[Row, ...]:
    """A row for each node of one of our graphs; shared weights are counted once."""
    rows, counted = [], set[str]()
    for node in graph.nodes:
        arguments = graph.arguments(node, graph.shapes)
        shapes = {} if node.layer.name in counted else node.layer.weight_shapes(arguments)
        counted.add(node.layer.name)
        parameters, macs = sum(map(prod, shapes.values())), node.layer.macs(arguments)
        kind, shape = type(node.layer).__name__, graph.shapes[node.name]
        rows.append(Row(node.name, kind, shape, parameters, macs, node.inputs))
    return tuple(rows)


def from_imported(kind: str, read: Callable[[Path, Shape | None], keras.Imported]) -> Reader:
    """Make a survey of any reader of whole networks: its graph, or the reason why there is none."""

    def reader(path: Path, shape: Shape | None) -> Survey:
        try:
            found = read(path, shape)
        except ConversionError as error:
            return Survey(kind, kind, problems=(str(error),))
        graph = found.graph
        return Survey(
            kind, found.origin, found.name, graph.input_shape, rows_of(graph),
            graph=graph, weights=found.weights,
        )  # fmt: skip

    return reader


def _keras(path: Path, shape: Shape | None) -> Survey:
    opened = keras.open_file(path)
    kind = f"keras{opened.suffix}"
    origin = f"{opened.dialect}, {opened.suffix}"
    if opened.config is None:
        return Survey(
            f"{kind} weights", f"{origin}, weights alone", arrays=tuple(_arrays(opened.root, "")),
            fits=fitting(opened), optimizer=opened.optimizer,
            problems=("holds weights alone: the conversion needs --architecture",),
        )  # fmt: skip
    try:
        model = parse_model(opened.config)
    except ConversionError as error:
        stored = tuple(_arrays(opened.root, ""))
        return Survey(
            kind, origin, problems=(str(error),), arrays=stored, optimizer=opened.optimizer
        )
    shape, notes = _settled(model, shape)
    watcher, found, problems = _Watcher(), None, tuple[str, ...]()
    try:
        found = keras.convert(opened, model, shape, watcher)
        keras.need_classifier(found.graph)
    except ConversionError as error:
        # Beside layers that are not known, weights that do not fit are no news.
        if not watcher.problems or str(error).startswith("the "):
            problems = (str(error),)
    sound = found if not watcher.problems else None
    if found and found.classes:
        notes += (teachable.recognised(found.labels, found.caveat),)
    return Survey(
        kind, origin, model.name, found.graph.input_shape if found else model_shape(model, shape),
        tuple(watcher.rows) or tuple(_unwired(model)), problems, notes=notes,
        optimizer=opened.optimizer, graph=sound.graph if sound else None,
        weights=sound.weights if sound else None,
    )  # fmt: skip


def model_shape(model: ModelConfig, given: Shape | None) -> Shape | None:
    """The input's shape as far as file and command line tell it."""
    stored = model.input_shape
    return given or (tuple(d or 0 for d in stored) if stored and None not in stored else None)


def _settled(model: ModelConfig, given: Shape | None) -> tuple[Shape | None, tuple[str, ...]]:
    """Take a usual size for a picture whose size the file leaves open."""
    stored = model.input_shape
    if given or not stored or len(stored) != 3 or None not in stored[:2] or stored[2] is None:
        return given, ()
    shape = (stored[0] or OPEN_SIZE, stored[1] or OPEN_SIZE, stored[2])
    size = "x".join(map(str, shape))
    return shape, (f"the file leaves the input's size open: figures are for --input {size}",)


class _Watcher:
    """Sees every layer of a file being converted, and goes on behind those that cannot be."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.problems = 0
        self.unknown = set[Tensor]()
        self.names: dict[Tensor, str] = {}
        self.counted = set[int]()

    def __call__(
        self,
        path: tuple[str, ...],
        layer: LayerConfig,
        inputs: list[Tensor],
        make: Callable[[], Tensor],
    ) -> Tensor:
        """Convert, or put a layer in its place that does nothing; note a row."""
        guessed, problem = not self.unknown.isdisjoint(inputs), ""
        try:
            value = make()
        except ConversionError as error:
            if not inputs:
                raise
            # Shapes behind an unknown layer are guesses: what does not fit them may be sound.
            if not (guessed and isinstance(error.__context__, GraphError)):
                problem = str(error).partition("): ")[2] or str(error)
            stand_in = nn.Identity(name="/".join(path))
            value, guessed = Tensor(inputs[0].shape, stand_in, (inputs[0],)), True
        self._note(path, layer, inputs, value, guessed, problem)
        return value

    def _note(
        self,
        path: tuple[str, ...],
        layer: LayerConfig,
        inputs: list[Tensor],
        value: Tensor,
        guessed: bool,
        problem: str,
    ) -> None:
        made = list(self._made(value, inputs))
        parameters = 0 if guessed else sum(self._parameters(t) for t in made)
        macs = 0 if guessed else sum(t.layer.macs(_arguments(t)) for t in made if t.layer)
        shape = None if guessed else value.shape
        names = tuple(self.names.get(t, INPUT) for t in inputs)
        name = "/".join(path)
        self.rows.append(Row(name, layer.class_name, shape, parameters, macs, names, problem))
        self.names[value] = name
        self.problems += bool(problem)
        if guessed:
            self.unknown.add(value)

    def _made(self, value: Tensor, inputs: list[Tensor]) -> Iterator[Tensor]:
        """What stands between a layer's inputs and its output."""
        waiting = [value]
        while waiting:
            tensor = waiting.pop()
            if tensor.layer and tensor not in inputs and tensor not in self.names:
                yield tensor
                waiting.extend(tensor.inputs)

    def _parameters(self, tensor: Tensor) -> int:
        if tensor.layer is None or id(tensor.layer) in self.counted:
            return 0
        self.counted.add(id(tensor.layer))
        return sum(map(prod, tensor.layer.weight_shapes(_arguments(tensor)).values()))


def _arguments(tensor: Tensor) -> Shape | list[Shape]:
    assert tensor.layer is not None
    shapes = [each.shape for each in tensor.inputs]
    return shapes if tensor.layer.merges else shapes[0]


def _unwired(model: ModelConfig) -> Iterator[Row]:
    """Rows of a network that cannot be wired, each layer by itself."""
    for path, layer in leaves_of(model):
        problem = ""
        try:
            convert_layer(layer, layer.name, SOME_SHAPE, keras2=True)
        except ConversionError as error:
            if not isinstance(error.__context__, GraphError):
                problem = str(error)
        except GraphError:
            pass  # what does not fit a shape that is none of the layer's
        yield Row("/".join(path), layer.class_name, None, 0, 0, (), problem)


def _arrays(group: Group, path: str) -> Iterator[Stored]:
    yield from (Stored(path + name, array.shape) for name, array in group.arrays.items())
    for name, inner in group.groups.items():
        yield from _arrays(inner, f"{path}{name}/")


def _pytorch(path: Path, shape: Shape | None) -> Survey:
    """A state dict of PyTorch: names, shapes and types of its tensors."""
    origin, state, fits = pytorch.survey(path)
    stored = tuple(Stored(name, t.shape, t.storage.kind.name) for name, t in state.items())
    problem = "holds weights alone: the conversion needs --architecture"
    return Survey(
        "pytorch", f"{origin}, weights alone", arrays=stored, fits=tuple(fits), problems=(problem,)
    )


def _is_pytorch(path: Path, head: bytes) -> bool:
    return pytorch.is_pytorch(path)


def _is_onnx(path: Path, head: bytes) -> bool:
    return not head.startswith((keras.ZIP_MAGIC, keras.HDF5_MAGIC)) and is_onnx(path, head)


Reader = Callable[[Path, Shape | None], Survey]
# Who knows a file by its path and first bytes, and who looks into it; the last resort is Keras's
# reader, which says what else a file may be.
FORMATS: tuple[tuple[Callable[[Path, bytes], bool], Reader], ...] = (
    (_is_pytorch, _pytorch),
    (_is_onnx, from_imported("onnx", lambda path, shape: keras.read(path, input_shape=shape))),
)
