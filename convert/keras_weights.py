"""Weights from the places where Keras puts them to the names that our graph gives them.

Two layouts. `.h5` (Keras 1 to 3): a group for each layer of the outermost model, whose attribute
``weight_names`` lists its arrays in order; a nested model is one such group. `.weights.h5` and
`.keras` (Keras 3): ``layers/CLASS_N/vars/0``, nested like the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinycnn.errors import ConversionError
from tinycnn.nn.layers import Normalization
from tinycnn.nn.types import Array

from .dialect import Dialect, split_name
from .hdf5_tree import Group
from .keras_config import LayerConfig, ModelConfig, snake_case
from .keras_graph import Leaf, Path, leaves_of
from .kernels import arrange

# Not weights: a random generator's state, and how many samples a Normalization has seen.
STATE = frozenset({"StateVar", "seed_generator_state", "count"})
NOT_TRAINED = frozenset({"moving_mean", "moving_variance", "mean", "variance"})
OTHER_NAMES = {"kernel": "depthwise_kernel"}  # Keras 3's DepthwiseConv2D


@dataclass(frozen=True)
class Stored:
    """One array of a file: its path there, and the value."""

    path: str
    value: Array

    @property
    def weight(self) -> str:
        """The name's last part without TensorFlow's ":0"; Keras 1's names as today's."""
        if old := split_name(self.path):
            return old[1]
        return self.path.rpartition("/")[2].partition(":")[0]

    @property
    def owner(self) -> str:
        """The part before: mostly the layer's name."""
        if old := split_name(self.path):
            return old[0]
        return self.path.rpartition("/")[0].rpartition("/")[2]


def collect(
    root: Group, model: ModelConfig, leaves: Mapping[Path, Leaf], dialect: Dialect
) -> dict[str, Array]:
    """Find every leaf's weights in a file's root group; keys are ``LAYER/WEIGHT``."""
    weights: dict[str, Array] = {}
    found = (
        _keras3(root, model, leaves, ()) if is_keras3(root) else _legacy(root, model, leaves, ())
    )
    for path, stored in found:
        if leaf := leaves.get(path):
            weights |= place(leaf, stored, dialect)
    for leaf in leaves.values():
        name = leaf.layers[0].name
        weights |= {f"{name}/{key}": value for key, value in leaf.constants.items()}
        for key in leaf.expected:
            if f"{name}/{key}" not in weights:
                raise ConversionError(f"{_spell(leaf)}: its weight {key!r} is not in the file")
    return weights


def is_keras3(root: Group) -> bool:
    """Whether the layout is that of `.keras` and `.weights.h5`."""
    return bool(_containers(root)) and not root.names("layer_names")


def place(leaf: Leaf, stored: Sequence[Stored], dialect: Dialect) -> dict[str, Array]:
    """Give the arrays of one layer our names, by theirs, or else by Keras's order."""
    wanted = {k: s for k, s in leaf.expected.items() if k not in leaf.constants}
    stored = [s for s in stored if s.weight not in STATE]
    if isinstance(leaf.layers[0], Normalization):
        stored = stored[:2]  # the third, without a name in Keras 3's layout, is the count
    names = [s.weight if s.weight in wanted else OTHER_NAMES.get(s.weight, "") for s in stored]
    if sorted(names) != sorted(wanted):
        names = list(wanted)
    if len(stored) != len(wanted):
        raise ConversionError(
            f"{_spell(leaf)}: has {len(wanted)} weights ({', '.join(wanted) or 'none'}), "
            f"and the file holds {len(stored)}"
        )
    result = {}
    for name, item in zip(names, stored, strict=True):
        value = arrange(
            item.value, leaf.layers[0], name, dialect,
            out_first=leaf.out_first, order=leaf.adapted.order,
        )  # fmt: skip
        if isinstance(leaf.layers[0], Normalization) and value.size == 1:
            value = np.broadcast_to(value.ravel(), wanted[name]).copy()
        if value.shape != wanted[name]:
            raise ConversionError(
                f"{_spell(leaf)}: its weight {name!r} must be {wanted[name]}, "
                f"and is {value.shape} in the file"
            )
        if not np.isfinite(value).all():
            raise ConversionError(f"{_spell(leaf)}: its weight {name!r} holds NaN or infinity")
        result[f"{leaf.layers[0].name}/{name}"] = value
    return result


def _legacy(
    root: Group, model: ModelConfig, leaves: Mapping[Path, Leaf], path: Path
) -> Iterator[tuple[Path, list[Stored]]]:
    """Read the layout of `.h5`."""
    for layer in model.layers.values():
        group = root.at(layer.name)
        inside = (*path, layer.name)
        if group is None:  # what is missing is reported by name at the end
            if layer.model:  # Keras 1 wrote what stands in a nested Sequential as if it did not
                yield from _legacy(root, layer.model, leaves, inside)
            continue
        stored = list(legacy_arrays(group))
        if layer.model is None:
            yield inside, stored
            continue
        inner = [leaves[p] for p, _ in leaves_of(layer.model, inside) if p in leaves]
        yield from _nested(layer.name, inner, [s for s in stored if s.weight not in STATE])


def legacy_arrays(group: Group) -> Iterator[Stored]:
    """Yield a layer's arrays in the order of its attribute ``weight_names``."""
    for name in group.names("weight_names"):
        value = group.array(name)
        if value is None:
            raise ConversionError(f"the weight {name!r} is listed in the file, but not there")
        yield Stored(name, value)


def _nested(
    name: str, leaves: Sequence[Leaf], stored: Sequence[Stored]
) -> Iterator[tuple[Path, list[Stored]]]:
    """Share out a nested model's arrays: by layer names where they are clear, else in order."""
    by_owner: dict[str, list[Stored]] = {}
    for item in stored:
        by_owner.setdefault(item.owner, []).append(item)
    owned = {leaf.path: by_owner.get(leaf.path[-1], []) for leaf in leaves}
    complete = all(len(owned[leaf.path]) == _count(leaf) for leaf in leaves)
    if not complete or sum(map(len, owned.values())) != len(stored):
        owned = _in_order(name, leaves, stored)
    yield from owned.items()


def _in_order(
    name: str, leaves: Sequence[Leaf], stored: Sequence[Stored]
) -> dict[Path, list[Stored]]:
    """Keras's order: what is trained of all layers first, then what is not."""
    slots = [
        (leaf, weight, _is_trained(leaf) and weight not in NOT_TRAINED)
        for leaf in leaves
        for weight in leaf.expected
        if weight not in leaf.constants
    ]
    slots.sort(key=lambda slot: not slot[2])
    if len(slots) != len(stored):
        raise ConversionError(
            f"model {name!r}: its layers have {len(slots)} weights, and the file {len(stored)}"
        )
    owned: dict[Path, list[Stored]] = {leaf.path: [] for leaf in leaves}
    for (leaf, weight, _), item in zip(slots, stored, strict=True):
        if weight not in (item.weight, OTHER_NAMES.get(item.weight)):
            raise ConversionError(
                f"{_spell(leaf)}: where its {weight!r} should be, the file has {item.path!r}"
            )
        owned[leaf.path].append(item)
    return owned


def _is_trained(leaf: Leaf) -> bool:
    return leaf.config.config.get("trainable", True) is not False


def _count(leaf: Leaf) -> int:
    return len([w for w in leaf.expected if w not in leaf.constants])


def _keras3(
    group: Group, model: ModelConfig, leaves: Mapping[Path, Leaf], path: Path
) -> Iterator[tuple[Path, list[Stored]]]:
    """Read the layout of Keras 3: in each container the n-th of a class is CLASS_n."""
    container = _containers(group)
    members = container[0].groups if container else {}
    by_stem: dict[str, list[LayerConfig]] = {}
    for layer in model.layers.values():
        if _has_weights(layer, leaves, (*path, layer.name)):
            by_stem.setdefault(snake_case(layer.class_name), []).append(layer)
    for stem, layers in by_stem.items():
        groups = numbered(members, stem)
        if len(groups) != len(layers):
            raise ConversionError(
                f"model {model.name!r}: has {len(layers)} layers of class "
                f"{layers[0].class_name} with weights, and the file holds {len(groups)}"
            )
        for layer, inner in zip(layers, groups, strict=True):
            _check_name(layer, inner)
            if layer.model:
                yield from _keras3(inner, layer.model, leaves, (*path, layer.name))
            else:
                yield (*path, layer.name), keras3_arrays(inner)


def numbered(members: Mapping[str, Group], stem: str) -> list[Group]:
    """Return the groups STEM, STEM_1, STEM_2, ... that hold weights, in this order."""
    found = sorted((n, g) for g in members if (n := _number(g, stem)) is not None)
    return [members[g] for _, g in found if _holds_arrays(members[g])]


def _containers(group: Group) -> list[Group]:
    """The group of the members' groups; Keras 2.12 to 2.15 used the longer name."""
    return [
        group.groups[name]
        for name in ("layers", "_layer_checkpoint_dependencies")
        if name in group.groups
    ]


def keras3_arrays(group: Group) -> list[Stored]:
    """Return a layer's arrays, which are called 0, 1, 2, ..."""
    arrays = group.groups["vars"].arrays if "vars" in group.groups else {}
    if sorted(arrays) != sorted(map(str, range(len(arrays)))):
        raise ConversionError(f"the weights {sorted(arrays)[:8]} are not numbered from 0")
    return [Stored(str(i), arrays[str(i)]) for i in range(len(arrays))]


def keras3_layers(group: Group) -> Iterator[tuple[str, str, Group]]:
    """Yield (class in snake case, name, group) of all layers with weights, at every depth.

    Containers and classes come in alphabetical order; the layers of a class in the model's.
    """
    for container in _containers(group):
        stems: dict[str, dict[str, Group]] = {}
        for name, member in container.groups.items():
            stems.setdefault(re.sub(r"_\d{1,6}$", "", name), {})[name] = member
        for stem, members in sorted(stems.items()):
            for inner in numbered(members, stem):
                if _containers(inner):
                    yield from keras3_layers(inner)
                else:
                    yield stem, inner.groups["vars"].text("name") or "", inner


def _check_name(layer: LayerConfig, group: Group) -> None:
    """Newer files repeat the layer's name beside its weights: a check for free."""
    variables = group.groups.get("vars")
    name = variables.text("name") if variables else None
    if name is not None and name != layer.name:
        raise ConversionError(
            f"layer {layer.name!r}: the file has weights of {name!r} in its place"
        )


def _has_weights(layer: LayerConfig, leaves: Mapping[Path, Leaf], path: Path) -> bool:
    if layer.model:
        inner = (leaves.get(p) for p, _ in leaves_of(layer.model, path))
        return any(leaf is not None and _count(leaf) for leaf in inner)
    leaf = leaves.get(path)
    return leaf is not None and _count(leaf) > 0


def _holds_arrays(group: Group) -> bool:
    """Whether there are weights below; what random generators keep is none."""
    own = group.groups.get("vars")
    if own and own.arrays:
        return True
    return any(_holds_arrays(g) for c in _containers(group) for g in c.groups.values())


def _number(name: str, stem: str) -> int | None:
    found = re.fullmatch(re.escape(stem) + r"(?:_(\d{1,6}))?", name)
    return int(found[1] or 0) if found else None


def _spell(leaf: Leaf) -> str:
    return f"layer {'/'.join(leaf.path)!r} ({leaf.config.class_name})"
