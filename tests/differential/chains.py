"""Layers one behind the other: what a network has between its branches."""

from __future__ import annotations

from tests.differential import options
from tests.differential.builder import Builder
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import INPUT


def single(b: Builder, x: str) -> str:
    """One layer of any class."""
    return b.add(options.of(b.draw.pick(*options.DRAWN), b, x), x)


def image(b: Builder, x: str) -> str:
    """``x``, or an image of its values."""
    shape = b.shapes[x]
    if len(shape) == 3:
        return x
    if len(shape) == 2:
        return b.add(nn.Reshape(b.draw.pick((1, *shape), (shape[0], 1, shape[1]))), x)
    sizes = [s for s in ((1, 1), (1, 2), (2, 1), (3, 2), (1, 5)) if shape[0] % (s[0] * s[1]) == 0]
    return b.add(nn.Reshape((*b.draw.pick(*sizes), -1)), x)


def blocked(b: Builder, x: str) -> str:
    """Something that the engine keeps in blocks of channels."""
    x = image(b, x)
    pooled = nn.MaxPooling2D(b.draw.pick(1, 2, 3), 1, "same")
    return b.add(b.draw.pick(pooled, nn.Conv2D(b.channels(), 1), pooled), x)


def activation(b: Builder, x: str) -> str:
    """Activations one behind the other, of values in blocks or not."""
    names = sorted(options.EVERY)
    x = blocked(b, x) if b.draw.chance(0.6) else x
    for i in range(4):
        name = names[(4 * b.turn + i) % len(names)]
        odd = name == "glu" and b.shapes[x][-1] % 2
        x = b.add(nn.Activation("silu" if odd else name), x)
        if b.draw.chance(0.3):
            x = b.add(options.of(b.draw.pick(nn.ReLU, nn.LeakyReLU, nn.ELU), b, x), x)
    return x


def jump(b: Builder, x: str) -> str:
    """An activation that is not continuous, where no value is rounded."""
    x = INPUT
    if len(b.shapes[x]) == 3 and b.draw.chance(0.6):
        x = b.add(nn.MaxPooling2D(b.draw.pick(1, 2), 1, "same"), x)
    layers = nn.Activation("hard_shrink"), nn.ReLU(1.5, 0.1, 0.5), nn.ReLU(None, 0.2, -0.25)
    return b.add(b.draw.pick(*layers), x)


def conv_norm(b: Builder, x: str) -> str:
    """Padding, a linear layer, a normalisation, an activation: each perhaps."""
    draw, x = b.draw, image(b, x)
    if draw.chance(0.4):
        x = b.add(nn.ZeroPadding2D(options.sides(b)), x)
    kinds = (nn.Conv2D, nn.Conv2D, nn.DepthwiseConv2D, nn.Conv2DTranspose, nn.SeparableConv2D,
             nn.Dense)  # fmt: skip
    x = b.add(options.of(draw.pick(*kinds), b, x), x)
    if draw.chance(0.7):
        kind = draw.pick(nn.BatchNormalization, nn.BatchNormalization, nn.Rescaling)
        x = b.add(options.of(kind, b, x), x)
    if draw.chance(0.3):
        x = b.add(draw.pick(nn.Dropout(0.2), nn.Identity(), nn.SpatialDropout2D(0.2)), x)
    if draw.chance(0.8):
        x = b.add(draw.pick(nn.ReLU(), nn.ReLU(6.0), options.activation_layer(b, b.shapes[x])), x)
    return x


def affine(b: Builder, x: str) -> str:
    """A batch normalisation with nothing before it to fold it into, as in DenseNet."""
    x = blocked(b, x) if b.draw.chance(0.7) else x
    norms = [options.of(nn.BatchNormalization, b, x) for _ in range(b.draw.pick(1, 1, 2))]
    ends = nn.ReLU(), nn.Activation("relu6"), nn.Activation("tanh"), nn.Identity()
    return b.chain(x, *norms, b.draw.pick(*ends))


def moves(b: Builder, x: str) -> str:
    """Reshapes and permutations, one in the other."""
    kinds = (nn.Reshape, nn.Permute, nn.Flatten, nn.Cropping2D, nn.ZeroPadding2D, nn.Resizing)
    for _ in range(b.draw.between(2, 4)):
        y = b.attempt(lambda b, x: b.add(options.of(b.draw.pick(*kinds), b, x), x), x)
        x = x if y is None else y
    return x


def pads(b: Builder, x: str) -> str:
    """Paddings one after the other, read by several: convolutions take them over, pools do not."""
    draw, x = b.draw, image(b, x)
    x = blocked(b, x) if draw.chance() else x
    for _ in range(draw.between(1, 2)):
        x = b.add(nn.ZeroPadding2D(options.sides(b)), x)
    kinds = (nn.Conv2D, nn.DepthwiseConv2D, nn.MaxPooling2D, nn.BatchNormalization,
             nn.Activation, nn.GlobalAveragePooling2D)  # fmt: skip
    ends = [b.add(options.of(draw.pick(*kinds), b, x), x) for _ in range(draw.between(1, 2))]
    return draw.pick(*ends, x) if len(ends) > 1 else ends[0]


def rows(b: Builder, x: str) -> str:
    """Layers on values of rank 2: (pixels, channels)."""
    draw = b.draw
    if len(b.shapes[x]) != 2:
        x = b.add(nn.Reshape((-1, b.shapes[x][-1])), x)
    kinds = (nn.Dense, nn.LayerNormalization, nn.BatchNormalization, nn.Softmax, nn.PReLU,
             nn.Activation, nn.Permute)  # fmt: skip
    for _ in range(draw.between(1, 3)):
        x = b.add(options.of(draw.pick(*kinds), b, x), x)
    if draw.chance(0.4):
        x = b.add(draw.pick(nn.Add(), nn.Multiply(), nn.Concatenate(1)), x, draw.pick(*b.like(x)))
    return x
