"""Small files that Keras 2 wrote, with its outputs: `goldens/NAME.h5.gz` and `NAME.npz`.

    pip install tf_keras tensorflow && python tests/convert/make_goldens.py

tf_keras is Keras 2 as it was continued beside Keras 3. What older versions wrote
otherwise is made here: `bytes` where it writes `str`, and nodes of TensorFlow's graphs.
"""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import numpy as np
import tensorflow as tf
import tf_keras as keras

HERE = Path(__file__).parent / "goldens"
L, SHAPE = keras.layers, (5, 6, 3)
VECTOR = np.array([1.5, -2, 0.25], np.float32)

OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "plus": lambda x: x + 1.5,
    "number minus": lambda x: 1 - x,
    "times": lambda x: 2 * x,
    "divided": lambda x: x / 127.5,
    "divide": lambda x: tf.divide(x, 3.0),
    "vector": lambda x: x + VECTOR,
    "tensor": lambda x: tf.subtract(x * tf.constant(VECTOR), [1.0, 2.0, 3.0]),
    "negative": lambda x: -x,
    "two tensors": lambda x: tf.math.multiply(x - x * 2, x + tf.maximum(x, 1 - x)),
    "least": lambda x: tf.minimum(x, x * x),
    "maximum": lambda x: tf.maximum(x, 0.5),
    "minimum": lambda x: tf.minimum(1.0, x),
    "clip": lambda x: tf.clip_by_value(x, -0.5, 6),
    "relu": tf.nn.relu,
    "relu6": lambda x: keras.backend.relu(x * 4, max_value=6),
    "hard swish": lambda x: x * tf.nn.relu6(x + 3) / 6,
    "hard sigmoid": keras.activations.hard_sigmoid,
    "leaky": lambda x: tf.nn.leaky_relu(x) + tf.nn.leaky_relu(x, alpha=0.1),
    "silu": lambda x: tf.nn.silu(x) + tf.nn.swish(x),
    "elu": lambda x: tf.nn.elu(x) + tf.nn.selu(x),
    "gelu": lambda x: tf.nn.gelu(x) + tf.nn.gelu(x, approximate=True),
    "sigmoid": lambda x: tf.sigmoid(x) + tf.nn.sigmoid(x),
    "tanh": lambda x: tf.tanh(x) + tf.nn.tanh(x),
    "softmax": tf.nn.softmax,
    "softplus": tf.nn.softplus,
    "exp": tf.exp,
    "mean": lambda x: tf.reduce_mean(x, axis=[1, 2]),
    "mean kept": lambda x: tf.reduce_mean(x, [1, 2], True),
    "backend mean": lambda x: keras.backend.mean(x, axis=(1, 2)),
    "max": lambda x: tf.reduce_max(x, axis=(1, 2)),
    "sum": lambda x: tf.reduce_sum(x, axis=(2, 1), keepdims=True),
    "reshape": lambda x: tf.reshape(x, (-1, 15, 6)),
    "flatten": lambda x: tf.reshape(x, [-1, 90]),
    "squeeze": lambda x: tf.squeeze(tf.reduce_mean(x, [1, 2], True), axis=[1, 2]),
    "expand": lambda x: tf.expand_dims(tf.reduce_mean(x, [1, 2]), 1),
    "transpose": lambda x: tf.transpose(x, (0, 3, 1, 2)),
    "concat": lambda x: tf.concat([x, x + 1, -x], axis=-1),
    "concat 1": lambda x: tf.concat([x, x * 2], 1),
    "stack": lambda x: tf.stack([tf.reduce_mean(x, [1, 2]), tf.reduce_max(x, [1, 2])], axis=-1),
    "add_n": lambda x: tf.add_n([x, x * 2, x - 1]),
    "bias": lambda x: tf.nn.bias_add(x, VECTOR),
    "cast": lambda x: tf.cast(x, tf.float32) + 1,
    "identity": lambda x: tf.stop_gradient(tf.identity(x)),
    "pad": lambda x: tf.pad(x, [[0, 0], [1, 1], [2, 0], [0, 0]]),
    "resize": lambda x: tf.image.resize(x, (4, 7)),
    "nearest": lambda x: tf.image.resize(x, [3, 4], method="nearest"),
    "average": lambda x: tf.nn.avg_pool2d(x, 2, 2, "VALID"),
    "maximum of windows": lambda x: tf.nn.max_pool2d(x, [3, 3], [2, 2], "SAME"),
    "average of windows": lambda x: tf.nn.avg_pool(x, [1, 2, 2, 1], [1, 1, 1, 1], "SAME"),
    "other way round": lambda x: x[..., ::-1],
    "channel": lambda x: x[:, :, :, 1],
    "part": lambda x: x[:, 1:-1, 2:],
    "repeat": lambda x: tf.repeat(x, 2, axis=-1),
    "tile": lambda x: tf.tile(x, [1, 1, 1, 2]),
    "gray": tf.image.rgb_to_grayscale,
    "colour": lambda x: tf.image.grayscale_to_rgb(x[..., :1]),
    "preprocess_input, tf": keras.applications.mobilenet_v2.preprocess_input,
    "preprocess_input, caffe": keras.applications.resnet50.preprocess_input,
    "preprocess_input, torch": keras.applications.densenet.preprocess_input,
}
# TensorFlow 2.0 to 2.3: nodes of a graph, with constants by their position.
NODES: dict[str, Callable[[Any], Any]] = {
    "plus": lambda x: tf.raw_ops.AddV2(x=x, y=1.5),
    "number minus": lambda x: tf.raw_ops.Sub(x=1.0, y=x),
    "times": lambda x: tf.raw_ops.Mul(x=x, y=VECTOR),
    "divided": lambda x: tf.raw_ops.RealDiv(x=x, y=127.5),
    "relu6": lambda x: tf.raw_ops.Relu6(features=x),
    "leaky": lambda x: tf.raw_ops.LeakyRelu(features=x, alpha=0.1),
    "mean": lambda x: tf.raw_ops.Mean(input=x, axis=[1, 2], keep_dims=True),
    "max": lambda x: tf.raw_ops.Max(input=x, axis=[1, 2]),
    "reshape": lambda x: tf.raw_ops.Reshape(tensor=x, shape=[-1, 90]),
    "pad": lambda x: tf.raw_ops.Pad(input=x, paddings=[[0, 0], [1, 0], [0, 2], [0, 0]]),
    "transpose": lambda x: tf.raw_ops.Transpose(x=x, perm=[0, 2, 1, 3]),
    "expand": lambda x: tf.raw_ops.ExpandDims(input=x, axis=-1),
    "average": lambda x: tf.raw_ops.AvgPool(
        value=x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID"
    ),
    "bias": lambda x: tf.raw_ops.BiasAdd(value=x, bias=VECTOR),
    "clip": lambda x: tf.raw_ops.ClipByValue(t=x, clip_value_min=-1.5, clip_value_max=1.0),
}


def joined(parts: list[Any], inputs: Any) -> Any:
    """One model of many parts, whose outputs lie in a row."""
    return keras.Model(inputs, L.Concatenate()([L.Flatten()(part) for part in parts]))


def operations() -> Any:
    """All of OPERATIONS; TFOpLambda and SlicingOpLambda."""
    inputs = keras.Input(SHAPE)
    return joined([function(inputs) for function in OPERATIONS.values()], inputs)


def nodes() -> Any:
    """All of NODES, as TensorFlowOpLayer."""
    from tf_keras.src.engine.base_layer import TensorFlowOpLayer

    inputs, parts = keras.Input(SHAPE), []
    for number, function in enumerate(NODES.values()):
        with tf.Graph().as_default():
            operation = function(tf.compat.v1.placeholder(tf.float32, (None, *SHAPE))).op
            constants = {
                i: tf.get_static_value(t) for i, t in enumerate(operation.inputs)
                if t.op.type == "Const"
            }  # fmt: skip
            node = operation.node_def
        layer = TensorFlowOpLayer(
            node.SerializeToString(), f"{node.op}_{number}", constants=constants
        )
        parts.append(layer(inputs))
    return joined(parts, inputs)


def layers() -> Any:
    """Nested and shared models, preprocessing, and what acts in training only."""
    known = L.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 2.0, 3.0])
    seen = L.Normalization()
    seen.adapt(np.random.default_rng(0).normal(2, 3, (9, 12, 14, 3)))
    prepare = keras.Sequential(
        [L.RandomFlip(), L.RandomCrop(10, 8), known, L.Rescaling(2.0, [0.1, 0.2, 0.3]), seen],
        name="prepare",
    )
    act = L.Activation(tf.nn.relu6)
    body = [L.SeparableConv2D(6, 3, padding="same"), L.BatchNormalization(), act]
    inner = keras.Sequential([L.DepthwiseConv2D(3, activation="swish"), L.LeakyReLU(0.1)])
    twice = L.Conv2D(6, 3, padding="same", activation=tf.nn.relu6, name="twice")
    block = keras.Sequential([L.Conv2D(6, 1), L.PReLU(shared_axes=[1, 2])], name="block")
    inputs = keras.Input((12, 14, 3), name="picture")
    x = keras.Sequential([prepare, keras.Sequential(body, name="body")], name="outer")(inputs)
    x = block(twice(twice(x)) + block(x))
    x = L.SpatialDropout2D(0.1)(L.GaussianNoise(0.1)(inner(x)))
    x = L.Resizing(4, 6, crop_to_aspect_ratio=True)(L.CenterCrop(4, 5)(x))
    x = L.GlobalAveragePooling2D(keepdims=True)(L.Softmax()(L.UpSampling2D(2)(x)))
    return keras.Model(inputs, L.Dense(4, activation="hard_sigmoid")(L.Flatten()(x)))


def randomise(model: Any) -> None:
    """Weights as after a training, the same each time."""
    random = np.random.default_rng(4)
    for weight in model.weights:
        if not weight.name.startswith(("mean", "variance", "count")) and weight.dtype == "float32":
            value = random.normal(size=weight.shape) * 0.5
            weight.assign(np.abs(value) + 0.5 if "variance" in weight.name else value)


def main() -> None:
    """Write all files."""
    HERE.mkdir(exist_ok=True)
    for build in (operations, nodes, layers):
        keras.utils.set_random_seed(1)
        model, name = build(), build.__name__
        randomise(model)
        for suffix in (".h5", ".keras") if build is layers else (".h5",):
            model.save(HERE / f"{name}{suffix}")
        with h5py.File(HERE / f"{name}.h5", "r+") as file:
            config = json.loads(file.attrs["model_config"])
            file.attrs["model_config"] = np.bytes_(json.dumps(config, separators=(",", ":")))
        for path in (HERE / f"{name}.h5", HERE / f"{name}.keras"):
            if path.is_file():
                path.with_name(f"{path.name}.gz").write_bytes(
                    gzip.compress(path.read_bytes(), mtime=0)
                )
                path.unlink()
        x = np.random.default_rng(3).normal(size=(1, *model.input_shape[1:])).astype(np.float32)
        y = np.asarray(model(x, training=False))
        np.savez_compressed(HERE / f"{name}.npz", x=x, y=y)
        print(name, y.shape, sum(f.stat().st_size for f in HERE.glob(f"{name}.*")), "bytes")


if __name__ == "__main__":
    main()
