"""Constants written straight to their places, against the same said plainly."""

from __future__ import annotations

import numpy as np
import pytest

from tinycnn.engine import packing
from tinycnn.engine.kernels.family import BLOCK, FAMILIES
from tinycnn.engine.planner import Constants
from tinycnn.engine.winograd import G, Transformed

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


def test_every_constant_lies_where_it_was_said():
    constants, arrays = Constants(), []
    for size in (3, 1 << 20, 1, 5 << 20, 7):
        arrays.append(RANDOM.integers(0, 255, size, np.uint8))
    offsets = [constants.add(array) for array in arrays]
    assert all(offset % 64 == 0 for offset in offsets)
    block = constants.packed()
    assert block.ctypes.data % 64 == 0
    for array, offset in zip(arrays, offsets, strict=True):
        assert (block[offset : offset + len(array)] == array).all()


def test_equal_constants_stand_there_once():
    constants, family = Constants(), FAMILIES["avx2"]
    array, kernel = np.arange(8, dtype=np.float32), RANDOM.random((3, 3, 5, 9), np.float32)
    scale = np.ones(9, np.float32)
    assert constants.add(array) == constants.add(array)
    panels = packing.Panels(kernel, family)
    assert constants.add(panels) == constants.add(packing.Panels(kernel, family))
    zeros = [packing.Row(np.broadcast_to(np.float32(0), (n,)), n, 16) for n in (5, 5, 6)]
    first, second, longer = map(constants.add, zeros)
    assert first == second != longer
    others = [
        packing.Panels(kernel, family, scale), packing.Panels(kernel.copy(), family),
        packing.Panels(kernel, family, None, packing.taps_by_block), Transformed(kernel, family),
        packing.Kernel(kernel, None), packing.Kernel(kernel, None, True),
    ]  # fmt: skip
    assert len({constants.add(other) for other in (panels, *others)}) == 1 + len(others)


def test_another_array_in_the_memory_of_one_that_is_gone():
    constants = Constants()
    places = [constants.add(np.full(8, value, np.float32)) for value in range(50)]
    block = constants.packed().view(np.float32)
    assert [int(block[place // 4]) for place in places] == list(range(50))


def test_what_is_made_of_options_is_counted_by_itself():
    constants = Constants()
    constants.add(packing.Row(RANDOM.random(100, np.float32), 100))
    assert constants.made == 0
    constants.add(packing.Row(np.ones(1, np.float32), 100, 16))
    constants.add(packing.Resampling(10, 32, "bilinear"))
    assert constants.made == 4 * (112 + 32 * 2 + 32 * 2)


@pytest.mark.parametrize("channels", [1, 16, 20])
@pytest.mark.parametrize("scaled", [False, True])
def test_depthwise_kernels_by_blocks(channels, scaled):
    kernel = RANDOM.random((3, 2, channels, 1), np.float32)
    scale = RANDOM.random((channels, 1), np.float32) if scaled else None
    expected = np.zeros((3, 2, -(-channels // BLOCK) * BLOCK), np.float32)
    expected[..., :channels] = (kernel * scale if scaled else kernel)[..., 0]
    expected = np.moveaxis(expected.reshape(3, 2, -1, BLOCK), 2, 0)
    vector = scale.ravel() if scaled else None
    assert (written(packing.Blocks(kernel, vector)) == expected.ravel()).all()


@pytest.mark.parametrize("transposed", [False, True])
def test_plain_kernels(transposed):
    kernel, scale = RANDOM.random((3, 2, 5, 4), np.float32), RANDOM.random((5, 1), np.float32)
    for expected, factor in ((kernel, None), (kernel * scale, scale)):
        order = (0, 1, 3, 2) if transposed else (0, 1, 2, 3)
        packed = packing.Kernel(kernel, factor, transposed)
        assert (written(packed) == expected.transpose(order).ravel()).all()
