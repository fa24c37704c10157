"""Whole networks from real Keras: random weights, random batch-norm statistics, every format."""

import h5py
import numpy as np
import pytest
from tinycnn.convert import keras as converter
from tinycnn.convert.hdf5 import read as read_here

from tests.backends import WORKING
from tests.keras_models import randomise
from tinycnn.engine.session import Session
from tinycnn.errors import ConversionError
from tinycnn.nn.architectures import build
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.selftest import image_like

keras = pytest.importorskip("keras")
pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]
L = keras.layers
IMAGES = 20
TOLERANCE = 1e-4


def classifier(backbone, classes):
    end = L.Dense(classes, activation="sigmoid" if classes == 1 else "softmax", name="predictions")
    return keras.Model(backbone.input, end(backbone.output))


def mobilenet_v2(shape, alpha, classes):
    return classifier(
        keras.applications.MobileNetV2(
            shape, alpha=alpha, include_top=False, weights=None, pooling="avg"
        ),
        classes,
    )


def mobilenet(shape, alpha, classes):
    return classifier(
        keras.applications.MobileNet(
            shape, alpha=alpha, include_top=False, weights=None, pooling="avg"
        ),
        classes,
    )


def cnn5(shape, alpha, classes):
    def block(filters):
        return [L.Conv2D(filters, 3), L.BatchNormalization(), L.ReLU()]

    pairs = [*block(32), *block(32), L.MaxPooling2D(2), *block(64), *block(64), L.MaxPooling2D(2)]
    last = [L.Conv2D(32, 3, activation="relu"), L.BatchNormalization(), L.MaxPooling2D(2, 2)]
    dense = [L.Dense(128, activation="relu"), L.BatchNormalization(), L.Dropout(0.25)]
    end = [L.Dense(64, activation="relu"), L.Dense(classes, activation="sigmoid")]
    return keras.Sequential([keras.Input(shape), *pairs, *last, L.Flatten(), *dense, *end])


NETWORKS = [
    (mobilenet_v2, (224, 224, 1), 1.0, 2),
    (mobilenet_v2, (160, 160, 3), 0.35, 1),
    (mobilenet, (128, 128, 1), 1.0, 2),
    (cnn5, (32, 32, 1), 1.0, 1),
]


def save_everywhere(model, folder):
    """Save in every format; `old.h5` is what Keras 2's save_weights wrote."""
    for name in ("m.h5", "m.keras"):
        model.save(folder / name)
    model.save_weights(folder / "m.weights.h5")
    with h5py.File(folder / "m.h5") as full, h5py.File(folder / "old.h5", "w") as old:
        source = full["model_weights"]
        old.attrs["layer_names"] = source.attrs["layer_names"]
        for name in source:
            source.copy(name, old)


def check(found, model, images, seed=0):
    """Compare a conversion with Keras in each backend; return the probabilities."""
    preprocessing = Preprocessing(
        "grayscale" if found.graph.input_shape[2] == 1 else "rgb", scale=1 / 127.5, offset=-1.0
    )
    batch = np.concatenate(
        [image_like(found.graph.input_shape, seed + i, preprocessing) for i in range(images)]
    )
    expected = np.asarray(model(batch, training=False))
    ours = Model(found.graph, found.weights, preprocessing)
    for backend in WORKING:
        got = Session(ours, backend=backend).predict(batch)
        difference = np.abs(got - expected).max()
        print(f"{backend}: {difference:.1e}")
        assert difference <= TOLERANCE, backend
    return expected


@pytest.mark.parametrize(
    ("network", "shape", "alpha", "classes"),
    NETWORKS,
    ids=lambda v: getattr(v, "__name__", str(v)),
)
def test_networks_from_every_format(network, shape, alpha, classes, tmp_path):
    model = network(shape, alpha, classes)
    randomise(model)
    save_everywhere(model, tmp_path)
    architecture = build(network.__name__, shape, classes, alpha)
    found = {
        name: converter.read(tmp_path / name, None if name in ("m.h5", "m.keras") else architecture)
        for name in ("m.h5", "m.keras", "m.weights.h5", "old.h5")
    }
    first = list(found["m.h5"].weights.values())
    for other in found.values():
        for a, b in zip(first, other.weights.values(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert found["m.keras"].graph.parameters == model.count_params()
    probabilities = check(found["m.keras"], model, IMAGES)
    assert probabilities.std(axis=0).max() > 0.01  # saturated ones would prove little
    check(found["old.h5"], model, 1)


def test_our_builders_are_keras_own():
    """Layer by layer: names, classes, shapes."""
    for network, shape, alpha, classes in NETWORKS[:3]:
        keras.utils.clear_session(free_memory=False)  # automatic names begin anew
        theirs = network(shape, alpha, classes).layers[1:]
        ours = build(network.__name__, shape, classes, alpha)
        assert [
            (n.name, type(n.layer).__name__, (None, *ours.shapes[n.name])) for n in ours.nodes
        ] == [(t.name, type(t).__name__, t.output.shape) for t in theirs]


def nested(frozen):
    base = keras.applications.MobileNetV2((64, 64, 3), alpha=0.35, include_top=False, weights=None)
    base.trainable = not frozen
    if frozen == "partly":
        base.trainable = True
        for layer in base.layers[:30]:
            layer.trainable = False
    augment = keras.Sequential([L.RandomFlip(), L.RandomRotation(0.1)], name="augment")
    inputs = keras.Input((64, 64, 3))
    x = base(augment(inputs), training=False)
    x = L.Dropout(0.2)(L.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, L.Dense(3, activation="softmax")(x))
    randomise(model)
    model.compile("adam", "categorical_crossentropy")
    return model


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("frozen", [False, True, "partly"])
def test_nested_and_frozen(suffix, frozen, tmp_path):
    model = nested(frozen)
    path = tmp_path / f"m{suffix}"
    model.save(path)
    check(converter.read(path, read_hdf5=read_here), model, 3)


def test_nested_weights_alone_by_name_and_order(tmp_path):
    base = keras.applications.MobileNetV2((64, 64, 3), alpha=0.35, include_top=False, weights=None)
    model = keras.Sequential([base, L.GlobalAveragePooling2D(), L.Dense(2, activation="softmax")])
    randomise(model)
    save_everywhere(model, tmp_path)
    architecture = build("mobilenet_v2", (64, 64, 3), 2, 0.35)
    for name in ("m.weights.h5", "old.h5"):
        check(converter.read(tmp_path / name, architecture), model, 2)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_same_names_in_two_models(suffix, tmp_path):
    def part(name):
        return keras.Sequential(
            [L.Conv2D(3, 3, name="conv"), L.BatchNormalization(name="bn")], name=name
        )

    model = keras.Sequential(
        [keras.Input((9, 9, 3)), part("a"), part("b"), L.Flatten(), L.Dense(2)]
    )
    randomise(model)
    model.save(tmp_path / f"m{suffix}")
    found = converter.read(tmp_path / f"m{suffix}", read_hdf5=read_here)
    assert [n.name for n in found.graph.nodes][:4] == ["a/conv", "a/bn", "b/conv", "b/bn"]
    check(found, model, 2)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_shared_layers_stay_shared(suffix, tmp_path):
    shared = L.Conv2D(3, 3, padding="same", name="shared")
    block = keras.Sequential([L.Conv2D(3, 1, activation="relu")], name="block")
    inputs = keras.Input((8, 8, 3))
    x = block(shared(inputs))
    x = L.Add()([shared(x), block(x)]) + inputs
    model = keras.Model(inputs, L.Dense(2)(L.Flatten()(x)))
    randomise(model)
    model.save(tmp_path / f"m{suffix}")
    found = converter.read(tmp_path / f"m{suffix}", read_hdf5=read_here)
    assert found.graph.parameters == model.count_params()
    check(found, model, 2)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_half_precision_is_read_as_float32(policy, tmp_path):
    def build_one():
        block = [L.Conv2D(2, 3), L.BatchNormalization(), L.ReLU(), L.Flatten()]
        return keras.Sequential([keras.Input((9, 9, 3)), *block, L.Dense(2, dtype="float32")])

    exact = build_one()
    randomise(exact)
    keras.config.set_dtype_policy(policy)
    try:
        model = build_one()
    finally:
        keras.config.set_dtype_policy("float32")
    model.set_weights(exact.get_weights())
    exact.set_weights(model.get_weights())  # what float16 could not hold is lost
    for name in ("m.keras", "m.h5"):
        model.save(tmp_path / name)
        check(converter.read(tmp_path / name, read_hdf5=read_here), exact, 2)


IMAGE = (8, 8, 2)


def test_places_inside_nested_models(tmp_path):
    inner = keras.Sequential([L.Conv2D(2, 1), L.GroupNormalization(2, name="gn")], name="inner")
    model = keras.Sequential([keras.Input(IMAGE), keras.Sequential([inner], name="outer")])
    refused(model, tmp_path, r"layer 'outer/inner/gn' \(GroupNormalization\): tinycnn has no")


@keras.saving.register_keras_serializable("mine")
class Own(L.Layer):
    def call(self, x):
        return x


def test_a_layer_of_somebodys_own(tmp_path):
    refused(keras.Sequential([keras.Input(IMAGE), Own()]), tmp_path, "a layer of somebody's own")


def test_attention(tmp_path):
    inputs = keras.Input(IMAGE)
    rows = L.Reshape((64, 2))(inputs)
    model = keras.Model(inputs, L.MultiHeadAttention(2, 4, name="look")(rows, rows))
    refused(model, tmp_path, r"'look' \(MultiHeadAttention\): attention and embedding cannot")


def test_quantized_weights(tmp_path):
    model = keras.Sequential([keras.Input(IMAGE), L.Flatten(), L.Dense(4, name="d")])
    model.quantize("int8")
    refused(model, tmp_path, r"layer 'd' \(Dense\): is quantized, .*before quantize\(\)")


def refused(model, tmp_path, words):
    model.save(tmp_path / "m.keras")
    with pytest.raises(ConversionError, match=words) as caught:
        converter.read(tmp_path / "m.keras", read_hdf5=read_here)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (lambda: [L.Lambda(lambda x: x)], r"layer 'lambda\w*' \(Lambda\): holds Python code"),
        (lambda: [L.Reshape((8, 16)), L.LSTM(3)], r"\(LSTM\): recurrent layers cannot"),
        (lambda: [L.UnitNormalization()], r"tinycnn has no such layer; it has Activation, Act"),
        (lambda: [L.BatchNormalization(axis=1)], r"axis 1 is not the channels'"),
        (lambda: [L.GroupNormalization(2)], r"\(GroupNormalization\): tinycnn has no such layer"),
        (lambda: [L.Resizing(4, 4, antialias=True)], "option antialias = True"),
        (lambda: [L.LayerNormalization(rms_scaling=True)], "option rms_scaling = True"),
        (lambda: [L.LayerNormalization(axis=1)], "axis"),
        (lambda: [L.RandomCrop(4, 4)], r"\(RandomCrop\): Keras 3's versions differ"),
        (lambda: [L.Resizing(4, 6, pad_to_aspect_ratio=True, fill_value=9)], "only zeros can be"),
        (lambda: [L.Reshape((8, 8, 2, 1)), L.TimeDistributed(L.Conv2D(1, 1))], "sequences of"),
        (lambda: [L.Reshape((64, 2)), L.Bidirectional(L.GRU(2))], "recurrent layers cannot"),
        (lambda: [L.Conv2D(2, 1, activation=keras.ops.sin)], "the activation"),
        (lambda: [L.Normalization(axis=(1, 3))], "axis"),
        (lambda: [L.Softmax(axis=(1, 2))], "axis"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name(layers, words, tmp_path):
    refused(keras.Sequential([keras.Input(IMAGE), *layers()]), tmp_path, words)


def test_several_inputs_or_outputs(tmp_path):
    a, b = keras.Input(IMAGE), keras.Input(IMAGE)
    both = L.Add()([a, b])
    refused(keras.Model([a, b], both), tmp_path, "has 2 inputs; one can be converted")
    split = L.Conv2D(1, 1)
    refused(keras.Model(a, [split(a), L.Flatten()(a)]), tmp_path, "has 2 outputs; one can be")


def test_open_size_needs_an_option(tmp_path):
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, L.GlobalAveragePooling2D()(L.Conv2D(2, 3)(inputs)))
    refused(model, tmp_path, "leaves the input's size open")
    found = converter.read(tmp_path / "m.keras", input_shape=(12, 10, 1))
    assert found.graph.input_shape == (12, 10, 1)
    with pytest.raises(ConversionError, match=r"is \(None, None, 1\), not \(12, 10, 3\)"):
        converter.read(tmp_path / "m.keras", input_shape=(12, 10, 3))


def test_weights_of_another_network_are_listed(tmp_path):
    model = mobilenet_v2((64, 64, 1), 0.35, 2)
    model.save_weights(tmp_path / "m.weights.h5")
    for other in (build("mobilenet", (64, 64, 1)), build("mobilenet_v2", (64, 64, 1), 2, 0.5)):
        with pytest.raises(ConversionError, match=r"do not fit the architecture|more layers"):
            converter.read(tmp_path / "m.weights.h5", other)
