"""PyTorch's files: what real ones hold, and torchvision's networks against what they say."""

import json
from pathlib import Path

import numpy as np
import pytest
from tinycnn.convert import __main__ as command
from tinycnn.convert import pytorch
from tinycnn.convert.foreign_safetensors import read_safetensors
from tinycnn.convert.torch_files import read_archive, read_legacy
from tinycnn.convert.torch_state import find_state, with_head

from tests.backends import WORKING
from tests.convert.torch_writer import images, save, state_for
from tinycnn.engine.session import Session
from tinycnn.errors import ConversionError
from tinycnn.nn import modelfile
from tinycnn.nn.architectures.torchvision import TORCHVISION
from tinycnn.nn.graph import Input, from_tensors
from tinycnn.nn.layers import Conv2D, Dense, Flatten
from tinycnn.nn.model import Model

FILES = Path(__file__).parent / "torch"  # made by make_torch_goldens.py with real PyTorch
GOLDENS = json.loads((FILES / "goldens.json").read_text())
SHAPE = tuple(GOLDENS["shape"])
BASE = np.arange(24, dtype=np.float32) / 8
TENSORS = {
    "plain": BASE.reshape(2, 3, 4),
    "turned": BASE.reshape(4, 6).T,
    "part": BASE.reshape(4, 6)[1:, 1::2],
    "half": BASE[:6],
    "bfloat16": BASE[:6],
    "double": BASE[:6],
    "parameter": BASE[:6],
    "scalar": np.float32(2.5),
    "long": np.int64(7),
}
READERS = {
    "tensors.pth": read_archive,
    "legacy.pth": read_legacy,
    "tensors.safetensors": read_safetensors,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """MobileNetV2 of width 0.35 for one channel and two classes, as a checkpoint."""
    state = state_for(TORCHVISION["mobilenet_v2"]((32, 32, 1), 2, 0.35))
    return save(tmp_path_factory.mktemp("torch") / "small.pth", state)


@pytest.mark.parametrize("name", READERS)
def test_every_kind_of_tensor(name):
    with (FILES / name).open("rb") as file:
        saved = READERS[name](file)
        assert saved.value.keys() == TENSORS.keys()
        for key, expected in TENSORS.items():
            found = saved.value[key].array()
            np.testing.assert_array_equal(found, expected, err_msg=key)
            assert found.dtype == (np.int64 if key == "long" else np.float32)


def test_the_state_dict_of_a_checkpoint_with_everything_beside_it():
    with (FILES / "checkpoint.pth").open("rb") as file:
        saved = read_archive(file).value
        assert saved["epoch"] == 3
        assert saved["accuracy"].array() == 0.75
        names = ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"]
        assert list(find_state(saved)) == names


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("module.pth", "asks for 'torch.nn.modules.linear.Linear'; only tensors are read"),
        ("torchscript.pt", "a TorchScript program; in Python: torch.save(model.state_dict()"),
    ],
)
def test_whole_modules_are_refused_with_what_to_do(name, words):
    assert pytorch.is_pytorch(FILES / name)
    with pytest.raises(ConversionError, match="state_dict") as caught:
        pytorch.read(FILES / name, "resnet18")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(GOLDENS["networks"]))
def test_scores_are_those_of_torchvision(name, tmp_path):
    golden = GOLDENS["networks"][name]
    state = state_for(TORCHVISION[name](SHAPE, golden["classes"]))
    found = pytorch.read(save(tmp_path / "model.pth", state), name, SHAPE)
    assert found.graph.output_shape == (golden["classes"],)
    x = images(SHAPE)
    scores = {"reference": found.graph.forward(x, found.weights)}
    for backend in WORKING:
        scores[backend] = Session(Model(found.graph, found.weights), backend).predict(x)
    for backend, value in scores.items():
        np.testing.assert_allclose(value, golden["scores"], atol=1e-4, err_msg=backend)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [  # torchvision's documentation, and twice the channels of batch-norm, which Keras counts
        ("densenet121", 7_978_856 + 83_648),
        ("densenet161", 28_681_000 + 219_936),
        ("densenet169", 14_149_480 + 158_400),
        ("densenet201", 20_013_928 + 229_056),
        ("mobilenet_v2", 3_504_872 + 34_112),
        ("resnet18", 11_689_512 + 9_600),
        ("resnet34", 21_797_672 + 17_024),
        ("resnet50", 25_557_032 + 53_120),
        ("resnet101", 44_549_160 + 105_344),
        ("vgg16", 138_357_544),
        ("vgg16_bn", 138_365_992 + 8_448),
    ],
)
def test_published_figures(name, parameters):
    assert TORCHVISION[name]((224, 224, 3), 1000).parameters == parameters


def test_there_are_no_other_networks():
    assert len(TORCHVISION) == 11  # one line each, above


def test_what_follows_a_flattened_picture_is_reordered():
    x = inputs = Input((4, 5, 2))
    for layer in (Conv2D(3, 3, name="conv"), Flatten(name="flat"), Dense(2, name="fc")):
        x = layer(x)
    graph, random = from_tensors(inputs, x), np.random.default_rng(2)
    values = {key: random.random(s, np.float32) for key, s in pytorch._wanted(graph).items()}
    state = {key: _Given(value) for key, value in values.items()}
    weights = {
        f"{node.name}/{weight}": array
        for node in graph.nodes
        for weight, array in pytorch._arrays(graph, node, state)
    }
    picture = random.random((1, 4, 5, 2), np.float32)
    seen = {}
    found = graph.forward(picture, weights, seen.__setitem__)
    channels_first = seen["conv"].transpose(0, 3, 1, 2).reshape(1, -1)
    expected = channels_first @ values["fc.weight"].T + values["fc.bias"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_array_equal(
        weights["conv/kernel"][1, 2, 0, 1], values["conv.weight"][1, 0, 1, 2]
    )


class _Given:
    """A tensor that is there already."""

    is_float = True

    def __init__(self, value):
        self.value, self.shape = value, value.shape

    def array(self):
        return self.value


def test_keys_of_other_days_and_other_homes():
    old = {"module.features.denseblock1.denselayer2.norm.1.weight": 1, "module.fc.bias": 2}
    given = {key: _tensor(value) for key, value in old.items()}
    found = find_state({"epoch": 3, "state_dict": given})
    assert list(found) == ["features.denseblock1.denselayer2.norm1.weight", "fc.bias"]
    assert list(find_state({"a.b.c": _tensor(0), "a.b.d": _tensor(0)})) == ["c", "d"]
    assert list(find_state({"model.fc.bias": _tensor(0), "loss.weight": _tensor(0)})) == [
        "model.fc.bias",
        "loss.weight",
    ]


def _tensor(value):
    from tinycnn.convert.torch_tensors import ElementType, Storage, make_tensor

    load = np.float32(value).tobytes
    return make_tensor(Storage(ElementType("float32"), 1, load), 0, (1,), (1,))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"epoch": 3}, "holds no state dict, nor one called state_dict"),
        ([1, 2], "but nothing of the kind"),
        ({}, "holds no state dict"),
        ({"net": {"a.b": _tensor(1)}, "model": {"a.b": _tensor(1)}}, "holds 2 state dicts (model"),
        ({"a" * 301: _tensor(1)}, "holds no state dict"),
        ({"a\nb": _tensor(1)}, "holds no state dict"),
        (
            {
                "x.denselayer1.norm.1.bias": _tensor(1),
                "x.denselayer1.norm1.bias": _tensor(1),
                "y": _tensor(1),
            },
            "twice, by its old name and by its new one",
        ),
    ],
)
def test_what_is_no_state_dict(value, words):
    with pytest.raises(ConversionError) as caught:
        find_state(value)
    assert words in str(caught.value)


def test_a_head_in_a_sequential():
    one = {"conv.weight": _tensor(1), "fc.1.weight": _tensor(1), "fc.1.bias": _tensor(1)}
    assert list(with_head(one, "fc")) == ["conv.weight", "fc.weight", "fc.bias"]
    with pytest.raises(ConversionError, match=r"2 layers with weights \(fc.1, fc.4\)"):
        with_head({**one, "fc.4.weight": _tensor(1)}, "fc")


def edited(small, tmp_path, edit):
    """The small network's file after ``edit(state)``."""
    state = state_for(TORCHVISION["mobilenet_v2"]((32, 32, 1), 2, 0.35))
    edit(state)
    return save(tmp_path / "edited.pth", state)


def rename(old, new):
    def edit(state):
        for key in [key for key in state if key.startswith(old)]:
            state[key.replace(old, new, 1)] = state.pop(key)

    return edit


@pytest.mark.parametrize(
    "edit", [rename("classifier", "classifier.1"), rename("", "module."), rename("", "a.b.")]
)
def test_the_same_network_by_other_keys(small, tmp_path, edit):
    first = pytorch.read(small, "mobilenet_v2", alpha=0.35)
    found = pytorch.read(edited(small, tmp_path, edit), "mobilenet_v2", alpha=0.35)
    assert found.graph == first.graph
    assert first.graph.input_shape == (224, 224, 1)
    for key, value in first.weights.items():
        np.testing.assert_array_equal(found.weights[key], value)


def cut(key):
    return lambda state: state.pop(key)


def changed(key, value):
    return lambda state: state.__setitem__(key, value)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (cut("features.3.conv.1.0.weight"), "1 tensors are missing (features.3.conv.1.0.weight)"),
        (cut("classifier.weight"), "1 tensors are missing (classifier.weight)"),
        (changed("loss.weight", np.ones(2, np.float32)), "1 have no place in it (loss.weight)"),
        (
            changed("features.0.0.weight", np.ones((8, 1, 3, 3), np.float32)),
            "1 are of another shape (features.0.0.weight is (8, 1, 3, 3), not (16, 1, 3, 3))",
        ),
        (changed("classifier.bias", np.float32([1, np.nan])), "'classifier.bias' holds NaN"),
        (changed("classifier.bias", np.float64([1, 1e300])), "or what float32 cannot"),
        (changed("classifier.bias", np.int64([1, 2])), "'classifier.bias' is of int64, no weights"),
    ],
)
def test_what_does_not_fit_is_listed(small, tmp_path, edit, words):
    with pytest.raises(ConversionError) as caught:
        pytorch.read(edited(small, tmp_path, edit), "mobilenet_v2", alpha=0.35)
    assert words in str(caught.value)


def test_the_command(small, tmp_path, capsys):
    out = tmp_path / "m.safetensors"
    options = "--architecture", "mobilenet_v2", "--alpha", "0.35", "--input", "32x32x1"
    assert command.main([str(small), "-o", str(out), *options]) == 0
    said = capsys.readouterr().out
    assert "input 32x32x1, 2 scores; from PyTorch, torchvision's mobilenet_v2" in said
    assert "PyTorch's ends in logits, this one in a softmax of them" in said
    assert "assumed, because no option says otherwise" in said
    assert "(ToTensor() is --scale 1/255)" in said
    assert (
        modelfile.load(out).provenance.source == "small.pth (PyTorch, torchvision's mobilenet_v2)"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "a state dict of PyTorch with 262 tensors; say which network: --architecture NAME"),
        (["--alpha", "0.35"], "; by its tensors it may be mobilenet_v2\n"),
        (["--architecture", "cnn5"], "no 'cnn5' here; names are densenet121, "),
        (
            ["--architecture", "mobilenet_v2", "--alpha", "0.35", "--classes", "3"],
            "--classes 3, but its 'classifier' has 2",
        ),
        (
            ["--architecture", "mobilenet_v2", "--alpha", "0.35", "--input", "32x32x3"],
            "features.0.0.weight is (16, 1, 3, 3), not (16, 3, 3, 3)",
        ),
        (["--architecture", "resnet18", "--alpha", "0.35"], "alpha must be 1, not 0.35"),
        (["--architecture", "resnet18"], "does not fit torchvision's resnet18: 102 tensors are"),
        (["--architecture", "vgg16", "--input", "200x200x3"], "images of 224, 448, ... rows"),
    ],
)
def test_wrong_use_is_one_line(small, tmp_path, capsys, options, words):
    out = tmp_path / "m.safetensors"
    assert command.main([str(small), "-o", str(out), *options]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_which_files_are_meant(small, tmp_path):
    for name in (*READERS, "checkpoint.pth"):
        assert pytorch.is_pytorch(FILES / name)
    (tmp_path / "pickle.pth").write_bytes(b"\x80\x02}.")
    for path in (tmp_path, tmp_path / "absent", tmp_path / "pickle.pth"):
        assert not pytorch.is_pytorch(path)


def test_a_model_file_of_ours_needs_no_conversion(tmp_path, capsys):
    from tests.nn.models import small as model

    modelfile.save(model(), tmp_path / "m.safetensors")
    assert (
        command.main([str(tmp_path / "m.safetensors"), "-o", str(tmp_path / "n.safetensors")]) == 2
    )
    assert "a model file of tinycnn's; it needs no conversion" in capsys.readouterr().err
