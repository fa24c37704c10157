"""Operations that a functional model holds beside layers: ``x / 127.5 - 1``, `tf.reduce_mean(x)`.

tf.keras 2.4 and later store them as `TFOpLambda` with a function's name, earlier ones as
`TensorFlowOpLayer` with a piece of a TensorFlow graph; Keras 3 stores its own operations. All are
read as a name and arguments here; `keras_op_makers` and `keras_op_shapes` say what layers do the
same.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tinycnn.errors import ConversionError
from tinycnn.nn.types import Shape

from .keras_activations import plain
from .keras_config import Call, LayerConfig, Ref, snake_case
from .keras_layers import Converted
from .keras_op_makers import ARITHMETIC, Operand
from .keras_op_shapes import SHAPES

MAKERS = {**ARITHMETIC, **SHAPES}
ELEMENTWISE = set(ARITHMETIC) - {"softmax", "bias_add"}
LAMBDAS = frozenset({"TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod"})
GRAPH = "TensorFlowOpLayer"
# Of TensorFlow's functions: the module in which a name means what it means in `MAKERS`.
MODULES = re.compile(r"(math|nn|__operators__)\.(?=\w+$)")
FUNCTIONS = {
    **{"sub": "subtract", "mul": "multiply", "truediv": "true_divide", "divide": "true_divide"},
    **{"div": "true_divide", "neg": "negative", "exp": "exponential"},
    **{"reduce_mean": "mean", "reduce_max": "max", "reduce_sum": "sum", "getitem": "get_item"},
    **{"concat": "concatenate", "compat.v1.concat": "concatenate", "clip_by_value": "clip"},
    **{"compat.v1.pad": "pad", "compat.v1.squeeze": "squeeze", "compat.v1.transpose": "transpose"},
    **{"compat.v1.expand_dims": "expand_dims", "image.resize": "resize", "swish": "silu"},
    **{"avg_pool": "average_pool", "avg_pool2d": "average_pool", "max_pool2d": "max_pool"},
    **{"image.rgb_to_grayscale": "rgb_to_grayscale", "image.grayscale_to_rgb": "grayscale_to_rgb"},
    **{"gelu": "gelu_of_tensorflow"},
}
# Of Keras 3's classes, in snake case.
CLASSES = {"divide": "true_divide", "exp": "exponential"}
# Of nodes in TensorFlow's graphs: what they are, and the names of their inputs.
NODES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    **{op: (name, ("x", "y")) for op, name in {
        "Add": "add", "AddV2": "add", "Sub": "subtract", "Mul": "multiply",
        "RealDiv": "true_divide", "Div": "true_divide", "Maximum": "maximum", "Minimum": "minimum",
    }.items()},
    **{op: (name, ("x",)) for op, name in {
        "Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "Tanh": "tanh", "Elu": "elu",
        "Selu": "selu", "Softplus": "softplus", "Softmax": "softmax", "Neg": "negative",
        "LeakyRelu": "leaky_relu", "Identity": "identity", "StopGradient": "identity",
        "Squeeze": "squeeze", "AvgPool": "average_pool", "MaxPool": "max_pool",
        "Exp": "exponential",
    }.items()},
    **{op: (name, ("x", "axis")) for op, name in {
        "Mean": "mean", "Max": "max", "Sum": "sum", "ExpandDims": "expand_dims",
    }.items()},
    "BiasAdd": ("bias_add", ("x", "bias")),
    "ClipByValue": ("clip", ("x", "x_min", "x_max")),
    "Pad": ("pad", ("x", "pad_width")),
    "Reshape": ("reshape", ("x", "shape")),
    "Transpose": ("transpose", ("x", "axes")),
}  # fmt: skip
# Other names of arguments.
ARGUMENTS = {
    **{"keep_dims": "keepdims", "paddings": "pad_width", "perm": "axes", "newshape": "shape"},
    **{"clip_value_min": "x_min", "clip_value_max": "x_max"},
    **{"method": "interpolation", "ksize": "pool_size", "slice_spec": "key"},
    **{"squeeze_dims": "axis", "reduction_indices": "axis", "multiples": "repeats"},
    **{"alpha": "negative_slope"},
}
POSITIONS = {  # of the arguments that follow the first in Keras 3's calls
    **dict.fromkeys(("add", "subtract", "multiply", "true_divide", "maximum", "minimum"), ("y",)),
    "get_item": ("key",),
}
MAX_NAME = 100
INERT = frozenset({"name", "trainable", "training"})


def is_operation(layer: LayerConfig, keras2: bool) -> bool:
    """Whether this entry is a bare operation and not a layer.

    In Keras 3's `.h5` both are "Add", without a module; but every layer says if it is trainable.
    """
    if layer.class_name in {*LAMBDAS, GRAPH}:
        return True
    if layer.module or keras2 or "trainable" in layer.config:
        return layer.module.startswith(("keras.src.ops", "keras.ops"))
    return _class(layer.class_name) in MAKERS and bool(layer.calls)


def is_elementwise(layer: LayerConfig, call: Call) -> bool:
    """Whether an operation takes each value by itself, so that pictures may lie in any order."""
    _, what, given = _read(layer, call)
    operands = [v for k, v in given.items() if k not in INERT]
    return what in ELEMENTWISE and all(
        value is None or isinstance(plain(value), Ref | tuple | bool | int | float)
        for value in operands
    )


def convert_operation(
    layer: LayerConfig, call: Call, name: str, shapes: Sequence[Shape]
) -> Converted:
    """Make layers, the first called ``name``, that do what this call of an operation does.

    ``shapes``: of ``call.inputs``. ConversionError where there are none.
    """
    said, what, given = _read(layer, call)
    if not said.isprintable() or len(said) > MAX_NAME:
        raise ConversionError("an operation whose name cannot be printed")
    maker = MAKERS.get(what)
    if maker is None:
        raise ConversionError(
            f"{said}: an operation of TensorFlow or Keras that tinycnn has no layer for"
        )
    operands = iter([Operand(shape) for shape in shapes])
    values = {k: _value(v, operands) for k, v in given.items() if k not in INERT}
    first = values.pop("first", None)
    if next(operands, None) is not None or not (_is_tensors(first) or what in ARITHMETIC):
        raise ConversionError(f"{said}: works on something else than its tensors")
    try:
        made = maker(first, **{ARGUMENTS.get(k, k): v for k, v in values.items() if v is not None})
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise ConversionError(f"{said}: with {_spell(values)}: {error}") from None
    if made is None:
        raise ConversionError(f"{said}: with {_spell(values)}, it cannot be converted")
    layers = tuple(
        replace(each, name=f"{name}.{i}" if i else name) for i, each in enumerate(made.layers)
    )
    return Converted(layers, made.constants)


def _read(layer: LayerConfig, call: Call) -> tuple[str, str, dict[str, Any]]:
    """Return the operation's name in the file, ours, and its arguments; "first" is the first."""
    if layer.class_name == GRAPH:
        return _node(layer, call)
    if layer.class_name in LAMBDAS:
        said = str(layer.config.get("function", ""))
        return said, _function(said), _arguments(call, ("first",))
    what = _class(layer.class_name)
    options = {k: v for k, v in layer.config.items() if k != "dtype" or what == "cast"}
    given = {**options, **_arguments(call, ("first", *POSITIONS.get(what, ())))}
    return layer.class_name, what, given


def _class(said: str) -> str:
    name = snake_case(said)
    return CLASSES.get(name, name)


def _function(said: str) -> str:
    name = MODULES.sub("", said)
    return FUNCTIONS.get(name, name)


def _arguments(call: Call, names: tuple[str, ...]) -> dict[str, Any]:
    """Arguments by name: those by position have ``names``, and what is left over a number."""
    names += tuple(f"argument {i}" for i in range(len(names), len(call.arguments)))
    return dict(zip(names, call.arguments, strict=False)) | call.keywords


def _node(layer: LayerConfig, call: Call) -> tuple[str, str, dict[str, Any]]:
    """Read a node of a TensorFlow graph: its inputs are tensors, or constants by position."""
    node, constants = layer.config.get("node_def"), layer.config.get("constants") or {}
    if not isinstance(node, dict) or not isinstance(constants, dict):
        raise ConversionError("holds no node of a graph that can be read")
    said, tensors = str(node.get("op")), list(call.inputs)
    if said in ("ConcatV2", "AddN"):
        axis = {} if said == "AddN" else {"axis": constants.get(str(len(tensors)))}
        what = "add_n" if said == "AddN" else "concatenate"
        return said, what, {"first": tuple(tensors), **axis, **_attributes(node)}
    if said not in NODES:
        return said, "", {}
    what, names = NODES[said]
    queue = iter(tensors)
    given = {}
    for position, key in enumerate(names):
        constant = constants.get(str(position))
        given["first" if key == "x" else key] = next(queue, None) if constant is None else constant
    if list(queue):
        raise ConversionError(f"{said}: has {len(tensors)} inputs, more than are known")
    return said, what, {**given, **_attributes(node)}


def _attributes(node: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a graph's node that are no types: protobuf's JSON, such as ``{"b": true}``."""
    found = node.get("attr")
    result = {}
    for key, value in (found if isinstance(found, dict) else {}).items():
        if not isinstance(value, dict) or len(value) > 1:
            raise ConversionError(f"its attribute {str(key)[:40]!r} cannot be read")
        kind, content = next(iter(value.items()), ("type", None))
        if kind == "type" or key in ("N", "_output_shapes", "_cloned", "explicit_paddings"):
            continue
        if kind == "list":
            content = _integers(content)
        result[str(key)] = _text(content) if kind == "s" else content
    return result


def _integers(value: Any) -> list[int]:
    """Read a list of 64-bit integers, which protobuf's JSON writes as texts."""
    items = value.get("i", []) if isinstance(value, dict) else None
    if not isinstance(items, list) or not all(
        isinstance(i, str) and re.fullmatch(r"-?\d{1,9}", i, re.ASCII) for i in items
    ):
        raise ConversionError("an attribute's list cannot be read")
    return [int(i) for i in items]


def _text(value: Any) -> str:
    try:
        return base64.b64decode(value, validate=True).decode("ascii")
    except (TypeError, ValueError, binascii.Error):
        raise ConversionError("an attribute's text cannot be read") from None


def _value(value: Any, operands: Iterator[Operand]) -> Any:
    """Put each tensor's shape in its place."""
    if isinstance(value, Ref):
        return next(operands)
    if isinstance(value, tuple):
        return [_value(v, operands) for v in value]
    return plain(value)


def _is_tensors(value: Any) -> bool:
    """Whether this is a tensor, or a list of tensors alone."""
    items = value if isinstance(value, list) else [value]
    return bool(items) and all(isinstance(item, Operand) for item in items)


def _spell(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} = {repr(v)[:40]}" for k, v in values.items())[:200] or "no options"
