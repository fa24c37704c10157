"""The instruction set: one integer row for each instruction, its fields by name.

``CONV.x`` is the *position* of the field ``x`` in a row: kernels read ``row[CONV.x]``, the planner
writes with `encode`. Position 0 is the opcode, ``CONV.code``. Fields that hold a float32 (``low``,
``high``, ``p0``...) are read with `_jit.parameter`. x, y, ... are byte offsets into the arena,
kernel, bias, ... into the weights.

Beside the fields of each instruction stands what it touches, as a function of them: see `access`.
There is no instruction without: `verify` believes nothing else.
"""

from __future__ import annotations

import struct
from collections import namedtuple
from collections.abc import Callable
from typing import Any

from tinycnn.engine.kernels import access
from tinycnn.engine.kernels.access import OUTER as OUTER
from tinycnn.engine.kernels.access import Touches

WIDTH = 40  # integers in a row

# The last place in every row: into how many pieces threads share the instruction; 0: one each.
PIECES = WIDTH - 1
ATTACHED = -1  # whoever does the first piece of the row before does this one, too

_codes: dict[str, int] = {}
LAYOUTS: dict[int, Any] = {}  # opcode -> names of its fields
TOUCHES: dict[int, Callable[..., Touches]] = {}  # opcode -> what a row of it touches


def _layout(name: str, fields: str, touches: Callable[..., Touches]) -> Any:
    names = fields.split()
    code = _codes[name] = len(_codes) + 1
    assert len(names) < PIECES
    make: Any = namedtuple  # whose instances Numba can read; mypy wants literals
    layout = make(name, ["code", *names])(code, *range(1, len(names) + 1))
    LAYOUTS[code], TOUCHES[code] = layout, touches
    return layout


_WINDOW = "height width channels out_height out_width filters kernel_height kernel_width "
_WINDOW += "stride_y stride_x dilation_y dilation_x top left "
# An array that is walked over in another one's order: planes of rows, in `OUTER` more dimensions.
_STRIDED = "planes rows row_step length step "
_STRIDED += " ".join(f"{name}{i}" for name in ("size", "stride") for i in range(OUTER))

# Blocked pictures, [block][row][column][16]: distances in floats between rows and between blocks.
MATMUL = _layout(
    "MATMUL", "x y residual kernel bias segments full short channels panels last groups "
    "rows columns tiles distance x_row y_row y_block residual_row residual_block low high "
    "batch x_batch y_batch kernel_batch",
    access.matmul,
)  # fmt: skip
WINOGRAD_INPUT = _layout(
    "WINOGRAD_INPUT", "x y blocks rows columns x_row x_block distance", access.winograd_input
)
WINOGRAD_OUTPUT = _layout(
    "WINOGRAD_OUTPUT",
    "x y part bias blocks rows columns height width distance y_row y_block low high",
    access.winograd_output,
)
DEPTHWISE_BLOCKED = _layout(
    "DEPTHWISE_BLOCKED", "x y kernel bias blocks rows columns kernel_height kernel_width stride_y "
    "stride_x dilation_y dilation_x x_row x_block y_row y_block low high",
    access.depthwise_blocked,
)  # fmt: skip
INVERTED_RESIDUAL = _layout(
    "INVERTED_RESIDUAL", "x y scratch scratch_size residual segments_in full_in short_in "
    "channels_in kernel_in bias_in blocks kernel bias segments_out kernel_out bias_out "
    "height width stride top left out_height out_width filters x_row x_block y_row y_block "
    "residual_row residual_block low high",
    access.inverted_residual,
)  # fmt: skip
POOL_BLOCKED = _layout(
    "POOL_BLOCKED", "x y kind blocks height width out_height out_width kernel_height kernel_width "
    "stride_y stride_x top left x_row x_block y_row y_block",
    access.pool_blocked,
)  # fmt: skip
GLOBAL_POOL_BLOCKED = _layout(
    "GLOBAL_POOL_BLOCKED",
    "x y kind blocks rows columns x_row x_block y_block",
    access.global_pool_blocked,
)
AFFINE_BLOCKED = _layout(
    "AFFINE_BLOCKED",
    "x y scale shift blocks rows columns x_row x_block y_row y_block low high",
    access.affine_blocked,
)
ADD_BLOCKED = _layout(
    "ADD_BLOCKED",
    "x1 x2 y kind blocks rows columns row1 block1 row2 block2 y_row y_block low high",
    access.add_blocked,
)
CONVERT = _layout(
    "CONVERT",
    "x y rows columns channels x_row x_block x_pixel y_row y_block y_pixel",
    access.convert,
)
RING = _layout("RING", "y blocks rows columns top bottom left right pixel row block", access.ring)

# Plain pictures, [row][column][channel].
CONV = _layout("CONV", "x y kernel bias " + _WINDOW + "groups low high", access.conv)
DEPTHWISE = _layout(
    "DEPTHWISE", "x y kernel bias " + _WINDOW + "multiplier low high", access.depthwise
)
CONV_TRANSPOSE = _layout(
    "CONV_TRANSPOSE", "x y kernel bias " + _WINDOW + "low high", access.conv_transpose
)
DENSE = _layout("DENSE", "x y kernel bias rows channels filters low high", access.dense)
AFFINE = _layout("AFFINE", "x y scale shift rows channels low high", access.affine)
ELEMENTWISE = _layout(
    "ELEMENTWISE",
    "x y kind blocks rows size x_row x_block y_row y_block p0 p1 p2",
    access.elementwise,
)
PRELU = _layout("PRELU", "x y alpha " + _STRIDED, access.prelu)
BINARY = _layout(
    "BINARY", "x1 x2 y kind rows columns channels "
    "row1 column1 channel1 row2 column2 channel2 low high",
    access.binary,
)  # fmt: skip
AXIS_WISE = _layout("AXIS_WISE", "x y kind outer length inner", access.axis_wise)
LAYER_NORM = _layout("LAYER_NORM", "x y gamma beta groups length epsilon", access.layer_norm)
PERMUTE = _layout("PERMUTE", "x y " + _STRIDED, access.permute)
RESAMPLE = _layout(
    "RESAMPLE", "x y scratch rows row_taps columns column_taps height width channels "
    "out_height out_width",
    access.resample,
)  # fmt: skip
COPY = _layout("COPY", "x y outer length x_stride stride", access.copy)

# For benchmarks only, see measuring.py.
PEAK = _layout("PEAK", "x y turns", access.peak)
CLOCK = _layout("CLOCK", "y", access.clock)

FLOAT_FIELDS = frozenset({"low", "high", "p0", "p1", "p2", "epsilon"})


def encode(layout: Any, pieces: int = 0, **values: Any) -> list[int]:
    """Make a row; every field of the layout, and no other, must be given."""
    fields = layout._fields[1:]
    if set(fields) != set(values):
        raise ValueError(f"{type(layout).__name__}: {sorted(set(fields) ^ set(values))}")
    row = [layout.code] + [_number(f, values[f]) for f in fields]
    return row + [0] * (PIECES - len(row)) + [pieces]


def _number(field: str, value: Any) -> int:
    if field in FLOAT_FIELDS:
        (bits,) = struct.unpack("<I", struct.pack("<f", value))
        return int(bits)
    return int(value)


def name(code: int) -> str:
    """Name of an opcode, for people."""
    return next(n for n, c in _codes.items() if c == code)


# Values of the field `kind`: the names, and the numbers that stand for them in kernels.
ELEMENTWISE_KINDS = (
    *("clip", "relu", "leaky_relu", "elu", "celu", "selu", "exponential", "sigmoid"),
    *("hard_sigmoid", "hard_sigmoid_keras2", "silu", "hard_silu", "tanh", "tanh_shrink"),
    *("hard_shrink", "soft_shrink", "threshold", "softplus", "softsign", "log_sigmoid", "mish"),
    *("gelu", "gelu_tanh", "squareplus", "sparse_plus", "sparse_sigmoid"),
)
BINARY_KINDS = ("add", "subtract", "multiply", "maximum", "minimum")

CLIP, RELU, LEAKY_RELU, ELU, CELU, SELU, EXPONENTIAL, SIGMOID = range(8)
HARD_SIGMOID, HARD_SIGMOID_KERAS2, SILU, HARD_SILU, TANH, TANH_SHRINK = range(8, 14)
HARD_SHRINK, SOFT_SHRINK, THRESHOLD, SOFTPLUS, SOFTSIGN, LOG_SIGMOID, MISH = range(14, 21)
GELU, GELU_TANH, SQUAREPLUS, SPARSE_PLUS, SPARSE_SIGMOID = range(21, 26)
CURVED: tuple[int, ...] = (ELU, CELU, SELU, EXPONENTIAL, SIGMOID, SILU, TANH, TANH_SHRINK)
CURVED += (SOFTPLUS, LOG_SIGMOID, MISH, GELU, GELU_TANH)
ADD, SUBTRACT, MULTIPLY, MAXIMUM, MINIMUM = range(len(BINARY_KINDS))

POOL_KINDS = ("max", "mean")
MAX, MEAN = range(2)

AXIS_WISE_KINDS = ("softmax", "log_softmax", "sparsemax", "glu")
SOFTMAX, LOG_SOFTMAX, SPARSEMAX, GLU = range(4)
