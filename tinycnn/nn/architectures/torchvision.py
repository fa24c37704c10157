"""Networks as torchvision builds them, layers named by the path of the module in PyTorch.

They are not Keras's: padding is the same on all sides, ResNet has its strides in the 3x3
convolutions, batch-norm's epsilon is 1e-5. Source: torchvision/models/*.py, whose layers have
been the same since 2017. In place of the logits stand scores: a sigmoid or a softmax ends them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from tinycnn.errors import UsageError
from tinycnn.nn.architectures._heads import score_activation
from tinycnn.nn.architectures.mobilenet_v2 import BLOCKS, divisible
from tinycnn.nn.graph import Graph, Input, Tensor, from_tensors
from tinycnn.nn.layers import (
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    ReLU,
    ZeroPadding2D,
)
from tinycnn.nn.layers.convolution import Padding
from tinycnn.nn.types import Shape

EPSILON = 1e-5


def _densenet(
    blocks: Sequence[int],
    growth: int,
    stem: int,
    input_shape: Shape,
    classes: int,
    alpha: float = 1.0,
) -> Graph:
    _one_width(alpha)
    inputs = Input(input_shape)
    x = _stem(inputs, stem, ("features.conv0", "features.norm0", "features.pool0"))
    for group, count in enumerate(blocks, start=1):
        for layer in range(1, count + 1):
            x = _dense_layer(x, growth, f"features.denseblock{group}.denselayer{layer}")
        if group < len(blocks):
            x = _transition(x, f"features.transition{group}")
    x = _relu(_norm(x, "features.norm5"), "relu")
    return _pooled(inputs, x, classes, "classifier")


def _dense_layer(x: Tensor, growth: int, name: str) -> Tensor:
    """Put ``growth`` new channels behind those of ``x``."""
    y = _relu(_norm(x, f"{name}.norm1"), f"{name}.relu1")
    y = _relu(_norm(_conv(y, 4 * growth, 1, 1, f"{name}.conv1"), f"{name}.norm2"), f"{name}.relu2")
    y = _conv(y, growth, 3, 1, f"{name}.conv2")
    return Concatenate(name=f"{name}.cat")([x, y])


def _transition(x: Tensor, name: str) -> Tensor:
    x = _relu(_norm(x, f"{name}.norm"), f"{name}.relu")
    return AveragePooling2D(2, 2, name=f"{name}.pool")(
        _conv(x, x.shape[-1] // 2, 1, 1, f"{name}.conv")
    )


def _resnet(
    block: Callable[..., Tensor],
    blocks: Sequence[int],
    input_shape: Shape,
    classes: int,
    alpha: float = 1.0,
) -> Graph:
    _one_width(alpha)
    inputs = Input(input_shape)
    x = _stem(inputs, 64, ("conv1", "bn1", "maxpool"))
    for group, count in enumerate(blocks, start=1):
        for number in range(count):
            stride = 2 if group > 1 and number == 0 else 1
            x = block(x, 32 << group, stride, f"layer{group}.{number}")
    return _pooled(inputs, x, classes, "fc")


def _basic_block(x: Tensor, channels: int, stride: int, name: str) -> Tensor:
    """Two 3x3 convolutions; add the input, or its projection."""
    y = _relu(_norm(_conv(x, channels, 3, stride, f"{name}.conv1"), f"{name}.bn1"), f"{name}.relu1")
    y = _norm(_conv(y, channels, 3, 1, f"{name}.conv2"), f"{name}.bn2")
    return _residual(x, y, stride, name)


def _bottleneck(x: Tensor, channels: int, stride: int, name: str) -> Tensor:
    """Narrow (1x1), convolve (3x3, the stride is here), widen (1x1); add the input."""
    y = _relu(_norm(_conv(x, channels, 1, 1, f"{name}.conv1"), f"{name}.bn1"), f"{name}.relu1")
    y = _relu(_norm(_conv(y, channels, 3, stride, f"{name}.conv2"), f"{name}.bn2"), f"{name}.relu2")
    y = _norm(_conv(y, 4 * channels, 1, 1, f"{name}.conv3"), f"{name}.bn3")
    return _residual(x, y, stride, name)


def _residual(x: Tensor, y: Tensor, stride: int, name: str) -> Tensor:
    if stride > 1 or x.shape[-1] != y.shape[-1]:
        x = _conv(x, y.shape[-1], 1, stride, f"{name}.downsample.0")
        x = _norm(x, f"{name}.downsample.1")
    return _relu(Add(name=f"{name}.add")([x, y]), f"{name}.relu")


def _mobilenet_v2(input_shape: Shape, classes: int, alpha: float = 1.0) -> Graph:
    inputs = Input(input_shape)
    x = _conv(inputs, divisible(32 * alpha), 3, 2, "features.0.0")
    x = _relu6(_norm(x, "features.0.1"), "features.0.2")
    for number, (expansion, channels, stride) in enumerate(BLOCKS, start=1):
        wide = divisible(channels * alpha)
        x = _inverted_residual(x, expansion, wide, stride, f"features.{number}")
    x = _conv(x, divisible(1280 * max(1.0, alpha)), 1, 1, "features.18.0")
    x = _relu6(_norm(x, "features.18.1"), "features.18.2")
    return _pooled(inputs, x, classes, "classifier")


def _inverted_residual(x: Tensor, expansion: int, channels: int, stride: int, name: str) -> Tensor:
    """Expand (1x1), convolve each channel (3x3), project (1x1); add the input where it fits."""
    y, step = x, 0
    if expansion > 1:
        y = _conv(y, expansion * x.shape[-1], 1, 1, f"{name}.conv.0.0")
        y, step = _relu6(_norm(y, f"{name}.conv.0.1"), f"{name}.conv.0.2"), 1
    y = _depthwise(y, stride, f"{name}.conv.{step}.0")
    y = _relu6(_norm(y, f"{name}.conv.{step}.1"), f"{name}.conv.{step}.2")
    y = _conv(y, channels, 1, 1, f"{name}.conv.{step + 1}")
    y = _norm(y, f"{name}.conv.{step + 2}")
    return Add(name=f"{name}.add")([x, y]) if (x.shape, 1) == (y.shape, stride) else y


def _vgg(
    blocks: Sequence[int], norm: bool, input_shape: Shape, classes: int, alpha: float = 1.0
) -> Graph:
    _one_width(alpha)
    x = inputs = Input(input_shape)
    place = 0
    for group, count in enumerate(blocks):
        for _ in range(count):
            x = _conv(x, min(64 << group, 512), 3, 1, f"features.{place}", use_bias=True)
            x = _norm(x, f"features.{place + 1}") if norm else x
            place += 2 + norm
            x = _relu(x, f"features.{place}.relu")
        x = MaxPooling2D(2, 2, name=f"features.{place}.pool")(x)
        place += 1
    x = Flatten(name="flatten")(_seven_by_seven(x))
    for name in ("classifier.0", "classifier.3"):
        x = Dense(4096, activation="relu", name=name)(x)
    return from_tensors(inputs, _scores(x, classes, "classifier.6"))


def _seven_by_seven(x: Tensor) -> Tensor:
    """Average to 7x7 pixels where that is a plain pooling: for sides 224 to 255, 448 to 479, ..."""
    rows, columns = x.shape[0] // 7, x.shape[1] // 7
    if x.shape[:2] != (7 * rows, 7 * columns) or not rows or not columns:
        raise UsageError(
            f"torchvision's VGG averages its last {x.shape[0]}x{x.shape[1]} pixels to 7x7 in "
            "unequal parts; that is done for images of 224, 448, ... rows and columns only"
        )
    return x if rows == columns == 1 else AveragePooling2D((rows, columns), name="avgpool")(x)


def _stem(x: Tensor, channels: int, names: tuple[str, str, str]) -> Tensor:
    """Convolve 7x7/2, pool 3x3/2: (H, W, C) -> (H / 4, W / 4, channels)."""
    conv, norm, pool = names
    x = _relu(_norm(_conv(x, channels, 7, 2, conv), norm), f"{norm}.relu")
    x = ZeroPadding2D(1, name=f"{pool}.pad")(x)  # PyTorch pads with -inf: after relu, the same
    return MaxPooling2D(3, 2, name=pool)(x)


def _conv(
    x: Tensor, filters: int, size: int, stride: int, name: str, *, use_bias: bool = False
) -> Tensor:
    x, padding = _padded(x, size, stride, name)
    return Conv2D(filters, size, stride, padding=padding, use_bias=use_bias, name=name)(x)


def _depthwise(x: Tensor, stride: int, name: str) -> Tensor:
    x, padding = _padded(x, 3, stride, name)
    return DepthwiseConv2D(3, stride, padding=padding, use_bias=False, name=name)(x)


def _padded(x: Tensor, size: int, stride: int, name: str) -> tuple[Tensor, Padding]:
    """Put ``size // 2`` zeros on every side; where the stride is 1, that is 'same'."""
    if size == 1:
        return x, "valid"
    if stride == 1:
        return x, "same"
    return ZeroPadding2D(size // 2, name=f"{name}.pad")(x), "valid"


def _norm(x: Tensor, name: str) -> Tensor:
    return BatchNormalization(epsilon=EPSILON, name=name)(x)


def _relu(x: Tensor, name: str) -> Tensor:
    return Activation("relu", name=name)(x)


def _relu6(x: Tensor, name: str) -> Tensor:
    return ReLU(6.0, name=name)(x)


def _pooled(inputs: Tensor, x: Tensor, classes: int, head: str) -> Graph:
    return from_tensors(inputs, _scores(GlobalAveragePooling2D(name="avgpool")(x), classes, head))


def _scores(x: Tensor, classes: int, name: str) -> Tensor:
    return Dense(classes, activation=score_activation(classes), name=name)(x)


# (input_shape, classes, alpha) -> graph, as in `ARCHITECTURES`
TORCHVISION: dict[str, Callable[..., Graph]] = {
    "densenet121": partial(_densenet, (6, 12, 24, 16), 32, 64),
    "densenet161": partial(_densenet, (6, 12, 36, 24), 48, 96),
    "densenet169": partial(_densenet, (6, 12, 32, 32), 32, 64),
    "densenet201": partial(_densenet, (6, 12, 48, 32), 32, 64),
    "mobilenet_v2": _mobilenet_v2,
    "resnet18": partial(_resnet, _basic_block, (2, 2, 2, 2)),
    "resnet34": partial(_resnet, _basic_block, (3, 4, 6, 3)),
    "resnet50": partial(_resnet, _bottleneck, (3, 4, 6, 3)),
    "resnet101": partial(_resnet, _bottleneck, (3, 4, 23, 3)),
    "vgg16": partial(_vgg, (2, 2, 3, 3, 3), False),
    "vgg16_bn": partial(_vgg, (2, 2, 3, 3, 3), True),
}


def _one_width(alpha: float) -> None:
    """Refuse a width factor for a network that has none."""
    if alpha != 1.0:
        raise UsageError(f"this network has one width only: alpha must be 1, not {alpha}")
