"""ONNX against those who know it: ONNX Runtime for each operator, our own writer for networks.

Needs the extra 'peers'.
"""

import numpy as np
import pytest
from tinycnn.convert import keras, onnx_file

from tests.convert.onnx_files import classifier, node
from tests.convert.test_onnx import DATA, FILES
from tinycnn.benchmarks.networks import Network, random_images, random_model
from tinycnn.errors import UsageError
from tinycnn.nn import layers as nn
from tinycnn.nn.architectures import ARCHITECTURES

onnx = pytest.importorskip("onnx", reason="install the extra 'peers' (onnx)")
runtime = pytest.importorskip("onnxruntime", reason="install the extra 'peers' (onnxruntime)")

pytestmark = pytest.mark.filterwarnings("ignore")  # of the other packages, about themselves


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_tinycnn_writes_it_reads(name, tmp_path):
    from tinycnn.benchmarks import onnx_file as writer

    model = random_model(Network(name, (64, 64, 3), 7))
    try:
        writer.write(model, tmp_path / "net.onnx")
    except UsageError as error:  # the writer's limit, not the reader's
        pytest.skip(str(error))
    found = keras.read(tmp_path / "net.onnx")
    images = random_images(model.input_shape, 2)
    got, expected = found.graph.forward(images, found.weights), model.forward(images)
    np.testing.assert_allclose(got, expected, atol=1e-5, rtol=0)  # of probabilities
    assert nn.Permute not in {type(each.layer) for each in found.graph.nodes}


@pytest.mark.parametrize("name", FILES)
def test_the_reader_reads_what_the_library_does(name):
    data = (DATA / f"{name}.onnx").read_bytes()
    ours, theirs = onnx_file.parse(data), onnx.load_from_string(data).graph
    assert [(n.op, n.name, list(n.inputs), list(n.outputs)) for n in ours.nodes] == [
        (n.op_type, n.name, list(n.input), list(n.output)) for n in theirs.node
    ]
    assert list(ours.tensors) == [t.name for t in theirs.initializer]
    for tensor in theirs.initializer:
        np.testing.assert_array_equal(ours.tensors[tensor.name], onnx.numpy_helper.to_array(tensor))
    for mine, node_ in zip(ours.nodes, theirs.node, strict=True):
        for attribute in node_.attribute:
            wanted, got = (
                onnx.helper.get_attribute_value(attribute),
                mine.attributes[attribute.name],
            )
            if isinstance(wanted, onnx.TensorProto):
                np.testing.assert_array_equal(got, onnx.numpy_helper.to_array(wanted))
            else:
                assert got == (wanted.decode() if isinstance(wanted, bytes) else wanted)


R = np.random.default_rng(7)


def floats(*shape):
    return R.normal(size=shape).astype(np.float32)


def whole(*numbers):
    return np.array(numbers, np.int64)


# name -> (operator, attributes, constants behind x, opset)
CASES = {
    "conv": ("Conv", {"strides": [2, 1], "pads": [2, 0, 1, 1], "dilations": [1, 2]},
             [floats(4, 3, 3, 2), floats(4)], 17),
    "conv depthwise": ("Conv", {"group": 3, "pads": [1, 1, 1, 1]}, [floats(6, 1, 3, 3)], 17),
    "conv same lower": ("Conv", {"auto_pad": "SAME_LOWER", "strides": [3, 2]},
                        [floats(4, 3, 3, 3)], 17),
    "transposed": ("ConvTranspose", {"strides": [2, 2], "pads": [1, 0, 1, 1],
                                     "output_padding": [1, 0]},
                   [floats(3, 4, 3, 3), floats(4)], 17),
    "batch norm": ("BatchNormalization", {"epsilon": 1e-3},
                   [floats(3), floats(3), floats(3), np.abs(floats(3))], 15),
    "layer of channels": ("PRelu", {}, [floats(3, 1, 1)], 17),
    "one slope": ("PRelu", {}, [floats(1)], 17),
    "leaky": ("LeakyRelu", {"alpha": 0.2}, [], 17),
    "leaky default": ("LeakyRelu", {}, [], 17),
    "elu": ("Elu", {"alpha": 0.7}, [], 17),
    "selu": ("Selu", {}, [], 17),
    "celu": ("Celu", {}, [], 17),
    "thresholded": ("ThresholdedRelu", {"alpha": 0.5}, [], 17),
    "hard sigmoid": ("HardSigmoid", {}, [], 17),
    "hard sigmoid of its own": ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}, [], 17),
    "hard swish": ("HardSwish", {}, [], 17),
    "softplus": ("Softplus", {}, [], 17),
    "softsign": ("Softsign", {}, [], 17),
    "tanh": ("Tanh", {}, [], 17),
    "sigmoid": ("Sigmoid", {}, [], 17),
    "mish": ("Mish", {}, [], 18),
    "gelu": ("Gelu", {}, [], 20),
    "gelu by tanh": ("Gelu", {"approximate": "tanh"}, [], 20),
    "exp": ("Exp", {}, [], 17),
    "neg": ("Neg", {}, [], 17),
    "clip by attributes": ("Clip", {"min": -0.5, "max": 1.5}, [], 10),
    "clip": ("Clip", {}, [np.float32(-1), np.float32(1)], 17),
    "clip below": ("Clip", {}, [np.float32(0.25)], 17),
    "max": ("Max", {}, [np.float32(0.5)], 17),
    "min": ("Min", {}, [np.float32(0.5)], 17),
    "softmax of channels": ("Softmax", {"axis": 1}, [], 17),
    "softmax of columns": ("Softmax", {}, [], 17),
    "log softmax": ("LogSoftmax", {"axis": 1}, [], 17),
    "max pool": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2],
                             "pads": [1, 1, 1, 1]}, [], 17),
    "max pool, ceil": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2],
                                   "ceil_mode": 1}, [], 17),
    "max pool, same": ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2],
                                   "auto_pad": "SAME_UPPER"}, [], 17),
    "average, counted": ("AveragePool", {"kernel_shape": [3, 2], "pads": [1, 1, 1, 0],
                                         "count_include_pad": 1}, [], 17),
    "average": ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2],
                                "pads": [1, 1, 1, 1]}, [], 17),
    "average, ceil": ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2],
                                      "ceil_mode": 1}, [], 19),
    "mean of rows": ("ReduceMean", {"axes": [2], "keepdims": 1}, [], 17),
    "maximum of columns": ("ReduceMax", {"axes": [-1]}, [], 13),
    "mean by input": ("ReduceMean", {}, [whole(2, 3)], 18),
    "pad": ("Pad", {}, [whole(0, 0, 1, 2, 0, 0, 0, 3)], 17),
    "pad, negative": ("Pad", {}, [whole(0, 0, -1, 2, 0, 0, -2, -1)], 17),
    "pad of two axes": ("Pad", {}, [whole(1, 2, 3, 4), np.float32(0), whole(2, 3)], 18),
    "pad by attribute": ("Pad", {"pads": [0, 0, 1, 0, 0, 0, 0, 2]}, [], 10),
    "slice": ("Slice", {}, [whole(1, -4), whole(99, -1), whole(2, 3), whole(3, 1)], 17),
    "slice by attributes": ("Slice", {"starts": [1], "ends": [3], "axes": [1]}, [], 9),
    "add": ("Add", {}, [floats(3, 1, 1)], 17),
    "sub": ("Sub", {}, [floats(1, 3, 1, 1)], 17),
    "mul": ("Mul", {}, [floats(1)], 17),
    "div": ("Div", {}, [floats(3, 1, 1)], 17),
    "resize": ("Resize", {"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
                          "nearest_mode": "floor"},
               [floats(0), np.array([1, 1, 2, 3], np.float32)], 17),
    "resize, bilinear": ("Resize", {"mode": "linear"},
                         [floats(0), np.array([1, 1, 1.5, 2], np.float32)], 17),
    "upsample": ("Upsample", {}, [np.array([1, 1, 2, 2], np.float32)], 9),
    "dropout": ("Dropout", {}, [], 17),
    "cast": ("Cast", {"to": 1}, [], 17),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_operator_equals_onnx_runtime(name, tmp_path):
    """On the same file: the operator, and behind it weights that tell its places apart."""
    op, attributes, constants, opset = CASES[name]
    names = [f"c{i}" for i in range(len(constants))]
    x = R.normal(0, 2, (2, 12, 11, 3)).astype(np.float32)
    shape = ("n", 3, 12, 11)
    data = classifier(
        [node(op, ",".join(["x", *names]), "p", **attributes)],
        list(zip(names, constants, strict=True)), opset, inputs=[("x", shape)],
    )  # fmt: skip
    (tmp_path / "net.onnx").write_bytes(data)
    typed = onnx.load_from_string(data)
    for each in (a for n in typed.graph.node for a in n.attribute):
        if not each.type:  # files need it for ONNX Runtime; ours do without
            kinds = {"f": 1, "i": 2, "s": 3, "t": 4, "floats": 6, "ints": 7}
            each.type = next(kinds[f.name] for f, _ in each.ListFields() if f.name in kinds)
    typed.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", 1, None))
    expected = np.concatenate(
        [
            runtime.InferenceSession(typed.SerializeToString()).run(
                None, {"x": image[None].transpose(0, 3, 1, 2)}
            )[0]
            for image in x
        ]
    )
    found = keras.read(tmp_path / "net.onnx")
    got = found.graph.forward(x, found.weights)
    np.testing.assert_allclose(got, expected, atol=2e-5 * max(1, np.abs(expected).max()))
