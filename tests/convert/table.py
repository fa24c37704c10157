"""The table of all model files and networks: source, converted or refused and why, difference.

``python -m tests.convert.table`` writes it to `docs/models.md`; it needs Keras and the corpus.
Tests fill the same rows, and `tests/conftest.py` prints them at the end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tinycnn.convert import keras as converter

from tests.corpus import CORPUS, golden
from tests.keras_models import randomise
from tinycnn.engine.session import Session
from tinycnn.errors import ConversionError, TinycnnError
from tinycnn.nn.architectures import ARCHITECTURES, build
from tinycnn.nn.model import Model
from tinycnn.nn.preprocessing import Preprocessing
from tinycnn.nn.selftest import image_like

# Weights alone, without a golden: the options they need, and whose scores theirs must equal.
NOTOP = "squeezenet/squeezenet_weights_{0}_dim_ordering_{0}_kernels_notop.h5"
ALONE = {
    NOTOP.format("tf"): ("squeezenet_notop", "tensorflow", NOTOP.format("th")),
    NOTOP.format("th"): ("squeezenet_notop", "theano", NOTOP.format("tf")),
}
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "models.md"
SUFFIXES = {".h5", ".hdf5", ".keras", ".onnx", ".pth", ".pt"}
SHAPES = ((96, 96, 3), (96, 96, 1), (224, 224, 3), (224, 224, 1), (512, 512, 1))
CLASSES = 3
HEADER = ("File or network", "Source", "Outcome", "Parameters", "Largest difference")
TEXT = """\
# Every model file and network that was tried

Real files of users (`../shared/corpus`, which stays out of the repository), and every network that
`tinycnn convert --architecture` knows: built in Keras with random weights, saved as `.keras`, and
converted. Differences are absolute, between probabilities, to the outputs of the Keras that made
the file, or to Keras beside it; the largest of the reference and of every backend of the machine.
SqueezeNet's weights, in TensorFlow's order and in Theano's, have no golden: each is compared with
the other.

Made by `python -m tests.convert.table`; `pytest tests/convert/test_table.py` checks and prints it.

"""


@dataclass(frozen=True)
class Row:
    """One line of the table; ``difference`` is None for what was refused or has no golden."""

    name: str
    source: str
    outcome: str
    parameters: int = 0
    difference: float | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """As people read them."""
        difference = "" if self.difference is None else f"{self.difference:.1e}"
        parameters = f"{self.parameters:,}" if self.parameters else ""
        return self.name, self.source, self.outcome, parameters, difference


ROWS: dict[str, Row] = {}  # what this run of the tests has found


def corpus_files() -> list[str]:
    """All model files of the corpus, as paths in it."""
    found = (path for path in CORPUS.rglob("*") if path.suffix in SUFFIXES)
    return sorted(str(path.relative_to(CORPUS)) for path in found)


def corpus_row(name: str, backends: list[str]) -> Row:
    """Convert one file and compare with its golden."""
    if name in ALONE:
        return _alone_row(name, backends)
    try:
        found = converter.read(CORPUS / name)
    except ConversionError as error:
        reason = re.split(r"[;:] ", str(error).removeprefix(f"{CORPUS / name}: "))[0]
        return Row(name, "", f"refused: {reason}")
    difference, stem = None, re.sub(r"\.\w+$", "", name)
    for golden_name in (stem, stem.replace("tools_h5_", "")):
        if (CORPUS / f"{golden_name}_golden.npz").is_file():
            x, y = golden(golden_name)
            difference = _largest(found, x, y, backends)
    return Row(name, found.origin, "converted", found.graph.parameters, difference)


def _alone_row(name: str, backends: list[str]) -> Row:
    architecture, kernels, other = ALONE[name]
    found, twin = (
        converter.read(CORPUS / each, build(architecture, SHAPES[0]), kernels=ALONE[each][1])
        for each in (name, other)
    )
    x = image_like(SHAPES[0], 2, _preprocessing(SHAPES[0]))
    difference = _largest(found, x, twin.graph.forward(x, twin.weights), backends)
    source = f"{found.origin}; --architecture {architecture} --kernels {kernels}"
    return Row(name, source, "converted", found.graph.parameters, difference)


def network_row(name: str, backends: list[str], folder: Path) -> Row:
    """Build one of our architectures of Keras's layers, save, convert, compare with Keras."""
    import keras

    graph = _built(name)
    twin = _twin(graph)
    randomise(twin)
    preprocessing = _preprocessing(graph.input_shape)
    x = np.concatenate([image_like(graph.input_shape, seed, preprocessing) for seed in (2, 3)])
    if graph.output_shape == (CLASSES,):
        _calm(twin, x)
    twin.save(folder / "m.keras")
    found = converter.read(folder / "m.keras")
    assert found.graph.parameters == graph.parameters == twin.count_params()
    expected = np.asarray(twin(x, training=False))
    if graph.output_shape == (CLASSES,):  # not features
        assert expected.max() < 0.9999  # saturated ones would prove little
    size = "x".join(map(str, graph.input_shape))
    gives = "x".join(map(str, graph.output_shape))
    source = f"Keras {keras.__version__}, {size} to {gives}"
    difference = _largest(found, x, expected, backends)
    return Row(name, source, "converted", graph.parameters, difference)


def _built(name: str):
    for shape in SHAPES:
        try:
            return build(name, shape, CLASSES)
        except TinycnnError as error:
            reason = error
    raise reason


def _twin(graph):
    """The same network of Keras's own layers: ours have their names and options."""
    import keras

    values = {"input": keras.Input(graph.input_shape)}
    layers = {}
    for node in graph.nodes:
        config = node.layer.config() | {"name": node.layer.name.replace("/", "_")}
        layer = layers.get(node.layer.name) or getattr(keras.layers, type(node.layer).__name__)(
            **config
        )
        layers[node.layer.name] = layer
        inputs = [values[name] for name in node.inputs]
        values[node.name] = layer(inputs if node.layer.merges else inputs[0])
    return keras.Model(values["input"], values[graph.output])


def _calm(twin, x) -> None:
    """Scale the last kernel so that scores are neither 0 nor 1, whatever the features are."""
    import keras

    last = next(layer for layer in reversed(twin.layers) if hasattr(layer, "kernel"))
    features = np.asarray(keras.Model(twin.input, last.input)(x, training=False))
    last.kernel.assign(last.kernel / np.sqrt(np.square(features).mean()))
    for _ in range(8):  # a mean of many pixels is farther from 0 than each of them
        if np.asarray(twin(x, training=False)).max() < 0.99:
            return
        last.kernel.assign(last.kernel / 2)


def _largest(found, x, expected, backends) -> float:
    model = Model(found.graph, found.weights, _preprocessing(found.graph.input_shape))
    differences = []
    for backend in backends:
        got = Session(model, backend=backend).predict(x)
        differences.append(float(np.abs(got - expected.reshape(got.shape)).max()))
    return max(differences)


def _preprocessing(shape) -> Preprocessing:
    return Preprocessing("grayscale" if shape[2] == 1 else "rgb", scale=1 / 127.5, offset=-1.0)


def lines(rows) -> list[str]:
    """The table in Markdown."""
    cells = [HEADER, *(row.cells for row in rows)]
    rule = ("---", "---", "---", "--:", "--:")
    return [f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:])]


def main() -> None:
    """Write the document."""
    import tempfile

    from tests.backends import WORKING

    with tempfile.TemporaryDirectory() as folder:
        rows = [corpus_row(name, WORKING) for name in corpus_files()]
        rows += [network_row(name, WORKING, Path(folder)) for name in ARCHITECTURES]
    DOCUMENT.write_text(TEXT + "\n".join(lines(rows)) + "\n")


if __name__ == "__main__":
    main()
