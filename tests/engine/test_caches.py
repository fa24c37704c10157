"""Sizes of pieces follow the second-level cache that Linux describes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.test_backends import assert_close, every_rewrite, random_weights, run
from tinycnn.engine import caches
from tinycnn.engine.lower import lower_graph
from tinycnn.engine.ops import InvertedResidual
from tinycnn.engine.rewrites import rewrite


@pytest.fixture(autouse=True)
def fresh():
    caches.second_level.cache_clear()
    yield
    caches.second_level.cache_clear()


def describe(folder, monkeypatch, *levels: tuple[str, str]) -> None:
    """A /sys with a cache (level, size) in each index."""
    for i, (level, size) in enumerate(levels):
        index = folder / f"index{i}"
        index.mkdir()
        (index / "level").write_text(f"{level}\n")
        (index / "size").write_text(f"{size}\n")
    monkeypatch.setattr(caches, "SYSTEM", folder)


@pytest.mark.parametrize(
    ("levels", "kilobytes"),
    [
        ([("1", "64K"), ("1", "64K"), ("2", "512K"), ("3", "2048K")], 512),  # Raspberry Pi 5
        ([("1", "32K"), ("1", "48K"), ("2", "1024K")], 1024),  # Raspberry Pi 4
        ([("1", "32K"), ("2", "1M")], 1024),
        ([("2", "128K")], 256),
        ([("2", "4096K")], 1024),
        ([], 1024), ([("1", "32K")], 1024), ([("2", "")], 1024), ([("2", "0K")], 1024),
        ([("2", "much")], 1024), ([("", "512K")], 1024),
    ],
)  # fmt: skip
def test_what_linux_says(tmp_path, monkeypatch, levels, kilobytes):
    describe(tmp_path, monkeypatch, *levels)
    assert caches.second_level() == kilobytes << 10


def test_a_file_that_is_missing(tmp_path, monkeypatch):
    """Raspberry Pi 4, some kernels: levels, but no sizes."""
    describe(tmp_path, monkeypatch, ("2", "512K"))
    (tmp_path / "index0" / "size").unlink()
    assert caches.second_level() == 1 << 20


def test_shares_of_what_they_were_measured_with(tmp_path, monkeypatch):
    describe(tmp_path, monkeypatch, ("2", "1024K"))
    shares = (caches.group_bytes(), caches.winograd_bytes())
    assert shares == (256 << 10, 768 << 10)
    assert (caches.least_expanded_bytes(), caches.most_fused_weights()) == (384 << 10, 128 << 10)


@pytest.mark.parametrize("size", ["256K", "512K", "1024K"])
def test_any_size_computes_the_same_with_any_number_of_threads(tmp_path, monkeypatch, size):
    describe(tmp_path, monkeypatch, ("2", size))
    graph = every_rewrite()
    random = np.random.default_rng(1)
    weights = random_weights(graph, random)
    x = random.standard_normal((2, *graph.input_shape)).astype(np.float32)
    assert any(isinstance(op, InvertedResidual) for op in rewrite(lower_graph(graph, weights)).ops)
    one = run(graph, weights, x)
    assert_close(one, graph.forward(x, weights))
    assert (one == run(graph, weights, x, threads=3)).all()
