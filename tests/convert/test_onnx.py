"""ONNX: files of real exporters against ONNX Runtime's answers, and what the operators mean."""

from pathlib import Path

import numpy as np
import pytest
from tinycnn.convert import __main__ as command
from tinycnn.convert import keras
from tinycnn.convert.scores import with_probabilities

from tests.backends import WORKING
from tests.convert.onnx_files import classifier, model, node
from tinycnn.engine.session import Session
from tinycnn.nn import layers as nn
from tinycnn.nn import modelfile
from tinycnn.nn.graph import Sequential
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing

DATA = Path(__file__).parent / "onnx_data"
FILES = sorted(path.stem for path in DATA.glob("*.onnx"))


def kinds(found):
    return {type(node.layer) for node in found.graph.nodes}


@pytest.mark.parametrize("backend", WORKING)
@pytest.mark.parametrize("name", FILES)
def test_file_of_an_exporter_equals_its_golden(name, backend):
    found = keras.read(DATA / f"{name}.onnx")
    with np.load(DATA / f"{name}.npz") as file:
        x, y = file["x"], file["y"]
    got = Session(Model(found.graph, found.weights, Preprocessing("rgb")), backend).predict(x)
    np.testing.assert_allclose(got, y, atol=1e-5)
    assert nn.Permute not in kinds(found)
    assert found.origin.split(", ")[1].startswith(("pytorch", "tf2onnx"))


def test_there_are_files_of_every_exporter():
    assert [name.split("_")[0] for name in FILES] == ["keras", *["torch"] * 4]


@pytest.fixture
def run(tmp_path):
    """Convert bytes and run them for a picture (1, 8, 6, 3) of small whole numbers."""

    def convert(data, x=None, **options):
        (tmp_path / "net.onnx").write_bytes(data)
        found = keras.read(tmp_path / "net.onnx", **options)
        x = picture() if x is None else x
        return found.graph.forward(x, found.weights), found

    return convert


def picture(seed=1):
    return np.random.default_rng(seed).integers(-9, 10, (1, 8, 6, 3)).astype(np.float32)


def mean(x):
    return x.mean(axis=(1, 2))


def test_layers_bear_the_names_of_nodes(run):
    ones = np.ones((3, 3, 1, 1), np.float32)
    nodes = [
        node("Conv", "x,w", "a", "/body/0:Conv"),
        node("Conv", "a,w", "b", "/body/0:Conv"),
        node("Conv", "b,w", "p", "bell\a"),
    ]
    _, found = run(classifier(nodes, [("w", ones)]))
    assert [n.name for n in found.graph.nodes][:3] == ["body/0_Conv", "body/0_Conv_1", "bell_"]


def test_a_flatten_of_channels_first_permutes_the_weights_behind_it(run):
    w = np.random.default_rng(2).normal(size=(3 * 8 * 6, 4)).astype(np.float32)
    x = picture()
    expected = x.transpose(0, 3, 1, 2).reshape(1, -1) @ w
    for shape in ([0, -1], [-1, 144], [1, 144]):
        nodes = [node("Reshape", "x,s", "f"), node("Gemm", "f,w,c", "y", transB=1, beta=0.5)]
        c = np.full(4, 3, np.float32)
        got, found = run(model(nodes, [("s", np.array(shape)), ("w", w.T.copy()), ("c", c)]))
        np.testing.assert_allclose(got, expected + 1.5, rtol=1e-5, atol=1e-4)
        assert kinds(found) == {nn.Flatten, nn.Dense}
    scale = np.arange(144, dtype=np.float32)
    nodes = [node("Flatten", "x", "f"), node("Mul", "f,m", "g"), node("MatMul", "g,w", "y")]
    got, _ = run(model(nodes, [("m", scale), ("w", w)]))
    flat = x.transpose(0, 3, 1, 2).reshape(1, -1)
    np.testing.assert_allclose(got, (flat * scale) @ w, rtol=1e-4, atol=1e-2)


def test_a_flatten_that_is_the_output_is_put_in_order(run):
    got, _ = run(model([node("Flatten", "x", "y")]))
    np.testing.assert_array_equal(got, picture().transpose(0, 3, 1, 2).reshape(1, -1))


def test_the_chain_that_pytorch_writes_for_a_flatten(run):
    nodes = [
        node("Shape", "x", "s"), node("Constant", "", "zero", value=np.array(0)),
        node("Gather", "s,zero", "n", "pick", axis=0), node("Constant", "", "a", value_ints=[0]),
        node("Unsqueeze", "n,a", "n1"), node("Constant", "", "rest", value=np.array([-1])),
        node("Concat", "n1,rest", "target", axis=0), node("Reshape", "x,target", "y"),
    ]  # fmt: skip
    _, found = run(model(nodes))
    assert nn.Flatten in kinds(found)


def test_transposes_in_pairs_leave_nothing(run):
    nodes = [
        node("Transpose", "x", "a", perm=[0, 3, 1, 2]), node("Relu", "a", "b"),
        node("Transpose", "b", "c", perm=[0, 2, 3, 1]),
        node("ReduceMean", "c", "y", axes=[1, 2], keepdims=0),
    ]  # fmt: skip
    got, found = run(model(nodes, inputs=[("x", ("n", 8, 6, 3))]))
    np.testing.assert_allclose(got, mean(np.maximum(picture(), 0)), rtol=1e-5)
    assert kinds(found) == {nn.Activation, nn.GlobalAveragePooling2D}


def windows(x, fill, size, stride, pads):
    """All windows of a picture (1, H, W, C), by NumPy alone."""
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    return view[:, ::stride, ::stride]


@pytest.mark.parametrize("stride", [1, 2])
def test_a_maximum_never_sees_the_padding(run, stride):
    """PyTorch's MaxPool2d(3, 2, 1) on values below zero: zeros around them would win."""
    attributes = {"kernel_shape": [3, 3], "strides": [stride] * 2, "pads": [1, 1, 1, 1]}
    x = picture() - 20
    got, _ = run(classifier([node("MaxPool", "x", "p", **attributes)]), x)
    expected = windows(x, -np.inf, 3, stride, ((1, 1), (1, 1))).max(axis=(-2, -1))
    np.testing.assert_allclose(got, mean(expected), rtol=1e-6)


@pytest.mark.parametrize("counted", [0, 1])
def test_a_mean_counts_the_padding_if_told(run, counted):
    attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    attributes |= {"count_include_pad": counted}
    x, pads = picture(), ((1, 1), (1, 1))
    got, _ = run(classifier([node("AveragePool", "x", "p", **attributes)]))
    inside = windows(np.ones_like(x), 0, 3, 2, pads).sum(axis=(-2, -1))
    expected = windows(x, 0, 3, 2, pads).sum(axis=(-2, -1)) / (9 if counted else inside)
    np.testing.assert_allclose(got, mean(expected), rtol=1e-5)


def test_ceil_mode_adds_windows_that_begin_inside(run):
    attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}
    _, found = run(classifier([node("MaxPool", "x", "p", **attributes)]))
    assert found.graph.shapes[found.graph.nodes[0].name] == (4, 3, 3)


@pytest.mark.parametrize(("auto", "pads"), [("SAME_UPPER", (0, 1)), ("SAME_LOWER", (1, 0))])
def test_auto_pad(run, auto, pads):
    w = np.random.default_rng(3).integers(-3, 4, (2, 3, 3, 3)).astype(np.float32)
    got, _ = run(classifier([node("Conv", "x,w", "p", auto_pad=auto, strides=[2, 2])], [("w", w)]))
    view = windows(picture(), 0, 3, 2, (pads, pads))
    np.testing.assert_allclose(got, mean(np.einsum("nhwcij,ocij->nhwo", view, w)), rtol=1e-5)


@pytest.mark.parametrize(("opset", "axis"), [(11, {}), (13, {"axis": 1}), (13, {})])
def test_softmax_changed_its_axis(run, opset, axis):
    """Over all axes from 1 on before opset 13, over the last one since."""
    x = picture()[:, :1, :1]
    got, _ = run(classifier([node("Softmax", "x", "p", **axis)], (), opset,
                            inputs=[("x", ("n", 3, 1, 1))]), x)  # fmt: skip
    e = np.exp(x[:, 0, 0] - x.max())
    expected = np.ones((1, 3)) if opset == 13 and not axis else e / e.sum()
    np.testing.assert_allclose(got, expected, rtol=1e-5)


FORMULAS = {
    "silu": [node("Sigmoid", "x", "s"), node("Mul", "x,s", "p")],
    "hard_silu": [
        node("Add", "x,three", "a"), node("Clip", "a,zero,six", "b"), node("Mul", "x,b", "c"),
        node("Div", "c,six", "p"),
    ],
    "hard_sigmoid": [
        node("Add", "x,three", "a"), node("Clip", "a,zero,six", "b"), node("Div", "b,six", "p"),
    ],
    "mish": [node("Softplus", "x", "s"), node("Tanh", "s", "t"), node("Mul", "x,t", "p")],
    "gelu": [
        node("Div", "x,root", "a"), node("Erf", "a", "b"), node("Add", "b,one", "c"),
        node("Mul", "x,c", "d"), node("Mul", "d,half", "p"),
    ],
}  # fmt: skip
NUMBERS = {"zero": 0, "half": 0.5, "one": 1, "root": 2**0.5, "three": 3, "six": 6}


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_become_the_activation_that_they_stand_for(run, name):
    numbers = [(key, np.float32(v)) for key, v in NUMBERS.items()]
    _, found = run(classifier(FORMULAS[name], numbers))
    (first, *_) = [n.layer for n in found.graph.nodes]
    assert (type(first), first.activation) == (nn.Activation, name)


def test_split_slice_and_concat_of_channels(run):
    nodes = [
        node("Split", "x,sizes", "a,b", axis=1), node("Slice", "x,i,j,axes", "c"),
        node("Concat", "b,c,a", "p", axis=1),
    ]  # fmt: skip
    constants = {"sizes": [1, 2], "i": [1, 2], "j": [2, 2**40], "axes": [1, 2]}
    with pytest.raises(Exception, match="differ outside axis"):
        run(classifier(nodes, [(k, np.array(v)) for k, v in constants.items()]))
    constants |= {"i": [1], "j": [2], "axes": [1]}
    got, _ = run(classifier(nodes, [(k, np.array(v)) for k, v in constants.items()]))
    np.testing.assert_allclose(got, mean(picture())[:, [1, 2, 1, 0]], rtol=1e-5)


def test_open_size_needs_the_option(run):
    data = classifier([node("Relu", "x", "p")], inputs=[("x", ("n", 3, "h", "w"))])
    with pytest.raises(Exception, match="give --input HEIGHTxWIDTHxC"):
        run(data)
    assert run(data, input_shape=(8, 6, 3))[1].graph.input_shape == (8, 6, 3)


def test_the_command_puts_a_softmax_behind_logits(tmp_path, capsys):
    w = np.random.default_rng(4).normal(size=(144, 3)).astype(np.float32)
    data = model([node("Flatten", "x", "f"), node("MatMul", "f,w", "y")], [("w", w)])
    (tmp_path / "net.onnx").write_bytes(data)
    assert command.main([str(tmp_path / "net.onnx"), "--scale", "1/255"]) == 0
    out = capsys.readouterr().out
    assert "from ONNX opset 17, by hand" in out
    assert "assumed: the network ends in raw scores, so a softmax is put behind it" in out
    graph = modelfile.load(tmp_path / "net.safetensors").graph
    assert graph.nodes[-1].layer.activation == "softmax"
    arguments = ["--scale", "1/255", "--activation", "none", "--force"]
    assert command.main([str(tmp_path / "net.onnx"), *arguments]) == 0
    assert "raw scores" not in capsys.readouterr().out
    assert modelfile.load(tmp_path / "net.safetensors").graph.output == "matmul"


@pytest.mark.parametrize(
    ("tail", "behind"),
    [
        ([nn.Dense(1)], "sigmoid"),
        ([nn.Dense(3), nn.Reshape((3,))], "softmax"),
        ([nn.Dense(3, activation="log_softmax")], "softmax"),
        ([nn.Dense(3, activation="softmax"), nn.Flatten()], None),
        ([nn.Dense(3), nn.ReLU()], None),
    ],
)
def test_only_logits_get_an_activation(tail, behind):
    graph = Sequential([nn.Flatten(), *tail], (2, 2, 1))
    got, said = with_probabilities(graph, None)
    assert (got == graph) == (behind is None)
    assert (behind or "") in said
    assert with_probabilities(graph, "none") == (graph, "")
