"""What every layer has: a configuration, weight shapes, an output shape, a NumPy forward pass.

Shapes are written without the batch: an image is ``(H, W, C)``. Arrays carry it: ``(N, H, W, C)``.
Layers are named and configured as in Keras, channels last, float32.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Mapping
from dataclasses import field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tinycnn.errors import GraphError
from tinycnn.lightclass import dataclass
from tinycnn.nn.types import Array, Shape, has_type, tupled

if TYPE_CHECKING:
    from tinycnn.nn.graph import Tensor

MAX_OPTION = 1 << 20  # of sizes, strides, dilation...: products of a few still fit into 64 bits
MAX_MESSAGE = 500


@dataclass(frozen=True)
class Layer:
    """A frozen configuration; the weights live in the model, under ``layer.name + "/" + weight``.

    A layer takes one input (``x``: an array, ``shape``: its shape) unless ``merges`` is true:
    then ``xs`` and ``shapes`` are sequences of two or more.
    """

    name: str = field(default="", kw_only=True)

    merges: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the type of every field; subclasses normalise first and check values after."""
        hints = _hints(type(self))  # type: ignore[arg-type]  # a class is hashable, mypy!
        for f in fields(self):
            value = getattr(self, f.name)
            if not has_type(value, hints[f.name]):
                self.fail(f"{f.name} must be {_spell(hints[f.name])}, not {value!r}")

    # (*args: Any) lets the overrides say `x` or `xs` and their types without upsetting mypy.
    def weight_shapes(self, *args: Any) -> dict[str, Shape]:
        """Name and shape of each weight for an input ``shape``, in Keras's order."""
        return {}

    def output_shape(self, *args: Any) -> Shape:
        """Shape of the output for an input ``shape``; GraphError where the layer cannot take it."""
        raise NotImplementedError

    def forward(self, *args: Any) -> Array:
        """Output for an input ``x`` and ``weights``: the reference that backends must equal."""
        raise NotImplementedError

    def macs(self, *args: Any) -> int:
        """Multiply-adds for one input of ``shape``; 0 where they do not count."""
        return 0

    def steps(self, *args: Any) -> int:
        """Nanoseconds that one input of ``shape`` takes at most, of layers that may take long.

        In the reference or in the engine's most general kernels, on one core of a PC; most
        kernels take a tenth or less. Limited against hostile files (`limits.check_sizes`).
        """
        return self.macs(*args)

    def working_shapes(self, *args: Any) -> list[Shape]:
        """What `forward` makes of an input ``shape`` on the way, besides the output: limited."""
        return []

    def config(self) -> dict[str, Any]:
        """Configure the same layer again: ``type(layer)(**layer.config())``, JSON-able."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Inverse of `config`; unknown or mistyped fields are GraphErrors."""
        known = {f.name for f in fields(cls) if f.init}
        if unknown := sorted(set(config) - known):
            raise GraphError(f"{cls.__name__} has no option {unknown[0]!r}; it has {sorted(known)}")
        try:
            return cls(**{key: tupled(value) for key, value in config.items()})
        except TypeError as error:
            raise GraphError(f"{cls.__name__}: {error}") from None

    def __call__(self, x: Tensor | list[Tensor]) -> Tensor:
        """Put the layer behind ``x`` as in Keras's functional style."""
        from tinycnn.nn.graph import Tensor

        inputs = tuple(x) if isinstance(x, list | tuple) else (x,)
        if self.merges != isinstance(x, list | tuple):
            self.fail("takes a list of tensors" if self.merges else "takes one tensor, not a list")
        shapes = [t.shape for t in inputs]
        return Tensor(self.output_shape(shapes if self.merges else shapes[0]), self, inputs)

    def fail(self, message: str) -> typing.NoReturn:
        """Raise a GraphError that names this layer."""
        name = f" {self.name!r}" if isinstance(self.name, str) and self.name else ""
        raise GraphError(f"{type(self).__name__}{name}: {message}"[:MAX_MESSAGE])

    def need_rank(self, shape: Shape, rank: int = 3) -> None:
        """Fail unless ``shape`` has ``rank`` dimensions (3: height, width, channels)."""
        if len(shape) != rank:
            self.fail(f"expects {rank} dimensions without the batch, not {shape}")

    def set(self, **values: Any) -> None:
        """Normalise fields of the frozen instance; for ``__post_init__`` only."""
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def need_positive(self, *names: str) -> None:
        """Fail unless every named field (an int or a tuple of ints) is 1 or more, and sane."""
        for name in names:
            value = getattr(self, name)
            if any(
                not 1 <= v <= MAX_OPTION for v in (value if isinstance(value, tuple) else (value,))
            ):
                self.fail(f"{name} must lie in 1..{MAX_OPTION}, not {value}")


def pair(value: Any) -> Any:
    """Spell an int as a pair, as Keras's options allow: 3 -> (3, 3)."""
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


@functools.cache  # 0.1 ms for each of 150 layers adds up at every start
def _hints(kind: type[Layer]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _spell(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
