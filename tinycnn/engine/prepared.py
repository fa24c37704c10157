"""Programs kept between runs: what a model file became the last time need not be made again.

Checking, lowering and planning a network takes 25 ms, and the modules for it 20 more: most of what
a process that judges one study does. What they give depends on nothing but the file's bytes, this
version's sources, the CPU and the number of threads, whose hash is the name under which a program
is kept (see `cache`). The file itself is hashed at every start, and its self-test replayed.
See docs/decisions/013-prepared-programs.md.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.engine import cache, caches
from tinycnn.engine.arena import aligned
from tinycnn.engine.kernels.family import CURRENT
from tinycnn.engine.program import Bytes, Program, aligned_bytes
from tinycnn.nn.model import Model, RecalledModel

LARGEST = 24 << 20  # bytes: a MobileNet; of larger ones the packing takes longer than all the rest
SOURCES = ("engine", "engine/kernels", "engine/rewrites", "nn", "nn/layers")
# Of a program: numbers.
PLAIN = ("arena_bytes", "input_offset", "input_row", "output_offset", "threads", "work")
TUPLES = ("input_shape", "output_shape", "sources")


def recall(
    digest: str, threads: int, name: str, read: Callable[[], Model]
) -> tuple[Model, Program] | None:
    """Model and program of the file with this SHA-256; None if they were not kept.

    ``name``: the model's. ``read`` reads the file: the network itself is not kept.
    """
    content = cache.load(_name(digest, threads), aligned_bytes)
    if content is None:
        return None
    from tinycnn.nn import records
    from tinycnn.nn.preprocessing import Preprocessing

    size = int.from_bytes(content[:8], "little")
    data = json.loads(bytes(content[8 : 8 + size]))
    model, test = data["model"], (1, *data["image"]) if "self_test" in data["model"] else (0,)
    memory = np.frombuffer(content, np.uint8)[aligned(8 + size) :]
    table, memory = _take(memory, np.int64, data["table"])
    x, memory = _take(memory, np.float32, test)
    parts = {name: tuple(data[name]) for name in TUPLES} | {name: data[name] for name in PLAIN}
    program = Program(table=table, weights=memory, **parts)
    return RecalledModel.of(
        read,
        tuple(data["image"]),
        data["classes"],
        preprocessing=records.record(Preprocessing, model["preprocessing"]),
        labels=tuple(model["labels"]),
        decision=records.decision(model["decision"]),
        provenance=records.provenance(model["provenance"]),
        self_test=records.self_test(model["self_test"]) if x.size else None,
        test_input=x if x.size else None,  # making it takes 2 ms
        independent=data["independent"],
        name=name,
        unverified=data["unverified"],
    ), program


def keep(digest: str, threads: int, model: Model, program: Program) -> None:
    """Keep what `recall` gives; where that is impossible, or much, it is not kept."""
    if program.weights.nbytes > LARGEST:
        return
    from tinycnn.nn import modelfile

    rest = modelfile.to_json(model)
    del rest["graph"]
    data = {name: getattr(program, name) for name in (*PLAIN, *TUPLES)} | {
        "table": program.table.shape,
        "image": model.input_shape,
        "classes": model.classes,
        "independent": model.independent,
        "unverified": model.unverified,
        "model": rest,
    }
    text = json.dumps(data).encode()
    test = b"" if model.test_input is None else model.test_input.tobytes()
    parts = (len(text).to_bytes(8, "little") + text, program.table.tobytes(), test)
    padded = [part + bytes(aligned(len(part)) - len(part)) for part in parts]
    try:
        cache.store(_name(digest, threads), *padded, program.weights.data)
    except OSError as error:
        import logging  # 2 ms, which a start that finds its program does not need

        logging.getLogger("tinycnn").debug("the program is not kept: %s", error)


def _take(memory: Bytes, kind: Any, shape: Sequence[int]) -> tuple[Any, Bytes]:
    """The array at the start of ``memory``, and what lies behind it."""
    size = prod(shape) * np.dtype(kind).itemsize
    return memory[:size].view(kind).reshape(shape), memory[aligned(size) :]


def _name(digest: str, threads: int) -> str:
    import hashlib

    parts = (digest, str(threads), CURRENT.name, str(caches.second_level()), _version())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32] + ".program"


@functools.cache
def _version() -> str:
    """The sources as the file system knows them: reading them takes 5 ms. And NumPy.

    By the time of a file's last change of any kind: that of its content can be set, and packagers
    give all files the same one, so that a change that keeps a file's size would go unnoticed.
    """
    return repr((np.__version__, sorted(_states(Path(__file__).parents[1]))))


def _states(root: Path) -> Iterator[tuple[str, str, int, int]]:
    for folder in SOURCES:
        with os.scandir(root / folder) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    status = entry.stat()
                    yield folder, entry.name, status.st_size, status.st_ctime_ns
