"""Layers: values worked out by hand, or by loops too simple to be wrong."""

from __future__ import annotations

import itertools
from math import e

import numpy as np
import pytest

from tinycnn.errors import GraphError
from tinycnn.nn import layers as nn
from tinycnn.nn.layers.convolution import same_padding

RANDOM = np.random.default_rng(0)


def numbers(*shape: int) -> np.ndarray:
    return RANDOM.integers(-4, 5, shape).astype(np.float32)


def apply(layer, *rows, **weights):
    """Result of ``layer`` for one picture of one channel, given and returned as lists of rows."""
    x = np.array(rows, np.float32)[None, :, :, None]
    arrays = {name: np.array(value, np.float32) for name, value in weights.items()}
    y = layer.forward(x, arrays)
    assert y.dtype == np.float32
    assert y.shape[1:] == layer.output_shape(x.shape[1:])
    return y[0, :, :, 0].tolist() if y.ndim == 4 else y[0].tolist()


def naive_convolution(x, kernel, strides, dilation, pads, groups=1):
    """y[n, oy, ox, f] = sum over ky, kx, c of x[...] * kernel[ky, kx, c, f], nothing else."""
    x = np.pad(x, ((0, 0), *pads, (0, 0)))
    kh, kw, depth, filters = kernel.shape
    rows = (x.shape[1] - (kh - 1) * dilation[0] - 1) // strides[0] + 1
    columns = (x.shape[2] - (kw - 1) * dilation[1] - 1) // strides[1] + 1
    y = np.zeros((len(x), rows, columns, filters))
    for n, oy, ox, f in np.ndindex(y.shape):
        for ky, kx, c in np.ndindex(kh, kw, depth):
            channel = f // (filters // groups) * depth + c
            iy, ix = oy * strides[0] + ky * dilation[0], ox * strides[1] + kx * dilation[1]
            y[n, oy, ox, f] += x[n, iy, ix, channel] * kernel[ky, kx, c, f]
    return y


GEOMETRIES = [
    ((3, 2), (1, 1), (1, 1)), ((3, 3), (2, 1), (1, 1)), ((2, 4), (3, 2), (1, 1)),
    ((2, 2), (1, 1), (2, 3)), ((1, 1), (2, 2), (1, 1)), ((3, 3), (1, 1), (2, 2)),
]  # fmt: skip


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "strides", "dilation"), GEOMETRIES)
@pytest.mark.parametrize("groups", [1, 2])
def test_convolution(size, strides, dilation, padding, groups):
    layer = nn.Conv2D(4, size, strides, padding=padding, dilation_rate=dilation, groups=groups)
    x, kernel, bias = numbers(2, 7, 6, 2), numbers(*size, 2 // groups, 4), numbers(4)
    expected = naive_convolution(x, kernel, strides, dilation, layer.pads(x.shape[1:]), groups)
    got = layer.forward(x, {"kernel": kernel, "bias": bias})
    assert got.shape[1:] == layer.output_shape((7, 6, 2))
    assert (got == expected + bias).all()  # whole numbers: exact


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "strides", "dilation"), GEOMETRIES)
def test_depthwise_and_separable(size, strides, dilation, padding):
    """A depthwise convolution is a grouped one: kernel (kh, kw, C, m) as (kh, kw, 1, C * m)."""
    options = {"padding": padding, "dilation_rate": dilation, "depth_multiplier": 2}
    layer = nn.DepthwiseConv2D(size, strides, **options)
    x, kernel, point = numbers(1, 7, 6, 3), numbers(*size, 3, 2), numbers(1, 1, 6, 5)
    pads = layer.pads(x.shape[1:])
    expected = naive_convolution(x, kernel.reshape(*size, 1, 6), strides, dilation, pads, 3)
    assert (
        layer.forward(x, {"depthwise_kernel": kernel, "bias": np.ones(6)}) == expected + 1
    ).all()
    weights = {"depthwise_kernel": kernel, "pointwise_kernel": point}
    separable = nn.SeparableConv2D(5, size, strides, use_bias=False, **options)
    assert (separable.forward(x, weights) == expected @ point[0, 0]).all()


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "pads"),
    [(5, 3, 1, 1, (1, 1)), (5, 2, 1, 1, (0, 1)), (6, 3, 2, 1, (0, 1)), (5, 3, 2, 1, (1, 1)),
     (224, 3, 2, 1, (0, 1)), (5, 1, 2, 1, (0, 0)), (5, 3, 1, 2, (2, 2)), (2, 2, 3, 1, (0, 0))],
)  # fmt: skip
def test_same_padding_puts_the_odd_zero_last(size, kernel, stride, dilation, pads):
    assert same_padding(size, kernel, stride, dilation) == pads


def test_transposed_convolution_by_hand():
    ones = np.ones((2, 2, 1, 1))
    layer = nn.Conv2DTranspose(1, 2, 2, use_bias=False)
    assert apply(layer, [1, 2], kernel=ones) == [[1, 1, 2, 2], [1, 1, 2, 2]]
    layer = nn.Conv2DTranspose(1, 2, 1, use_bias=False)
    assert apply(layer, [1, 2], kernel=ones) == [[1, 3, 2], [1, 3, 2]]
    layer = nn.Conv2DTranspose(1, (1, 3), (1, 2), use_bias=False, padding="same")
    row = np.array([1, 10, 100]).reshape(1, 3, 1, 1)
    assert apply(layer, [1, 2], kernel=row) == [[1, 10, 102, 20]]  # 1 10 102 20 200, one cut off
    layer = nn.Conv2DTranspose(1, (1, 2), (1, 3), use_bias=False, output_padding=(0, 1))
    pair = np.array([1, 10]).reshape(1, 2, 1, 1)
    assert apply(layer, [1, 2], kernel=pair) == [[1, 10, 0, 2, 20, 0]]


def test_dense():
    layer = nn.Dense(2, activation="relu")
    weights = {"kernel": np.array([[1, -1], [2, 1]], np.float32), "bias": np.array([1, 0.5])}
    assert layer.forward(np.array([[1, 2], [0, -1]], np.float32), weights).tolist() == [
        [6, 1.5], [0, 0],
    ]  # fmt: skip
    assert nn.Dense(2).output_shape((3, 4, 2)) == (3, 4, 2)


def test_normalisations():
    layer = nn.BatchNormalization(epsilon=0.0)
    weights = {"gamma": [2], "beta": [1], "moving_mean": [3], "moving_variance": [4]}
    assert apply(layer, [3, 5, 1], **weights) == [[1, 3, -1]]
    layer = nn.BatchNormalization(epsilon=5.0, center=False, scale=False)
    assert apply(layer, [3, 6], moving_mean=[3], moving_variance=[4]) == [[0, 1]]
    assert apply(nn.Normalization(), [1, 5], mean=[1], variance=[4]) == [[0, 2]]
    assert apply(nn.Normalization(invert=True), [0, 2], mean=[1], variance=[4]) == [[1, 5]]
    assert apply(nn.Rescaling(2, 1), [0, 2]) == [[1, 5]]
    x = np.array([[[[1, 3], [5, 9]]]], np.float32)
    layer = nn.LayerNormalization(epsilon=0.0)
    weights = {"gamma": np.array([1, 10]), "beta": np.array([0, 1])}
    assert layer.forward(x, weights).tolist() == [[[[-1, 11], [-1, 11]]]]
    layer = nn.LayerNormalization((2, 3), epsilon=0.0, scale=False, center=False)
    assert layer.forward(x, {}).ravel() == pytest.approx(np.array([-7, -3, 1, 9]) / 35**0.5)
    assert layer.dimensions((1, 2, 2)) == (2, 2)


def test_relu_and_kin():
    row = [-2, -0.5, 0, 1, 8]
    assert apply(nn.ReLU(), row) == [[0, 0, 0, 1, 8]]
    assert apply(nn.ReLU(6.0), row) == [[0, 0, 0, 1, 6]]
    assert apply(nn.ReLU(6.0, 0.5, 1.0), row) == [[-1.5, -0.75, -0.5, 1, 6]]
    assert apply(nn.LeakyReLU(0.5), row) == [[-1, -0.25, 0, 1, 8]]
    assert apply(nn.ELU(2.0), row)[0] == pytest.approx([2 / e**2 - 2, 2 / e**0.5 - 2, 0, 1, 8])
    assert apply(nn.PReLU((1, 2)), row, alpha=[[[3]]]) == [[-6, -1.5, 0, 1, 8]]
    assert apply(nn.PReLU(), [-1, -1], alpha=[[[1], [2]]]) == [[-1, -2]]


@pytest.mark.parametrize("axis", [-3, 1, 2, -1])
def test_softmax(axis):
    x = np.log(np.arange(1, 25, dtype=np.float32)).reshape(1, 2, 3, 4)
    dimension = axis if axis > 0 else axis + 4
    y = nn.Softmax(axis).forward(x, {})
    whole = np.exp(x).sum(axis=dimension, keepdims=True)
    np.testing.assert_allclose(y, np.exp(x) / whole, rtol=1e-5)
    assert nn.Softmax().forward(x + 1000, {}).max() < 1  # nothing overflows


def test_poolings():
    rows = [1, 2, 3], [4, 5, 6], [7, 8, 9]
    assert apply(nn.MaxPooling2D(), *rows) == [[5]]
    assert apply(nn.MaxPooling2D(2, 1), *rows) == [[5, 6], [8, 9]]
    assert apply(nn.MaxPooling2D(2, 2, "same"), *rows) == [[5, 6], [8, 9]]
    assert apply(nn.MaxPooling2D(2, 2, "same"), *(-np.array(rows))) == [[-1, -3], [-7, -9]]
    assert apply(nn.AveragePooling2D(2, 1), *rows) == [[3, 4], [6, 7]]
    assert apply(nn.AveragePooling2D(2, 2, "same"), *rows) == [[3, 4.5], [7.5, 9]]
    assert apply(nn.AveragePooling2D(3, 1, "same"), *rows)[0] == [3, 3.5, 4]  # of 4, 6 and 4 cells
    assert apply(nn.GlobalMaxPooling2D(), *rows) == [9]
    assert apply(nn.GlobalAveragePooling2D(keepdims=True), *rows) == [[5]]
    assert np.isnan(apply(nn.MaxPooling2D(), [1, np.nan], [3, 2])).all()


def test_padding_cropping_moving():
    rows = [1, 2], [3, 4]
    assert apply(nn.ZeroPadding2D(((1, 0), (0, 2))), *rows) == [[0] * 4, [1, 2, 0, 0], [3, 4, 0, 0]]
    assert nn.ZeroPadding2D((1, 2)).sides == ((1, 1), (2, 2))
    assert apply(nn.Cropping2D(((1, 0), (0, 1))), *rows) == [[3]]
    assert apply(nn.Permute((2, 1, 3)), *rows) == [[1, 3], [2, 4]]
    assert apply(nn.Flatten(), *rows) == [1, 2, 3, 4]
    assert apply(nn.Reshape((-1, 1, 1)), *rows) == [[1], [2], [3], [4]]


def test_resizing():
    """Half-pixel centres, as `tf.image.resize`."""
    assert apply(nn.UpSampling2D((1, 2)), [1, 2]) == [[1, 1, 2, 2]]
    assert apply(nn.UpSampling2D((1, 2), "bilinear"), [1, 3]) == [[1, 1.5, 2.5, 3]]
    assert apply(nn.Resizing(1, 2), [1, 3, 5, 7]) == [[2, 6]]
    assert apply(nn.Resizing(1, 2, "nearest"), [1, 3, 5, 7]) == [[3, 7]]
    assert apply(nn.Resizing(1, 2, "area"), [0, 3, 6])[0] == pytest.approx([1, 5])
    for kind in ("bicubic", "lanczos3", "lanczos5", "gaussian", "mitchellcubic"):
        assert apply(nn.Resizing(1, 5, kind), [2, 2, 2])[0] == pytest.approx([2] * 5)


def test_merging():
    a, b, c = (np.array([[v]], np.float32) for v in ([1, 5], [4, 2], [1, 2]))
    for kind, expected in (
        (nn.Add, [6, 9]), (nn.Multiply, [4, 20]), (nn.Average, [2, 3]),
        (nn.Maximum, [4, 5]), (nn.Minimum, [1, 2]),
    ):  # fmt: skip
        assert kind().forward([a, b, c], {}).ravel().tolist() == expected
    assert nn.Subtract().forward([a, b], {}).ravel().tolist() == [-3, 3]
    assert nn.Concatenate().forward([a, b], {}).ravel().tolist() == [1, 5, 4, 2]
    assert nn.Concatenate(1).output_shape([(1, 2), (3, 2)]) == (4, 2)
    assert nn.Add().output_shape([(4, 1, 3), (1, 5, 1)]) == (4, 5, 3)


def test_training_layers_do_nothing():
    x = numbers(2, 3, 3, 2)
    for layer in (nn.Dropout(), nn.SpatialDropout2D(), nn.AlphaDropout(), nn.GaussianDropout(),
                  nn.GaussianNoise(9), nn.ActivityRegularization(), nn.Identity()):  # fmt: skip
        assert layer.forward(x, {}) is x
        assert layer.output_shape((3, 3, 2)) == (3, 3, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2D(4, 3, padding="full"), "padding must be .*valid.*not 'full'"),
        (lambda: nn.Conv2D(4, 3, strides=0, name="a"), "Conv2D 'a': strides must lie in 1"),
        (lambda: nn.Conv2D(4, (3, 3, 3)), "kernel_size must be"),
        (lambda: nn.Conv2D(5, 3, groups=2), "5 filters do not fall into 2 groups"),
        (lambda: nn.Conv2D(4, 3, groups=2).output_shape((5, 5, 3)), "3 input channels"),
        (lambda: nn.Conv2D(4, 3, activation="gulp"), "no activation 'gulp'"),
        (lambda: nn.Conv2D(4, 3).output_shape((2, 9, 1)), r"window \(3, 3\) is larger"),
        (lambda: nn.Conv2D(True, 3), "filters must be int, not True"),
        (lambda: nn.Dense(3, activation="glu").output_shape((2,)), "3 is odd"),
        (lambda: nn.Dense("3"), "units must be int, not '3'"),
        (lambda: nn.DepthwiseConv2D(3, depth_multiplier=0), "depth_multiplier"),
        (lambda: nn.Conv2DTranspose(1, 2, 2, output_padding=2).output_shape((2, 2, 1)), "stride 2"),
        (lambda: nn.MaxPooling2D(3).output_shape((2, 2, 1)), "larger than the input"),
        (lambda: nn.MaxPooling2D().output_shape((2, 2)), "expects 3 dimensions"),
        (lambda: nn.Cropping2D(1).output_shape((2, 2, 1)), "nothing would be left"),
        (lambda: nn.ReLU(float("nan")), "max_value must be"),
        (lambda: nn.ReLU(float("inf")), "max_value must be"),
        (lambda: nn.Reshape((3, -1)).output_shape((4,)), "cannot become"),
        (lambda: nn.Permute((1, 3)).output_shape((2, 2)), "do not reorder"),
        (lambda: nn.Softmax(4).output_shape((2, 2, 2)), "axis 4 does not exist"),
        (lambda: nn.PReLU((0,)).weight_shapes((2, 2, 2)), "shared_axes"),
        (lambda: nn.BatchNormalization(epsilon=-1.0), "negative"),
        (lambda: nn.Rescaling((1.0, 2.0)).output_shape((2, 2, 3)), "2 values for 3 channels"),
        (lambda: nn.Resizing(0, 4), "height must lie in"),
        (lambda: nn.UpSampling2D(2, "cubic"), "interpolation must be"),
        (lambda: nn.Dense.from_config({"units": 3, "unit": 3}), "no option 'unit'; it has"),
        (lambda: nn.Dense.from_config({}), "units"),
    ],
)  # fmt: skip
def test_errors(make, message):
    with pytest.raises(GraphError, match=message):
        make()


def test_no_message_is_a_page_long():
    with pytest.raises(GraphError) as caught:
        nn.Reshape(("x" * 10_000,))
    assert len(str(caught.value)) <= 500


def test_short_forms_are_equal_to_long_ones():
    assert nn.Conv2D(4, 3, 2) == nn.Conv2D(4, (3, 3), (2, 2))
    assert nn.MaxPooling2D(3) == nn.MaxPooling2D((3, 3), (3, 3))
    for a, b in itertools.pairwise([1, (1, 1), ((1, 1), (1, 1))]):
        assert nn.ZeroPadding2D(a) == nn.ZeroPadding2D(b)
        assert nn.Cropping2D(a) == nn.Cropping2D(b)
