"""What an HDF5 file holds, as a tree of plain values; names as a path of groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tinycnn.errors import ConversionError

Array = npt.NDArray[np.float32]
MAX_STRINGS = 20_000  # in one attribute, and parts of one


def split_path(path: str) -> tuple[str, ...]:
    """Split a name into those of groups: Keras 2.12 wrote "layers\\conv2d" on Windows."""
    return tuple(part for part in path.replace("\\", "/").split("/") if part)


@dataclass
class Group:
    """One HDF5 group: strings, sub-groups and arrays, all by name."""

    attributes: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()  # members that were not read: the optimizer's

    def text(self, name: str) -> str | None:
        """Return the attribute ``name`` if it is one string."""
        value = self.attributes.get(name)
        return value if isinstance(value, str) else None

    def names(self, stem: str) -> tuple[str, ...]:
        """Join ``stem``, or ``stem0``, ``stem1``, ...: long lists are stored in parts."""
        if stem in self.attributes:
            parts = [self.attributes[stem]]
        else:
            keys = (f"{stem}{i}" for i in range(MAX_STRINGS))
            parts = []
            for key in keys:
                if key not in self.attributes:
                    break
                parts.append(self.attributes[key])
        return tuple(n for part in parts for n in ((part,) if isinstance(part, str) else part))

    def at(self, path: str) -> Group | None:
        """Return the group below this one at ``path``: layers may have slashes in their names."""
        group: Group | None = self
        parts = split_path(path)
        for part in parts:
            group = group.groups.get(part) if group else None
        return group if parts else None

    def array(self, path: str) -> Array | None:
        """Return the array below this group at ``path``."""
        *folder, name = split_path(path) or ("",)
        group = self.at("/".join(folder)) if folder else self
        return group.arrays.get(name) if group else None

    def walk(self) -> Iterator[Group]:
        """Yield this group and all below it."""
        yield self
        for group in self.groups.values():
            yield from group.walk()

    def put(self, parts: tuple[str, ...], member: Group | Array, where: str) -> None:
        """Put a member at the path ``parts``; ConversionError if there is another one."""
        *folder, name = parts or ("",)
        group = self
        for part in folder:
            if part in group.arrays:
                raise ConversionError(f"{where}: what it lies in is no group")
            group = group.groups.setdefault(part, Group())
        both = name in group.groups and not isinstance(member, Group)
        if name in group.arrays or both or not name:
            raise ConversionError(f"{where}: two members by this name, or none")
        if not isinstance(member, Group):
            group.arrays[name] = member
        elif found := group.groups.get(name):
            found.join(member, where)
        else:
            group.groups[name] = member

    def join(self, other: Group, where: str) -> None:
        """Take over what another group of the same path holds."""
        if not self.attributes.keys().isdisjoint(other.attributes):
            raise ConversionError(f"{where}: two groups with attributes by this name")
        self.attributes.update(other.attributes)
        self.left_out += other.left_out
        members: list[tuple[str, Group | Array]] = [*other.groups.items(), *other.arrays.items()]
        for name, member in members:
            self.put((name,), member, where)
