"""Static memory: what lives at the same time lies apart."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinycnn.engine import arena
from tinycnn.engine.arena import ALIGNMENT, Lifetime, aligned, place
from tinycnn.errors import BackendError

lifetimes = st.builds(
    lambda size, first, length: Lifetime(size, first, first + length),
    st.integers(1, 5000), st.integers(0, 30), st.integers(0, 10),
)  # fmt: skip
networks = st.lists(lifetimes, max_size=30).map(
    lambda found: {f"v{i}": lifetime for i, lifetime in enumerate(found)}
)


@given(networks)
def test_no_two_live_buffers_overlap(buffers):
    offsets, total = place(buffers)
    assert offsets.keys() == buffers.keys()
    for a, b in itertools.combinations(buffers, 2):
        if buffers[a].overlaps(buffers[b]):
            before = offsets[a] + buffers[a].size <= offsets[b]
            after = offsets[b] + buffers[b].size <= offsets[a]
            assert before or after
    assert all(offset >= 0 and offset % ALIGNMENT == 0 for offset in offsets.values())
    assert all(offsets[name] + buffers[name].size <= total for name in buffers)


@given(networks)
def test_total_lies_between_the_bounds(buffers):
    _, total = place(buffers)
    live = [
        sum(aligned(b.size) for b in buffers.values() if b.first <= step <= b.last)
        for step in range(42)
    ]
    assert max(live) <= total <= sum(aligned(b.size) for b in buffers.values())


@given(lifetimes, lifetimes)
def test_overlap_is_mutual(a, b):
    shared = set(range(a.first, a.last + 1)) & set(range(b.first, b.last + 1))
    assert a.overlaps(b) == b.overlaps(a) == bool(shared)


def test_a_chain_needs_two_places():
    buffers = {f"v{i}": Lifetime(1000, i, i + 1) for i in range(100)}
    assert place(buffers)[1] == 2 * aligned(1000)


def test_the_smallest_gap_that_holds_it():
    """Between two large buffers a gap opens when a third one dies; a small one fits into it."""
    buffers = {"a": Lifetime(640, 0, 9), "b": Lifetime(320, 0, 3), "c": Lifetime(192, 0, 9),
               "d": Lifetime(128, 5, 9)}  # fmt: skip
    offsets, total = place(buffers)
    assert (offsets["d"], total) == (640, 1152)


def test_limit(monkeypatch):
    monkeypatch.setattr(arena, "MAX_BYTES", 1 << 20)
    place({"a": Lifetime(1 << 20, 0, 1)})
    with pytest.raises(BackendError, match="needs 2 MB for one image; at most 1 MB"):
        place({"a": Lifetime(1 << 20, 0, 1), "b": Lifetime(1 << 20, 1, 2)})


def test_nothing():
    assert place({}) == ({}, 0)
