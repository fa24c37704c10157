"""Operations between layers, as Keras 3 saves them, against Keras 3 itself."""

import numpy as np
import pytest

from tests.convert.against_keras import check, saved
from tinycnn.errors import ConversionError

keras = pytest.importorskip("keras")
pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]
L, ops, apps = keras.layers, keras.ops, keras.applications
VECTOR = np.array([1.5, -2, 0.25], np.float32)


OPERATIONS = {
    "add a number": lambda x: x + 1.5,
    "a number plus": lambda x: 1 + x,
    "subtract a number": lambda x: x - 2,
    "a number minus": lambda x: 2 - x,
    "times": lambda x: x * 3,
    "divided": lambda x: x / 127.5,
    "negative": lambda x: -x,
    "add a vector": lambda x: x + VECTOR,
    "a vector minus": lambda x: ops.subtract(VECTOR, x),
    "times a tensor": lambda x: x * ops.convert_to_tensor(VECTOR),
    "divided by a vector": lambda x: x / VECTOR,
    "two tensors": lambda x: ops.subtract(x * 2, x) * x + ops.maximum(x, 1 - x),
    "least of two": lambda x: ops.minimum(x, x * x),
    "maximum 0": lambda x: ops.maximum(x, 0.0),
    "maximum 2": lambda x: ops.maximum(x, 2.0),
    "maximum of a vector": lambda x: ops.maximum(x, VECTOR),
    "minimum 6": lambda x: ops.minimum(6.0, x),
    "clip to 6": lambda x: ops.clip(x, 0, 6),
    "clip to 1": lambda x: ops.clip(x, -1, 1),
    "clip": lambda x: ops.clip(x, -0.5, 2),
    "relu": ops.relu,
    "relu6": ops.relu6,
    "sigmoid": ops.sigmoid,
    "tanh": ops.tanh,
    "silu": ops.silu,
    "hard silu": ops.hard_silu,
    "gelu": ops.gelu,
    "gelu, exact": lambda x: ops.gelu(x, approximate=False),
    "leaky": lambda x: ops.leaky_relu(x, 0.1),
    "elu": ops.elu,
    "selu": ops.selu,
    "softplus": ops.softplus,
    "exp": ops.exp,
    "softmax": ops.softmax,
    "mean": lambda x: ops.mean(x, axis=(1, 2)),
    "mean, kept": lambda x: ops.mean(x, [2, 1], keepdims=True),
    "mean, from behind": lambda x: ops.mean(x, (-3, -2)),
    "max": lambda x: ops.max(x, axis=[1, 2]),
    "sum": lambda x: ops.sum(x, axis=[1, 2]),
    "reshape": lambda x: ops.reshape(x, (-1, 9, 21)),
    "flatten": lambda x: ops.reshape(x, (-1, 189)),
    "squeeze": lambda x: ops.squeeze(ops.mean(x, [1, 2], keepdims=True), axis=(1, 2)),
    "squeeze, all": lambda x: ops.squeeze(ops.mean(x, [1, 2], keepdims=True)[:, :, :, 0:2], 1),
    "expand": lambda x: ops.squeeze(ops.expand_dims(ops.mean(x, [1, 2]), 1), 1),
    "transpose": lambda x: ops.transpose(x, (0, 2, 3, 1)),
    "concatenate": lambda x: ops.concatenate([x, x + 1, -x], axis=-1),
    "concatenate rows": lambda x: ops.concatenate([x, x + 1], axis=1),
    "stack": lambda x: ops.stack([ops.mean(x, [1, 2]), ops.max(x, [1, 2])], axis=-1),
    "stack first": lambda x: ops.stack([ops.mean(x, [1, 2]), ops.max(x, [1, 2])], axis=1),
    "cast": lambda x: ops.cast(x, "float32") * 2,
    "stop": lambda x: ops.stop_gradient(x) * 2,
    "pad": lambda x: ops.pad(x, [[0, 0], [1, 1], [2, 0], [0, 0]]),
    "resize": lambda x: ops.image.resize(x, (4, 11)),
    "resize, bicubic": lambda x: ops.image.resize(x, (14, 5), interpolation="bicubic"),
    "resize, nearest": lambda x: ops.image.resize(x, (3, 20), interpolation="nearest"),
    "resize, cropped": lambda x: ops.image.resize(x, (6, 4), crop_to_aspect_ratio=True),
    "average pool": lambda x: ops.average_pool(x, 2),
    "max pool": lambda x: ops.max_pool(x, 3, 2, "same"),
    "other way round": lambda x: x[..., ::-1],
    "two channels": lambda x: x[..., 1:],
    "one channel": lambda x: x[..., 2] * 2,
    "one channel, kept": lambda x: x[:, :, :, 1:2],
    "part of the picture": lambda x: x[:, 1:-1, 2:],
    "repeat": lambda x: ops.repeat(x, 2, axis=-1),
    "tile": lambda x: ops.tile(x, [1, 1, 1, 2]),
    "gray": ops.image.rgb_to_grayscale,
    "preprocess_input of MobileNetV2": apps.mobilenet_v2.preprocess_input,
    "preprocess_input of ResNet": apps.resnet50.preprocess_input,
    "preprocess_input of DenseNet": apps.densenet.preprocess_input,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_equals_keras(name, tmp_path):
    check(*saved(OPERATIONS[name], tmp_path))


def test_operations_in_hdf5(tmp_path):
    """Keras 3's `.h5` spells them as its `.keras` does."""
    for name in ("divided by a vector", "mean, kept", "concatenate", "clip", "gray"):
        check(*saved(OPERATIONS[name], tmp_path, ".h5"))


def test_attention_over_channels(tmp_path):
    """Squeeze and excitation, written with operations, beside weights."""

    def block(x):
        scale = L.Dense(2, activation="relu")(ops.mean(x, (1, 2), keepdims=True))
        scale = ops.sigmoid(L.Dense(3)(scale))
        y = L.Conv2D(3, 3, padding="same", name="conv")(x * scale)
        return ops.softmax(ops.mean(y * ops.relu6(y + 3) / 6, (1, 2)))

    check(*saved(block, tmp_path))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (ops.sin, r"layer 'sin\w*' \(Sin\): Sin: an operation of TensorFlow or Keras"),
        (lambda x: ops.mean(x, -1), r"\(Mean\): Mean: with axis = -1.* cannot be converted"),
        (lambda x: ops.max(x, (0, 1, 2)), "Max: with axis"),
        (lambda x: 1 / x, "TrueDivide: with y = .*cannot be converted"),
        (lambda x: x / 0, "divides by zero"),
        (lambda x: x / (x + 1), "TrueDivide"),
        (lambda x: ops.cast(x, "int32"), "Cast: with dtype = 'int32'"),
        (lambda x: ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect"), "Pad: with"),
        (lambda x: ops.reshape(x, (63, -1)), "Reshape: with"),
        (lambda x: x[:, ::2], "GetItem: with"),
        (lambda x: x[0], "GetItem: with"),
        (lambda x: ops.image.resize(x, (4, 4), antialias=True), "option antialias = True"),
        (lambda x: ops.matmul(x, np.eye(3, dtype=np.float32)), "Matmul: an operation of"),
        (lambda x: ops.split(x, 3, axis=-1)[1], "Split: an operation of"),
        (lambda x: x + np.ones((7, 1, 1), np.float32), "Add: with y = "),
    ],
)
def test_operation_is_refused(function, words, tmp_path):
    with pytest.raises(ConversionError, match=words) as caught:
        saved(function, tmp_path)
    assert "\n" not in str(caught.value)


def test_gray_of_channels_first_is_no_mean_of_columns(tmp_path):
    """Three channels of three columns: by its shape alone it could be either."""

    def gray(x):
        return ops.image.rgb_to_grayscale(x, data_format="channels_first")

    with pytest.raises(ConversionError, match="RGBToGrayscale: with data_format = 'channels_f"):
        saved(gray, tmp_path, shape=(3, 9, 3))
