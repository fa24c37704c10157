"""For every layer that takes one input: a random configuration that fits a shape."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, get_args

from tests.differential.builder import Builder, UnfitError
from tinycnn.nn import layers as nn
from tinycnn.nn.activations import ACTIVATIONS
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.layers.resampling import Interpolation
from tinycnn.nn.types import Shape

Make = Callable[[Builder, Shape], Layer]
COMMON = ("linear", "linear", "relu", "relu", "relu6")
EVERY = tuple(sorted(set(ACTIVATIONS) - {"hard_shrink"}))  # that one has a jump: see `Builder`
RESAMPLE = get_args(Interpolation)


def activation(b: Builder, channels: int) -> str:
    """A name for the end of a layer with weights: mostly a usual one."""
    name = b.draw.pick(*(EVERY if b.draw.chance(0.3) else COMMON))
    return "relu" if name == "glu" and channels % 2 else str(name)


def window(b: Builder, shape: Shape, both: bool = True) -> dict[str, Any]:
    """Options of a convolution that fits into ``shape``; ``both``: strides may differ."""
    draw = b.draw
    if len(shape) != 3:
        raise UnfitError("a window needs an image")
    size = draw.pick((1, 1), (3, 3), (3, 3), (1, draw.between(2, 7)), (draw.between(2, 7), 1),
                     (2, 3), (5, 5), (draw.between(1, 4), draw.between(1, 4)))  # fmt: skip
    dilation, strides = (1, 1), (1, 1)
    if draw.chance(0.2):
        dilation = draw.pick((2, 2), (1, 2), (3, 1), (4, 5), (1, 60))
    elif draw.chance(0.4):
        strides = draw.pick((2, 2), (1, 2), (2, 1), (3, 3), (1, 3), (4, 2))
    if not both:
        strides = strides[:1] * 2
    spans = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    fits = all(span <= n for span, n in zip(spans, shape, strict=False))
    padding = draw.pick("valid", "same") if fits else "same"
    return {"kernel_size": size, "strides": strides, "dilation_rate": dilation,
            "padding": padding, "use_bias": draw.chance(0.7)}  # fmt: skip


def conv(b: Builder, shape: Shape) -> Layer:
    options = window(b, shape)
    divisors = [d for d in range(2, 9) if shape[2] % d == 0]
    groups = b.draw.pick(*divisors) if divisors and b.draw.chance(0.15) else 1
    filters = groups * -(-b.channels() // groups)
    return nn.Conv2D(filters, groups=groups, activation=activation(b, filters), **options)


def depthwise(b: Builder, shape: Shape) -> Layer:
    options, multiplier = window(b, shape), b.draw.pick(1, 1, 1, 2, 3)
    name = activation(b, shape[2] * multiplier)
    return nn.DepthwiseConv2D(depth_multiplier=multiplier, activation=name, **options)


def separable(b: Builder, shape: Shape) -> Layer:
    options, filters, multiplier = window(b, shape), b.channels(), b.draw.pick(1, 1, 2)
    name = activation(b, filters)
    return nn.SeparableConv2D(filters, depth_multiplier=multiplier, activation=name, **options)


def transpose(b: Builder, shape: Shape) -> Layer:
    options, filters = window(b, shape), b.channels()
    extra = None
    if b.draw.chance(0.4):
        extra = tuple(b.draw.below(s) for s in options["strides"])
    name = activation(b, filters)
    return nn.Conv2DTranspose(filters, output_padding=extra, activation=name, **options)


def dense(b: Builder, shape: Shape) -> Layer:
    units = b.channels()
    return nn.Dense(units, use_bias=b.draw.chance(0.7), activation=activation(b, units))


def trailing(b: Builder, shape: Shape) -> int | tuple[int, ...]:
    """An ``axis`` of layer normalisation: the last few, spelt from the front or from the back."""
    rank = len(shape)
    count = b.draw.between(1, rank)
    axes = tuple(range(rank + 1 - count, rank + 1))
    if count == 1 and b.draw.chance():
        return int(b.draw.pick(-1, rank))
    return tuple(a - rank - 1 for a in axes) if b.draw.chance(0.3) else axes


def batch_norm(b: Builder, shape: Shape) -> Layer:
    draw = b.draw
    return nn.BatchNormalization(
        draw.pick(1e-3, 1.001e-5), center=draw.chance(0.8), scale=draw.chance(0.8)
    )


def layer_norm(b: Builder, shape: Shape) -> Layer:
    draw, axis = b.draw, trailing(b, shape)
    return nn.LayerNormalization(axis, draw.pick(1e-3, 1e-5), draw.chance(0.7), draw.chance(0.7))


def rescaling(b: Builder, shape: Shape) -> Layer:
    draw = b.draw
    scale: Any = draw.pick(0.5, -1.5, 1 / 127.5)
    offset: Any = draw.pick(0.0, -1.0, 0.25)
    if shape[-1] <= 64 and draw.chance():
        offset = tuple(draw.real(-1, 1) for _ in range(shape[-1]))
    if shape[-1] <= 64 and draw.chance(0.3):
        scale = tuple(draw.real(0.5, 1.5) for _ in range(shape[-1]))
    return nn.Rescaling(scale, offset)


def activation_layer(b: Builder, shape: Shape) -> Layer:
    name = b.draw.pick(*sorted(ACTIVATIONS))
    if shape[-1] % 2 and name == "glu":
        name = "silu"
    return nn.Activation(name)


def relu(b: Builder, shape: Shape) -> Layer:
    draw = b.draw
    return nn.ReLU(
        draw.pick(None, None, 6.0, 1.5), draw.pick(0.0, 0.0, 0.1), draw.pick(0.0, 0.0, 0.0, 0.5)
    )


def prelu(b: Builder, shape: Shape) -> Layer:
    axes = range(1, len(shape) + 1)
    return nn.PReLU(tuple(a for a in axes if b.draw.chance(0.6)))


def axis(b: Builder, shape: Shape) -> int:
    """An axis as Keras counts them, the images being 0."""
    rank = len(shape)
    return int(b.draw.pick(*range(-rank, 0), *range(1, rank + 1)))


def pooling(kind: Any) -> Make:
    def make(b: Builder, shape: Shape) -> Layer:
        if len(shape) != 3:
            raise UnfitError("pooling needs an image")
        draw = b.draw
        size = draw.pick((2, 2), (3, 3), (draw.between(1, 4), draw.between(1, 4)))
        strides = draw.pick(None, None, (1, 1), (2, 2), (1, 2), (3, 1))
        fits = all(k <= n for k, n in zip(size, shape, strict=False))
        return kind(size, strides, draw.pick("valid", "same") if fits else "same")

    return make


def sides(b: Builder, most: int = 3) -> Any:
    """((top, bottom), (left, right)), often not the same on all sides."""
    draw = b.draw
    if draw.chance(0.25):
        return draw.pick(1, (1, 2))
    most = 20 if most > 2 and draw.chance(0.05) else most
    some = [draw.between(0, most) if draw.chance(0.6) else 0 for _ in range(4)]
    return (some[0], some[1]), (some[2], some[3])


def upsampling(b: Builder, shape: Shape) -> Layer:
    draw = b.draw
    method = draw.pick(*RESAMPLE) if draw.chance(0.7) else "nearest"
    return nn.UpSampling2D(draw.pick(2, (1, 2), (3, 1), (2, 3)), method)


def resizing(b: Builder, shape: Shape) -> Layer:
    if len(shape) != 3:
        raise UnfitError("resizing needs an image")
    height, width = (b.draw.between(1, 2 * n + 1) for n in shape[:2])
    return nn.Resizing(height, width, b.draw.pick(*RESAMPLE))


def reshape(b: Builder, shape: Shape) -> Layer:
    """Another shape of rank 1 to 5 with as many values, one dimension perhaps left open."""
    rest, target = prod(shape), []
    for _ in range(b.draw.pick(0, 1, 1, 2, 2, 2, 3, 4)):
        divisors = [d for d in range(1, min(rest, 64) + 1) if rest % d == 0]
        target.append(b.draw.pick(*divisors))
        rest //= target[-1]
    target = b.draw.shuffled([*target, rest])
    if b.draw.chance(0.4):
        target[b.draw.below(len(target))] = -1
    return nn.Reshape(tuple(target))


def permute(b: Builder, shape: Shape) -> Layer:
    return nn.Permute(tuple(b.draw.shuffled(range(1, len(shape) + 1))))


MAKERS: dict[type[Layer], Make] = {
    nn.Conv2D: conv,
    nn.DepthwiseConv2D: depthwise,
    nn.SeparableConv2D: separable,
    nn.Conv2DTranspose: transpose,
    nn.Dense: dense,
    nn.BatchNormalization: batch_norm,
    nn.LayerNormalization: layer_norm,
    nn.Normalization: lambda b, s: nn.Normalization(b.draw.chance(0.3), trailing(b, s)),
    nn.Rescaling: rescaling,
    nn.Activation: activation_layer,
    nn.ReLU: relu,
    nn.LeakyReLU: lambda b, s: nn.LeakyReLU(b.draw.pick(0.3, 0.1, 0.0)),
    nn.PReLU: prelu,
    nn.ELU: lambda b, s: nn.ELU(b.draw.pick(1.0, 0.7)),
    nn.Softmax: lambda b, s: nn.Softmax(axis(b, s)),
    nn.MaxPooling2D: pooling(nn.MaxPooling2D),
    nn.AveragePooling2D: pooling(nn.AveragePooling2D),
    nn.GlobalMaxPooling2D: lambda b, s: nn.GlobalMaxPooling2D(b.draw.chance(0.7)),
    nn.GlobalAveragePooling2D: lambda b, s: nn.GlobalAveragePooling2D(b.draw.chance(0.7)),
    nn.ZeroPadding2D: lambda b, s: nn.ZeroPadding2D(sides(b)),
    nn.Cropping2D: lambda b, s: nn.Cropping2D(sides(b, 2)),
    nn.UpSampling2D: upsampling,
    nn.Resizing: resizing,
    nn.Flatten: lambda b, s: nn.Flatten(),
    nn.Reshape: reshape,
    nn.Permute: permute,
    nn.Identity: lambda b, s: nn.Identity(),
    nn.Dropout: lambda b, s: nn.Dropout(b.draw.pick(0.5, 0.1)),
    nn.SpatialDropout2D: lambda b, s: nn.SpatialDropout2D(b.draw.pick(0.5, 0.1)),
    nn.AlphaDropout: lambda b, s: nn.AlphaDropout(b.draw.pick(0.5, 0.1)),
    nn.GaussianDropout: lambda b, s: nn.GaussianDropout(b.draw.pick(0.5, 0.1)),
    nn.GaussianNoise: lambda b, s: nn.GaussianNoise(b.draw.pick(0.5, 0.1)),
    nn.ActivityRegularization: lambda b, s: nn.ActivityRegularization(
        *b.draw.pick((0.1, 0.0), (0.0, 0.1))
    ),
}
IMAGES = (nn.GlobalMaxPooling2D, nn.GlobalAveragePooling2D, nn.ZeroPadding2D, nn.Cropping2D,
            nn.UpSampling2D, nn.SpatialDropout2D)  # fmt: skip
# How often a layer is drawn, where not once.
OFTEN = {nn.Conv2D: 8, nn.DepthwiseConv2D: 4, nn.SeparableConv2D: 3, nn.Conv2DTranspose: 3,
         nn.Dense: 2, nn.BatchNormalization: 3, nn.Activation: 6, nn.MaxPooling2D: 2,
         nn.AveragePooling2D: 2, nn.ZeroPadding2D: 3, nn.Resizing: 2, nn.UpSampling2D: 2,
         nn.LayerNormalization: 2, nn.PReLU: 2}  # fmt: skip
DRAWN = tuple(kind for kind in MAKERS for _ in range(OFTEN.get(kind, 1)))


def of(kind: type[Layer], b: Builder, x: str) -> Layer:
    """A layer of this class that fits ``x``."""
    shape = b.shapes[x]
    if kind in IMAGES and len(shape) != 3:
        raise UnfitError(f"{kind.__name__} needs an image")
    return MAKERS[kind](b, shape)
