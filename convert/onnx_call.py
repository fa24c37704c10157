"""One node of an ONNX file while it is converted: inputs, options, the layers it becomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np

from tinycnn.errors import ConversionError
from tinycnn.nn.graph import INPUT, Tensor
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.limits import MAX_NAME, check_shape
from tinycnn.nn.types import Array

from .onnx_file import Node, Unreadable
from .onnx_file import Tensor as Constant
from .onnx_values import Value, arranged, sorted_channels


class Names:
    """Names for layers out of the file's: printable, short and unique."""

    def __init__(self) -> None:
        self.taken = {INPUT}
        self.repeated = Counter[str]()

    def __call__(self, wanted: str) -> str:
        """Return ``wanted``, made fit to name a layer."""
        shown = "".join(c if c.isprintable() and c != ":" else "_" for c in wanted)
        stem = shown.strip("/")[: MAX_NAME - 8] or "layer"
        name = stem
        while name in self.taken:
            self.repeated[stem] += 1
            name = f"{stem}_{self.repeated[stem]}"
        self.taken.add(name)
        return name


@dataclass
class Call:
    """A node with what its inputs are: values of ours, constants, None where one is left out.

    ``read`` and ``looked_at``: attributes, and inputs, that a rule has taken notice of.
    """

    node: Node
    arguments: tuple[Value | Constant | None, ...]
    opset: int
    readers: Mapping[str, int]
    names: Names
    weights: dict[str, Array]
    read: set[str] = field(default_factory=set)
    looked_at: set[int] = field(default_factory=set)

    def fail(self, message: str) -> NoReturn:
        """Raise a ConversionError; the builder adds which node it is about."""
        raise ConversionError(message)

    def argument(self, index: int) -> Value | Constant | None:
        """Return an input, None if it was left out."""
        self.looked_at.add(index)
        return self.arguments[index] if index < len(self.arguments) else None

    def every(self) -> tuple[Value | Constant, ...]:
        """Return all inputs of an operator that takes any number of them."""
        found = [self.argument(i) for i in range(len(self.arguments))]
        if not found or any(each is None for each in found):
            self.fail(f"has {len(found)} inputs, and one that is left out" if found else "no input")
        return tuple(each for each in found if each is not None)

    def value(self, index: int = 0) -> Value:
        """Return an input that must depend on the image."""
        found = self.argument(index)
        if not isinstance(found, Value):
            self.fail(f"input {index + 1} is {'missing' if found is None else 'a constant'}")
        return found

    def picture(self, axes: tuple[int, ...], index: int = 0) -> Value:
        """Return an input that must be a picture, with its ``axes`` laid out as told."""
        value = self.value(index)
        if len(value.axes) != 3:
            self.fail(f"takes pictures (N, C, H, W), not {('N', *value.shape)}")
        return arranged(value, axes, self.place)

    def sorted(self, value: Value) -> Value:
        """Bring channels into ONNX's order."""
        return sorted_channels(value, self.place)

    def constant(self, index: int, what: str) -> Constant:
        """Return an input that must be known from the file alone."""
        found = self.argument(index)
        if not isinstance(found, np.ndarray):
            self.fail(f"its {what} {'is missing' if found is None else 'depends on the image'}")
        return found

    def weight(self, index: int, what: str, rank: int) -> Array:
        """Return a constant as float32 of ``rank`` dimensions."""
        found = np.asarray(self.constant(index, what), np.float32)
        if found.ndim != rank:
            self.fail(f"its {what} has {found.ndim} dimensions, not {rank}")
        return found

    def only_reader(self, index: int = 0) -> bool:
        """Whether nothing else reads this input, so that its layer may be changed."""
        return self.readers.get(self.node.inputs[index], 0) == 1

    def place(self, layer: Layer, tensor: Tensor, weights: Mapping[str, Array]) -> Tensor:
        """Put a layer behind one tensor and keep its weights."""
        return _checked(self.named(layer, weights)(tensor))

    def merge(self, layer: Layer, tensors: list[Tensor]) -> Tensor:
        """Put a layer behind several tensors."""
        return _checked(self.named(layer, {})(tensors))

    def named(self, layer: Layer, weights: Mapping[str, Array]) -> Layer:
        """Name a layer after its node and keep its weights."""
        name = self.names(self.node.name or next(filter(None, self.node.outputs), self.node.op))
        self.weights.update({f"{name}/{key}": array for key, array in weights.items()})
        return replace(layer, name=name)

    def option(self, name: str, default: Any, kind: type | tuple[type, ...]) -> Any:
        """Return an attribute of a certain type; ``default`` where the node has none."""
        self.read.add(name)
        value = self.node.attributes.get(name, default)
        if value is not default and (not isinstance(value, kind) or isinstance(value, Unreadable)):
            self.fail(f"its attribute {name} is of another type")
        return value

    def integer(self, name: str, default: int) -> int:
        """Return an attribute that is one whole number."""
        return int(self.option(name, default, int))

    def number(self, name: str, default: float) -> float:
        """Return an attribute that is one number."""
        return float(self.option(name, default, float))

    def text(self, name: str, default: str) -> str:
        """Return an attribute that is a word."""
        return str(self.option(name, default, str))

    def integers(self, name: str, default: list[int] | None = None) -> list[int] | None:
        """Return an attribute that is a list of whole numbers."""
        value = self.option(name, default, list)
        if value is not None and not all(isinstance(v, int) for v in value):
            self.fail(f"its attribute {name} is no list of whole numbers")
        return None if value is None else list(value)

    def axes(self, index: int, name: str = "axes") -> list[int] | None:
        """Return whole numbers that old opsets keep in an attribute and new ones in an input."""
        found = self.argument(index)
        if found is None:
            return self.integers(name)
        return whole(self.constant(index, name))

    def ignore(self, *names: str) -> None:
        """Note attributes that change nothing at inference."""
        self.read.update(names)

    def finish(self) -> None:
        """Refuse attributes and inputs that nobody looked at: they may matter."""
        if unknown := sorted(set(self.node.attributes) - self.read):
            self.fail(f"its attribute {unknown[0]!r} is not known here, and may matter")
        given = {i for i, argument in enumerate(self.arguments) if argument is not None}
        if extra := sorted(given - self.looked_at):
            self.fail(f"its input {extra[0] + 1} is not known here, and may matter")


def _checked(tensor: Tensor) -> Tensor:
    """Refuse a shape that is too large now, before anything of that size is made."""
    check_shape(tensor.layer.name if tensor.layer else INPUT, tensor.shape)
    return tensor


def whole(array: Constant) -> list[int]:
    """Turn a constant into a list of whole numbers; ConversionError if it holds others."""
    if array.dtype.kind not in "iu" or array.ndim > 1 or array.size > 64:
        raise ConversionError(f"a list of whole numbers is {array.dtype} of shape {array.shape}")
    return [int(v) for v in array.ravel()]


Result = Value | Constant
Rule = Callable[[Call], Result | list[Result]]
RULES: dict[str, Rule] = {}  # operator -> what converts it where it depends on the image


def rule(*operators: str) -> Callable[[Rule], Rule]:
    """Register a function for operators."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(operators, function))
        return function

    return register
