"""Real files that users have, in `../shared/corpus`; skipped where that is absent."""

import h5py
import numpy as np
import pytest
from PIL import Image
from tinycnn.convert import __main__ as command
from tinycnn.convert import keras
from tinycnn.convert.parts import split_scores

from tests.backends import WORKING
from tests.corpus import CORPUS, golden
from tinycnn.engine.session import Session
from tinycnn.errors import ConversionError
from tinycnn.nn.architectures import build
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.tolerance import measure

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/corpus is not there")
TOLERANCE = 1e-4
FILES = {
    "tinymaix/tools_h5_mbnet128_0.25.h5": ("tinymaix/mbnet128_0.25", 475_544),
    "tinymaix/tools_h5_cifar10.h5": ("tinymaix/cifar10", 90_090),
    "tinymaix/tools_h5_mnist_dw.h5": ("tinymaix/tools_h5_mnist_dw", 1_546),
    "tinymaix/tools_h5_mnist_resnet.h5": ("tinymaix/tools_h5_mnist_resnet", 22_930),
    "chest_teachable/keras_model.h5": ("chest_teachable/keras_model", 538_608),
    "face_classification/fer2013_mini_XCEPTION.hdf5": (
        "face_classification/fer2013_mini_XCEPTION",
        58_168,
    ),
}


def session(found, backend, **options):
    channels = found.graph.input_shape[2]
    preprocessing = Preprocessing("grayscale" if channels == 1 else "rgb", **options)
    return Session(Model(found.graph, found.weights, preprocessing), backend=backend)


@pytest.mark.parametrize("backend", WORKING)
@pytest.mark.parametrize("path", FILES)
def test_file_equals_its_golden(path, backend):
    name, parameters = FILES[path]
    found = keras.read(CORPUS / path)
    assert found.graph.parameters == parameters
    x, y = golden(name)
    got = session(found, backend).predict(x)
    difference = np.abs(got - y.reshape(got.shape)).max()
    print(f"{path}: {found.origin}, {backend}: {difference:.1e}")
    assert difference <= TOLERANCE


@pytest.mark.parametrize("backend", WORKING)
def test_parrot_is_a_macaw(backend):
    found = keras.read(CORPUS / "tinymaix/tools_h5_mbnet128_0.25.h5")
    labels = (CORPUS / "tinymaix/imagenet_labels.txt").read_text().splitlines()[-1000:]
    with Image.open(CORPUS / "tinymaix/parrot.jpg") as image:
        small = image.convert("RGB").resize((128, 128), Image.Resampling.BILINEAR)
    model = session(found, backend, scale=1 / 127.5, offset=-1.0)
    scores = model.predict(model.model.preprocessing.normalise(np.asarray(small)[None]))[0]
    assert labels[int(scores.argmax())] == "macaw"
    assert scores.max() > 0.8


def test_real_weights_alone_find_their_place_in_mobilenet(tmp_path):
    """As that file's weights would be if they had been saved alone: names and order are Keras's."""
    source, alone = CORPUS / "tinymaix/tools_h5_mbnet128_0.25.h5", tmp_path / "weights.h5"
    with h5py.File(source) as full, h5py.File(alone, "w") as file:
        file.attrs.update(full["model_weights"].attrs)
        for name in full["model_weights"]:
            full["model_weights"].copy(name, file)
    found = keras.read(alone, build("mobilenet:alpha=0.25,head=conv", (128, 128, 3), 1000))
    x, y = golden("tinymaix/mbnet128_0.25")
    got = found.graph.forward(x, found.weights)
    np.testing.assert_allclose(got, y.reshape(got.shape), atol=TOLERANCE)


SQUEEZENETS = {
    "tensorflow": "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "theano": "squeezenet_weights_th_dim_ordering_th_kernels_notop.h5",
}


@pytest.mark.parametrize("name", SQUEEZENETS.values())
def test_weights_alone_ask_for_their_architecture(name):
    with pytest.raises(ConversionError, match="holds weights alone; say which network"):
        keras.read(CORPUS / "squeezenet" / name)
    with pytest.raises(ConversionError, match="give --kernels tensorflow or --kernels theano"):
        keras.read(CORPUS / "squeezenet" / name, build("squeezenet_notop", (227, 227, 3)))


def test_squeezenet_of_tensorflow_and_of_theano():
    """The same weights in both conventions, stored in 2016 by those who trained them."""
    graph = build("squeezenet_notop", (131, 131, 3))
    x = np.random.default_rng(7).uniform(-128, 127, (2, 131, 131, 3)).astype(np.float32)
    results = []
    for kernels, name in SQUEEZENETS.items():
        found = keras.read(CORPUS / "squeezenet" / name, graph, kernels=kernels)
        results += [session(found, backend).predict(x) for backend in WORKING]
    assert results[0].std() > 1
    for other in results[1:]:
        assert np.abs(other - results[0]).max() <= 1e-5 * np.abs(results[0]).max()


def test_kernels_of_the_wrong_library_show():
    graph = build("squeezenet_notop", (131, 131, 3))
    path = CORPUS / "squeezenet" / SQUEEZENETS["theano"]
    right, wrong = (keras.read(path, graph, kernels=k).weights for k in ("theano", "tensorflow"))
    assert np.abs(right["conv1/kernel"] - wrong["conv1/kernel"]).max() > 1
    np.testing.assert_array_equal(
        right["fire2/squeeze1x1/kernel"], wrong["fire2/squeeze1x1/kernel"]
    )


def test_a_network_that_loses_much_in_float32(tmp_path, capsys):
    """Keras's own float32 is off by 2.2e-4 of the largest logit: that is no reason to refuse it."""
    file = CORPUS / "ill_conditioned" / "mobilenetv2_035_224.h5"
    found = keras.read(file)
    with np.load(file.with_name("mobilenetv2_035_224_golden.npz")) as stored:
        golden = {name: stored[name] for name in ("y_float32", "y_float64", "logits_float64")}
    x = np.random.default_rng(7).integers(0, 256, (3, 224, 224, 3), np.uint8).astype(np.float32)
    graph, logits = split_scores(found.graph)
    exact = {}
    graph.forward(x.astype(np.float64), found.weights, exact.__setitem__)
    np.testing.assert_allclose(exact[logits], golden["logits_float64"], rtol=1e-6)
    np.testing.assert_allclose(exact[graph.output], golden["y_float64"], rtol=1e-6)
    watched = {graph.output: np.asarray}
    right = measure(graph, found.weights, x, watched)[graph.output]
    assert right.admits(golden["y_float32"])
    assert right.allowed < 0.01
    assert command.main([str(file), "-o", str(tmp_path / "m.safetensors")]) == 0
    assert "parity: numba: largest difference" in capsys.readouterr().out
