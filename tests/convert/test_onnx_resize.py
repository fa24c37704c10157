"""ONNX's Resize: every mode that is read is ONNX Runtime's, at sizes that are no multiples, too."""

import itertools

import numpy as np
import pytest
from tinycnn.convert import keras

from tests.backends import WORKING
from tests.convert.onnx_files import model, node
from tests.corpus import WILD
from tinycnn.engine.session import Session
from tinycnn.errors import ConversionError
from tinycnn.nn import layers as nn
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing

MODES = (
    *("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric", "asymmetric", "align_corners"),
    "tf_half_pixel_for_nn",
)
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
NONE = np.zeros(0, np.float32)
SHAPE = (7, 5, 3)


def file(scales=None, sizes=None, opset=19, **attributes):
    target = np.array([1, 1, *scales], np.float32) if scales else np.array([1, 3, *sizes])
    inputs = "x,none,target" if scales else "x,none,none,target"
    nodes = [node("Resize", inputs, "p", **attributes), node("Flatten", "p", "y")]
    rows, columns, channels = SHAPE
    shape = ("n", channels, rows, columns)
    return model(nodes, [("none", NONE), ("target", target)], opset, inputs=[("x", shape)])


def converted(data, folder):
    (folder / "net.onnx").write_bytes(data)
    return keras.read(folder / "net.onnx")


TARGETS = [
    *({"scales": s} for s in ((2, 3), (1.5, 2), (0.5, 0.5), (1, 1), (1 / 3, 3), (1.7, 0.6))),
    *({"sizes": s} for s in ((14, 10), (1, 1), (9, 4), (5, 13), (3, 7))),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("where", MODES)
def test_every_mode_is_that_of_onnx_runtime(where, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="install the extra 'peers'")
    runtime.set_default_logger_severity(4)
    x = np.random.default_rng(4).normal(size=(1, *SHAPE)).astype(np.float32)
    opset = 11 if where == "tf_half_pixel_for_nn" else 19
    cases = [("nearest", rounding) for rounding in ROUNDINGS] + [("linear", "floor")]
    refused = []
    for target, (mode, rounding) in itertools.product(TARGETS, cases):
        options = {"coordinate_transformation_mode": where, "nearest_mode": rounding}
        data = file(opset=opset, mode=mode, **target, **options)
        try:
            found = converted(data, tmp_path)
        except ConversionError as error:
            refused.append(str(error).partition("(Resize): ")[2])
            continue
        session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
        (expected,) = session.run(None, {"x": x.transpose(0, 3, 1, 2).copy()})
        got = found.graph.forward(x, found.weights)
        np.testing.assert_allclose(got, expected, atol=1e-5, err_msg=f"{target} {mode} {rounding}")
    doubtful = [words for words in refused if "the last bit of a sum" in words]
    assert len(doubtful) <= 12  # of 44
    assert len(refused) - len(doubtful) == len(TARGETS) * (opset == 11)  # linear, which it is not


# Source pixels of a row of 4, by ONNX's definition, where twice as many are wanted.
TWICE = {
    "round_prefer_floor": [0, 0, 1, 1, 2, 2, 3, 3],
    "round_prefer_ceil": [0, 0, 1, 1, 2, 2, 3, 3],
    "floor": [0, 0, 0, 1, 1, 2, 2, 3],
    "ceil": [0, 1, 1, 2, 2, 3, 3, 3],
}


@pytest.mark.parametrize("backend", WORKING)
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_nearest_mode_counts_with_half_pixels(rounding, backend, tmp_path):
    """It was not looked at, and the self-test passed."""
    target = np.array([1, 1, 2, 2], np.float32)
    nodes = [node("Resize", "x,none,s", "p", nearest_mode=rounding), node("Flatten", "p", "y")]
    data = model(nodes, [("none", NONE), ("s", target)], inputs=[("x", ("n", 3, 4, 4))])
    found = converted(data, tmp_path)
    x = np.random.default_rng(6).normal(size=(1, 4, 4, 3)).astype(np.float32)
    expected = x[:, TWICE[rounding]][:, :, TWICE[rounding]].transpose(0, 3, 1, 2).reshape(1, -1)
    got = Session(Model(found.graph, found.weights, Preprocessing("rgb")), backend).predict(x)
    np.testing.assert_array_equal(got, expected)
    kinds = {type(each.layer) for each in found.graph.nodes}
    assert (nn.UpSampling2D in kinds) == rounding.startswith("round")


def test_coordinates_go_by_the_scale_and_not_by_the_sizes(tmp_path):
    """7 pixels times 1.5 are 10, and Keras's resizing to 10 has its pixels elsewhere."""
    found = converted(file(scales=(1.5, 2), mode="linear"), tmp_path)
    x = np.arange(7, dtype=np.float32)[None, :, None, None] * np.ones((1, *SHAPE), np.float32)
    got = found.graph.forward(x, found.weights).reshape(3, 10, 10)[0, :, 0]
    places = (np.arange(10) + 0.5) / 1.5 - 0.5
    np.testing.assert_allclose(got, np.clip(places, 0, 6), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scales": (2, 2), "mode": "cubic"}, "mode cubic cannot be converted"),
        ({"scales": (2, 2), "mode": "odd"}, "mode odd cannot"),
        ({"scales": (2, 2), "coordinate_transformation_mode": "tf_crop_and_resize"}, "tf_crop_and"),
        ({"scales": (2, 2), "nearest_mode": "half"}, "half cannot"),
        ({"scales": (2, 2), "keep_aspect_ratio_policy": "not_larger"}, "keep_aspect_ratio_policy"),
        ({"sizes": (0, 4)}, "0 x 4 is not a size"),
        ({"sizes": (1 << 40, 1 << 40)}, "is not a size"),
        ({"sizes": (1 << 20, 1), "mode": "linear",
          "coordinate_transformation_mode": "align_corners"}, "7 cannot become 1048576 pixels"),
        ({"scales": (2, -1)}, "are not (1, 1, rows, columns)"),
        ({"scales": (1 / 7, 1), "nearest_mode": "round_prefer_ceil",
          "coordinate_transformation_mode": "tf_half_pixel_for_nn"}, "the last bit of a sum"),
    ],
)  # fmt: skip
def test_what_is_refused(options, words, tmp_path):
    with pytest.raises(ConversionError) as caught:
        converted(file(**options), tmp_path)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (np.array([1, 2, 14, 10]), "sizes [1, 2, 14, 10] are not (1, 3, rows, columns)"),
        (np.array([2, 3, 14, 10]), "are not (1, 3, rows, columns)"),
        (np.array([14, 10]), "sizes [14, 10] are not (1, 3, rows, columns)"),
        (None, "its sizes depends on the image"),
    ],
)
def test_other_sizes_are_refused(target, words, tmp_path):
    constants = [("none", NONE), *([] if target is None else [("s", target)])]
    last = "x" if target is None else "s"
    nodes = [node("Resize", f"x,none,none,{last}", "p"), node("Flatten", "p", "y")]
    data = model(nodes, constants, inputs=[("x", ("n", 3, 7, 5))])
    with pytest.raises(ConversionError) as caught:
        converted(data, tmp_path)
    assert words in str(caught.value)


@pytest.mark.skipif(not WILD.is_dir(), reason="../shared/wild is not there")
def test_a_file_that_converted_wrongly():
    folder = WILD / "17-onnx-resize-nearest-half-pixel-floor-ceil"
    found = keras.read(folder / "floor.onnx")
    with np.load(folder / "floor.npz") as golden:
        got = found.graph.forward(golden["x"], found.weights)
        np.testing.assert_allclose(got, golden["y"], atol=1e-5)
