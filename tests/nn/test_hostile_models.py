"""Descriptions of networks by people who mean ill: refused, before anything is allocated."""

from __future__ import annotations

import copy
import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.nn.models import every_layer, small
from tinycnn.engine.lower import lower_graph
from tinycnn.engine.plan import plan
from tinycnn.engine.rewrites import rewrite
from tinycnn.engine.session import Session
from tinycnn.errors import GraphError, ModelFileError, TinycnnError
from tinycnn.nn import modelfile, strictjson
from tinycnn.nn.graph import Graph

MUCH = 10**9
NODES: dict[str, Any] = {
    "filters": ("Conv2D", {"filters": 1 << 40, "kernel_size": 3}),
    "no filters": ("Conv2D", {"filters": 0, "kernel_size": 3}),
    "stride 0": ("Conv2D", {"filters": 1, "kernel_size": 3, "strides": 0}),
    "negative stride": ("MaxPooling2D", {"strides": [-1, 1]}),
    "stride of 64 bits": ("Conv2D", {"filters": 1, "kernel_size": 1, "strides": 1 << 62}),
    "groups": ("Conv2D", {"filters": 2, "kernel_size": 1, "groups": 2}),
    "dilation": ("Conv2D", {"filters": 1, "kernel_size": 3, "dilation_rate": MUCH,
                            "padding": "same"}),
    "dilation, padded": ("DepthwiseConv2D", {"kernel_size": 9, "dilation_rate": 1 << 13,
                                             "padding": "same"}),
    "dilation, transposed": ("Conv2DTranspose", {"filters": 1, "kernel_size": 9, "padding": "same",
                                                 "dilation_rate": 1 << 13}),
    "kernel": ("Conv2D", {"filters": 1, "kernel_size": 1 << 20, "padding": "same"}),
    "multiplier": ("DepthwiseConv2D", {"kernel_size": 1, "depth_multiplier": 1 << 30}),
    "stride, transposed": ("Conv2DTranspose", {"filters": 1, "kernel_size": 1, "strides": MUCH}),
    "output padding": ("Conv2DTranspose", {"filters": 1, "kernel_size": 1, "output_padding": 1}),
    "units": ("Dense", {"units": 1 << 20}),
    "reshape": ("Reshape", {"target_shape": [-5]}),
    "reshape twice open": ("Reshape", {"target_shape": [-1, -1]}),
    "reshape to nothing": ("Reshape", {"target_shape": [0, -1]}),
    "reshape rank": ("Reshape", {"target_shape": [64, 64] + [1] * 70}),
    "padding": ("ZeroPadding2D", {"padding": MUCH}),
    "negative padding": ("ZeroPadding2D", {"padding": -1}),
    "cropping": ("Cropping2D", {"cropping": MUCH}),
    "upsampling": ("UpSampling2D", {"size": 10**6}),
    "upsampling a little less": ("UpSampling2D", {"size": 1 << 10}),
    "resizing": ("Resizing", {"height": 1 << 20, "width": 1 << 20}),
    "resizing, weights": ("Resizing", {"height": 1 << 20, "width": 1,
                                       "interpolation": "lanczos5"}),
    "pool": ("AveragePooling2D", {"pool_size": 1 << 18, "padding": "same", "strides": 1}),
    "shared axes": ("PReLU", {"shared_axes": [7]}),
    "softmax axis": ("Softmax", {"axis": 0}),
    "norm axis": ("LayerNormalization", {"axis": [1, 3]}),
    "epsilon": ("LayerNormalization", {"epsilon": -1.0}),
    "a large number": ("ReLU", {"max_value": 1e300}),
    "glu": ("Activation", {"activation": "glu"}),
    "activation": ("Activation", {"activation": "os.system"}),
    "permute": ("Permute", {"dims": [1, 1, 2]}),
    "rescaling": ("Rescaling", {"scale": [1.0, 2.0]}),
    "true for int": ("Dense", {"units": True}),
    "text for int": ("Dense", {"units": "3"}),
    "float for int": ("Dense", {"units": 3.0}),
    "null for int": ("Dense", {"units": None}),
    "int for bool": ("Dense", {"units": 3, "use_bias": 1}),
    "unknown option": ("Dense", {"units": 3, "kernel_regularizer": "l2"}),
    "missing option": ("Dense", {}),
    "unknown class": ("Lambda", {"function": "print"}),
    "class of a base": ("Layer", {}),
    "class no text": (["Dense"], {}),
    "config a list": ("Flatten", []),
    "config null": ("Flatten", None),
    "merge of one": ("Add", {}),
}  # fmt: skip


def network(*nodes: tuple[Any, Any], shape: Any = (64, 64, 1)) -> dict[str, Any]:
    names = ["input", *(f"n{i}" for i in range(len(nodes)))]
    return {
        "input_shape": list(shape),
        "nodes": [
            {
                "name": names[i + 1],
                "class": kind,
                "config": {"name": names[i + 1], **config} if isinstance(config, dict) else config,
                "inputs": [names[i]],
            }
            for i, (kind, config) in enumerate(nodes)
        ],
    }


def refused(description: Any, match: str | None = None) -> None:
    """GraphError, one short line, and little memory on the way."""
    tracemalloc.start()
    try:
        with pytest.raises(GraphError, match=match) as caught:
            Graph.from_json(description)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("name", NODES)
def test_option(name):
    refused(network(NODES[name]))


@pytest.mark.parametrize(
    "shape",
    [[], [0, 4, 1], [-1, 4, 1], [4.0, 4, 1], [True, 4, 1], ["4", 4, 1], "441", None, 3, {},
     [1 << 14, 1 << 14, 1], [1 << 20, 1, 9], [1 << 62, 1 << 62, 1], [1] * 9, [2] * 100_000],
)  # fmt: skip
def test_input_shape(shape):
    refused({**network(("Flatten", {})), "input_shape": shape})


GLOBAL = ("GlobalMaxPooling2D", {})


@pytest.mark.parametrize(
    ("nodes", "match"),
    [
        ([GLOBAL] * 4001, "layers"),
        ([], "layers"),
        ([("UpSampling2D", {"size": 64}), *[("Activation", {})] * 300], "values"),
        ([("UpSampling2D", {"size": 64}),
          ("MaxPooling2D", {"pool_size": 2000, "strides": 1})], "take 5 hours for one image"),
        ([("UpSampling2D", {"size": 64}), ("Conv2D", {"filters": 1, "kernel_size": 200})],
         "take 91 minutes for one image; at most 18 minutes"),
        ([("UpSampling2D", {"size": 32}),
          ("Conv2DTranspose", {"filters": 1, "kernel_size": 500})], "for one image"),
        ([("UpSampling2D", {"size": 32}),
          *[("DepthwiseConv2D", {"kernel_size": 60})] * 20], "for one image"),
    ],
)  # fmt: skip
def test_many_layers(nodes, match):
    refused(network(*nodes), match)


def test_values_at_one_time():
    """Values that a last layer needs, or that nobody does, are all kept or all dropped."""
    large = network(("UpSampling2D", {"size": 64}), *[("Activation", {})] * 40, GLOBAL)
    Graph.from_json(large)
    large["nodes"] += [
        {
            "name": "all",
            "class": "Add",
            "config": {"name": "all"},
            "inputs": [f"n{i}" for i in range(41)],
        }
    ]
    refused(large, "at one time")


@pytest.mark.parametrize(
    "name", ["a:0", "a\nb", "a\x1b[31m", "\ud800", "x" * 1000, "input", 3, None]
)
def test_names(name):
    description = network(("Flatten", {}), ("Flatten", {}))
    description["nodes"][0]["name"] = description["nodes"][1]["inputs"][0] = name
    refused(description)


@pytest.mark.parametrize("name", ["", "a:0", "a\n", 3, None, ["a"]])
def test_names_of_layers(name):
    refused(network(("Flatten", {"name": name})))


@pytest.mark.parametrize("inputs", [[], ["input", "input"], ["n9"], ["n0"], [3], 3, None, "input"])
def test_inputs(inputs):
    description = network(("Flatten", {}))
    description["nodes"][0]["inputs"] = inputs
    refused(description)


def test_concatenation_of_different_ranks():
    description = network(("Flatten", {}), shape=(5, 5, 1))
    for inputs in (["n0", "input"], ["input", "n0"]):
        node = {"name": "c", "class": "Concatenate", "config": {"name": "c"}, "inputs": inputs}
        refused({**description, "nodes": [*description["nodes"], node]}, "differ")


def test_calls_that_disagree_about_weights():
    """In the engine the kernel of one call would be read behind its end by the other."""
    shared = ("Dense", {"units": 4, "name": "shared"})
    refused(network(shared, shared), "asks for")
    other = ("Dense", {"units": 5, "name": "shared"})
    refused(network(shared, other), "another configuration")


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 2}', "[NaN]", "[-Infinity]", "[1e400]", "[" + "1" * 5000 + "]",
     "[" + "1" * 30 + "]", str(1 << 63), "[" * 100_000, "[" * 65 + "]" * 65, '"\\ud800"',
     '{"\\udfff": 1}', "", "{", "\ufeff[]", b"\xff", b"[" + b" " * 100 + b"]"],
)  # fmt: skip
def test_strict_json(text):
    with pytest.raises(ValueError, match=r"JSON|codec|BOM|char"):
        strictjson.loads(text, max_bytes=200_000 if len(text) != 102 else 100)


def test_strict_json_takes_what_is_sound():
    value = {"a": [1, -(1 << 63), 1.5, "ü😀", None, True], "b": {}}
    assert strictjson.loads(json.dumps(value)) == value


MODELS = {"every layer": every_layer(), "small": small()}
TREES = {name: modelfile.to_json(model) for name, model in MODELS.items()}
ODD = st.one_of(
    st.sampled_from([None, True, -1, 0, 1, 2, 7, 1 << 20, 1 << 31, (1 << 63) - 1, -(1 << 63)]),
    st.sampled_from([0.5, -0.0, 1e-45, 1e38, 1e308, -1e308, "", "x", "input", "linear", "same"]),
    st.sampled_from(["glu", "softmax", "nearest", "Dense", "Concatenate", [], {}, [[]], [1, 1]]),
    st.lists(st.integers(-2, 9), max_size=4),
    st.dictionaries(st.sampled_from(["name", "units", "all"]), st.integers(), max_size=2),
).map(copy.deepcopy)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into a JSON tree."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(p for key, child in items for p in places(child, (*path, key)))]


def mutate(draw: Any, tree: Any) -> Any:
    path = draw(st.sampled_from([p for p in places(tree) if p]))
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    action = draw(st.sampled_from(["replace", "replace", "delete", "add", "double"]))
    if action == "replace":
        parent[path[-1]] = draw(ODD)
    elif action == "delete":
        del parent[path[-1]]
    elif isinstance(parent, dict):
        parent[draw(st.sampled_from(["name", "x", "seed", "scale"]))] = draw(ODD)
    else:
        parent.insert(
            path[-1], copy.deepcopy(parent[path[-1]]) if action == "double" else draw(ODD)
        )
    return tree


@pytest.mark.parametrize("name", MODELS)
@settings(
    max_examples=250, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(data=st.data())
def test_mutated_metadata(name, data):
    tree = copy.deepcopy(json.loads(json.dumps(TREES[name])))
    for _ in range(data.draw(st.integers(1, 2))):
        tree = mutate(data.draw, tree)
    try:
        model = modelfile.from_json(tree, MODELS[name].weights, "m")
        plan(rewrite(lower_graph(model.graph, model.weights)))
        Session(model, "numpy").predict(np.zeros((1, *model.input_shape), np.float32))
    except TinycnnError:
        return


@pytest.mark.parametrize(
    ("part", "value", "match"),
    [
        ("format", "tinycnn-model/2", "reads"), ("extra", 1, "unknown entry"),
        ("labels", "ab", "list of strings"), ("labels", ["a", 1], "list of strings"),
        ("labels", ["a"], "labels for"), ("decision", {"threshold": 1.0}, "threshold"),
        ("decision", {"threshold": True}, "threshold"), ("decision", {"positive": 2}, "no class"),
        ("decision", {"rule": "all"}, "rule"), ("decision", [], "object"),
        ("preprocessing", {"color_mode": "rgb"}, "channels"),
        ("preprocessing", {"color_mode": "cmyk"}, "color_mode"),
        ("preprocessing", {"std": [1.0]}, "std"), ("preprocessing", {"scale": None}, "scale"),
        ("provenance", None, "object"), ("provenance", {"accuracy": []}, "accuracy"),
        ("provenance", {"accuracy": {"all": {"studies": 1}}}, "figures"),
        ("provenance", {"demonstration": 0}, "demonstration"),
        ("self_test", {}, "selftest"), ("self_test", 3, "object"),
        ("self_test", {"seed": -1, "expected": [0.5], "probes": {}}, "seed"),
        ("self_test", {"seed": 1, "expected": ["0.5"], "probes": {}}, "expected"),
        ("self_test", {"seed": 1, "expected": [0.5], "probes": {}, "allowed": -1.0}, "negative"),
        ("self_test", {"seed": 1, "expected": [0.5], "probes": {}, "allowed": "1"}, "allowed"),
        ("self_test", {"seed": 1, "expected": [0.5], "probes": {}, "allowed": 1e39}, "allowed"),
        ("self_test", {"seed": 1, "expected": [0.5], "probes": {"x": [1.0]}}, "no layer"),
        ("self_test", {"seed": 1, "expected": [0.5], "probes": {"dense": 1.0}}, "numbers"),
    ],
)  # fmt: skip
def test_metadata(part, value, match):
    with pytest.raises(ModelFileError, match=match):
        modelfile.from_json({**TREES["small"], part: value}, MODELS["small"].weights, "m")
