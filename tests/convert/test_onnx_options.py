"""No attribute of an ONNX operator is read and forgotten: see `onnx_options` for each of them.

That the list is whole is taken from the `onnx` package, the answers from ONNX Runtime.
"""

import json

import numpy as np
import pytest
from tinycnn.convert import keras
from tinycnn.convert.onnx_call import RULES, Call, Names
from tinycnn.convert.onnx_constants import FOLDS, fold
from tinycnn.convert.onnx_file import MAX_OPSET, MIN_OPSET, parse

from tests.convert.onnx_files import attribute, message, model, node
from tests.convert.onnx_options import OPTIONS
from tinycnn.errors import ConversionError

SHAPE = (8, 6, 3)
UNKNOWN_THERE = ("NOT_IMPLEMENTED", "Attribute saturate is only used", "exclude_outside can be set")
CASES = [(op, name) for op, options in OPTIONS.items() for name in options]
pytestmark = pytest.mark.filterwarnings("ignore")  # of the other packages, about themselves


def made(op, option, attributes):
    """A file whose one node of interest has these attributes."""
    names = [f"c{i}" for i in range(len(option.constants))]
    inputs = names if option.folded else ["row" if option.rows else "x", *names]
    nodes = [node("Flatten", "x", "row", "first")] if option.rows else []
    outputs = [f"o{i}" for i in range(option.outputs)]
    each = [attribute(key, value) for key, value in attributes.items()]
    nodes.append(message(f1=inputs, f2=outputs, f3="it", f4=op, f5=each))
    last = outputs[-1]  # the others must be there, and are not read
    if option.folded:
        nodes.append(node("Mul", f"x,{last}", "p"))
        last = "p"
    if option.tail:
        nodes.append(node(option.tail[0], last, "t", "tail", **option.tail[1]))
        last = "t"
    nodes.append(node("Flatten", last, "y", "last"))
    constants = list(zip(names, option.constants, strict=True))
    return model(nodes, constants, option.opset, inputs=[("x", ("n", 3, 8, 6))])


def image():
    return np.random.default_rng(3).normal(0, 2, (1, *SHAPE)).astype(np.float32)


def converted(op, option, attributes, folder):
    """What comes out, of a constant node that alone; and the whole as text; ONNX Runtime's, too."""
    data = made(op, option, attributes)
    if option.folded:
        file = parse(data)
        arguments = tuple(file.tensors[name] for name in file.nodes[0].inputs)
        call = Call(file.nodes[0], arguments, file.opset, {}, Names(), {})
        got = fold(call)
        equal(got, answer(data, "o0"))
        return got, repr((got.shape, got.tolist()))
    (folder / "net.onnx").write_bytes(data)
    found = keras.read(folder / "net.onnx")
    weights = {key: value.tolist() for key, value in found.weights.items()}
    got = found.graph.forward(image(), found.weights)
    equal(got, answer(data, "y"))
    return got, json.dumps([found.graph.to_json(), weights])


def answer(data, output):
    """ONNX Runtime's answer; None if it has no such operator."""
    onnx = pytest.importorskip("onnx", reason="install the extra 'peers'")
    runtime = pytest.importorskip("onnxruntime", reason="install the extra 'peers'")
    runtime.set_default_logger_severity(4)
    typed = onnx.load_from_string(data)
    if output != "y":  # a constant, alone
        del typed.graph.node[1:], typed.graph.input[:]
        typed.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(output, 1, None))
        typed.graph.output[0].type.Clear()
    data, x = typed.SerializeToString(), image().transpose(0, 3, 1, 2).copy()
    try:
        session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
        return session.run(None, {"x": x} if output == "y" else {})[0]
    except Exception as error:
        if any(words in str(error) for words in UNKNOWN_THERE):
            return None
        raise


def test_the_list_is_whole():
    defs = pytest.importorskip("onnx.defs", reason="install the extra 'peers'")
    listed, versions = {}, {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "" and schema.name in {*RULES, *FOLDS}:
            versions.setdefault(schema.name, []).append(schema)
    assert set(versions) == {*RULES, *FOLDS}
    for op, schemas in versions.items():
        schemas.sort(key=lambda s: s.since_version)
        ends = [*(s.since_version for s in schemas[1:]), 1000]
        for schema, end in zip(schemas, ends, strict=True):
            if end > MIN_OPSET and schema.since_version <= MAX_OPSET:
                listed.setdefault(op, set()).update(schema.attributes)
    assert {op: set(options) for op, options in OPTIONS.items()} == {
        op: names for op, names in listed.items() if names
    }
    assert all(o.honoured or o.refused or o.why for each in OPTIONS.values() for o in each.values())


@pytest.mark.parametrize(("op", "name"), CASES)
def test_attribute_is_honoured_or_refused(op, name, tmp_path):
    option = OPTIONS[op][name]
    base = None
    if option.without:
        base, described = converted(op, option, option.base, tmp_path)
    for value in option.honoured:
        _, changed = converted(op, option, {**option.base, name: value}, tmp_path)
        assert base is None or changed != described, f"{name} = {value} changes nothing"
    for value in option.inert:
        got, _ = converted(op, option, {**option.base, name: value}, tmp_path)
        np.testing.assert_array_equal(got, base, err_msg=option.why)
    for value in option.refused:
        (tmp_path / "net.onnx").write_bytes(made(op, option, {**option.base, name: value}))
        with pytest.raises(ConversionError) as caught:
            keras.read(tmp_path / "net.onnx")
        assert "'it'" in str(caught.value), value
        assert option.folded or "its inputs do not fit: " not in str(caught.value), value


def equal(got, expected):
    if expected is not None:
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, atol=2e-5 * max(1, np.abs(expected).max()))
