"""No option of a Keras layer is read and forgotten: see `keras_options` for each of them.

That the list is whole is taken from Keras 3 and from tf_keras, and the answers, too.
"""

import inspect
import re

import numpy as np
import pytest
from tinycnn.convert import keras as converter
from tinycnn.convert.hdf5 import read as read_here
from tinycnn.convert.keras_config import LayerConfig
from tinycnn.convert.keras_layers import ALIASES, AUGMENTATIONS, INERT, RULES, convert_layer

from tests.convert.keras_options import EVERYWHERE, KINDS
from tinycnn.errors import ConversionError, GraphError

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]
LIBRARIES = ("keras", "tf_keras")
CASES = [(kind, name) for kind, each in KINDS.items() for name in each.options]
HONOURED = [
    (kind, name, lib)
    for kind, name in CASES for lib in LIBRARIES
    if KINDS[kind].options[name].honoured and KINDS[kind].options[name].only in ("", lib)
]  # fmt: skip
NOTHING = {*AUGMENTATIONS, "ActivityRegularization", *(k for k in KINDS if "Dropout" in k or
                                                       "Noise" in k)}  # fmt: skip


def library(name):
    return pytest.importorskip(name)


def layer_class(lib, kind):
    """Keras's class; None where this version has none."""
    return getattr(library(lib).layers, kind, None)


def own(name):
    return not any(re.fullmatch(pattern, name) for pattern in EVERYWHERE)


@pytest.mark.parametrize("lib", LIBRARIES)
def test_the_list_is_whole(lib):
    """Signatures and configurations of the real classes have no option that is not listed."""
    found = set()
    for kind in sorted({ALIASES.get(name, name) for name in RULES}):
        cls = layer_class(lib, kind)
        if cls is None:
            continue
        options = set(inspect.signature(cls.__init__).parameters) - {"self", "kwargs"}
        options |= set(cls(**KINDS[kind].base).get_config())
        options = set(filter(own, options))
        found |= {(kind, name) for name in options}
        if kind not in NOTHING:
            assert options <= set(KINDS[kind].options), kind
    listed = {
        (kind, name) for kind, name in CASES
        if not (KINDS[kind].options[name].old or KINDS[kind].options[name].only not in ("", lib))
    }  # fmt: skip
    assert listed - found <= {("RandomCrop", "rng_type"), ("BatchNormalization", "renorm_momentum")}


def test_every_class_is_listed_and_every_entry_has_a_reason():
    assert set(KINDS) == {ALIASES.get(name, name) for name in RULES}
    for kind, name in CASES:
        option = KINDS[kind].options[name]
        assert option.honoured or option.refused or option.why, (kind, name)
        assert bool(option.inert) <= bool(option.why), (kind, name)


def test_what_is_passed_over_everywhere_has_a_reason():
    """The converter's own list of such options is no longer than the one with the reasons."""
    words = [*INERT.pattern.replace(r"\w*(initializer|regularizer|constraint)", "").split("|")]
    words += ["kernel_initializer", "bias_regularizer", "beta_constraint"]
    for word in filter(None, words):
        listed = any(word in each.options for each in KINDS.values())
        assert listed or not own(word), word


def network(lib, kind, shape, options):
    """A model of one layer, with random weights."""
    ks, cls = library(lib), layer_class(lib, kind)
    ks.backend.clear_session()
    inputs, layer = ks.Input(shape), cls(**options, name="it")
    given = [inputs] + [ks.layers.Rescaling(0.5 * i)(inputs) for i in range(2, KINDS[kind].inputs
                                                                           + 1)]  # fmt: skip
    model = ks.Model(inputs, layer(given if len(given) > 1 else inputs))
    random = np.random.default_rng(5)
    if kind == "Normalization" and "mean" not in options:
        layer.adapt(random.normal(2, 3, (8, *shape)).astype(np.float32))
    elif kind != "Normalization":
        layer.set_weights([random.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return model


def read(lib, model, folder):
    path = folder / ("m.h5" if lib == "tf_keras" else "m.keras")
    model.save(path)
    return converter.read(path, read_hdf5=read_here)


def both(lib, kind, options, folder):
    """What Keras and what we make of random images; and our graph."""
    shape = KINDS[kind].shape
    first = options.get("data_format") == "channels_first"
    usual = {key: value for key, value in options.items() if key != "data_format"}
    last = network(lib, kind, shape, usual)
    turned = (shape[2], *shape[:2])
    found = read(lib, network(lib, kind, turned, options) if first else last, folder)
    if first:  # the same file without the option means something else
        other = read(lib, network(lib, kind, turned, usual), folder)
        assert other.graph.input_shape == turned != found.graph.input_shape
    x = np.random.default_rng(3).normal(size=(2, *shape)).astype(np.float32) * 3
    expected = np.asarray(last(x, training=False))
    if first and expected.ndim == 4:  # the CPU has no convolution with channels first
        expected = expected.transpose(0, 3, 1, 2)
    return expected, found.graph.forward(x, found.weights), found.graph


def equal(pair, message):
    expected, got = pair
    assert got.shape == expected.shape, message
    np.testing.assert_allclose(got, expected, atol=1e-4, rtol=1e-4, err_msg=message)


@pytest.mark.parametrize(("kind", "name", "lib"), HONOURED)
def test_option_is_honoured(kind, name, lib, tmp_path):
    option = KINDS[kind].options[name]
    base = {**KINDS[kind].base, **option.base}
    *pair, _ = both(lib, kind, base, tmp_path)
    equal(pair, "without")
    for value in option.honoured:
        *changed, _ = both(lib, kind, {**base, name: value}, tmp_path)
        equal(changed, f"{name} = {value}")
        alike = pair[1].shape == changed[1].shape and np.allclose(pair[1], changed[1])
        assert not alike or name == "data_format", f"{name} = {value} changes nothing"


def converted(kind, options, keras2, shape):
    """Our layers for a configuration as it would stand in a file."""
    config = LayerConfig("it", kind, "", options, ())
    made = convert_layer(config, "it", shape, keras2)
    first, *rest = made.layers
    value = first.output_shape([shape] * 2 if first.merges else shape)
    first.weight_shapes([shape] * 2 if first.merges else shape)
    for layer in rest:
        value = layer.output_shape(value)
    return made


@pytest.mark.parametrize("keras2", [False, True])
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_option_is_refused_or_changes_nothing(kind, name, keras2):
    option, shape = KINDS[kind].options[name], KINDS[kind].shape
    if kind == "RandomCrop" and keras2:
        return  # crops at inference: tests/convert/test_preprocessing_layers.py
    base = {**KINDS[kind].base, **option.base}
    usual = converted(kind, base, keras2, shape)
    for value in option.refused:
        with pytest.raises((ConversionError, GraphError)):
            converted(kind, {**base, name: value}, keras2, shape)
    for value in option.inert or ((1,) if option.why == "of training alone" else ()):
        assert converted(kind, {**base, name: value}, keras2, shape) == usual, value


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("kind", sorted(NOTHING))
def test_layers_that_do_nothing_at_inference(kind, lib, tmp_path):
    if layer_class(lib, kind) is None:
        return
    ks = library(lib)
    inputs = ks.Input((8, 8, 3))
    model = ks.Model(inputs, layer_class(lib, kind)(**KINDS[kind].base)(inputs))
    found = read(lib, model, tmp_path)
    x = np.random.default_rng(3).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(model(x, training=False)), x)
    np.testing.assert_array_equal(found.graph.forward(x, found.weights), x)


@pytest.mark.parametrize("kind", KINDS)
def test_an_option_that_nobody_knows_is_refused(kind):
    """Of layers that do nothing, no option can matter."""
    base = {**KINDS[kind].base, "magic": 1}
    if kind in NOTHING:
        converted(kind, base, False, KINDS[kind].shape)
        return
    with pytest.raises(ConversionError, match="the option 'magic' is not known here"):
        converted(kind, base, False, KINDS[kind].shape)
