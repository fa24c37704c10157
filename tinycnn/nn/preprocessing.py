"""What was done to a grey level in training, so that it can be done again, to the bit."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from tinycnn.errors import ModelFileError
from tinycnn.lightclass import dataclass
from tinycnn.nn.types import Array

ColorMode = Literal["grayscale", "rgb"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
Standardization = Literal["none", "samplewise", "featurewise"]

KERAS_EPSILON = 1e-6  # ImageDataGenerator divides by (std + 1e-6)


@dataclass(frozen=True)
class Preprocessing:
    """From a decoded picture to the network's input.

    First the picture (see `tinycnn.studies.images`): ``color_mode``, then the resize to the
    network's height and width with Pillow's filter ``interpolation`` (Keras's `load_img` default
    is "nearest"); ``crop_to_aspect_ratio`` cuts the middle out first instead of stretching: at
    whole pixels, as `load_img`, or with ``fractional_crop`` as Pillow's ``ImageOps.fit``.
    Then the numbers (`normalise`), in the order of Keras's ``ImageDataGenerator``: channel order,
    ``x * scale + offset``, then the standardization: "samplewise" (every image to mean 0 and
    deviation 1) or "featurewise" (``mean`` and ``std`` of the training set, one per channel).
    """

    color_mode: ColorMode = "rgb"
    interpolation: Interpolation = "nearest"
    crop_to_aspect_ratio: bool = False
    bgr: bool = False
    scale: float = 1.0
    offset: float | tuple[float, ...] = 0.0
    standardization: Standardization = "none"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    fractional_crop: bool = False

    def __post_init__(self) -> None:
        """Refuse what would only fail, or lie, with the first image."""
        channels = self.channels
        for name, values in (("mean", self.mean), ("std", self.std)):
            wanted = channels if self.standardization == "featurewise" else 0
            if len(values) not in (wanted, 1 if wanted else 0):
                raise ModelFileError(
                    f"preprocessing: {name} needs {wanted} values for "
                    f"standardization {self.standardization!r}, not {len(values)}"
                )
        if isinstance(self.offset, tuple) and len(self.offset) != channels:
            raise ModelFileError(f"preprocessing: offset needs 1 or {channels} values")
        if self.fractional_crop and not self.crop_to_aspect_ratio:
            raise ModelFileError("preprocessing: fractional_crop needs crop_to_aspect_ratio")
        if self.bgr and channels != 3:
            raise ModelFileError("preprocessing: bgr needs color_mode 'rgb'")
        numbers = [self.scale, *np.atleast_1d(self.offset), *self.mean, *self.std]
        if not all(np.isfinite(numbers)):
            raise ModelFileError("preprocessing: scale, offset, mean and std must be finite")
        if any(value < 0 for value in self.std):
            raise ModelFileError(f"preprocessing: std must not be negative: {self.std}")

    @property
    def channels(self) -> int:
        """1 for grayscale, 3 for rgb."""
        return 1 if self.color_mode == "grayscale" else 3

    def normalise(self, pixels: Any) -> Array:
        """Turn grey levels (N, H, W, C), 0..255 of any type, into input (N, H, W, C) float32."""
        with np.errstate(all="ignore"):  # what overflows is seen in the scores
            return self._normalise(np.asarray(pixels, np.float32))

    def _normalise(self, x: Array) -> Array:
        if self.bgr:
            x = x[..., ::-1]
        x = x * np.float32(self.scale)
        x += np.asarray(self.offset, np.float32)
        if self.standardization == "samplewise":
            x -= x.mean(axis=(1, 2, 3), keepdims=True)
            x /= x.std(axis=(1, 2, 3), keepdims=True) + np.float32(KERAS_EPSILON)
        elif self.standardization == "featurewise":
            x -= np.asarray(self.mean, np.float32)
            x /= np.asarray(self.std, np.float32) + np.float32(KERAS_EPSILON)
        return x
