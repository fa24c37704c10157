"""Random networks through files: what a converter makes of one computes what was written."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tinycnn.convert import keras as converter
from tinycnn.convert.hdf5 import read as read_here

from tests.differential import keras_writer, onnx_writer
from tests.differential.builder import UnfitError
from tests.differential.case import Case, from_seed
from tests.differential.keras_model import representable
from tests.differential.onnx_nodes import ACTIVATIONS
from tests.differential.tolerance import OTHERS, difference
from tinycnn.errors import ConversionError

SEEDS = range(60)
# What follows a Permute is refused where only rows and columns, or channels, will do.
REFUSALS = "only rows and columns|is not the channels' alone|is too large"
# Operators that stand in the files of these seeds.
OPERATORS = {op for op, _ in ACTIVATIONS.values()} | {
    *("Add", "Sub", "Mul", "Div", "Sum", "Mean", "Max", "Min", "Concat", "Conv", "ConvTranspose"),
    *("Gemm", "MatMul", "BatchNormalization", "LayerNormalization", "PRelu", "MaxPool"),
    *("AveragePool", "GlobalMaxPool", "GlobalAveragePool", "ReduceMax", "ReduceMean", "Pad"),
    *("Slice", "Resize", "Flatten", "Reshape", "Transpose", "Dropout", "Identity"),
}


def size_of(seed: int) -> str:
    return ("tiny", "real")[seed % 2]


def wrong(case: Case, path, **options) -> str:
    """What differs between a case and its file, converted."""
    found = converter.read(path, read_hdf5=read_here, **options)
    got = found.graph.forward(case.x, found.weights)
    return difference(case, got.reshape(case.expected.shape))


@pytest.mark.parametrize("version", [keras_writer.KERAS2, keras_writer.KERAS3])
def test_keras_files(version, tmp_path):
    change = keras_writer.in_keras2 if version == keras_writer.KERAS2 else representable
    for seed in SEEDS:
        case = from_seed(seed, size_of(seed), change)
        keras_writer.write(case, tmp_path / "m.h5", version)
        assert wrong(case, tmp_path / "m.h5") == "", seed


def onnx_file(seed: int) -> tuple[Case, bytes, set[str]] | None:
    """A case and its file; None where ONNX cannot say it."""
    case = from_seed(seed, size_of(seed), onnx_writer.in_onnx)
    try:
        return case, *onnx_writer.write(case)
    except UnfitError:
        return None


def test_onnx_files(tmp_path):
    used, refused, path = set[str](), list[str](), tmp_path / "m.onnx"
    for seed in range(200):
        if made := onnx_file(seed):
            case, data, operators = made
            path.write_bytes(data)
            try:
                assert wrong(case, path, input_shape=case.graph.input_shape) == "", seed
                used |= operators
            except ConversionError as error:
                refused.append(f"{seed}: {error}")
    assert [line for line in refused if not re.search(REFUSALS, line)] == []
    assert len(refused) <= 8
    assert used == OPERATORS


def test_onnx_files_in_onnx_runtime():
    """The writer says what is meant, and the reference computes what ONNX means."""
    runtime = pytest.importorskip("onnxruntime", reason="install the extra 'peers' (onnxruntime)")
    for seed in SEEDS:
        if made := onnx_file(seed):
            case, data, _ = made
            session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
            x = np.ascontiguousarray(case.x.transpose(0, 3, 1, 2))
            got = np.stack([session.run(None, {"input": each[None]})[0] for each in x])
            assert difference(case, got.reshape(case.expected.shape), OTHERS) == "", seed
