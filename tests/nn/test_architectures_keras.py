"""DenseNet and ResNet against `keras.applications`: every layer's name, every layer's values."""

import numpy as np
import pytest

from tests.keras_models import randomise
from tinycnn.engine.session import Session
from tinycnn.nn.architectures import build
from tinycnn.nn.model import Model

keras = pytest.importorskip("keras")
pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]
NAMES = {
    "densenet121": "DenseNet121",
    "densenet169": "DenseNet169",
    "densenet201": "DenseNet201",
    "resnet50": "ResNet50",
}
SHAPE = (96, 64, 3)
TOLERANCE = 1e-4


def of_keras(name, classes, seed=5):
    """The network with random weights, and these by our names."""
    keras.backend.clear_session()  # the first nameless layer is `zero_padding2d`
    model = getattr(keras.applications, NAMES[name])(
        include_top=True, weights=None, input_shape=SHAPE, classes=classes
    )
    randomise(model, seed)
    return model, {
        f"{layer.name}/{v.path.rpartition('/')[2]}": v.numpy()
        for layer in model.layers
        for v in layer.weights
    }


@pytest.mark.parametrize("name", sorted(NAMES))
def test_layer_by_layer(name):
    model, weights = of_keras(name, 7)
    graph = build(name, SHAPE, 7)
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    assert {n.name: type(n.layer).__name__ for n in graph.nodes} == {
        layer.name: type(layer).__name__ for layer in layers
    }
    assert graph.parameters == model.count_params()
    x = np.random.default_rng(6).uniform(-1, 1, (1, *SHAPE)).astype(np.float32)
    every = keras.Model(model.input, {layer.name: layer.output for layer in layers})
    expected = {name: value.numpy() for name, value in every(x, training=False).items()}
    seen = {}
    graph.forward(x, weights, seen.__setitem__)
    for layer, value in expected.items():
        np.testing.assert_allclose(
            seen[layer], value, atol=TOLERANCE * max(1, np.abs(value).max()), err_msg=layer
        )
    got = Session(Model(graph, weights), "numba").predict(x)
    np.testing.assert_allclose(got, expected["predictions"], atol=TOLERANCE)
