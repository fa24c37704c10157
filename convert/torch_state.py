"""State dicts: found in what was saved, and their keys brought to torchvision's names by rule.

Three rules, none of them a guess: a first part that all keys have is dropped (``module.`` of
DataParallel, ``model.`` of a class around the network); torchvision's names of 2017 get their
names of today; a last layer that stands alone in a Sequential takes the Sequential's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tinycnn.errors import ConversionError

from .torch_tensors import Tensor

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
MAX_KEY = 300
COUNTER = ".num_batches_tracked"  # of batch-norm, since 0.4.1; of no use after training
# torchvision's DenseNet before 0.2: denselayer1.norm.1.weight
OLD_NAME = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12]\.\w+)")

State = Mapping[str, Tensor]


def find_state(value: Any) -> dict[str, Tensor]:
    """Return the state dict that was saved, alone or in a checkpoint; with torchvision's keys."""
    state = _without_prefix(_unwrapped(value))
    result: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if key.endswith(COUNTER):
            continue
        new = OLD_NAME.sub(r"\1\2", key)
        if new in result:
            raise ConversionError(f"the key {new!r} twice, by its old name and by its new one")
        result[new] = tensor
    return result


def with_head(state: State, head: str) -> dict[str, Tensor]:
    """Give the only layer inside of ``head``, as ``classifier.1``, the name ``head``."""
    inside = {key for key in state if key.startswith(f"{head}.")}
    modules = {key.rpartition(".")[0]: None for key in state if key in inside}
    if head in modules or not modules:
        return dict(state)
    if len(modules) > 1:
        raise ConversionError(
            f"its head has {len(modules)} layers with weights ({some(modules)}), and a state dict "
            f"does not say what lies between them; of {head!r} one Linear layer is read"
        )
    (module,) = modules
    return {
        f"{head}{key.removeprefix(module)}" if key in inside else key: tensor
        for key, tensor in state.items()
    }


def comes_first(state: State, head: str) -> bool:
    """Whether the head is a Sequential that begins with its Linear layer: something follows it."""
    return f"{head}.0.weight" in state and f"{head}.weight" not in state


def some(items: Iterable[Any], limit: int = 4) -> str:
    """Spell the first of ``items``, and how many more there are."""
    listed = [str(item) for item in items]
    more = f", and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more


def _unwrapped(value: Any) -> Mapping[str, Tensor]:
    if _is_state(value):
        return value
    entries = value if isinstance(value, dict) else {}
    found = [name for name in WRAPPERS if _is_state(entries.get(name))]
    if len(found) == 1:
        return entries[found[0]]
    if found:
        raise ConversionError(f"holds {len(found)} state dicts ({some(found)}); save one of them")
    listed = some(repr(key)[:40] for key in entries) or "nothing of the kind"
    raise ConversionError(
        f"holds no state dict, nor one called {some(WRAPPERS)}, but {listed}; in Python: "
        "torch.save(model.state_dict(), 'NAME.pth'), and convert that"
    )


def _is_state(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(_is_entry, value.items()))


def _is_entry(item: tuple[Any, Any]) -> bool:
    key, value = item
    named = isinstance(key, str) and 0 < len(key) <= MAX_KEY and key.isprintable()
    return named and isinstance(value, Tensor)


def _without_prefix(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    while len({key.partition(".")[0] for key in state}) == 1 and all("." in key for key in state):
        state = {key.partition(".")[2]: tensor for key, tensor in state.items()}
    return state
