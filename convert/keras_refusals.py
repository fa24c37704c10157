"""Why a layer of Keras's cannot be converted, in one line that says what to do."""

from __future__ import annotations

import re

from tinycnn.nn import layers as nn

from .keras_config import LayerConfig

RECURRENT = re.compile(
    r"(CuDNN)?(LSTM|GRU|SimpleRNN|RNN|ConvLSTM[123]D)(V1|V2|Cell)?|Bidirectional"
)
ATTENTION = re.compile(
    r".*(Attention|Transformer|Embedding).*|(Clip|Vi[Tt]|Swin|Deit|DeiT)\w*", re.ASCII
)
ELSEWHERE = frozenset({"KerasLayer", "TFSMLayer"})  # hub.KerasLayer and the SavedModel's layer
EXPORT = "build the network of Keras layers, with these weights, and model.save('NAME.keras')"


def refusal(layer: LayerConfig) -> str:
    """Say why there is no rule for ``layer``; nothing that it names is ever imported or run."""
    kind = layer.class_name.rpartition(">")[2]
    if kind == "Lambda":
        return (
            "holds Python code, which is never executed; "
            "replace it by a layer (Rescaling, Activation, ...) and save again"
        )
    if kind in ELSEWHERE:
        return f"its network is a TensorFlow graph outside of Keras; {EXPORT}"
    if kind == "TimeDistributed":
        return "sequences of images cannot be converted; tinycnn runs image classifiers"
    if RECURRENT.fullmatch(kind):
        return "recurrent layers cannot be converted; tinycnn runs image classifiers"
    if ATTENTION.fullmatch(kind):
        return "attention and embedding cannot be converted; tinycnn runs convolutional networks"
    known = f"tinycnn has no such layer; it has {', '.join(sorted(nn.LAYERS))}"
    if ">" in layer.class_name or _is_own_code(layer.module):
        return f"a layer of somebody's own, whose code is not in the file; {known}"
    return known


def _is_own_code(module: str) -> bool:
    """Whether Keras 3 noted a module that is not Keras's own."""
    return bool(module) and not re.match(r"(tf_)?keras(\.|$)|tensorflow\.", module)
