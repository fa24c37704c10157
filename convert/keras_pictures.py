"""Keras's layers that crop and resize pictures, as crops, zeros and plain resizings.

What they do depends on the picture's size, which is known here; Keras computes it in each call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tinycnn.errors import ConversionError
from tinycnn.nn import layers as nn
from tinycnn.nn.layers.base import Layer
from tinycnn.nn.types import Pair, Shape

Size = tuple[int, ...]


def centre_crop(made: Layer, config: Mapping[str, Any], shape: Shape, _: bool) -> tuple[Layer, ...]:
    """`CenterCrop`: the middle of a picture; one that is too small is resized instead."""
    assert isinstance(made, nn.Resizing)
    size = (made.height, made.width)
    if len(shape) != 3 or any(have < want for have, want in zip(shape, size, strict=False)):
        return crop_and_resize(made, shape)
    sides = _sides(shape, size)
    return (nn.Cropping2D(sides, name=made.name),)


def random_crop(
    made: Layer, config: Mapping[str, Any], shape: Shape, keras2: bool
) -> tuple[Layer, ...]:
    """`RandomCrop` at inference: Keras 2 cuts the middle out and resizes it.

    Keras 3 did the same at first; 3.15 leaves the picture as it is, whatever its size.
    """
    assert isinstance(made, nn.Resizing)
    if shape[:2] == (made.height, made.width):
        return (nn.Identity(name=made.name),)
    if not keras2:
        raise ConversionError(
            "Keras 3's versions differ in what it does at inference; put CenterCrop or Resizing "
            "in its place, and save again"
        )
    return crop_and_resize(made, shape)


def resizing(made: Layer, config: Mapping[str, Any], shape: Shape, _: bool) -> tuple[Layer, ...]:
    """`Resizing`, with the picture cropped or padded to the new aspect ratio first if asked for."""
    assert isinstance(made, nn.Resizing)
    if config.get("crop_to_aspect_ratio"):
        return crop_and_resize(made, shape)
    if config.get("pad_to_aspect_ratio"):
        if config.get("fill_value", 0) != 0 or config.get("fill_mode", "constant") != "constant":
            raise ConversionError("only zeros can be put around a picture")
        return pad_and_resize(made, shape)
    return (made,)


def crop_and_resize(made: nn.Resizing, shape: Shape) -> tuple[Layer, ...]:
    """Keras's `smart_resize`: the largest middle of the right aspect ratio, resized."""
    made.need_rank(shape)
    return _resized(made, nn.Cropping2D(_sides(shape, _cropped(made, shape))))


def pad_and_resize(made: nn.Resizing, shape: Shape) -> tuple[Layer, ...]:
    """Zeros above and below, or on both sides, in equal parts; then resized."""
    made.need_rank(shape)
    rows = max(shape[0], int(shape[1] * made.height / made.width))
    columns = max(shape[1], int(shape[0] * made.width / made.height))
    above, before = (rows - shape[0]) // 2, (columns - shape[1]) // 2  # an odd one is left out
    return _resized(made, nn.ZeroPadding2D(((above, above), (before, before))))


def _cropped(made: nn.Resizing, shape: Shape) -> Size:
    rows, columns = (
        int(shape[1] * made.height / made.width),
        int(shape[0] * made.width / made.height),
    )
    return max(min(shape[0], rows), 1), max(min(shape[1], columns), 1)


def _sides(shape: Shape, size: Size) -> tuple[Pair, Pair]:
    """((top, bottom), (left, right)) of what is cut off around the middle."""
    rows, columns = shape[0] - size[0], shape[1] - size[1]
    return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)


def _resized(made: nn.Resizing, first: nn.Cropping2D | nn.ZeroPadding2D) -> tuple[Layer, ...]:
    """Leave out the first step where it would do nothing."""
    if first.sides == ((0, 0), (0, 0)):
        return (made,)
    return replace(first, name=made.name), replace(made, name=f"{made.name}_resized")
