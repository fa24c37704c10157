"""Calls with training=True: what Keras 2 then computes at inference, too, cannot be converted.

In Keras 3 `predict` passes training=False to every layer, whatever was built in.
"""

from __future__ import annotations

from tinycnn.errors import ConversionError

from .keras_activations import plain
from .keras_config import Call, LayerConfig
from .keras_layers import ALIASES, AUGMENTATIONS

# Layers that act in training alone -> the option that says how much; 0: not at all.
RANDOM = {
    **dict.fromkeys(("Dropout", "SpatialDropout2D", "AlphaDropout", "GaussianDropout"), "rate"),
    **dict.fromkeys((*AUGMENTATIONS, "RandomCrop"), ""),
    "GaussianNoise": "stddev",
}


def is_training(call: Call, before: bool) -> bool:
    """Whether a call is one of training: as it says, or as the model around is called."""
    given = call.keywords.get("training")
    return before if given is None else given is not False and given != 0


def refuse_training(layer: LayerConfig) -> None:
    """ConversionError for a layer that computes something else in training than at inference."""
    kind = ALIASES.get(layer.class_name, layer.class_name)
    if kind == "BatchNormalization":
        acts = layer.config.get("trainable", True) is not False  # frozen ones never train
    else:
        amount = plain(layer.config.get(RANDOM.get(kind, ""), 1))
        acts = kind in RANDOM and amount != 0
    if acts:
        raise ConversionError(
            "is called with training=True, so that it acts at inference as in training; build the "
            "network without that argument, and save it again"
        )
