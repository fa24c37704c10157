import numpy as np
import pytest

from tests.engine.cases import random_weights
from tinycnn.errors import GraphError, UsageError
from tinycnn.nn.architectures import ARCHITECTURES, build, own_size
from tinycnn.nn.architectures.mobilenet_v2 import divisible


# Parameters at (224, 224, 3) and 1000 classes are Keras's documentation's, others the reports' or,
# for whole networks, follow from the code: DenseNet without its end and C + 1 for one score.
@pytest.mark.parametrize(
    ("spec", "shape", "classes", "parameters"),
    [
        ("mobilenet_v2", (224, 224, 1), 2, 2_259_970),
        ("mobilenet_v2", (224, 224, 3), 1000, 3_538_984),
        ("mobilenet_v2:alpha=0.35", (224, 224, 3), 1000, 1_691_208),
        ("mobilenet_v2:alpha=1.4", (224, 224, 3), 1000, 6_156_712),
        ("mobilenet_v2:head=conv", (224, 224, 1), 2, 2_259_970),
        ("mobilenet", (224, 224, 1), 2, 3_230_338),
        ("mobilenet", (224, 224, 3), 1000, 4_253_864),
        ("mobilenet:alpha=0.25,head=conv", (128, 128, 3), 1000, 475_544),
        ("mobilenet:alpha=0.5,head=conv", (224, 224, 3), 1000, 1_342_536),
        ("mobilenet_self_design_a", (224, 224, 1), 2, 2_278_210),
        ("mobilenet_self_design_b", (224, 224, 1), 2, 3_280_182),
        ("densenet121", (224, 224, 3), 1000, 8_062_504),
        ("densenet121", (320, 320, 3), 1, 7_037_504 + 1025),
        ("densenet169", (224, 224, 3), 1000, 14_307_880),
        ("densenet169", (320, 320, 3), 1, 12_642_880 + 1665),
        ("densenet201", (224, 224, 3), 1000, 20_242_984),
        ("densenet201", (320, 320, 3), 1, 18_321_984 + 1921),
        ("resnet50", (224, 224, 3), 1000, 25_636_712),
        ("squeezenet", (227, 227, 3), 1000, 1_235_496),
        ("squeezenet_notop", (227, 227, 3), 512, 722_496),
        ("vgg16", (224, 224, 3), 1000, 138_357_544),
        ("cnn1", (32, 32, 1), 1, 931_009),
        ("cnn3", (32, 32, 1), 1, 63_137),
        ("cnn5", (32, 32, 1), 1, 97_409),
        ("cnn5:dense=128-64-32", (32, 32, 1), 1, 97_409 - 65 + (64 + 1) * 32 + 33),
        ("conv2", (512, 512, 1), 1, 45_665),
        ("conv3", (224, 224, 1), 1, 6_979),
        ("conv4", (224, 224, 1), 1, 106_929),
        ("mlp", (224, 224, 1), 1, 224 * 224 * 512 + 512 + 513 * 64 + 65 * 32 + 33),
    ],
)
def test_published_figures(spec, shape, classes, parameters):
    graph = build(spec, shape, classes)
    assert graph.parameters == parameters
    assert graph.output_shape == (classes,)


@pytest.mark.parametrize(
    ("spec", "layers"),
    [
        ("mobilenet_self_design_a", 159),
        ("mobilenet_self_design_b", 147),
        ("densenet121", 429),  # Keras's count, as for the next ones
        ("densenet169", 597),
        ("densenet201", 709),
        ("resnet50", 177),
        ("vgg16", 23),
        ("mobilenet_v2", 156),
        ("mobilenet:head=conv", 92),
        ("cnn5:dense=128-64-32", 25),
        ("cnn5:dropout=0", 23),
    ],
)
def test_number_of_layers(spec, layers):
    assert len(build(spec).nodes) + 1 == layers  # Keras counts the input


WITH_SCORES = [name for name in ARCHITECTURES if not name.endswith("_notop")]


def test_multiply_adds():
    assert build("mobilenet_v2").macs == 292_271_488


@pytest.mark.parametrize(
    "spec", [*WITH_SCORES, "mobilenet:head=conv", "mobilenet_v2:head=conv", "cnn5:dense="]
)
def test_scores_add_up(spec):
    shape = own_size(spec.partition(":")[0])[0]
    shape = shape if shape[0] == 32 else (192, 160, shape[2]) if "conv" in spec[:4] else (64, 48, 3)
    graph = build(spec, shape, 3)
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


def test_options_as_text_and_as_keywords():
    assert build("cnn5:dense=128-64-32,dropout=0") == build("cnn5", dense=(128, 64, 32), dropout=0)
    assert build("mobilenet:alpha=0.5") == build("mobilenet", alpha=0.5)
    assert build("mobilenet_v2").input_shape == (224, 224, 1)
    assert build("cnn3").input_shape == (32, 32, 1)
    assert build("densenet121", classes=1).nodes[-1].layer.activation == "sigmoid"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("vgg", "no architecture 'vgg'; there are mobilenet_v2, .*vgg16"),
        ("cnn5:alpha=0.5", "cnn5 has no option 'alpha'; it has dense, dropout"),
        ("resnet50:dense=2", "resnet50 has no option 'dense'; it has none"),
        ("mobilenet:head=no", "head must be pooling or conv, not 'no'"),
        ("mobilenet:alpha=wide", "mobilenet: alpha must be like 1.0"),
        ("mobilenet:alpha=nan", "mobilenet: alpha must be like 1.0"),
        ("mobilenet:alpha=inf", "mobilenet: alpha must be like 1.0"),
        ("mobilenet:alpha", "mobilenet: alpha must be like 1.0"),
        ("cnn5:dense=128-", "cnn5: dense must be like 128-64"),
    ],
)
def test_wrong_use_is_told(spec, words):
    with pytest.raises(UsageError, match=words):
        build(spec)


def test_wrong_sizes_are_told():
    with pytest.raises(UsageError, match="resnet50 has no option 'alpha'"):
        build("resnet50", (64, 64, 3), 1, alpha=0.5)
    with pytest.raises(UsageError, match="height, width, channels"):
        build("mobilenet", (224, 224))
    for spec in ("mobilenet:alpha=0", "mobilenet:alpha=1e99", "cnn5:dense=0"):
        with pytest.raises(GraphError, match="must lie in 1"):
            build(spec)
