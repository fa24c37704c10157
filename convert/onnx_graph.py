"""An ONNX graph as ours: node after node, constants folded, layouts noted (`onnx_values`)."""

from __future__ import annotations

from collections import Counter
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from math import prod

import numpy as np

from tinycnn.errors import ConversionError, GraphError
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import MAX_NODES, Graph, Input, Tensor, from_tensors
from tinycnn.nn.limits import MAX_INPUT, MAX_PARAMETERS, check_shape
from tinycnn.nn.types import Array, Shape

from . import (  # noqa: F401 - each registers its rules
    onnx_activations,
    onnx_arithmetic,
    onnx_cuts,
    onnx_dense,
    onnx_pooling,
    onnx_resize,
    onnx_shapes,
    onnx_windows,
)
from .keras_layers import reason
from .onnx_activations import Erf
from .onnx_call import RULES, Call, Names, Result
from .onnx_constants import fold
from .onnx_file import FLOATS, Model, Node, printable
from .onnx_file import Value as Declared
from .onnx_values import CHANNELS_FIRST, CHANNELS_LAST, Value, reshaped, sorted_channels

UINT8 = 2
MAX_READ = 4 * MAX_PARAMETERS  # values of constants that nodes take, the same ones counted again
NUMPY_ERRORS = (ValueError, TypeError, LookupError, ArithmeticError, MemoryError)


def build_graph(model: Model, given: Shape | None) -> tuple[Graph, dict[str, Array]]:
    """Convert all nodes; ``given``: (H, W, C) where the file leaves it open."""
    if len(model.outputs) != 1:
        names = ", ".join(printable(v.name) for v in model.outputs[:8])
        raise ConversionError(f"the model has {len(model.outputs)} outputs ({names}); one is read")
    try:
        builder = _Builder(model, given)
        for node in _ordered(model):
            builder.convert(node)
        tensor = builder.result(model.outputs[0].name)
        graph = from_tensors(builder.input, tensor)
    except GraphError as error:
        raise ConversionError(f"the network as a whole: {error}") from None
    for each in graph.nodes:
        if isinstance(each.layer, Erf):
            raise ConversionError(f"layer {each.name!r} (Erf): is no part of a gelu")
    wanted = {n: np.ascontiguousarray(builder.weights[n], np.float32) for n in graph.weight_shapes}
    graph.check_weights(wanted)
    return graph, wanted


class _Builder:
    """Values by name, and the weights of the layers made so far."""

    def __init__(self, model: Model, given: Shape | None) -> None:
        self.opset = model.opset
        self.values: dict[str, Result] = dict(model.tensors)
        self.weights: dict[str, Array] = {}
        self.names = Names()
        self.total = self.counted = self.read = 0
        self.readers = Counter(name for node in model.nodes for name in node.inputs)
        self.readers.update(v.name for v in model.outputs)
        name, shape, axes = _input(model, given)
        if prod(check_shape(name[:80], shape)) > MAX_INPUT:
            raise ConversionError(f"its input {shape} has over {MAX_INPUT} values")
        self.input = Input(shape)
        self.values[name] = Value(self.input, axes)

    def convert(self, node: Node) -> None:
        """Convert one node; what it makes can be read by those behind it."""
        try:
            call = self._call(node)
            with np.errstate(all="ignore"):  # what overflows is found in the scores
                results = self._results(call)
        except GraphError as error:
            raise ConversionError(f"{node}: {reason(error)}") from None
        except ConversionError as error:
            raise ConversionError(f"{node}: {error}") from None
        for name, value in zip(node.outputs, results, strict=False):
            if name in self.values:
                raise ConversionError(f"{node}: another node makes {name[:200]!r} too")
            if name:
                self.values[name] = value
        self._count(call, results)

    def _count(self, call: Call, results: list[Result]) -> None:
        """Limit what was made so far: one large tensor of the file can be used a thousand times."""
        if len(self.names.taken) > MAX_NODES:
            raise ConversionError(f"the network has more than {MAX_NODES} layers")
        new = islice(reversed(self.weights.values()), len(self.weights) - self.counted)
        self.counted = len(self.weights)
        old = {id(_memory(a)) for a in call.arguments if isinstance(a, np.ndarray)}
        made = [m for r in results if isinstance(r, np.ndarray) and id(m := _memory(r)) not in old]
        made = [m for m in made if m.base is None]  # the others are views of the file
        orders = [r.order for r in results if isinstance(r, Value) and r.order is not None]
        every: tuple[np.ndarray, ...] = (*new, *made, *orders)
        self.total += sum(max(a.size, a.nbytes // 4) for a in every)
        if self.total > MAX_PARAMETERS:
            raise ConversionError(f"more than {MAX_PARAMETERS} weights and constants are made")

    def _call(self, node: Node) -> Call:
        missing = [name for name in node.inputs if name and name not in self.values]
        if missing:
            raise ConversionError(f"nothing makes its input {missing[0][:200]!r}")
        arguments = tuple(self.values[name] if name else None for name in node.inputs)
        return Call(node, arguments, self.opset, self.readers, self.names, self.weights)

    def _results(self, call: Call) -> list[Result]:
        arrays = [a for a in call.arguments if isinstance(a, np.ndarray)]
        self.read += sum(a.size for a in arrays)
        if self.read > MAX_READ:
            raise ConversionError(f"more than {MAX_READ} values are read, some many times over")
        try:
            constant = not any(isinstance(a, Value) for a in call.arguments)
            if constant and (found := fold(call)) is not None:
                return [found]
            if call.node.op not in RULES:
                raise ConversionError(_unknown(call.node.op))
            result = RULES[call.node.op](call)
        except NUMPY_ERRORS as error:  # an odd file; what usual ones ask for is said above
            raise ConversionError(f"its inputs do not fit: {str(error)[:200]}") from None
        call.finish()
        return result if isinstance(result, list) else [result]

    def result(self, name: str) -> Tensor:
        """Return the network's output: a row of scores for each image."""
        value = self.values.get(name)
        if not isinstance(value, Value):
            raise ConversionError(f"its output {name[:200]!r} does not depend on the image")

        def place(layer: nn.Layer, tensor: Tensor, weights: dict[str, Array]) -> Tensor:
            call = Call(Node("output", name, (), ()), (), self.opset, {}, self.names, self.weights)
            return call.place(layer, tensor, weights)

        long = [d for d in value.shape if d > 1] or [1]
        if len(long) == 1:  # (N, classes, 1, 1) is a row, too
            value = reshaped(value, (long[0],), place)
        tensor = sorted_channels(value, place).tensor
        return tensor if tensor is not self.input else place(nn.Identity(), tensor, {})


def _memory(array: Array) -> Array:
    """Return the array that another one is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _unknown(op: str) -> str:
    if op in ("If", "Loop", "Scan"):
        return "holds graphs of its own, which cannot be converted"
    if "quantize" in op.lower() or "Integer" in op or op.startswith("QLinear"):
        return "quantized networks cannot be converted; export the float32 one"
    return "tinycnn has nothing for this operator"


def _ordered(model: Model) -> list[Node]:
    """Nodes that the output needs, each after those that it reads."""
    makers: dict[str, int] = {}
    for index, node in enumerate(model.nodes):
        for name in filter(None, node.outputs):
            if makers.setdefault(name, index) != index or name in model.tensors:
                raise ConversionError(f"{node}: another node or tensor is called {name[:200]!r}")
    needs = {
        i: {makers[name] for name in node.inputs if name in makers}
        for i, node in enumerate(model.nodes)
    }
    todo, wanted = [makers[v.name] for v in model.outputs if v.name in makers], set[int]()
    while todo:
        if (index := todo.pop()) not in wanted:
            wanted.add(index)
            todo += needs[index]
    try:
        order = TopologicalSorter({i: needs[i] for i in sorted(wanted)}).static_order()
        return [model.nodes[i] for i in order]
    except CycleError:
        raise ConversionError("its nodes run in a circle") from None


def _input(model: Model, given: Shape | None) -> tuple[str, Shape, tuple[int, ...]]:
    """Name, our shape (H, W, C) and layout of the one input."""
    if len(model.inputs) != 1:
        raise ConversionError(f"the model has {len(model.inputs)} inputs; one can be converted")
    declared = model.inputs[0]
    dims = declared.shape
    if declared.kind not in FLOATS | {UINT8} or dims is None or len(dims) != 4:
        raise ConversionError(f"its input {declared.name[:200]!r} is no picture of floats: {dims}")
    if dims[0] not in (None, 1):
        raise ConversionError(f"its batch is fixed at {dims[0]}; export it open, or for one image")
    axes = _layout(model, declared, dims[1:], given)
    stored = tuple(dims[1:][axes.index(d)] for d in range(3))
    if None in stored and given is None:
        raise ConversionError(f"the input's size is open ({stored}); give --input HEIGHTxWIDTHxC")
    shape = tuple(int(s or g) for s, g in zip(stored, given or stored, strict=True))  # type: ignore[arg-type]
    if given is not None and shape != given:
        raise ConversionError(f"the file's input is {stored}, not {given}; leave --input away")
    return declared.name, shape, axes


def _layout(
    model: Model, declared: Declared, dims: tuple[int | None, ...], given: Shape | None
) -> tuple[int, ...]:
    """Whether pictures come as (C, H, W) or (H, W, C): by the channels, else by the first node."""
    first, last = dims[0] in (1, 3), dims[2] in (1, 3)
    if first != last:
        return CHANNELS_FIRST if first else CHANNELS_LAST
    turned = any(
        node.op == "Transpose" and declared.name in node.inputs
        and node.attributes.get("perm") == [0, 3, 1, 2]
        for node in model.nodes
    )  # fmt: skip
    return CHANNELS_LAST if turned else CHANNELS_FIRST
