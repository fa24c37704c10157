"""Train a classifier on a MURA-layout folder with Keras 3 on TensorFlow (extra `train`).

    python demos/train.py DATA -o mobilenetv2.h5 --alpha 0.35 --input 160x160x1
    python demos/train.py DATA -o cnn5.h5 --architecture cnn5 --input 32x32x1

Beside the model stands MODEL.json: options, history, accuracy on held-out patients per body part.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

STUDY = re.compile(r"(XR_[A-Z]+)[/\\](patient\d+)[/\\](study\d+_(positive|negative))$")
Images = tuple[NDArray[np.uint8], NDArray[np.float32]]
RESCALE = {"mobilenet_v2": (1 / 127.5, -1.0), "cnn5": (1 / 255, 0.0)}


@dataclass(frozen=True)
class StudyFolder:
    """One study on disk: its images carry its label."""

    body_part: str
    patient: str
    label: int
    images: tuple[Path, ...]


def find_studies(root: Path) -> list[StudyFolder]:
    """All studies in the MURA layout below `root`, sorted by path."""
    studies = []
    for folder in sorted(path for path in root.rglob("study*") if path.is_dir()):
        found = STUDY.search(str(folder))
        images = tuple(sorted(folder.glob("image*.png")))
        if found and images:
            studies.append(StudyFolder(found[1], found[2], int(found[4] == "positive"), images))
    if not studies:
        raise ValueError(f"{root}: no XR_PART/patientN/studyN_label/image*.png below it")
    return studies


def split_by_patient(
    studies: Sequence[StudyFolder], share: float, seed: int
) -> tuple[list[StudyFolder], list[StudyFolder]]:
    """Training and validation studies; no patient is in both."""
    patients = sorted({study.patient for study in studies})
    np.random.default_rng(seed).shuffle(patients)
    held_out = set(patients[: max(1, round(share * len(patients)))])
    training = [study for study in studies if study.patient not in held_out]
    return training, [study for study in studies if study.patient in held_out]


def load_images(
    studies: Sequence[StudyFolder],
    shape: tuple[int, int, int],
    interpolation: str,
    threads: int = 1,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Decode every image once with Keras's `load_img`: (N, H, W, C) uint8 and labels (N, 1)."""
    from keras.utils import img_to_array, load_img

    count = sum(len(study.images) for study in studies)
    pixels = np.empty((count, *shape), np.uint8)
    labels = np.empty((count, 1), np.float32)
    paths = ((path, study.label) for study in studies for path in study.images)
    mode = "grayscale" if shape[2] == 1 else "rgb"

    def decode(job: tuple[int, tuple[Path, int]]) -> None:
        row, (path, label) = job
        image = load_img(path, color_mode=mode, target_size=shape[:2], interpolation=interpolation)
        pixels[row], labels[row] = img_to_array(image), label

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(decode, enumerate(paths)):
            pass
    return pixels, labels


def build_mobilenet_v2(shape: tuple[int, int, int], alpha: float, dropout: float) -> Any:
    """MobileNetV2 with global average pooling and one sigmoid, as one flat functional model."""
    import keras

    backbone = keras.applications.MobileNetV2(
        input_shape=shape, alpha=alpha, weights=None, include_top=False, pooling="avg"
    )
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # 0.999, the published momentum, needs more steps than a short training has.
            layer.momentum = 0.9
    features = keras.layers.Dropout(dropout)(backbone.output)
    score = keras.layers.Dense(1, activation="sigmoid", name="positive")(features)
    return keras.Model(backbone.input, score, name="mobilenet_v2")


def build_cnn5(shape: tuple[int, int, int]) -> Any:
    """The five-layer CNN of the shoulder report: 3x3 'valid' convolutions, 2x2 pools."""
    from keras import Input, Sequential, layers

    def block(filters: int) -> list[Any]:
        return [layers.Conv2D(filters, 3), layers.BatchNormalization(), layers.ReLU()]

    return Sequential(
        [
            Input(shape),
            *block(32), *block(32), layers.MaxPooling2D(2),
            *block(64), *block(64), layers.MaxPooling2D(2),
            layers.Conv2D(32, 3, activation="relu"), layers.BatchNormalization(),
            layers.MaxPooling2D(2, strides=2),
            layers.Flatten(),
            layers.Dense(128, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.25),
            layers.Dense(64, activation="relu"),
            layers.Dense(1, activation="sigmoid", name="positive"),
        ],
        name="cnn5",
    )  # fmt: skip


def build(options: argparse.Namespace) -> Any:
    """The untrained model that the options name."""
    if options.architecture == "cnn5":
        return build_cnn5(options.input)
    return build_mobilenet_v2(options.input, options.alpha, options.dropout)


def augment(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Mirror, shift by up to a sixteenth: one batch (N, H, W, C)."""
    out = np.empty_like(pixels)
    reach = pixels.shape[1] // 16
    for row, image in enumerate(pixels):
        if rng.random() < 0.5:
            image = image[:, ::-1]
        if rng.random() < 0.2:
            image = image[::-1]
        down, right = rng.integers(-reach, reach + 1, size=2)
        out[row] = np.roll(image, (int(down), int(right)), axis=(0, 1))
    return out


def scaled(pixels: NDArray[np.uint8], architecture: str) -> NDArray[np.float32]:
    """Grey levels to what the network sees."""
    scale, offset = RESCALE[architecture]
    return pixels.astype(np.float32) * np.float32(scale) + np.float32(offset)


def batches(
    pixels: NDArray[np.uint8], labels: NDArray[np.float32], options: argparse.Namespace
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Endless shuffled, augmented batches."""
    rng = np.random.default_rng(options.seed)
    while True:
        order = rng.permutation(len(pixels))
        for first in range(0, len(order) - options.batch + 1, options.batch):
            rows = order[first : first + options.batch]
            yield scaled(augment(pixels[rows], rng), options.architecture), labels[rows]


def schedule(options: argparse.Namespace, steps: int) -> Any:
    """Warm up over a tenth of the steps, then a cosine down to almost nothing."""
    from keras.optimizers.schedules import CosineDecay

    warm = max(1, steps // 10)
    return CosineDecay(options.rate / 20, steps - warm, alpha=1e-3, warmup_target=options.rate,
                       warmup_steps=warm)  # fmt: skip


def study_accuracy(
    studies: Sequence[StudyFolder], scores: NDArray[np.float32]
) -> dict[str, dict[str, float]]:
    """Share of right verdicts, mean of the views at 0.5, per body part and overall."""
    right: dict[str, list[bool]] = defaultdict(list)
    first = 0
    for study in studies:
        mean = float(scores[first : first + len(study.images)].mean())
        first += len(study.images)
        for key in (study.body_part, "all"):
            right[key].append((mean >= 0.5) == bool(study.label))
    return {
        part: {"accuracy": round(float(np.mean(hits)), 4), "studies": len(hits)}
        for part, hits in sorted(right.items())
    }


def fit(model: Any, options: argparse.Namespace, training: Images, held: Images) -> dict[str, Any]:
    """Train the model in place; returns the history, epoch by epoch."""
    import keras

    steps = len(training[0]) // options.batch
    rate = schedule(options, steps * options.epochs)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=options.weight_decay)
    # Keras would choose XLA, which is several times slower for these networks on a CPU.
    model.compile(optimizer, loss="binary_crossentropy", metrics=["accuracy"], jit_compile=False)
    history = model.fit(
        batches(*training, options), steps_per_epoch=steps, epochs=options.epochs,
        validation_data=(scaled(held[0], options.architecture), held[1]),
        validation_batch_size=64, verbose=2,
    )  # fmt: skip
    return {key: [round(float(v), 5) for v in values] for key, values in history.history.items()}


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Train, save `options.output`, and return what the JSON beside it says."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(options.seed)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    studies = find_studies(options.data)
    training, validation = split_by_patient(studies, options.validation, options.seed)
    load = (options.input, options.interpolation, options.threads)
    images, held = load_images(training, *load), load_images(validation, *load)
    model = build(options)
    if options.start_from:
        model.set_weights(keras.models.load_model(options.start_from, compile=False).get_weights())
    history = fit(model, options, images, held)
    scores = model.predict(scaled(held[0], options.architecture), batch_size=64, verbose=0)
    model.save(options.output, include_optimizer=False)
    return {
        "options": {key: str(value) for key, value in vars(options).items()},
        "parameters": model.count_params(),
        "training_studies": len(training), "training_images": len(images[0]),
        "validation": study_accuracy(validation, scores),
        "history": history,
    }  # fmt: skip


def _shape(text: str) -> tuple[int, int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)x([13])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: expected HxWxC, for example 160x160x1")
    return int(found[1]), int(found[2]), int(found[3])


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; wrong use ends with status 2."""
    parser = argparse.ArgumentParser(description="Train a study classifier with Keras.")
    parser.add_argument("data", type=Path, help="folder in the MURA layout")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .h5 to write")
    parser.add_argument("--architecture", choices=sorted(RESCALE), default="mobilenet_v2")
    parser.add_argument("--alpha", type=float, default=0.35, help="width of MobileNetV2")
    parser.add_argument("--input", type=_shape, default=(160, 160, 1), help="HxWxC")
    parser.add_argument("--interpolation", default="bilinear", help="as in keras load_img")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument(
        "--start-from", type=Path, help=".h5 of the same architecture, of any input size"
    )
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--dropout", type=float, default=0.2, help="before the last layer")
    parser.add_argument("--validation", type=float, default=0.1, help="share of the patients")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 trained, 1 data or extra missing, 130 interrupted."""
    options = parse_arguments(arguments)
    try:
        report = train(options)
    except ModuleNotFoundError as error:
        print(f"train: {error}: install the extra, pip install '.[train]'", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train: interrupted, nothing saved", file=sys.stderr)
        return 130
    text = json.dumps(report, indent=1)
    options.output.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    print(json.dumps(report["validation"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
