"""ONNX's Resize and Upsample: the pixels of the old image that each new pixel is made of.

Nearest neighbours and linear interpolation, along rows and then along columns. Where Keras has the
same, that layer is taken; else a product with a matrix, one column for each new pixel. Coordinates
are computed in float32, as ONNX Runtime does. Where its last bit would decide which of two pixels
is nearest, runtimes differ, and the node is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from tinycnn.nn import layers as nn
from tinycnn.nn.graph import Tensor
from tinycnn.nn.layers.base import MAX_OPTION
from tinycnn.nn.layers.resampling import nearest as nearest_of_keras
from tinycnn.nn.limits import MAX_ELEMENTS
from tinycnn.nn.types import Array

from .onnx_call import Call, rule, whole
from .onnx_values import CHANNELS_FIRST, Value

F = np.float32
HALF = F(0.5)
DENOMINATOR = 1000  # of a scale: float32(1/3) stands for a third
MAX_MATRIX = 1 << 22  # 2048 pixels become 2048 others
UNSURE = 1e-6  # relative: some units in the last place of a float32


@dataclass(frozen=True)
class Side:
    """One axis: ``size`` pixels become ``length``, and ``scale`` times as many, as the node says.

    The two differ where ``size * scale`` is no whole number: coordinates go by ``scale``.
    """

    size: int
    length: int
    scale: Any  # float32, or float64 as the file means it

    def places(self, where: str) -> tuple[Array, Any]:
        """Coordinates in the old row: in float32, and in float64 by the scale that is meant."""
        meant = Fraction(float(self.scale)).limit_denominator(DENOMINATOR)
        exact = float(meant) if F(float(meant)) == self.scale else float(self.scale)
        x = np.arange(self.length)
        return (
            PLACES[where](x.astype(F), self),
            PLACES[where](x.astype(np.float64), replace(self, scale=exact)),
        )


def _symmetric(x: Array, side: Side) -> Array:
    """Half pixels, and what a size that was rounded off leaves over, in equal parts."""
    adjustment = F(side.length) / (side.scale * F(side.size))
    middle = F(side.size) / F(2)
    return middle * (F(1) - adjustment) + (x + HALF) / side.scale - HALF


def _half_pixel(x: Array, side: Side) -> Array:
    return (x + HALF) / side.scale - HALF


def _of_corners(x: Array, side: Side) -> Array:
    return x * F(side.size - 1) / F(max(side.length - 1, 1))


# coordinate_transformation_mode -> where in the old row the new pixels x lie
PLACES: dict[str, Callable[[Array, Side], Array]] = {
    "half_pixel": _half_pixel,
    "pytorch_half_pixel": lambda x, s: _half_pixel(x, s) if s.length > 1 else np.zeros_like(x),
    "half_pixel_symmetric": _symmetric,
    "tf_half_pixel_for_nn": lambda x, s: (x + HALF) / s.scale,  # for nearest alone
    "asymmetric": lambda x, s: x / s.scale,
    "align_corners": _of_corners,
}
ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - HALF),
    "round_prefer_ceil": lambda x: np.floor(x + HALF),
    "floor": np.floor,
    "ceil": np.ceil,
}


@rule("Resize", "Upsample")
def resize(call: Call) -> Value:
    """Resize rows and columns; before opset 11, only what cannot be meant in two ways."""
    value = call.picture(CHANNELS_FIRST)
    old = call.node.op == "Upsample" or call.opset < 11
    mode = call.text("mode", "nearest")
    where = call.text("coordinate_transformation_mode", "half_pixel")
    rounding = call.text("nearest_mode", "round_prefer_floor")
    sides = _sides(call, value, old)
    _refuse_the_rest(call, old)
    if old and (mode != "nearest" or any(s.length % s.size or s.scale < 1 for s in sides)):
        call.fail(f"{mode} from {_spell(sides, 'size')} to {_spell(sides, 'length')} cannot be "
                  "converted from an opset below 11; export with 11 or later")  # fmt: skip
    if old:
        where, rounding = "asymmetric", "floor"
    only_nearest = where == "tf_half_pixel_for_nn" and mode != "nearest"
    if where not in PLACES or only_nearest or rounding not in ROUNDINGS:
        call.fail(f"mode {mode}, {where}, {rounding} cannot be converted")
    if mode == "nearest":
        return value.on(_nearest(call, value.tensor, sides, where, rounding))
    if mode != "linear":
        call.fail(f"mode {mode} cannot be converted; nearest and linear can")
    return value.on(_linear(call, value.tensor, sides, where))


def _refuse_the_rest(call: Call, old: bool) -> None:
    """Refuse options that change the image; those of refused modes do not."""
    call.ignore("cubic_coeff_a", "exclude_outside", "extrapolation_value")
    if not old:
        call.argument(1)  # the region of tf_crop_and_resize
    policy = call.text("keep_aspect_ratio_policy", "stretch")
    if call.integer("antialias", 0) or call.integers("axes") or policy != "stretch":
        call.fail("antialias, axes or a keep_aspect_ratio_policy cannot be converted")


def _sides(call: Call, value: Value, old: bool) -> list[Side]:
    """Rows and columns, by sizes or scales of (N, C, H, W)."""
    height, width, channels = value.tensor.shape
    if not old and call.argument(3) is not None:
        sizes = whole(call.constant(3, "sizes"))
        if len(sizes) != 4 or sizes[0] != 1 or sizes[1] != channels:
            call.fail(f"sizes {sizes[:8]} are not (1, {channels}, rows, columns)")
        call.argument(2)  # empty beside sizes
        lengths = sizes[2:]
        scales = [F(new) / F(n) for n, new in zip((height, width), lengths, strict=True)]
    else:
        scales = _scales(call, old)
        lengths = [int(F(n) * scale) for n, scale in zip((height, width), scales, strict=True)]
    if min(lengths) < 1 or max(lengths) > MAX_OPTION or lengths[0] * lengths[1] > MAX_ELEMENTS:
        call.fail(f"{lengths[0]} x {lengths[1]} is not a size")
    return [Side(*each) for each in zip((height, width), lengths, scales, strict=True)]


def _scales(call: Call, old: bool) -> list[Any]:
    found: Any = call.option("scales", None, list)
    if found is None:
        found = call.constant(1 if old else 2, "scales")
    scales = np.asarray(found, F).ravel()
    if scales.size != 4 or not np.all((scales > 0) & (scales < 1024)) or any(scales[:2] != 1):
        call.fail(f"scales {scales.tolist()[:8]} are not (1, 1, rows, columns)")
    return list(scales[2:])


def _spell(sides: list[Side], name: str) -> str:
    return "x".join(str(getattr(side, name)) for side in sides)


def _nearest(call: Call, tensor: Tensor, sides: list[Side], where: str, rounding: str) -> Tensor:
    """Pick pixels; where the factors are whole, most often each one several times."""
    picked = [_picked(call, side, where, rounding) for side in sides]
    repeated = [np.arange(s.length) * s.size // s.length for s in sides]
    if all(s.length % s.size == 0 for s in sides) and _same(picked, repeated):
        up = nn.UpSampling2D((sides[0].length // sides[0].size, sides[1].length // sides[1].size))
        return call.place(up, tensor, {})
    if _same(picked, [nearest_of_keras(s.size, s.length) for s in sides]):
        return call.place(nn.Resizing(sides[0].length, sides[1].length, "nearest"), tensor, {})
    for dimension, (side, index) in enumerate(zip(sides, picked, strict=True)):
        tensor = _mixed(call, tensor, dimension, side, index, index, np.zeros(side.length, F))
    return tensor


def _picked(call: Call, side: Side, where: str, rounding: str) -> Any:
    if side.scale == 1:
        return np.arange(side.size)
    (x, exact), nearest = side.places(where), ROUNDINGS[rounding]
    reach = (UNSURE * np.maximum(np.abs(x), 1)).astype(F)
    low, high = (_inside(nearest(x + sign * reach), side) for sign in (F(-1), F(1)))
    if np.any((low != high) & (x != exact)):
        call.fail(
            f"{where}, {rounding}: from {side.size} to {side.length} pixels, the last bit of a "
            "sum decides which is nearest; export with a scale that is a whole number"
        )
    return _inside(nearest(x), side)


def _same(found: list[Any], wanted: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def _inside(places: Array, side: Side) -> Any:
    return np.clip(places, 0, side.size - 1).astype(np.int64)


def _linear(call: Call, tensor: Tensor, sides: list[Side], where: str) -> Tensor:
    """Mix two neighbours by their distances; beyond the last pixel, it alone counts."""
    places = [np.clip(side.places(where)[0], 0, side.size - 1) for side in sides]
    ours = [
        np.clip((np.arange(s.length) + 0.5) * (s.size / s.length) - 0.5, 0, s.size - 1)
        for s in sides
    ]
    if all(np.allclose(a, b, rtol=1e-6, atol=1e-5) for a, b in zip(places, ours, strict=True)):
        return call.place(nn.Resizing(sides[0].length, sides[1].length), tensor, {})
    for dimension, (side, x) in enumerate(zip(sides, places, strict=True)):
        low = _inside(np.floor(x), side)
        tensor = _mixed(call, tensor, dimension, side, low, _inside(low + F(1), side), x - low)
    return tensor


def _mixed(
    call: Call, tensor: Tensor, dimension: int, side: Side, low: Any, high: Any, part: Array
) -> Tensor:
    """Make each pixel of rows (0) or columns (1) of two old ones: ``part`` of the higher one."""
    if side.length * side.size > MAX_MATRIX:
        call.fail(f"{side.size} cannot become {side.length} pixels: the matrix is too large")
    kernel, new = np.zeros((side.size, side.length), F), np.arange(side.length)
    np.add.at(kernel, (low, new), 1 - part)
    np.add.at(kernel, (high, new), part)
    if side.size == side.length and np.array_equal(kernel, np.eye(side.size)):
        return tensor
    there, back = ((2, 3, 1), (3, 1, 2)) if dimension == 0 else ((1, 3, 2), (1, 3, 2))
    tensor = call.place(nn.Permute(there), tensor, {})
    dense = nn.Dense(side.length, use_bias=False)
    return call.place(nn.Permute(back), call.place(dense, tensor, {"kernel": kernel}), {})
