"""Light classes behave as frozen dataclasses do: the same class made both ways."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError, asdict, field, fields, replace
from typing import ClassVar

import pytest

from tinycnn.lightclass import dataclass as light


def made_by(dataclass):
    @dataclass(frozen=True)
    class Base:
        name: str = field(default="", kw_only=True)
        kind: ClassVar[int] = 1

    @dataclass(frozen=True)
    class Point(Base):
        x: int
        y: int = 2
        more: list = field(default_factory=list)

        def __post_init__(self):
            object.__setattr__(self, "x", int(self.x))

    @dataclass(frozen=True, eq=False, kw_only=True)
    class Loose:
        a: int
        b: int = 0

    return Base, Point, Loose


OURS, THEIRS = made_by(light), made_by(dataclasses.dataclass)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((1,), {}), ((1, 3), {"name": "n"}), ((), {"x": "7", "more": [1]}), ((1, 2, [3]), {}),
        ((), {}), ((1,), {"x": 1}), ((1, 2, [], "n"), {}), ((1,), {"z": 3}), ((), {"y": 1}),
        ((1,), {"kind": 2}),
    ],
)  # fmt: skip
def test_made_alike(values, named):
    results = []
    for _, point, _ in (OURS, THEIRS):
        try:
            made = point(*values, **named)
            results.append((repr(made), asdict(made), repr(replace(made, y=9)), vars(made)))
        except TypeError:
            results.append("refused")
    assert results[0] == results[1]


def test_frozen():
    for _, point, _ in (OURS, THEIRS):
        with pytest.raises(FrozenInstanceError):
            point(1).x = 2
        with pytest.raises(FrozenInstanceError):
            del point(1).x
    with pytest.raises(TypeError, match="frozen"):
        light(frozen=False)


def test_equal_by_value_or_by_identity():
    for base, point, loose in (OURS, THEIRS):
        assert point(1, more=()) == point("1", more=()) != point(2, more=())
        assert hash(point(1, more=())) == hash(point(1, more=()))
        assert point(1) != base()
        assert loose(a=1) != loose(a=1)
        with pytest.raises(TypeError):
            loose(1)


def test_defaults_are_not_shared():
    one, other = OURS[1](1), OURS[1](1)
    assert one.more is not other.more


def test_fields_and_copies():
    ours, theirs = ([f.name for f in fields(classes[1])] for classes in (OURS, THEIRS))
    assert ours == theirs
    assert copy.deepcopy(OURS[1](1, name="n")) == OURS[1](1, name="n")


def test_layers_are_such_classes():
    from tinycnn.nn.layers import Conv2D

    layer = Conv2D(8, 3, name="c")
    assert layer == Conv2D(8, (3, 3), name="c")
    assert repr(layer).startswith("Conv2D(")
    assert pickle.loads(pickle.dumps(layer)) == layer
    with pytest.raises(FrozenInstanceError):
        layer.filters = 3
