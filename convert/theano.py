"""What Theano computed otherwise than TensorFlow under the same name.

Its padding 'same' puts half of the window around a picture, whatever the stride; TensorFlow pads as
much as the windows reach, and the odd pixel at the bottom and right. So with strides, or an even
window, the windows lie elsewhere. Source: ``theano_backend.conv2d``, ``pool2d``, Keras 1.0 to 2.3.
"""

from __future__ import annotations

from dataclasses import replace

from tinycnn.errors import ConversionError
from tinycnn.nn import layers as nn
from tinycnn.nn.layers.base import pair
from tinycnn.nn.types import Pair, tupled

from .dialect import Dialect
from .keras_config import LayerConfig
from .keras_layers import ALIASES

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")
POOLINGS = ("MaxPooling2D", "AveragePooling2D")


def pad_explicitly(
    layer: LayerConfig, dialect: Dialect
) -> tuple[LayerConfig, nn.ZeroPadding2D | None]:
    """Replace Theano's padding 'same', where it differs, by a layer to go before and 'valid'."""
    kind = ALIASES.get(layer.class_name, layer.class_name)
    if layer.config.get("padding") != "same":
        return layer, None
    where = f"layer {layer.name!r} ({layer.class_name})"
    sizes = _pairs(layer, where) if kind in (*CONVOLUTIONS, *POOLINGS, "Conv2DTranspose") else {}
    same = all(
        window % 2 and stride == 1 and (window <= 3 or kind in CONVOLUTIONS)
        for window, stride, _ in sizes.values()
    )
    strided_points = all(window == 1 for window, _, _ in sizes.values()) and kind in CONVOLUTIONS
    if (same and kind != "Conv2DTranspose") or strided_points or not dialect.is_theano(where):
        return layer, None
    if kind not in CONVOLUTIONS:
        raise ConversionError(f"{where}: Theano's padding 'same' of this layer cannot be converted")
    rows, columns = (_sides(window, dilation) for window, _, dilation in sizes.values())
    config = {**layer.config, "padding": "valid"}
    return replace(layer, config=config), nn.ZeroPadding2D((rows, columns))


def _sides(window: int, dilation: int) -> Pair:
    """Return the zeros before and after: out of n pixels become ceil(n / stride) windows."""
    span = (window - 1) * dilation + 1
    return span // 2, (span - 1) // 2


def _pairs(layer: LayerConfig, where: str) -> dict[str, tuple[int, int, int]]:
    """(window, stride, dilation) of rows and columns; the layer itself checks them later."""
    config = layer.config
    window = pair(tupled(config.get("kernel_size", config.get("pool_size", (2, 2)))))
    default = window if "kernel_size" not in config else (1, 1)
    options = (window, config.get("strides") or default, config.get("dilation_rate") or (1, 1))
    spelt = [pair(tupled(option)) for option in options]
    for option in spelt:
        if not (isinstance(option, tuple) and [type(n) for n in option] == [int, int]):
            raise ConversionError(f"{where}: {str(option)[:60]} must be two whole numbers")
    (kh, kw), (sh, sw), (dh, dw) = spelt
    return {"rows": (kh, sh, dh), "columns": (kw, sw, dw)}
