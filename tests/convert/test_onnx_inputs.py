"""Inputs of ONNX's operators that are not what they usually are: one line, or the right answer.

Each input of each operator in turn depends on the image where a constant is usual, is a constant
where the image is usual, is left out, or is a constant of an odd kind.
"""

import numpy as np
import pytest
from tinycnn.convert import keras
from tinycnn.convert.onnx_call import RULES
from tinycnn.convert.onnx_constants import FOLDS

from tests.convert.onnx_files import attribute, classifier, message, model, node
from tests.convert.onnx_options import OPTIONS, floats, whole
from tests.corpus import HOSTILE
from tinycnn.errors import ConversionError

# operator -> what usually stands behind x, where `OPTIONS` has no case with constants
USUAL = {
    **{op: [floats(3, 1, 1)] for op in ("Add", "Sub", "Mul", "Div", "PRelu", "Mean", "Sum")},
    **{op: [np.float32(0.5)] for op in ("Max", "Min", "Equal", "Less", "Greater")},
    **{op: [np.array(True)] for op in ("And", "Or")},
    "Pow": [np.float32(2)],
    "Clip": [np.float32(-1), np.float32(1)],
    "MatMul": [floats(6, 6)],
    "Where": [floats(1), floats(1)],
    "Expand": [whole(1, 3, 8, 6)],
    "Reshape": [whole(1, -1)],
    "Unsqueeze": [whole(1)],
    "Squeeze": [whole(1)],
    "Slice": [whole(1), whole(3), whole(2), whole(1)],
    "Split": [whole(1, 2)],
    "ReduceMean": [whole(2, 3)],
    "ReduceMax": [whole(2, 3)],
    "ReduceProd": [whole(2, 3)],
    "Dropout": [np.float32(0.5), np.array(False)],
    "Resize": [floats(0), floats(0), whole(1, 3, 4, 12)],
    "Pad": [whole(0, 0, 1, 1, 0, 0, 1, 1), np.float32(0), whole(0, 1, 2, 3)],
    "Range": [np.float32(3), np.float32(1)],
    "Gather": [whole(0)],
    "LayerNormalization": [floats(6), floats(6)],
    "CastLike": [floats(1)],
    "Concat": [floats(1, 3, 8, 6)],
}
ODD = {
    "empty": np.zeros(0, np.float32),
    "of two values": np.array([True, False]),
    "of five axes": floats(1, 1, 2, 1, 1),
    "one whole number": np.array(3),
    "a negative one": np.array([-7]),
    "not finite": np.array([np.nan, np.inf], np.float32),
}
OPSET = {"BatchNormalization": 15, "Upsample": 9}
ATTRIBUTES = {"Concat": {"axis": 1}, "Split": {"axis": 1}}


def usual(op):
    """Constants behind x."""
    if op in USUAL:
        return USUAL[op]
    options = OPTIONS.get(op, {}).values()
    return list(max((o.constants for o in options if not o.folded), key=len, default=()))


PLACES = [(op, i) for op in sorted({*RULES, *FOLDS}) for i in range(len(usual(op)) + 1)]


def read(op, arguments, folder):
    """Convert one node; an argument is the name of a tensor of the image's, a constant, or None."""
    names = [a if isinstance(a, str) else "" if a is None else f"c{i}"
             for i, a in enumerate(arguments)]  # fmt: skip
    constants = [(n, a) for n, a in zip(names, arguments, strict=True) if n.startswith("c")]
    count = 2 if op == "Split" else 1
    outputs = [f"o{i}" for i in range(count)]
    each = [attribute(key, value) for key, value in ATTRIBUTES.get(op, {}).items()]
    one = message(f1=names, f2=outputs, f3="it", f4=op, f5=each)
    nodes = [node("Flatten", "x", "row", "first"), one, node("Flatten", "o0", "y", "last")]
    data = model(nodes, constants, OPSET.get(op, 19), inputs=[("x", ("n", 3, 8, 6))])
    (folder / "net.onnx").write_bytes(data)
    return keras.read(folder / "net.onnx")


def refused_or_right(op, arguments, folder):
    """Why it is refused, or the scores; any other error is a failure."""
    try:
        found = read(op, arguments, folder)
    except ConversionError as error:
        return str(error)
    x = np.random.default_rng(1).normal(size=(1, 8, 6, 3)).astype(np.float32)
    return found.graph.forward(x, found.weights)


@pytest.mark.parametrize(("op", "index"), PLACES)
def test_an_input_depends_on_the_image(op, index, tmp_path):
    """What a constant is usual for never is a surprise: it is refused in words of its own."""
    for name in ("x", "row"):
        arguments = ["x", *usual(op)]
        arguments[index] = name
        got = refused_or_right(op, arguments, tmp_path)
        if isinstance(got, str):
            assert "its inputs do not fit: " not in got
            assert "\n" not in got


@pytest.mark.parametrize(("op", "index"), PLACES)
def test_an_input_is_a_constant(op, index, tmp_path):
    for value in (None, *ODD.values()):
        arguments = ["x", *usual(op)]
        arguments[index] = value
        refused_or_right(op, arguments, tmp_path)
        if index:  # and x is none of them
            refused_or_right(op, [floats(1, 3, 8, 6), *arguments[1:]], tmp_path)


@pytest.mark.parametrize("op", sorted({*RULES, *FOLDS}))
def test_one_input_more_is_refused(op, tmp_path):
    """ONNX's schemas tell how many there are; a rule that does not look at one may miss it."""
    defs = pytest.importorskip("onnx.defs", reason="install the extra 'peers'")
    most = max(s.max_input for s in defs.get_all_schemas_with_history() if s.name == op)
    if most > 9:
        return  # any number of them
    arguments = ["x", *usual(op)][:most]
    got = refused_or_right(op, [*arguments, *[None] * (most - len(arguments)), "row"], tmp_path)
    assert isinstance(got, str), f"{op} takes {most + 1} inputs"


@pytest.mark.parametrize(
    "broken",
    [{"valuE": np.array(0.0, np.float32)}, {}, {"value_string": "a"}, {"value_strings": ["a"]}],
)
def test_a_limit_without_a_value(broken, tmp_path):
    """A Constant that holds none was an internal error of the Clip behind it."""
    nodes = [node("Constant", "", "low", "low", **broken), node("Clip", "x,low", "p")]
    (tmp_path / "net.onnx").write_bytes(classifier(nodes))
    with pytest.raises(ConversionError, match=r"'low' \(Constant\): holds .*no numbers"):
        keras.read(tmp_path / "net.onnx")


@pytest.mark.skipif(not HOSTILE.is_dir(), reason="../shared/hostile is not there")
def test_the_file_of_which_it_was_found():
    with pytest.raises(ConversionError, match=r"Constant_1' \(Constant\): holds 'valuE', and no"):
        keras.read(HOSTILE / "F9/clip-none.onnx")


def test_a_limit_that_depends_on_the_image(tmp_path):
    nodes = [node("ReduceMax", "x", "m", axes=[1, 2, 3]), node("Clip", "x,m", "p")]
    (tmp_path / "net.onnx").write_bytes(classifier(nodes))
    with pytest.raises(ConversionError):
        keras.read(tmp_path / "net.onnx")
    nodes = [node("Clip", "x,x", "p")]
    (tmp_path / "net.onnx").write_bytes(classifier(nodes))
    with pytest.raises(ConversionError, match="its limit depends on the image"):
        keras.read(tmp_path / "net.onnx")


def test_all_of_several_constants_count(tmp_path):
    """NumPy takes a third argument for the place to write to."""
    numbers = [np.array([v], np.float32) for v in ([1.0], [2.0], [5.0])]
    constants = [(f"c{i}", v) for i, v in enumerate(numbers)]
    nodes = [
        *(node("Identity", f"c{i}", f"d{i}", f"copy{i}") for i in range(3)),
        *(node("Neg", f"d{i}", f"e{i}", f"minus{i}") for i in range(3)),  # writable ones
        node("Max", "e0,e1,e2", "m"), node("Min", "e0,e1,e2", "n"),
        node("Add", "m,n", "s"), node("Add", "x,s", "p"),
    ]  # fmt: skip
    (tmp_path / "net.onnx").write_bytes(classifier(nodes, constants))
    found = keras.read(tmp_path / "net.onnx")
    got = found.graph.forward(np.zeros((1, 8, 6, 3), np.float32), found.weights)
    np.testing.assert_array_equal(got, np.full((1, 3), -6, np.float32))


def test_a_mean_with_a_constant_is_half_of_the_sum(tmp_path):
    (tmp_path / "net.onnx").write_bytes(
        classifier([node("Mean", "x,c", "p")], [("c", np.float32(3))])
    )
    found = keras.read(tmp_path / "net.onnx")
    got = found.graph.forward(np.ones((1, 8, 6, 3), np.float32), found.weights)
    np.testing.assert_array_equal(got, np.full((1, 3), 2, np.float32))


def test_whole_numbers_by_another_name(tmp_path):
    """CastLike a whole number cuts off what is behind the point."""
    (tmp_path / "net.onnx").write_bytes(
        classifier([node("CastLike", "x,c", "p")], [("c", np.array(3))])
    )
    with pytest.raises(ConversionError, match="makes whole numbers"):
        keras.read(tmp_path / "net.onnx")


def test_batch_norm_in_training_mode_by_its_outputs(tmp_path):
    """Before opset 14, more than one output said so."""
    names = ["scale", "b", "mean", "var"]
    one = message(f1=["x", *names], f2=["p", "m", "v"], f3="norm", f4="BatchNormalization")
    constants = [(name, np.ones(3, np.float32)) for name in names]
    (tmp_path / "net.onnx").write_bytes(classifier([one], constants, 9))
    with pytest.raises(ConversionError, match="training mode"):
        keras.read(tmp_path / "net.onnx")
