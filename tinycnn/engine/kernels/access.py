"""What each instruction touches: the addresses of its kernel, as a function of a row's fields.

A declaration yields `Access`es: all values that the kernel reads or writes, over all threads and
whatever the tiles. Prefetches are left out, since they may go anywhere. `Need`s say what must hold
for the kernel to do what is declared. Names are those of the fields in `instructions`; ``f`` is a
row by these names, ``cpu`` the family of CPUs it is for, ``shares`` among how many the row is
shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from typing import Any, NamedTuple

from tinycnn.engine.kernels.family import BLOCK

READ, WRITE, SCRATCH, CONSTANT = "reads", "writes", "works in", "reads the constant"
Dims = tuple[tuple[int, int], ...]
OUTER = 6  # dimensions outside of the planes of a strided walk


class Access(NamedTuple):
    """Values of a field's operand: runs of ``run`` values, repeated along ``dims``.

    ``dims``: (how many, values apart), from the address in the field, ``at`` values on.
    ``table``: a field of the weights and (first, count) of the int64 distances there, in values:
    the runs begin at each of them. ``lanewise``: what is read of a lane goes to that lane only, so
    lanes above the last channel may hold anything. ``size``: bytes of a value.
    """

    field: str
    mode: str
    run: int
    dims: Dims = ()
    at: int = 0
    table: tuple[str, int, int] | None = None
    lanewise: bool = False
    size: int = 4


class Need(NamedTuple):
    """What must hold, in words for the message."""

    holds: bool
    words: str


class Firsts(NamedTuple):
    """A constant that begins with ``length`` int64: the first of ``taps`` among ``most``."""

    table: str
    length: int
    taps: int
    most: int


Touches = Iterable[Access | Need | Firsts]


def window(count: int, stride: int, kernel: int, dilation: int, unit: int) -> Dims:
    """Positions that ``count`` windows of ``kernel`` values see along one axis."""
    if dilation == 1 and stride <= kernel:
        return ((max(count - 1, 0) * stride + kernel, unit),)
    return ((count, stride * unit), (kernel, dilation * unit))


def _blocked(
    field: str, mode: str, blocks: int, block: int, rows: int, row: int, columns: int
) -> Access:
    """Whole rows of a channel-blocked feature map, lane by lane."""
    return Access(field, mode, columns * BLOCK, ((blocks, block), (rows, row)), lanewise=True)


def _filters(
    field: str, mode: str, filters: int, block: int, outer: Dims, columns: int
) -> Iterator[Access]:
    """``filters`` channels, rounded up to vectors, of ``columns`` pixels that lie together."""
    whole, rest = divmod(filters, BLOCK)
    if whole:
        yield Access(field, mode, columns * BLOCK, ((whole, block), *outer), lanewise=True)
    if rest:
        dims = (*outer, (columns, BLOCK))
        yield Access(field, mode, rest, dims, at=whole * block, lanewise=True)


def _channels(field: str, channels: int, block: int, outer: Dims) -> Iterator[Access]:
    """Exactly ``channels`` channels of pixels in blocks ``block`` apart."""
    whole, rest = divmod(channels, BLOCK)
    if whole:
        yield Access(field, READ, BLOCK, ((whole, block), *outer))
    if rest:
        yield Access(field, READ, rest, outer, at=whole * block)


def _constant(field: str, count: int, dims: Dims = (), size: int = 4) -> Access:
    return Access(field, CONSTANT, count, dims, size=size)


def _kind(f: Any, kinds: int) -> Need:
    return Need(0 <= f.kind < kinds, f"kind {f.kind} is one of {kinds}")


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def matmul(f: Any, cpu: Any, shares: int) -> Touches:
    """Products of runs of channels; see `matmul.matmul`."""
    filters = (f.panels - 1) * cpu.panel + f.last * cpu.vector
    runs, taps = f.full + f.short, f.full * BLOCK + f.short * f.channels
    # `tile` has no code for other sizes, and would do nothing.
    yield Need(f.tiles > 0 and -(-f.columns // f.tiles) <= cpu.rows, "a tile holds its pixels")
    yield Need(0 < f.last <= cpu.vectors and f.panels > 0, "a panel is as wide as its vectors")
    yield Need(f.groups > 0, "there are groups of tiles")  # some may be empty
    yield Need(f.residual == -1 or f.residual_block > 0, "a residual has blocks, or is not there")
    yield _constant("segments", runs, size=8)
    yield _constant("kernel", filters * taps, ((f.batch, f.kernel_batch),))
    yield _constant("bias", filters)
    pixels = ((f.batch, f.x_batch), (f.rows, f.x_row), (f.columns, f.distance))
    if f.full:
        yield Access("x", READ, BLOCK, pixels, table=("segments", 0, f.full))
    if f.short:
        yield Access("x", READ, f.channels, pixels, table=("segments", f.full, f.short))
    if f.residual != -1:
        yield from _filters(
            "residual", READ, filters, f.residual_block, ((f.rows, f.residual_row),), f.columns
        )
    outer = ((f.batch, f.y_batch), (f.rows, f.y_row))
    yield from _filters("y", WRITE, filters, f.y_block, outer, f.columns)


WINOGRAD_VALUES, WINOGRAD_OUT, WINOGRAD_IN = 36, 4, 6


def winograd_input(f: Any, cpu: Any, shares: int) -> Touches:
    """Tiles of 6x6 pixels, 4 apart, to 36 matrices."""
    tall, wide = (WINOGRAD_OUT * n + WINOGRAD_IN - WINOGRAD_OUT for n in (f.rows, f.columns))
    yield _blocked("x", READ, f.blocks, f.x_block, tall, f.x_row, wide)
    tiles = f.blocks * f.rows * f.columns
    yield Access("y", WRITE, tiles * BLOCK, ((WINOGRAD_VALUES, f.distance),))


def winograd_output(f: Any, cpu: Any, shares: int) -> Touches:
    """36 matrices to tiles of 4x4 pixels, of which only what lies inside is written."""
    tiles = f.blocks * f.rows * f.columns
    inside = f.columns * WINOGRAD_OUT >= f.width > (f.columns - 1) * WINOGRAD_OUT
    yield Need(inside and f.height > (f.rows - 1) * WINOGRAD_OUT, "tiles cover the rows")
    yield _constant("bias", f.blocks * BLOCK)
    yield Access("x", READ, tiles * BLOCK, ((WINOGRAD_VALUES, f.distance),), lanewise=True)
    yield Access("part", SCRATCH, shares * WINOGRAD_OUT * WINOGRAD_OUT * BLOCK)
    rows = min(f.rows * WINOGRAD_OUT, f.height)
    yield _blocked("y", WRITE, f.blocks, f.y_block, rows, f.y_row, f.width)


def depthwise_blocked(f: Any, cpu: Any, shares: int) -> Touches:
    """Windows of each channel; the halo is part of what is read."""
    yield _constant("kernel", f.blocks * f.kernel_height * f.kernel_width * BLOCK)
    yield _constant("bias", f.blocks * BLOCK)
    rows = window(f.rows, f.stride_y, f.kernel_height, f.dilation_y, f.x_row)
    columns = window(f.columns, f.stride_x, f.kernel_width, f.dilation_x, BLOCK)
    yield Access("x", READ, BLOCK, ((f.blocks, f.x_block), *rows, *columns), lanewise=True)
    yield _blocked("y", WRITE, f.blocks, f.y_block, f.rows, f.y_row, f.columns)


def inverted_residual(f: Any, cpu: Any, shares: int) -> Touches:
    """Three expanded lines, one of zeros and a depthwise one for each share; see the kernel."""
    expanded, filters = f.blocks * BLOCK, _up(f.filters, cpu.vector)
    taps = f.full_in * BLOCK + f.short_in * f.channels_in
    columns = (f.out_width - 1) * f.stride + 3  # of an expanded line that has one zero at each end
    lines, middle = 4 * f.blocks * (f.width + 2) * BLOCK, f.blocks * f.out_width * BLOCK
    yield Need(1 - f.left + columns <= f.width + 2, "the depthwise windows stay in their line")
    yield Need(0 <= f.left <= 1 and 0 <= f.top <= 1, "at most one line of zeros is left out")
    yield Need(f.scratch_size >= lines + middle, "the lines have room in a share's scratch")
    yield Need(f.residual == -1 or f.residual_block > 0, "a residual has blocks, or is not there")
    yield Access("scratch", SCRATCH, shares * f.scratch_size)
    yield _constant("segments_in", f.full_in + f.short_in, size=8)
    yield _constant("kernel_in", taps * expanded)
    yield _constant("bias_in", expanded)
    yield _constant("kernel", f.blocks * 9 * BLOCK)
    yield _constant("bias", expanded)
    yield _constant("segments_out", f.blocks, size=8)
    yield _constant("kernel_out", expanded * filters)
    yield _constant("bias_out", filters)
    rows = min((f.out_height - 1) * f.stride - f.top + 3, f.height)
    pixels = ((rows, f.x_row), (f.width, BLOCK))
    if f.full_in:
        yield Access("x", READ, BLOCK, pixels, table=("segments_in", 0, f.full_in))
    if f.short_in:
        table = ("segments_in", f.full_in, f.short_in)
        yield Access("x", READ, f.channels_in, pixels, table=table)
    # Where the projection finds its channels: in the depthwise line, counted from its first pixel.
    within = ("segments_out", 0, f.blocks)
    yield Access("scratch", SCRATCH, f.out_width * BLOCK, at=lines, table=within)
    if f.residual != -1:
        yield from _filters(
            "residual", READ, filters, f.residual_block,
            ((f.out_height, f.residual_row),), f.out_width,
        )  # fmt: skip
    yield from _filters("y", WRITE, filters, f.y_block, ((f.out_height, f.y_row),), f.out_width)


def _inside(count: int, stride: int, kernel: int, before: int, size: int) -> tuple[int, int]:
    """First and end of the positions inside a feature map that ``count`` windows see."""
    return max(-before, 0), min((count - 1) * stride + kernel - before, size)


def pool_blocked(f: Any, cpu: Any, shares: int) -> Touches:
    """Windows, as far as they lie inside."""
    yield _kind(f, 2)
    top, bottom = _inside(f.out_height, f.stride_y, f.kernel_height, f.top, f.height)
    left, right = _inside(f.out_width, f.stride_x, f.kernel_width, f.left, f.width)
    inside = ((f.blocks, f.x_block), (bottom - top, f.x_row), (right - left, BLOCK))
    yield Access("x", READ, BLOCK, inside, at=top * f.x_row + left * BLOCK, lanewise=True)
    yield _blocked("y", WRITE, f.blocks, f.y_block, f.out_height, f.y_row, f.out_width)


def global_pool_blocked(f: Any, cpu: Any, shares: int) -> Touches:
    """Whole feature maps to a pixel each."""
    yield _kind(f, 2)
    yield _blocked("x", READ, f.blocks, f.x_block, f.rows, f.x_row, f.columns)
    yield Access("y", WRITE, BLOCK, ((f.blocks, f.y_block),), lanewise=True)


def affine_blocked(f: Any, cpu: Any, shares: int) -> Touches:
    """A factor and a summand for each channel."""
    yield _constant("scale", f.blocks * BLOCK)
    yield _constant("shift", f.blocks * BLOCK)
    yield _blocked("x", READ, f.blocks, f.x_block, f.rows, f.x_row, f.columns)
    yield _blocked("y", WRITE, f.blocks, f.y_block, f.rows, f.y_row, f.columns)


def add_blocked(f: Any, cpu: Any, shares: int) -> Touches:
    """Two feature maps of one shape."""
    yield _kind(f, 5)
    yield _blocked("x1", READ, f.blocks, f.block1, f.rows, f.row1, f.columns)
    yield _blocked("x2", READ, f.blocks, f.block2, f.rows, f.row2, f.columns)
    yield _blocked("y", WRITE, f.blocks, f.y_block, f.rows, f.y_row, f.columns)


def convert(f: Any, cpu: Any, shares: int) -> Touches:
    """Pixels from one layout to another; a blocked target gets zeros above the last channel."""
    pixels = ((f.rows, f.x_row), (f.columns, f.x_pixel))
    if f.x_block:
        yield from _channels("x", f.channels, f.x_block, pixels)
    else:
        yield Access("x", READ, f.channels, pixels)
    pixels = ((f.rows, f.y_row), (f.columns, f.y_pixel))
    if f.y_block:
        blocks = _up(f.channels, BLOCK) // BLOCK
        yield Access("y", WRITE, BLOCK, ((blocks, f.y_block), *pixels))
    else:
        yield Access("y", WRITE, f.channels, pixels)


def ring(f: Any, cpu: Any, shares: int) -> Touches:
    """Zeros above, between the rows, and below."""
    above = f.top * f.row + f.left * f.pixel
    below = f.bottom * f.row + f.right * f.pixel
    after = (f.rows - 1) * f.row + f.columns * f.pixel
    blocks = (f.blocks, f.block)
    yield Access("y", WRITE, above, (blocks,), at=-above)
    between = (blocks, (f.rows - 1, f.row))
    yield Access("y", WRITE, (f.left + f.right) * f.pixel, between, at=f.columns * f.pixel)
    yield Access("y", WRITE, below, (blocks,), at=after)


def _windows(f: Any, kernel: int) -> Touches:
    """Plain windows: the whole input, as far as it is looked at, and all weights."""
    yield _constant("kernel", kernel)
    yield _constant("bias", f.filters)
    yield Access("x", READ, f.height * f.width * f.channels)
    yield Access("y", WRITE, f.out_height * f.out_width * f.filters)


def conv(f: Any, cpu: Any, shares: int) -> Touches:
    """Any convolution."""
    even = f.groups > 0 and f.channels % f.groups == 0 and f.filters % f.groups == 0
    yield Need(even, "channels and filters fall into groups")
    yield from _windows(
        f, f.kernel_height * f.kernel_width * (f.channels // max(f.groups, 1)) * f.filters
    )


def depthwise(f: Any, cpu: Any, shares: int) -> Touches:
    """Any depthwise convolution."""
    yield Need(f.filters == f.channels * f.multiplier, "each channel has its filters")
    yield from _windows(f, f.kernel_height * f.kernel_width * f.filters)


def conv_transpose(f: Any, cpu: Any, shares: int) -> Touches:
    """Any transposed convolution."""
    yield Need(f.stride_y > 0 and f.stride_x > 0, "strides are positive")
    yield from _windows(f, f.kernel_height * f.kernel_width * f.channels * f.filters)


def dense(f: Any, cpu: Any, shares: int) -> Touches:
    """A matrix product."""
    yield _constant("kernel", f.channels * f.filters)
    yield _constant("bias", f.filters)
    yield Access("x", READ, f.rows * f.channels)
    yield Access("y", WRITE, f.rows * f.filters)


def affine(f: Any, cpu: Any, shares: int) -> Touches:
    """A factor and a summand for each channel."""
    yield _constant("scale", f.channels)
    yield _constant("shift", f.channels)
    yield Access("x", READ, f.rows * f.channels)
    yield Access("y", WRITE, f.rows * f.channels)


def elementwise(f: Any, cpu: Any, shares: int) -> Touches:
    """One value at a time."""
    yield _kind(f, 26)
    for field, block, row in (("x", f.x_block, f.x_row), ("y", f.y_block, f.y_row)):
        mode = READ if field == "x" else WRITE
        yield Access(field, mode, f.size, ((f.blocks, block), (f.rows, row)), lanewise=True)


def _strided(f: Any, field: str, mode: str) -> Touches:
    """An array that is walked over in another one's order: planes of rows, and more dimensions."""
    outer = tuple((getattr(f, f"size{i}"), getattr(f, f"stride{i}")) for i in range(OUTER))
    yield Need(f.planes == prod(size for size, _ in outer), "planes are as many as their places")
    dims = (*outer, (f.rows, f.row_step), (f.length, f.step))
    yield Access(field, mode, 1, tuple((n, step) for n, step in dims if n != 1))


def prelu(f: Any, cpu: Any, shares: int) -> Touches:
    """A slope for each value, repeated along some dimensions."""
    yield from _strided(f, "alpha", CONSTANT)
    yield Access("x", READ, f.planes * f.rows * f.length)
    yield Access("y", WRITE, f.planes * f.rows * f.length)


def binary(f: Any, cpu: Any, shares: int) -> Touches:
    """Two values, broadcast by distances of 0."""
    yield _kind(f, 5)
    for field, row, column, channel in (
        ("x1", f.row1, f.column1, f.channel1), ("x2", f.row2, f.column2, f.channel2)
    ):  # fmt: skip
        yield Access(field, READ, 1, ((f.rows, row), (f.columns, column), (f.channels, channel)))
    yield Access("y", WRITE, f.rows * f.columns * f.channels)


def axis_wise(f: Any, cpu: Any, shares: int) -> Touches:
    """Functions of the middle axis; the last kind, glu, keeps half of it."""
    yield _kind(f, 4)
    kept = f.length // 2 if f.kind == 3 else f.length
    yield Access("x", READ, f.outer * f.length * f.inner)
    yield Access("y", WRITE, f.outer * kept * f.inner)


def layer_norm(f: Any, cpu: Any, shares: int) -> Touches:
    """Groups to mean 0 and variance 1."""
    if f.gamma != -1:
        yield _constant("gamma", f.length)
    if f.beta != -1:
        yield _constant("beta", f.length)
    yield Access("x", READ, f.groups * f.length)
    yield Access("y", WRITE, f.groups * f.length)


def permute(f: Any, cpu: Any, shares: int) -> Touches:
    """Values in another order of dimensions."""
    yield from _strided(f, "x", READ)
    yield Access("y", WRITE, f.planes * f.rows * f.length)


def resample(f: Any, cpu: Any, shares: int) -> Touches:
    """Rows, then columns, as weighted sums of neighbours."""
    for field, count, taps, most in (
        ("rows", f.out_height, f.row_taps, f.height),
        ("columns", f.out_width, f.column_taps, f.width),
    ):
        yield _constant(field, count * (2 + taps))  # an int64, then the weights of each
        yield Firsts(field, count, taps, most)
    yield Access("scratch", SCRATCH, shares * f.width * f.channels)
    yield Access("x", READ, f.height * f.width * f.channels)
    yield Access("y", WRITE, f.out_height * f.out_width * f.channels)


def copy(f: Any, cpu: Any, shares: int) -> Touches:
    """Stripes."""
    yield Access("x", READ, f.length, ((f.outer, f.x_stride),))
    yield Access("y", WRITE, f.length, ((f.outer, f.stride),))


def peak(f: Any, cpu: Any, shares: int) -> Touches:
    """Sums of each share."""
    sums = cpu.rows * cpu.vectors * cpu.vector
    yield Access("x", READ, 2 * cpu.vector + cpu.rows * cpu.vectors + cpu.vector - 1)
    yield Access("y", WRITE, shares * sums)


def clock(f: Any, cpu: Any, shares: int) -> Touches:
    """Seconds and nanoseconds."""
    yield Access("y", WRITE, 2, size=8)
