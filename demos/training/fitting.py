"""Find the weights: optimizer, schedules and callbacks of Keras, with resume after a kill."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinycnn.nn.preprocessing import Preprocessing
from training.config import Config, Training
from training.dataset import Examples
from training.pipeline import plain_batches, training_batches

BEST, HISTORY, BACKUP = "best.keras", "history.csv", "backup"


def optimizer(chosen: Training, steps: int) -> Any:
    """The optimizer; `steps`: batches of the whole training, for the cosine."""
    import keras

    known = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "adagrad": "Adagrad"}
    options: dict[str, Any] = {"learning_rate": rate(chosen, steps)}
    if chosen.weight_decay:
        options["weight_decay"] = chosen.weight_decay
    if chosen.optimizer == "sgd":
        options["momentum"] = chosen.momentum
    return getattr(keras.optimizers, known[chosen.optimizer])(**options)


def rate(chosen: Training, steps: int) -> Any:
    """The first learning rate, or the cosine: a tenth of the steps upwards, the others down."""
    if chosen.schedule != "cosine":
        return chosen.rate
    from keras.optimizers.schedules import CosineDecay

    warm = max(1, steps // 10)
    return CosineDecay(chosen.rate / 20, max(1, steps - warm), alpha=1e-3,
                       warmup_target=chosen.rate, warmup_steps=warm)  # fmt: skip


def stepped(chosen: Training) -> Callable[[int, float], float]:
    """The rate of an epoch under the schedule "step"."""
    return lambda epoch, _: chosen.rate * chosen.factor ** (epoch // chosen.patience)


def callbacks(chosen: Training, folder: Path) -> list[Any]:
    """Best epoch kept, history written, stop and schedule as chosen, a backup for `fit` again."""
    from keras import callbacks as keras

    best = min((row["val_loss"] for row in history(folder)), default=None)
    found: list[Any] = [
        keras.ModelCheckpoint(
            folder / BEST, monitor="val_loss", mode="min", save_best_only=True,
            initial_value_threshold=best,
        ),
        keras.CSVLogger(folder / HISTORY, append=True),
    ]  # fmt: skip
    if chosen.schedule == "plateau":
        found.append(keras.ReduceLROnPlateau(factor=chosen.factor, patience=chosen.patience))
    if chosen.schedule == "step":
        found.append(keras.LearningRateScheduler(stepped(chosen)))
    if chosen.early_stopping:
        found.append(keras.EarlyStopping(patience=chosen.early_stopping))
    if chosen.tensorboard:
        found.append(keras.TensorBoard(folder / "tensorboard"))
    # The last: what is backed up has been logged.
    return [*found, keras.BackupAndRestore(folder / BACKUP, delete_checkpoint=True)]


def history(folder: Path) -> list[dict[str, float]]:
    """Every epoch so far, also those before a kill: loss, accuracy, val_loss, ..."""
    path = folder / HISTORY
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: float(text) for key, text in row.items()} for row in csv.DictReader(file)]


def class_weights(examples: Examples) -> dict[int, float]:
    """Weights that make both classes count the same, one on average over all images."""
    positive = float(examples.labels.sum())
    counts = (len(examples.labels) - positive, positive)
    if min(counts) == 0:
        raise ValueError("all training images have the same label; add studies of the other")
    return {label: len(examples.labels) / (2 * count) for label, count in enumerate(counts)}


def fit(
    model: Any, config: Config, training: Examples, held: Examples, how: Preprocessing, folder: Path
) -> Any:
    """Train, from the last epoch that `folder` holds; returns the model of the best epoch."""
    import keras

    chosen = config.training
    batches = -(-len(training.labels) // chosen.batch)
    # Keras would choose XLA, which is several times slower for these networks on a CPU.
    model.compile(
        optimizer(chosen, batches * chosen.epochs), loss="binary_crossentropy",
        metrics=["accuracy"], jit_compile=False,
    )  # fmt: skip
    model.fit(
        training_batches(training, config, how),
        epochs=chosen.epochs,
        validation_data=plain_batches(held, config, how),
        class_weight=class_weights(training) if chosen.class_weights else None,
        callbacks=callbacks(chosen, folder),
        shuffle=False,  # the batches are
        verbose=2,
    )
    return keras.models.load_model(folder / BEST, compile=False)
