"""Constants written straight to their places, against the same said plainly."""

from __future__ import annotations

import numpy as np
import pytest

from tinycnn.engine import packing, planner
from tinycnn.engine.kernels.family import BLOCK, FAMILIES
from tinycnn.engine.planner import LEAST_BLOCK, Constants
from tinycnn.engine.winograd import G, Transformed
from tinycnn.errors import BackendError

RANDOM = np.random.default_rng(0)


def written(packed: packing.Packed) -> np.ndarray:
    target = np.zeros(packed.size, np.float32)
    packed.write(target)
    return target


def plain_panels(matrix: np.ndarray, family) -> np.ndarray:
    """(K, F): filters rounded up to whole vectors, panel after panel."""
    matrix = np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % family.vector)))
    starts = range(0, matrix.shape[1], family.panel)
    return np.concatenate([matrix[:, s : s + family.panel].ravel() for s in starts])


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
@pytest.mark.parametrize("filters", [1, 8, 17, 32, 33, 70])
@pytest.mark.parametrize("scaled", [False, True])
def test_panels(family, filters, scaled):
    kernel = RANDOM.random((3, 2, 5, filters), np.float32)
    scale = RANDOM.random(filters, np.float32) if scaled else None
    expected = kernel * scale if scaled else kernel
    got = written(packing.Panels(kernel, family, scale))
    assert (got == plain_panels(expected.reshape(-1, filters), family)).all()


@pytest.mark.parametrize("channels", [1, 15, 16, 17, 32, 50])
def test_taps_by_block(channels):
    kernel = RANDOM.random((3, 2, channels, 4), np.float32)
    rows = [
        kernel[y, x, first : first + BLOCK]
        for first in range(0, channels, BLOCK)
        for y in range(3)
        for x in range(2)
    ]
    assert (packing.taps_by_block(kernel).reshape(-1, 4) == np.concatenate(rows)).all()


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
@pytest.mark.parametrize("filters", [3, 16, 40])
@pytest.mark.parametrize("scaled", [False, True])
def test_winograd_kernels(family, filters, scaled):
    kernel = RANDOM.standard_normal((3, 3, 6, filters)).astype(np.float32)
    scale = RANDOM.random(filters, np.float32) if scaled else None
    taps = kernel.astype(np.float64) * (scale if scaled else 1)
    matrices = np.einsum("ia,jb,abcf->ijcf", G, G, taps).reshape(36, 6, filters)
    expected = np.concatenate([plain_panels(matrix, family) for matrix in matrices])
    got = written(Transformed(kernel, family, scale))
    assert np.abs(got - expected).max() <= 1e-7 * np.abs(expected).max()


def test_a_block_that_grows_keeps_what_it_holds():
    constants, arrays = Constants(), []
    for size in (3, LEAST_BLOCK, 1, 5 * LEAST_BLOCK, 7):
        arrays.append(RANDOM.integers(0, 255, size, np.uint8))
    offsets = [constants.add(array) for array in arrays]
    assert all(offset % 64 == 0 for offset in offsets)
    block = constants.packed()
    assert block.ctypes.data % 64 == 0
    for array, offset in zip(arrays, offsets, strict=True):
        assert (block[offset : offset + len(array)] == array).all()


def test_the_same_array_stands_there_once_and_another_in_its_memory_does_not():
    constants = Constants()
    array = np.arange(8, dtype=np.float32)
    assert constants.add(array) == constants.add(array)
    places = set()
    for value in range(50):  # each may get the last one's memory, and id
        places.add(constants.add(np.full(8, value, np.float32)))
    assert len(places) == 50
    block = constants.packed().view(np.float32)
    assert {int(block[place // 4]) for place in places} == set(range(50))


def test_a_block_grows_although_somebody_looks_at_it_for_a_moment(monkeypatch):
    constants = Constants()
    constants.add(np.arange(8, dtype=np.uint8))
    held = [constants.packed()]
    monkeypatch.setattr(planner.time, "sleep", lambda _: held.clear())  # the other lets go
    constants.add(np.zeros(2 * LEAST_BLOCK, np.uint8))
    assert constants.packed()[:8].tolist() == list(range(8))
    monkeypatch.setattr(planner.time, "sleep", lambda _: None)
    held.append(constants.packed())
    with pytest.raises(BackendError, match="somebody keeps a view"):
        constants.add(np.zeros(64 * LEAST_BLOCK, np.uint8))
