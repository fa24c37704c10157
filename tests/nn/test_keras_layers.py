"""Every layer and activation of tinycnn.nn against real Keras, over generated configurations.

Each case is built in Keras, saved as `.keras`, converted, and both run on the same images. So the
converter's rules are tested for each option here too.
"""

import itertools
import warnings

import numpy as np
import pytest
from tinycnn.convert import keras as converter
from tinycnn.convert.hdf5 import read as read_here

from tinycnn.errors import ConversionError
from tinycnn.nn import activations
from tinycnn.nn import layers as nn

keras = pytest.importorskip("keras")
pytestmark = [
    pytest.mark.keras,
    # TensorFlow and Keras warn about themselves.
    pytest.mark.filterwarnings("ignore"),
]
L = keras.layers
SHAPE = (7, 9, 6)
TOLERANCE = 2e-5


def randomise(model, seed=3):
    """Random weights everywhere, and variances that are positive."""
    random = np.random.default_rng(seed)
    for variable in model.variables:
        if not variable.dtype.startswith("float"):
            continue
        value = random.normal(0, 0.4, variable.shape)
        positive = "variance" in variable.path
        variable.assign(np.abs(value) + 0.5 if positive else value)


def compare(output_of, tmp_path, shape=SHAPE, low=-3.0, high=3.0):
    """Convert the model that ``output_of`` builds; compare, and return our graph."""
    inputs = keras.Input(shape)
    model = keras.Model(inputs, output_of(inputs))
    randomise(model)
    for layer in model.layers:
        if hasattr(layer, "finalize_state"):  # Normalization keeps copies of its weights
            layer.finalize_state()
    x = np.random.default_rng(4).uniform(low, high, (2, *shape)).astype(np.float32)
    expected = np.asarray(model(x, training=False))
    model.save(tmp_path / "m.keras")
    found = converter.read(tmp_path / "m.keras", read_hdf5=read_here)
    assert found.graph.output_shape == expected.shape[1:]
    got = found.graph.forward(x, found.weights)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=TOLERANCE * max(1, np.abs(expected).max()))
    if not any(isinstance(layer, L.Normalization) for layer in model.layers):
        assert found.graph.parameters == model.count_params()
    return found.graph


def product(**options):
    """All combinations of some options, as keyword arguments."""
    return [dict(zip(options, v, strict=True)) for v in itertools.product(*options.values())]


def sampled(cases, count, seed=0):
    """A few of very many cases, always the same."""
    if len(cases) <= count:
        return cases
    chosen = np.random.default_rng(seed).choice(len(cases), count, replace=False)
    return [cases[i] for i in sorted(chosen)]


WINDOWS = [
    case
    for case in product(
        kernel_size=[1, 2, 3, (3, 2), (1, 5)],
        strides=[1, 2, (2, 1), 3],
        padding=["valid", "same"],
        dilation_rate=[1, 2, (1, 2)],
    )
    if case["strides"] == 1 or case["dilation_rate"] == 1
]
SQUARE = [c for c in WINDOWS if c["strides"] != (2, 1)]  # TensorFlow's depthwise has one stride
ROWS = [[[float(row)]] for row in range(1, 8)]

CASES = [
    *[("Conv2D", {"filters": 4, **c}) for c in sampled(WINDOWS, 24)],
    *[("Conv2D", {"filters": 6, "kernel_size": 3, "groups": g}) for g in (2, 3, 6)],
    ("Conv2D", {"filters": 4, "kernel_size": 3, "use_bias": False, "activation": "relu6"}),
    *[("DepthwiseConv2D", c) for c in sampled(SQUARE, 16, 1)],
    ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2, "activation": "relu"}),
    ("DepthwiseConv2D", {"kernel_size": 3, "use_bias": False, "strides": 2, "padding": "same"}),
    *[("SeparableConv2D", {"filters": 5, **c}) for c in sampled(SQUARE, 12, 2)],
    ("SeparableConv2D", {"filters": 5, "kernel_size": 3, "depth_multiplier": 3}),
    ("SeparableConv2D", {"filters": 5, "kernel_size": 3, "use_bias": False}),
    *[
        ("Conv2DTranspose", {"filters": 5, **c})
        for c in sampled([c for c in WINDOWS if c["dilation_rate"] == 1], 20, 3)
    ],
    *[
        ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "dilation_rate": 2, "padding": p})
        for p in ("valid", "same")
    ],
    *[
        ("Conv2DTranspose", {"filters": 3, "strides": 2, **c})
        for c in product(
            kernel_size=[2, 3, 4], padding=["valid", "same"], output_padding=[0, 1, (1, 0)]
        )
        # TensorFlow itself refuses to run the shapes that Keras gives to these.
        if c["padding"] == "valid" or c["kernel_size"] == 3 or c["output_padding"] == 1
    ],
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 2, "use_bias": False, "activation": "elu"}),
    *[
        ("Dense", c)
        for c in product(units=[1, 5], use_bias=[True, False], activation=[None, "tanh"])
    ],
    *[("BatchNormalization", c) for c in product(center=[True, False], scale=[True, False])],
    ("BatchNormalization", {"epsilon": 1.001e-5}),
    ("BatchNormalization", {"axis": 3}),
    *[
        ("LayerNormalization", c)
        for c in product(axis=[-1, (1, 2, 3), (2, 3)], center=[True, False], scale=[True, False])
    ],
    ("Rescaling", {"scale": 1 / 127.5, "offset": -1}),
    ("Rescaling", {"scale": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "offset": 0.5}),
    ("Normalization", {}),
    ("Normalization", {"axis": 3, "invert": True}),
    ("Normalization", {"axis": None}),
    ("Normalization", {"mean": [1.0] * 6, "variance": [4.0, 1, 2, 3, 0.5, 1]}),
    ("Normalization", {"mean": 0.5, "variance": 0.25, "axis": None}),
    *[("Normalization", {"axis": a}) for a in ((1, 2, 3), (2, -1), (3, 1, 2))],
    ("Normalization", {"axis": (1, 2, 3), "invert": True}),
    ("Normalization", {"axis": (1, 2, 3), "mean": ROWS, "variance": ROWS}),
    ("Normalization", {"axis": (1, 2, 3), "mean": 0.5, "variance": 0.25}),
    ("ReLU", {}),
    *[
        ("ReLU", c)
        for c in product(max_value=[None, 2.0, 6], negative_slope=[0.0, 0.1], threshold=[0.0, 1.0])
    ],
    *[("LeakyReLU", {"negative_slope": s}) for s in (0.0, 0.1, 0.3)],
    ("PReLU", {}),
    ("PReLU", {"shared_axes": [1, 2]}),
    *[("ELU", {"alpha": a}) for a in (1.0, 0.5)],
    *[("Softmax", {"axis": a}) for a in (-1, 1, 2, -2)],
    *[
        (kind, c)
        for kind in ("MaxPooling2D", "AveragePooling2D")
        for c in product(
            pool_size=[2, 3, (2, 3)], strides=[None, 1, 2, (3, 2)], padding=["valid", "same"]
        )
    ],
    *[
        (kind, {"keepdims": k})
        for kind in ("GlobalMaxPooling2D", "GlobalAveragePooling2D")
        for k in (True, False)
    ],
    *[("ZeroPadding2D", {"padding": p}) for p in (1, (2, 1), ((0, 1), (2, 0)))],
    *[("Cropping2D", {"cropping": p}) for p in (1, (2, 1), ((0, 1), (2, 0)))],
    *[
        ("UpSampling2D", c)
        for c in product(
            size=[2, (1, 3)],
            interpolation=["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"],
        )
    ],
    *[
        ("Resizing", {"height": h, "width": w, "interpolation": i})
        for (h, w), i in itertools.product(
            [(7, 9), (4, 4), (14, 20), (3, 17)],
            ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"],
        )
    ],
    ("CenterCrop", {"height": 4, "width": 5}),
    ("Flatten", {}),
    *[("Reshape", {"target_shape": t}) for t in ((9, 7, 6), (-1, 6), (378,), (3, -1))],
    *[("Permute", {"dims": d}) for d in ((2, 1, 3), (3, 1, 2))],
    ("Identity", {}),
    ("Dropout", {"rate": 0.4}),
    ("SpatialDropout2D", {"rate": 0.4}),
    ("AlphaDropout", {"rate": 0.4}),
    ("GaussianDropout", {"rate": 0.4}),
    ("GaussianNoise", {"stddev": 0.4}),
    ("ActivityRegularization", {"l1": 0.1}),
]


@pytest.mark.parametrize(("kind", "options"), CASES, ids=lambda v: str(v).replace(" ", ""))
def test_layer(kind, options, tmp_path):
    graph = compare(lambda x: getattr(L, kind)(**options)(x), tmp_path)
    assert len(graph.nodes) == 1


def test_no_layer_is_forgotten():
    tested = {kind for kind, _ in CASES} | {"Activation", *MERGES, "Concatenate"}
    assert tested >= set(nn.LAYERS)


# Not names that a layer of Keras 3 can have, or see `test_sparsemax`.
OTHERS = {"hard_sigmoid_keras2", "gelu_tanh", "threshold", "sparsemax"}


@pytest.mark.parametrize("name", sorted(set(activations.ACTIVATIONS) - OTHERS))
def test_activation(name, tmp_path):
    graph = compare(lambda x: L.Activation(name)(x), tmp_path)
    assert graph.nodes[0].layer == nn.Activation(name, name=graph.nodes[0].name)


def test_sparsemax_is_refused(tmp_path):
    """Keras 3.15 gives sums other than 1 (issue 23425); ours is the paper's."""
    with pytest.raises(ConversionError, match="computed sparsemax wrongly"):
        compare(lambda x: L.Activation("sparsemax")(x), tmp_path)
    found = activations.ACTIVATIONS["sparsemax"](np.array([[0.0, 0.5, 1.0]], np.float32))
    np.testing.assert_allclose(found, [[0, 0.25, 0.75]])


def test_gelu_by_tanh():
    x = np.linspace(-6, 6, 999, dtype=np.float32)
    expected = np.asarray(keras.activations.gelu(x, approximate=True))
    np.testing.assert_allclose(activations.ACTIVATIONS["gelu_tanh"](x), expected, atol=2e-6)


def test_threshold():
    x = np.array([[-1.0, 0.0, 2.0]], np.float32)
    expected = np.asarray(keras.activations.threshold(x, 0.0, 0.0))
    np.testing.assert_array_equal(activations.ACTIVATIONS["threshold"](x), expected)


@pytest.mark.parametrize("name", sorted(set(activations.ACTIVATIONS) - OTHERS))
def test_activations_far_from_zero(name):
    x = np.array([[-1e4, -100, -20, -1, 0, 1, 20, 80.0]], np.float32)
    expected = np.asarray(getattr(keras.activations, name)(x))
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        got = activations.ACTIVATIONS[name](x)
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-6)


MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")


@pytest.mark.parametrize(
    ("kind", "count"), [*((m, 2) for m in MERGES), *((m, 3) for m in MERGES if m != "Subtract")]
)
def test_merging(kind, count, tmp_path):
    def model(x):
        return getattr(L, kind)()([x, *(L.Conv2D(6, 1)(x) for _ in range(count - 1))])

    compare(model, tmp_path)


@pytest.mark.parametrize(
    "method", ["bilinear", "bicubic", "lanczos3", "lanczos5", "area", "mitchellcubic", "gaussian"]
)
@pytest.mark.parametrize("size", [(3, 5), (7, 9), (14, 18), (10, 31)])
def test_resizing_as_tensorflow(method, size):
    """Keras 2 passed the methods of `tf.image.resize` through; Keras 3 knows fewer."""
    tensorflow = pytest.importorskip("tensorflow")
    x = np.random.default_rng(2).normal(size=(2, 7, 9, 3)).astype(np.float32)
    expected = tensorflow.image.resize(x, size, method=method).numpy()
    got = nn.Resizing(*size, interpolation=method).forward(x, {})
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_merging_broadcasts(tmp_path):
    compare(lambda x: L.Multiply()([x, L.GlobalAveragePooling2D(keepdims=True)(x)]), tmp_path)


@pytest.mark.parametrize("axis", [-1, 3, 1, 2, -2])
def test_concatenate(axis, tmp_path):
    compare(lambda x: L.Concatenate(axis=axis)([x, L.Conv2D(6, 1)(x)]), tmp_path)


@pytest.mark.parametrize(
    "build",
    [
        lambda x: x + L.Conv2D(6, 1)(x),
        lambda x: x - L.Conv2D(6, 1)(x),
        lambda x: x * L.Conv2D(6, 1)(x),
        lambda x: x / 127.5 - 1.0,
        lambda x: 2.0 - x * 3,
        lambda x: 1 + x,
        lambda x: keras.ops.relu6(x),
        lambda x: keras.ops.maximum(x, L.Conv2D(6, 1)(x)),
    ],
)
def test_operations(build, tmp_path):
    compare(build, tmp_path)


@pytest.mark.parametrize(
    "activation",
    [lambda: L.LeakyReLU(negative_slope=0.1), lambda: L.ReLU(max_value=6.0), lambda: "swish"],
)
def test_activation_that_is_a_layer(activation, tmp_path):
    compare(lambda x: L.Conv2D(4, 3, activation=activation())(x), tmp_path)


@pytest.mark.parametrize("shape", [(5,), (4, 5)])
def test_dense_and_normalisation_of_other_ranks(shape, tmp_path):
    compare(lambda x: L.BatchNormalization()(L.Dense(3)(x)), tmp_path, shape)
    compare(lambda x: L.LayerNormalization()(x), tmp_path, shape)


AUGMENTATIONS = {
    "RandomFlip": {},
    "RandomRotation": {"factor": 0.2},
    "RandomZoom": {"height_factor": 0.2},
    "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
    "RandomContrast": {"factor": 0.2},
    "RandomBrightness": {"factor": 0.2},
    "RandomShear": {"x_factor": 0.2},
    "RandomPerspective": {},
    "RandomHue": {"factor": 0.2},
    "RandomSaturation": {"factor": 0.2},
    "RandomSharpness": {"factor": 0.2},
    "RandomColorJitter": {},
    "RandomErasing": {},
    "RandomColorDegeneration": {"factor": 0.2},
    "RandomPosterization": {"factor": 4},
    "RandomGrayscale": {},
    "RandomInvert": {},
    "RandomGaussianBlur": {},
    "RandomElasticTransform": {},
    "RandAugment": {},
    "AugMix": {},
    "MixUp": {},
    "CutMix": {},
}


@pytest.mark.parametrize("kind", sorted(AUGMENTATIONS))
def test_augmentation_does_nothing_at_inference(kind, tmp_path):
    if not hasattr(L, kind):
        pytest.skip("not in this version of Keras")
    graph = compare(
        lambda x: getattr(L, kind)(**AUGMENTATIONS[kind])(x), tmp_path, (8, 8, 3), 0.0, 255.0
    )
    assert isinstance(graph.nodes[0].layer, nn.Identity)
