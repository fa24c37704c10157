"""ONNX files that are damaged, hostile or of another kind: one line says what is wrong."""

import random
import resource
import time

import numpy as np
import pytest
from tinycnn.convert import keras

from tests.convert.onnx_files import (
    attribute,
    classifier,
    entry,
    graph,
    message,
    model,
    node,
    tensor,
    value,
)
from tests.convert.test_onnx import DATA
from tinycnn.errors import ConversionError, TinycnnError

RELU = node("Relu", "x", "p")
OK = classifier([RELU])
W = ("w", np.ones((2, 3, 1, 1), np.float32))


def conv(**attributes):
    return classifier([node("Conv", "x,w", "p", **attributes)], [W])


def stored(**changed):
    """A file whose one weight is not stored as it should be."""
    return classifier([node("Conv", "x,w", "p")], [tensor(*W, **changed)])


def body(**fields):
    """A file with a graph and more."""
    return message(f1=8, f7=graph([RELU], outputs=["p"]), f8=message(f2=17), **fields)


CASES = {
    "empty": (b"", "no ONNX model"),
    "no graph": (message(f1=8, f8=message(f2=17)), "no ONNX model: 0 graphs"),
    "two graphs": (body() + entry(7, graph([RELU])), "no ONNX model: 2 graphs"),
    "old": (model([RELU], (), 6), "opset 6; 7 to"),
    "from the future": (model([RELU], (), 999), "opset 999"),
    "a length that lies": (b"\x08\x08\x3a\xff\xff\xff\xff\x0f", "declared, 0 left"),
    "a number without end": (b"\x08" + b"\xff" * 30, "a number without an end"),
    "a group": (b"\x08\x08\x13", "none of protobuf's"),
    "text that is none": (classifier([entry(4, b"\xff\xfe")]), "not UTF-8"),
    "unknown operator": (classifier([node("Frobnicate", "x", "p", "a/b")]), "'a/b' (Frobnicate)"),
    "another domain": (
        classifier([message(f1="x", f2="p", f4="Gelu", f7="com.microsoft")]),
        "(com.microsoft.Gelu): tinycnn has nothing",
    ),
    "quantized": (classifier([node("DequantizeLinear", "x", "p")]), "export the float32 one"),
    "a loop": (classifier([node("Loop", "x", "p", body=b"\x0a\x00")]), "graphs of its own"),
    "an if": (classifier([node("If", "x", "p", then_branch=b"")]), "graphs of its own"),
    "a circle": (
        classifier([node("Add", "x,b", "a"), node("Relu", "a", "b"), node("Relu", "b", "p")]),
        "run in a circle",
    ),
    "itself": (classifier([node("Add", "x,p", "p", "one")]), "run in a circle"),
    "two makers": (classifier([RELU, node("Tanh", "x", "p")]), "another node or tensor is called"),
    "a node that makes a weight": (classifier([node("Relu", "x", "p,w")], [W]), "is called 'w'"),
    "a node that makes the input": (
        classifier([RELU, node("Identity", "w", "x")], [W]), "makes 'x' too",
    ),
    "two tensors": (classifier([RELU], [W, W]), "two tensors are called 'w'"),
    "two attributes": (
        classifier([RELU + entry(5, [attribute("a", 1), attribute("a", 2)])]), "two attributes 'a'",
    ),
    "no maker": (classifier([node("Add", "x,z", "p")]), "nothing makes its input 'z'"),
    "no output": (model([RELU]), "'y' does not depend on the image"),
    "two outputs": (model([RELU], outputs=["p", "x"]), "2 outputs (p, x)"),
    "two inputs": (
        classifier([RELU], inputs=[("x", (1, 3, 8, 6)), ("z", (1, 3, 8, 6))]), "2 inputs",
    ),
    "no picture": (classifier([RELU], inputs=[("x", (1, 7))]), "is no picture of floats"),
    "whole numbers": (classifier([RELU], inputs=[("x", (1, 3, 8, 6), 7)]), "no picture of floats"),
    "a fixed batch": (classifier([RELU], inputs=[("x", (8, 3, 8, 6))]), "batch is fixed at 8"),
    "a huge input": (
        classifier([RELU], inputs=[("x", (1, 3, 1 << 40, 1 << 40))]), "is empty or too large",
    ),
    "external data": (stored(f13=message(f1="location", f2="/etc/passwd"), f14=1),
                      "its weights lie in another file, which is never opened"),
    "external data, quietly": (stored(f14=1), "which is never opened"),
    "huge dimensions": (stored(f1=[1 << 62, 1 << 62]), "bytes are declared"),
    "negative dimensions": (stored(f1=[-1, -6]), "is not a shape"),
    "too many dimensions": (stored(f1=[1] * 9), "9 dimensions of tensor"),
    "raw data too short": (stored(f9=b"\0" * 20), "declared, 5 values stored"),
    "raw data cut": (stored(f9=b"\0" * 23), "no whole number of values"),
    "raw data as a number": (stored(f9=7), "should be bytes"),
    "an unknown type": (stored(f2=99), "element type 99"),
    "strings": (stored(f2=8), "element type 8"),
    "a sparse tensor": (
        message(f1=8, f7=graph([RELU]) + entry(15, b""), f8=message(f2=17)), "sparse tensors",
    ),
    "kernel that does not fit": (conv(group=3), "in 3 groups does not fit 3 channels"),
    "no groups": (conv(group=0), "in 0 groups does not fit"),
    "kernel_shape": (conv(kernel_shape=[2, 2]), "is not the weight's"),
    "no stride": (conv(strides=[0, 1]), "strides [0, 1] are not two numbers"),
    "huge stride": (conv(strides=[1 << 60, 1]), "are not two numbers from 1 on"),
    "huge pads": (conv(pads=[1 << 60, 0, 0, 0]), "are not four numbers"),
    "pads that make it huge": (conv(pads=[1 << 20, 1 << 20, 0, 0]), "has over"),
    "a type mixed up": (conv(strides=2), "strides is of another type"),
    "unknown attribute": (conv(magic=1), "'magic' is not known here"),
    "unknown auto_pad": (conv(auto_pad="BEST"), "auto_pad 'BEST'"),
    "perm": (classifier([node("Transpose", "x", "p", perm=[1, 0, 2, 3])]), "moves the batch"),
    "perm twice": (classifier([node("Transpose", "x", "p", perm=[0, 1, 1, 3])]), "moves the batch"),
    "reshape": (
        classifier([node("Reshape", "x,s", "p")], [("s", np.array([3, -1]))]), "must stay in front",
    ),
    "reshape by the image": (classifier([node("Reshape", "x,x", "p")]), "depends on the image"),
    "a constant bomb": (
        classifier([node("ConstantOfShape", "s", "c"), node("Mul", "x,c", "p")],
                   [("s", np.array([1 << 20, 1 << 20]))]),
        "which is no shape or too large",
    ),
    "an outer product": (
        classifier([node("Mul", "a,b", "c"), node("Mul", "x,c", "p")],
                   [("a", np.ones((1 << 14, 1))), ("b", np.ones((1, 1 << 14)))]),
        "which is no shape or too large",
    ),
    "an endless range": (
        classifier([node("Range", "a,b,c", "d"), node("Mul", "x,d", "p")],
                   [("a", np.array(0)), ("b", np.array(1 << 50)), ("c", np.array(1))]),
        "which is no shape or too large",
    ),
    "a step of zero": (
        classifier([node("Range", "a,a,a", "d"), node("Mul", "x,d", "p")], [("a", np.array(0))]),
        "its inputs do not fit",
    ),
    "erf alone": (classifier([node("Erf", "x", "p")]), "Erf"),
    "a full-size constant": (
        classifier([node("Add", "x,c", "p")], [("c", np.ones((3, 8, 6), np.float32))]),
        "neither one number nor one for each channel",
    ),
    "division by zero": (
        classifier([node("Div", "x,c", "p")], [("c", np.float32(0))]), "divides by zero",
    ),
    "infinite number": (
        classifier([node("Mul", "x,c", "p")], [("c", np.float32(np.inf))]), "must be",
    ),
    "too many nodes": (classifier([RELU] * 20_001), "more than 20000 nodes"),
    "too many layers": (
        classifier([node("Relu", f"{i or 'x'}", f"{i + 1}") for i in range(4100)]
                   + [node("Relu", "4100", "p")]),
        "more than 4000 layers",
    ),
    "doubling": (
        classifier([node("Concat", f"{i or 'x'},{i or 'x'}", f"{i + 1}", axis=1)
                    for i in range(60)] + [node("Relu", "60", "p")]),
        "has over",
    ),
    "doubling below a pool": (
        classifier([node("Relu", "x", "0")]
                   + [node("Concat", f"{i},{i}", f"{i + 1}", axis=2) for i in range(16)]
                   + [node("MaxPool", "16", "p", kernel_shape=[2, 2], pads=[1, 1, 0, 0])] * 1),
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_hostile_file(name, tmp_path):
    data, words = CASES[name]
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    begin = time.thread_time()
    if words is None:  # no harm in it, and quick
        assert keras.read(path).graph
    else:
        with pytest.raises(ConversionError) as caught:
            keras.read(path)
        text = str(caught.value)
        assert words in text
        assert "\n" not in text
        assert len(text) < 700
    assert time.thread_time() - begin < 2


def test_the_file_that_the_others_were_made_of(tmp_path):
    (tmp_path / "net.bin").write_bytes(OK)  # known by its first bytes, whatever its name
    assert len(keras.read(tmp_path / "net.bin").graph.nodes) == 2
    with pytest.raises(ConversionError, match="leave --architecture away"):
        keras.read(tmp_path / "net.bin", keras.read(tmp_path / "net.bin").graph)


def attempt(path, data):
    path.write_bytes(data)
    try:
        keras.read(path)
    except TinycnnError as error:
        assert "\n" not in str(error), repr(error)  # noqa: PT017


def test_cut_off_at_every_byte(tmp_path):
    for end in range(len(OK)):
        attempt(tmp_path / "net.onnx", OK[:end])


def test_every_bit_flipped(tmp_path):
    for place in range(len(OK)):
        for bit in range(8):
            changed = bytearray(OK)
            changed[place] ^= 1 << bit
            attempt(tmp_path / "net.onnx", bytes(changed))


@pytest.mark.parametrize("name", ["torch_gated_dynamo", "torch_plain_torchscript", "keras_small"])
def test_mutated_files_of_exporters(name, tmp_path):
    """Structure, not weights: bytes near names and numbers are what is changed."""
    from tests.convert.fuzz import mutate

    data = (DATA / f"{name}.onnx").read_bytes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(150):
        attempt(tmp_path / "net.onnx", mutate(data, random.Random(number)))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 1 << 20  # kilobytes


def test_a_subgraph_is_never_entered(tmp_path):
    """Two thousand graphs in one another: only the outermost is looked at."""
    inner = b""
    for _ in range(2000):
        inner = message(f1=message(f4="If", f5=message(f1="then_branch", f6=inner)))
    data = classifier([node("If", "x", "p", then_branch=inner)])
    (tmp_path / "net.onnx").write_bytes(data)
    with pytest.raises(ConversionError, match="graphs of its own"):
        keras.read(tmp_path / "net.onnx")
    assert value("x", (1,))  # the writer's own parts are all used


MANY = 1 << 20
TEXT = np.zeros(1 << 20, np.uint8)
LIMIT = "fields in one message"


def chained(op, constants, count):
    """Many nodes that look at a constant and hand the image on."""
    made = [
        message(f1=[f"{i or 'x'}", *constants], f2=f"{i + 1}", f3=f"n{i}", f4=op)
        for i in range(count)
    ]
    return [*made, node("Relu", f"{count}", "p")]


def copies(count):
    """Reshape of what is transposed makes a new array each time."""
    made = [node("Reshape", "t,s", f"r{i}") for i in range(count)]
    read = [
        message(f1=[f"{i or 'x'}", f"r{i}"], f2=f"{i + 1}", f3=f"n{i}", f4="Dropout")
        for i in range(count)
    ]
    return [node("Transpose", "w", "t", perm=[1, 0]), *made, *read, node("Relu", f"{count}", "p")]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (model([RELU]) + b"\x3a\x00" * MANY, LIMIT),  # graphs
        (model([RELU]) + b"\x7a\x00" * MANY, LIMIT),  # what nobody knows
        (message(f1=8, f7=graph([RELU]) + b"\x5a\x00" * MANY, f8=message(f2=17)), LIMIT),  # inputs
        (stored(f9=b"", f4=[b""] * MANY), LIMIT),
        (stored(f1=bytes(4 * MANY)), "9 dimensions of tensor"),
        (classifier([RELU + entry(5, message(f1="a", f8=bytes(4 * MANY)))]), "4097 values of one"),
        (classifier([RELU + entry(5, message(f1="a", f7=bytes(4 * MANY)))]), "4097 values of one"),
        (classifier(chained("Sum", ["x"] * 200, 2000)), "inputs and outputs of nodes"),
        (classifier(chained("Dropout", ["", "w"], 5000), [("w", TEXT)]), "some many times over"),
    ],
    ids=["graphs", "unknown", "inputs", "parts", "rank", "ints", "floats", "links", "any"],
)  # fmt: skip
def test_small_parts_in_great_numbers(data, words, tmp_path):
    (tmp_path / "net.onnx").write_bytes(data)
    begin = time.thread_time()
    with pytest.raises(ConversionError, match=words):
        keras.read(tmp_path / "net.onnx")
    assert time.thread_time() - begin < 4


def test_constants_that_a_reshape_copies(tmp_path, monkeypatch):
    """They were taken for views of others, and 600 of 4 MB for nothing."""
    monkeypatch.setattr("tinycnn.convert.onnx_graph.MAX_PARAMETERS", 1 << 22)
    size = ("s", np.array([1 << 20]))
    data = classifier(copies(5), [("w", np.ones((1024, 1024), np.float32)), size])
    (tmp_path / "net.onnx").write_bytes(data)
    with pytest.raises(ConversionError, match="weights and constants are made"):
        keras.read(tmp_path / "net.onnx")


def test_a_split_into_thousands(tmp_path):
    """Each part's kernel was small enough; all of them had 256 GB."""
    parts = message(f1="f", f2=[f"o{i}" for i in range(4000)], f4="Split", f5=attribute("axis", 1))
    nodes = [node("Flatten", "x", "f"), parts, node("Identity", "o0", "y")]
    data = model(nodes, inputs=[("x", (1, 1, 500, 512))])
    (tmp_path / "net.onnx").write_bytes(data)
    with pytest.raises(ConversionError, match="in 4000 parts is too large"):
        keras.read(tmp_path / "net.onnx")
