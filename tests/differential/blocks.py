"""Structures with several branches: each puts a few layers behind a value, and names the end."""

from __future__ import annotations

from typing import Any

from tests.differential import options
from tests.differential.builder import Builder
from tests.differential.chains import image, single
from tinycnn.nn import layers as nn
from tinycnn.nn.layers.base import Layer

MERGES = (nn.Add, nn.Subtract, nn.Multiply, nn.Average, nn.Maximum, nn.Minimum)


def same_shape(b: Builder, x: str) -> Layer:
    """A layer that keeps the shape of an image, and has weights or another look at it."""
    draw, channels = b.draw, b.image(x)[2]
    return draw.pick(
        nn.Conv2D(channels, 1, use_bias=draw.chance()),
        nn.Conv2D(channels, draw.pick(3, (1, 5), (3, 1)), padding="same"),
        nn.DepthwiseConv2D(3, padding="same", activation=draw.pick("linear", "relu")),
        nn.MaxPooling2D(3, 1, "same"),
        nn.BatchNormalization(),
        nn.Activation(draw.pick("tanh", "relu", "sigmoid")),
    )


def residual(b: Builder, x: str) -> str:
    """A sum of a branch and what it began with, or of two branches, or of a value and itself."""
    draw, x = b.draw, image(b, x)
    y = b.chain(x, *(same_shape(b, x) for _ in range(draw.between(1, 3))))
    other = draw.pick(x, x, b.add(same_shape(b, x), x), y)
    x = b.add(nn.Add(), *b.draw.shuffled([y, other]))
    return b.add(nn.ReLU(), x) if draw.chance() else x


def merge(b: Builder, x: str) -> str:
    """Several values of one shape, the same one more than once perhaps, in blocks or not."""
    draw = b.draw
    if len(b.shapes[x]) == 3:
        for _ in range(draw.below(3)):
            b.add(same_shape(b, x), x)
    kind, like = draw.pick(*MERGES), b.like(x)
    count = 2 if kind is nn.Subtract else draw.pick(2, 2, 3, 4)
    x = b.add(kind(), *(draw.pick(*like) for _ in range(count)))
    return b.add(draw.pick(nn.ReLU(), nn.ReLU(6.0)), x) if draw.chance(0.3) else x


def broadcast(b: Builder, x: str) -> str:
    """Element-wise with an operand of which some dimensions are 1, on either side."""
    draw, x = b.draw, image(b, x)
    for i in range(4):
        height, width, _ = b.image(x)
        rows, columns, one = (draw.chance() for _ in range(3))
        y = b.add(nn.AveragePooling2D((height if rows else 1, width if columns else 1)), x)
        y = b.add(nn.Conv2D(1, 1), y) if one else y
        x = b.add(MERGES[(4 * b.turn + i) % len(MERGES)](), *draw.shuffled([x, y]))
        x = b.add(nn.ReLU(), x) if draw.chance(0.2) else x
    return x


def gate(b: Builder, x: str) -> str:
    """Squeeze and excite."""
    draw, x = b.draw, image(b, x)
    channels = b.image(x)[2]
    pool = draw.pick(nn.GlobalAveragePooling2D, nn.GlobalAveragePooling2D, nn.GlobalMaxPooling2D)
    if draw.chance(0.6):
        y = b.add(pool(True), x)
        inner = nn.Conv2D(b.channels(), draw.pick(1, 1, 3), padding="same", activation="relu")
        y = b.chain(y, inner, nn.Conv2D(channels, 1))
    else:
        y = b.chain(x, pool(), nn.Dense(b.channels(), activation="relu"), nn.Dense(channels))
        y = b.add(nn.Reshape((1, 1, channels)), y)
    y = b.add(nn.Activation(draw.pick("sigmoid", "hard_sigmoid")), y)
    return b.add(nn.Multiply(), *draw.shuffled([x, y]))


def inception(b: Builder, x: str) -> str:
    """Branches of several kinds, concatenated along the channels."""
    draw, x = b.draw, image(b, x)
    whole = draw.chance(0.6)  # parts of whole blocks lie where they are wanted

    def width() -> int:
        return int(draw.pick(16, 16, 32)) if whole else b.channels()

    def branch() -> str:
        n, end = draw.between(2, 7), draw.pick("relu", "linear", "relu6", "silu")
        ways: list[list[Layer]] = [
            [nn.Conv2D(width(), 1, activation=end)],
            [nn.Conv2D(width(), 1), nn.Conv2D(width(), (1, n), padding="same", activation=end)],
            [nn.Conv2D(width(), (1, n), padding="same"),
             nn.Conv2D(width(), (n, 1), padding="same", activation=end)],
            [nn.MaxPooling2D(3, 1, "same"), nn.Conv2D(width(), 1, activation=end)],
            [nn.AveragePooling2D(3, 1, "same")],
            [nn.Conv2D(width(), 3, padding="same"), nn.BatchNormalization(), nn.ReLU()],
            [nn.DepthwiseConv2D((1, n), padding="same", activation=end)],
        ]  # fmt: skip
        return b.chain(x, *draw.pick(*ways))

    parts = [branch() for _ in range(draw.between(2, 4))]
    if draw.chance(0.3):
        parts.append(draw.pick(x, *parts))
    return b.add(nn.Concatenate(draw.pick(-1, 3)), *draw.shuffled(parts))


def dense_block(b: Builder, x: str) -> str:
    """DenseNet's: each layer reads all before it; perhaps the transition behind."""
    draw, x = b.draw, image(b, x)
    for _ in range(draw.between(1, 3)):
        y = b.chain(x, nn.BatchNormalization(epsilon=1.001e-5), nn.ReLU())
        size = draw.pick(1, 3, (3, 1))
        y = b.add(nn.Conv2D(draw.pick(16, 16, b.channels()), size, padding="same"), y)
        x = b.add(nn.Concatenate(), x, y)
    return transition(b, x) if draw.chance() else x


def transition(b: Builder, x: str) -> str:
    """A 1x1 convolution before a mean of windows: the engine swaps them."""
    draw, x = b.draw, image(b, x)
    conv = nn.Conv2D(b.channels(), 1, use_bias=draw.chance())
    pool = draw.pick(nn.AveragePooling2D, nn.AveragePooling2D, nn.MaxPooling2D)
    layers = [nn.BatchNormalization(), nn.ReLU()] if draw.chance() else []
    strides, padding = draw.pick(2, (1, 2), 3), draw.pick("same", "same", "valid")
    return b.chain(x, *layers, conv, pool(draw.pick(2, 3), strides, padding))


def inverted_residual(b: Builder, x: str) -> str:
    """MobileNetV2's block, with a residual where the shapes agree."""
    draw, x, wide = b.draw, image(b, x), 16 * b.draw.between(1, 6)
    if draw.chance(0.8):  # many pixels and few channels, which the engine fuses
        x = b.add(nn.UpSampling2D(2), x) if min(b.shapes[x][:2]) < 12 else x
        least = b.cache * 3 // 8 // (4 * b.shapes[x][0] * b.shapes[x][1])
        wide = 16 * (-(-least // 16) + draw.below(2))
        few = [n for n in (1, 8, 15, 16, 24) if 2 * 4 * wide * n <= b.cache // 8]
        x = b.add(nn.Conv2D(draw.pick(*few[-3:] or [1]), 1), x)
    end = draw.pick(nn.ReLU(6.0), nn.ReLU(), nn.Identity())
    tail = [end] if draw.chance() else [nn.BatchNormalization(), end]
    channels, stride, bias = b.image(x)[2], draw.pick(1, 1, 2), draw.chance()
    y = b.chain(x, nn.Conv2D(wide, 1, use_bias=bias), *tail)
    pad = draw.pick(None, ((0, 1), (0, 1)), 1)
    if draw.chance(0.6):
        depthwise: Any = nn.DepthwiseConv2D(3, stride, padding="same")
    else:
        y = b.add(nn.ZeroPadding2D(pad), y) if pad else y
        depthwise = nn.DepthwiseConv2D(3, stride, use_bias=False)
    y = b.chain(y, depthwise, *tail)
    y = b.add(nn.Conv2D(draw.pick(channels, channels, 8, 17), 1), y)
    y = b.add(nn.BatchNormalization(), y) if draw.chance() else y
    return b.add(nn.Add(), *draw.shuffled([x, y])) if b.shapes[x] == b.shapes[y] else y


def winograd(b: Builder, x: str) -> str:
    """A 3x3 convolution of stride 1 and 16 channels or more, padded in any way."""
    draw, x = b.draw, image(b, x)
    if b.image(x)[2] < 16:
        x = b.add(nn.Conv2D(draw.pick(16, 17, 33), 1), x)
    if draw.chance(0.3):
        x = b.add(nn.ZeroPadding2D(options.sides(b)), x)
    end, padding = draw.pick("relu", "linear", "tanh"), draw.pick("same", "valid")
    layer = nn.Conv2D(draw.pick(16, 17, 31, 32, 33, 48), 3, padding=padding, activation=end)
    return b.add(layer, x)


def shared(b: Builder, x: str) -> str:
    """One layer called twice: one call behind the other, or side by side."""
    draw, x = b.draw, image(b, x)
    layer = same_shape(b, x)
    y = b.add(layer, x)
    layer = b.nodes[-1].layer  # it has its name now
    if draw.chance():
        return b.add(layer, y)
    z = b.add(layer, b.add(same_shape(b, x), x))
    return b.add(draw.pick(nn.Add, nn.Subtract, nn.Concatenate)(), y, z)


def dead(b: Builder, x: str) -> str:
    """Layers behind ``x`` that nobody reads; the network goes on from ``x``."""
    y = x
    for _ in range(b.draw.between(1, 3)):
        y = single(b, y)
    return x


def concatenation(b: Builder, x: str) -> str:
    """Along any axis, of values that differ along that one alone."""
    shape, draw = b.shapes[x], b.draw
    rank = len(shape)
    axis, parts = draw.between(1, rank), [x]
    for _ in range(draw.between(1, 3)):
        if axis == rank:
            y = b.add(nn.Dense(b.channels()), x)
        elif rank == 3:
            cut = (draw.below(shape[axis - 1]), 0)
            y = b.add(nn.Cropping2D((cut, (0, 0)) if axis == 1 else ((0, 0), cut)), x)
        else:
            y = draw.pick(*b.like(x))
        parts.append(y)
    if draw.chance(0.3):
        parts = parts[:1] if draw.chance(0.3) else [*parts, x]
    return b.add(nn.Concatenate(draw.pick(axis, axis - rank - 1)), *draw.shuffled(parts))


def scattered(b: Builder, x: str) -> str:
    """Small values whose places depend on the threads, each of which has memory to resample in."""
    draw, shape = b.draw, b.image(x)
    size = draw.between(1, shape[0] + 1), draw.between(1, shape[1] + 1)
    y = b.chain(x, nn.Resizing(*size, interpolation="bilinear"), nn.Flatten())
    units = draw.between(2, 60)
    a, c = b.chain(x, nn.Flatten(), nn.Dense(units)), b.add(nn.Dense(units), y)
    ends = [b.add(options.of(draw.pick(nn.Softmax, nn.LayerNormalization, nn.Activation), b, v), v)
            for v in (y, a, b.add(nn.Add(), a, c))]  # fmt: skip
    ends = [v for v in ends if b.shapes[v] == (units,)]
    return b.add(draw.pick(nn.Add(), nn.Concatenate()), *draw.shuffled([*ends, c]))


def head(b: Builder, x: str) -> str:
    """What classifiers end in."""
    draw, x = b.draw, image(b, x)
    pools = nn.GlobalAveragePooling2D(), nn.GlobalMaxPooling2D(), nn.Flatten(), nn.Flatten()
    x = b.add(draw.pick(*pools, nn.GlobalAveragePooling2D(True)), x)
    x = b.add(nn.Flatten(), x) if len(b.shapes[x]) == 3 else x
    if draw.chance(0.6):
        x = b.add(options.dense(b, b.shapes[x]), x)
    units, end = draw.pick((1, "sigmoid"), (2, "softmax"), (7, "softmax"), (14, "sigmoid"))
    return b.chain(x, nn.Dropout(0.5), nn.Dense(units, activation=end))
