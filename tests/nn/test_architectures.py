import numpy as np
import pytest

from tests.engine.cases import random_weights
from tinycnn.errors import UsageError
from tinycnn.nn.architectures import ARCHITECTURES, build
from tinycnn.nn.architectures.mobilenet_v2 import divisible


@pytest.mark.parametrize(
    ("name", "shape", "classes", "parameters", "multiply_adds"),
    [
        ("mobilenet_v2", (224, 224, 1), 2, 2_259_970, 292_271_488),
        ("mobilenet_v2", (224, 224, 3), 1000, 3_538_984, None),
        ("mobilenet", (224, 224, 1), 2, 3_230_338, None),
        ("mobilenet", (224, 224, 3), 1000, 4_253_864, None),
        ("densenet121", (224, 224, 3), 1000, 8_062_504, None),
        ("densenet169", (224, 224, 3), 1000, 14_307_880, None),
        ("densenet201", (224, 224, 3), 1000, 20_242_984, None),
        ("resnet50", (224, 224, 3), 1000, 25_636_712, None),
        ("cnn1", (32, 32, 1), 1, 931_009, None),
        ("cnn3", (32, 32, 1), 1, 63_137, None),
        ("cnn5", (32, 32, 1), 1, 97_409, None),
    ],
)
def test_published_figures(name, shape, classes, parameters, multiply_adds):
    graph = build(name, shape, classes)
    assert graph.parameters == parameters
    assert graph.output_shape == (classes,)
    assert multiply_adds in (None, graph.macs)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_scores_add_up(name):
    shape = (32, 32, 1) if name.startswith("cnn") else (64, 48, 3)
    graph = build(name, shape, 3)
    random = np.random.default_rng(1)
    weights = random_weights(graph, random)
    scores = graph.forward(random.random((2, *shape), np.float32), weights)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


def test_summary_shows_what_keras_shows_and_more():
    text = build("mobilenet_v2").summary()
    assert "block_16_project_BN (BatchNormalization)" in text
    assert "Total params: 2,259,970 (9.04 MB)" in text
    assert "Multiply-adds for one image: 292,271,488" in text


def test_width_is_a_multiple_of_eight_and_loses_a_tenth_at_most():
    assert [divisible(32 * a) for a in (0.35, 0.5, 0.75, 1.0, 1.4)] == [16, 16, 24, 32, 48]
    assert divisible(16 * 0.35) == 8


def test_wrong_use_is_told():
    with pytest.raises(UsageError, match="there are mobilenet_v2"):
        build("vgg")
    for name, shape in [("cnn5", (32, 32, 1)), ("resnet50", (64, 64, 3))]:
        with pytest.raises(UsageError, match="alpha must be 1"):
            build(name, shape, 1, alpha=0.5)
    with pytest.raises(UsageError, match="height, width, channels"):
        build("mobilenet", (224, 224))
