"""A random network from a seed: one structure by the seed's turn, others by chance around it."""

from __future__ import annotations

from collections.abc import Callable

from tests.differential import blocks, chains, options
from tests.differential.builder import SIZES, Builder
from tests.differential.draw import Draw
from tinycnn.nn import layers as nn
from tinycnn.nn.graph import INPUT, Graph
from tinycnn.nn.layers.base import Layer

Block = Callable[[Builder, str], str]


def layer(*kinds: type[Layer]) -> Block:
    """A structure of one layer of these classes, behind something in blocks or not."""

    def block(b: Builder, x: str) -> str:
        x = chains.blocked(b, x) if b.draw.chance(0.3) else x
        return b.add(options.of(b.draw.pick(*kinds), b, x), x)

    return block


# Each in its turn is sure to stand in a network: what few networks have is not left to chance.
FEATURES: tuple[Block, ...] = (
    *(chains.single, chains.activation, chains.jump, chains.conv_norm, chains.affine),
    *(blocks.residual, blocks.merge, blocks.broadcast, blocks.gate, blocks.inception),
    *(blocks.dense_block, blocks.transition, blocks.inverted_residual, blocks.winograd),
    *(blocks.shared, blocks.dead, chains.moves, chains.pads, blocks.concatenation, chains.rows),
    *(chains.activation, blocks.broadcast, blocks.inverted_residual, blocks.merge),
    blocks.scattered,
    layer(nn.Conv2D),
    layer(nn.Conv2DTranspose),
    layer(nn.DepthwiseConv2D, nn.SeparableConv2D),
    layer(nn.MaxPooling2D, nn.AveragePooling2D, nn.GlobalMaxPooling2D, nn.GlobalAveragePooling2D),
    layer(nn.Resizing, nn.UpSampling2D),
    layer(nn.LayerNormalization, nn.Normalization, nn.Rescaling),
    layer(nn.PReLU, nn.Softmax),
    layer(nn.Flatten, nn.Reshape, nn.Dropout, nn.Identity),
)
assert len(FEATURES) % 2, "seeds take turns of both sizes, too: each feature shall meet both"
COMMON = (
    *[chains.single] * 6,
    *[chains.conv_norm] * 3,
    *(chains.activation, blocks.residual, blocks.merge, blocks.inception, chains.pads),
    *(blocks.gate, blocks.shared, chains.moves, blocks.concatenation, blocks.winograd),
)
TRIES = 30


def generate(seed: int, size: str, attempt: int = 0) -> Graph:
    """The network of a seed; another one for another ``attempt``."""
    return build(seed, size, attempt).graph()


def build(seed: int, size: str, attempt: int = 0) -> Builder:
    """The builder of that network, when it is done."""
    draw, kind = Draw(f"{size} {seed} {attempt}"), SIZES[size]
    shape = draw.pick(*kind.sides), draw.pick(*kind.sides), draw.pick(*kind.inputs)
    turn, feature = divmod(seed, len(FEATURES))
    b, count, x = Builder(draw, kind, shape, turn), draw.between(*kind.blocks), INPUT
    place = draw.below(count)
    for i in range(count):
        x = grow(b, FEATURES[feature] if i == place else None, x)
    if not b.nodes or draw.chance(0.35):
        x = b.attempt(blocks.head, x) or x
    if not b.nodes or b.nodes[-1].name != x:  # the last node is the output
        x = b.add(draw.pick(nn.Identity(), nn.Activation("relu")), x)
    return b


def grow(b: Builder, block: Block | None, x: str) -> str:
    """Another structure behind ``x``, or behind an older value; ``block`` or any that fits."""
    if b.draw.chance(0.2):
        x = b.draw.pick(*b.shapes)
    for _ in range(TRIES):
        made = b.attempt(block or b.draw.pick(*COMMON), x)
        if made is not None:
            return made
    return x
