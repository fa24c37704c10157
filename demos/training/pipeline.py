"""Batches for Keras: rows of a uint8 array, augmented, then scaled as the engine will do it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinycnn.nn.preprocessing import KERAS_EPSILON, Preprocessing
from training.config import Augmentation, Config, Image
from training.dataset import Examples
from training.moments import Moments, moments_of

BLOCK = 256  # images that are looked at together


def preprocessing(image: Image, training: Examples) -> Preprocessing:
    """What the model file will say; `training`: whose mean and deviation featurewise takes."""
    plain = Preprocessing(
        color_mode=image.color_mode,  # type: ignore[arg-type]
        interpolation=image.interpolation,  # type: ignore[arg-type]
        crop_to_aspect_ratio=image.crop_to_aspect_ratio,
        scale=image.scale,
        offset=image.offset,
    )
    if image.standardization == "samplewise":
        return dataclasses.replace(plain, standardization="samplewise")
    if image.standardization != "featurewise":
        return plain
    mean, deviation = moments(training, plain).per_channel()
    means, deviations = (tuple(map(float, values)) for values in (mean, deviation))
    return dataclasses.replace(plain, standardization="featurewise", mean=means, std=deviations)


def moments(training: Examples, how: Preprocessing) -> Moments:
    """Mean and deviation of every pixel of the network's input; one pass, a block at a time."""
    numbers = np.arange(len(training.labels))
    pieces = (numbers[i : i + BLOCK] for i in range(0, len(numbers), BLOCK))
    blocks = (how.normalise(training.some(piece)) for piece in pieces)
    return moments_of(blocks, training.pixels.shape[1:])


def normalise(x: Any, how: Preprocessing) -> Any:
    """`Preprocessing.normalise` in TensorFlow: grey levels (N, H, W, C) to input, float32."""
    import tensorflow as tf

    x = tf.cast(x, tf.float32) * how.scale + how.offset
    if how.standardization == "samplewise":
        x -= tf.reduce_mean(x, (1, 2, 3), keepdims=True)
        return x / (tf.math.reduce_std(x, (1, 2, 3), keepdims=True) + KERAS_EPSILON)
    if how.standardization == "featurewise":
        return (x - tf.constant(how.mean)) / (tf.constant(how.std) + KERAS_EPSILON)
    return x


def augmenter(chosen: Augmentation, shape: tuple[int, int, int], seed: int) -> Any | None:
    """Keras's own layers, for grey levels 0 to 255 (N, H, W, C); None if nothing is changed."""
    stack = _geometric(chosen, shape, seed) + _photographic(chosen, seed + 100)
    if not stack:
        return None
    import keras

    return keras.Sequential([keras.Input(shape), *stack], name="augmentation")


def _geometric(a: Augmentation, shape: tuple[int, int, int], seed: int) -> list[Any]:
    from keras import layers

    found: list[Any] = []
    if a.flip:
        found.append(layers.RandomFlip(a.flip, seed=seed))
    border = {"fill_mode": "constant", "fill_value": 0.0}
    if a.rotation:
        found.append(layers.RandomRotation(a.rotation / 360, seed=seed + 1, **border))
    if a.translation:
        both = (a.translation, a.translation)
        found.append(layers.RandomTranslation(*both, seed=seed + 2, **border))
    if a.zoom:
        found.append(layers.RandomZoom((-a.zoom, a.zoom), seed=seed + 3, **border))
    if a.shear:
        found.append(layers.RandomShear(a.shear, a.shear, seed=seed + 4, **border))
    if a.crop:
        height, width = (max(1, round(n * (1 - a.crop))) for n in shape[:2])
        found += [layers.RandomCrop(height, width, seed=seed + 5), layers.Resizing(*shape[:2])]
    return found


def _photographic(a: Augmentation, seed: int) -> list[Any]:
    from keras import layers

    levels = (0, 255)
    found: list[Any] = []
    if a.blur:
        size = 2 * int(np.ceil(2 * a.blur)) + 1
        found.append(layers.RandomGaussianBlur(
            1.0, size, sigma=(0.1, a.blur), value_range=levels, seed=seed
        ))  # fmt: skip
    if a.contrast:
        found.append(layers.RandomContrast(a.contrast, value_range=levels, seed=seed + 1))
    if a.brightness:
        found.append(layers.RandomBrightness(a.brightness, value_range=levels, seed=seed + 2))
    if a.noise:  # which takes deviations up to 1
        noise = layers.GaussianNoise(a.noise / 255, seed=seed + 3)
        found += [layers.Rescaling(1 / 255), noise, layers.Rescaling(255.0)]
    return found


def training_batches(examples: Examples, config: Config, how: Preprocessing) -> Any:
    """One epoch of shuffled, augmented batches (x, label) as a `tf.data.Dataset`."""
    import tensorflow as tf

    layers = augmenter(config.augmentation, config.image.shape, config.seed)

    def prepare(x: Any, y: Any) -> tuple[Any, Any]:
        x = tf.cast(x, tf.float32)
        x = layers(x, training=True) if layers else x
        return normalise(tf.clip_by_value(x, 0.0, 255.0), how), y

    rows = tf.data.Dataset.range(len(examples.labels))
    rows = rows.shuffle(len(examples.labels), config.seed, reshuffle_each_iteration=True)
    batches = _fetch(rows.batch(config.training.batch), examples)
    return batches.map(prepare, num_parallel_calls=1).prefetch(2)


def plain_batches(examples: Examples, config: Config, how: Preprocessing) -> Any:
    """All images in order, as they will be judged."""
    import tensorflow as tf

    rows = tf.data.Dataset.range(len(examples.labels)).batch(64)
    return _fetch(rows, examples).map(lambda x, y: (normalise(x, how), y)).prefetch(2)


def _fetch(rows: Any, examples: Examples) -> Any:
    """Batches of row numbers to (pixels, labels (N, 1)); only these rows are read."""
    import tensorflow as tf

    shape = examples.pixels.shape[1:]

    def some(index: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        return examples.some(index), examples.labels[index, None]

    def fetch(index: Any) -> tuple[Any, Any]:
        x, y = tf.numpy_function(some, [index], (tf.uint8, tf.float32), stateful=False)
        return tf.ensure_shape(x, (None, *shape)), tf.ensure_shape(y, (None, 1))

    return rows.map(fetch)
