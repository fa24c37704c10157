"""`--check-with-keras`: what never reaches Keras; and real Keras beside ours, layer by layer."""

import importlib.util

import pytest
from tinycnn.convert import __main__ as command
from tinycnn.convert import keras as converter
from tinycnn.convert import keras_check
from tinycnn.convert.hdf5 import read as read_here

from tests.convert.keras_files import layer, small_config, small_layers, write_h5
from tinycnn.errors import ConversionError
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing

PLACES = {"conv": "conv"}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (layer("Lambda", "spare"), "'Lambda'"),
        ({"class_name": "Dense", "module": "os", "config": {}}, "'os.Dense'"),
        (layer("ReLU", "r", activation={"class_name": "__lambda__"}), "'__lambda__'"),
        (layer("TFSMLayer", "r"), "'TFSMLayer'"),
        (layer("Dense", "d", kernel_initializer={"module": "evil", "class_name": "X"}), "evil"),
    ],
)
def test_what_would_run_code_never_reaches_keras(entry, words, tmp_path, monkeypatch):
    write_h5(tmp_path / "m.h5", small_config([*small_layers(), entry]))
    monkeypatch.setattr(keras_check, "_compare", None)  # starts Keras
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    result = keras_check.compare(tmp_path / "m.h5", None, PLACES)
    assert words in result.reason
    assert "never loaded" in str(result)


def test_what_keras_itself_writes_is_not_dangerous():
    policy = {"module": "keras", "class_name": "DTypePolicy"}
    relu = {"module": "builtins", "class_name": "function", "config": "relu"}
    conv = {"class_name": "Conv2D", "module": "keras.layers", "config": {"activation": relu}}
    conv["config"]["dtype"] = policy
    module = "keras.src.models.functional"
    config = {"class_name": "Functional", "module": module, "config": {"layers": [conv]}}
    assert keras_check.dangerous(config) == ""


def test_without_keras_it_is_one_line(tmp_path, capsys, monkeypatch):
    write_h5(tmp_path / "m.h5")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "keras" else found(name)
    )
    assert command.main([str(tmp_path / "m.h5"), "--check-with-keras"]) == 0
    assert "Keras: not compared: Keras is not installed here\n" in capsys.readouterr().out


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


def nested(keras, operator):
    layers = keras.layers
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    block = keras.Sequential([layers.Conv2D(3, 1, activation="relu", name="inner")], name="block")
    inputs = keras.Input((8, 8, 3))
    x = block(shared(inputs))
    x = layers.Add()([shared(x), block(x)])
    x = x + inputs if operator else layers.Add()([x, inputs])
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Flatten()(x)))


@pytest.mark.keras
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_nested_and_shared_layers_beside_keras(suffix, keras, tmp_path):
    path = tmp_path / f"m{suffix}"
    nested(keras, operator=suffix == ".keras").save(path)  # Keras cannot load its own .h5 of one
    found = converter.read(path, read_hdf5=read_here)
    model = Model(found.graph, found.weights, Preprocessing("rgb", scale=1 / 255))
    result = keras_check.compare(path, model, found.places)
    assert result.reason == ""
    assert result.layers == len(found.graph.nodes) == 8
    assert result.largest < 1e-5
    inner = {**found.weights, "inner/bias": found.weights["inner/bias"] + 0.01}
    wrong = Model(found.graph, inner, model.preprocessing)
    with pytest.raises(ConversionError, match="'block/inner' is the first that differs from Keras"):
        keras_check.compare(path, wrong, found.places)


def mixed(keras, policy):
    """Half precision but for the first and the last layer, as Keras's guide advises."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        layers = keras.layers
        stack = [layers.ZeroPadding2D(), layers.Rescaling(1 / 127.5, -1, dtype="float32"),
                 layers.Conv2D(16, 3, padding="same", use_bias=False), layers.BatchNormalization(),
                 layers.ReLU(6.0), layers.SeparableConv2D(24, 3, activation="swish"),
                 layers.GlobalAveragePooling2D(), layers.Dense(8, activation="gelu", name="dense"),
                 layers.Dense(1, activation="sigmoid", dtype="float32", name="end")]  # fmt: skip
        return keras.Sequential([keras.Input((32, 32, 3)), *stack])
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.keras
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float32"])
def test_half_precision_is_judged_by_its_own_rounding(policy, keras, tmp_path):
    path = tmp_path / "m.keras"
    mixed(keras, policy).save(path)
    found = converter.read(path, read_hdf5=read_here)
    model = Model(found.graph, found.weights, Preprocessing("rgb"))
    result = keras_check.compare(path, model, found.places)
    half = policy.removeprefix("mixed_")
    assert (result.reason, result.layers) == ("", len(found.graph.nodes))
    assert (f"computed there in {half}" in str(result)) == (half != "float32")
    assert (result.largest > 1e-4) == (half != "float32")
    wrong = {**found.weights, "dense/bias": found.weights["dense/bias"] + 0.3}
    with pytest.raises(ConversionError, match=f"'dense' is the first.*rounding in {half} explains"):
        keras_check.compare(path, Model(found.graph, wrong, model.preprocessing), found.places)


@pytest.mark.keras
@pytest.mark.filterwarnings("ignore")
def test_weights_rounded_to_half_precision(keras, tmp_path, capsys):
    path = tmp_path / "m.keras"
    mixed(keras, "float32").save(path)
    assert command.main([str(path), "--check-with-keras", "--dtype", "float16"]) == 0
    assert "Keras: Keras 3" in capsys.readouterr().out


@pytest.mark.keras
def test_what_keras_cannot_load_is_one_line(keras, tmp_path, capsys):
    odd = layer("BatchNormalizationV1", "bn2", axis=[3], epsilon=0.001, unknown_option=3)
    layers = small_layers()
    layers[2] = {**odd, "config": {**layers[2]["config"]}}
    write_h5(tmp_path / "m.h5", small_config(layers))
    assert command.main([str(tmp_path / "m.h5"), "--check-with-keras"]) == 0
    assert "Keras: not compared: Keras cannot run it: " in capsys.readouterr().out
