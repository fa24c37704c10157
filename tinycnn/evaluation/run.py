"""Score the views of many studies: images are decoded on other threads, a little ahead.

The engine lets other Python threads run while it computes, and so does Pillow while it decodes and
resizes: both together keep the cores busy. However many studies there are, at most `AHEAD` views
for each thread wait as pixels; what stays is a `Record` of a study.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from tinycnn.errors import UsageError
from tinycnn.evaluation.records import EACH, Record, study_id
from tinycnn.studies.finder import Entry, Folder
from tinycnn.studies.names import printable
from tinycnn.studies.panel import BATCH, Inputs, Panel
from tinycnn.studies.result import Row

AHEAD = 2 * BATCH  # views that may wait, for each thread

_Read = tuple[Row, Inputs, float, float]


@dataclass
class _Open:
    """A study some of whose views are still on their way."""

    folder: Folder
    missing: int
    rows: list[Row | None]
    decode: float = 0.0
    resize: float = 0.0
    inference: float = 0.0


@dataclass
class _Batch:
    """Views that wait for the networks: of which study, at which place."""

    places: list[tuple[_Open, int, Row]] = field(default_factory=list)
    inputs: list[Inputs] = field(default_factory=list)


def score(
    folders: Iterable[Folder], root: str, panel: Panel, threads: int = 1
) -> Generator[Record, None, None]:
    """Yield a `Record` of each study in ``folders``, in their order, soon after its last view.

    ``threads`` decode. What cannot be read is refused, with the reason, and stops nothing. Closing
    the iterator drops what was under way.
    """
    need_label(panel)
    pool = ThreadPoolExecutor(threads, "decode")
    try:
        yield from _ordered(folders, root, panel, pool.submit, AHEAD * threads)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def need_label(panel: Panel) -> None:
    """UsageError if the models of ``panel`` do not say yes or no."""
    if panel.decision.positive is None:
        raise UsageError(
            f"model {panel.models[0].name!r} looks for no label, so nothing can be right or wrong; "
            "convert it again with --positive LABEL"
        )


def _ordered(
    folders: Iterable[Folder],
    root: str,
    panel: Panel,
    submit: Callable[..., Future[_Read]],
    ahead: int,
) -> Iterator[Record]:
    begun: deque[_Open] = deque()
    for batch in _batches(folders, begun, panel, submit, ahead):
        _infer(batch, panel)
        while begun and not begun[0].missing:
            yield _record(begun.popleft(), root)


def _batches(
    folders: Iterable[Folder],
    begun: deque[_Open],
    panel: Panel,
    submit: Callable[..., Future[_Read]],
    ahead: int,
) -> Iterator[_Batch]:
    """Batches of decoded views; ``begun`` grows by the studies that they belong to."""
    waiting: deque[tuple[_Open, int, Future[_Read]]] = deque()
    batch, views = _Batch(), _views(folders, begun)
    for study, place, entry in views:
        waiting.append((study, place, submit(_timed_read, entry, panel)))
        if len(waiting) >= ahead:
            _take(waiting, batch)
        if len(batch.inputs) >= BATCH or not begun[0].missing:  # full, or a study needs no network
            yield batch
            batch = _Batch()
    while waiting:
        _take(waiting, batch)
        if len(batch.inputs) >= BATCH:
            yield batch
            batch = _Batch()
    yield batch


def _views(folders: Iterable[Folder], begun: deque[_Open]) -> Iterator[tuple[_Open, int, Entry]]:
    for folder in folders:
        entries = [entry for entry in folder.entries if entry.status in EACH]
        study = _Open(folder, len(entries), [None] * len(entries))
        begun.append(study)
        for place, entry in enumerate(entries):
            yield study, place, entry


def _timed_read(entry: Entry, panel: Panel) -> _Read:
    started = time.perf_counter()
    row, inputs, resizing = panel.read(entry)
    return row, inputs, resizing, time.perf_counter() - started


def _take(waiting: deque[tuple[_Open, int, Future[_Read]]], batch: _Batch) -> None:
    """Put the view that waits longest into ``batch``, or its refusal into its study."""
    study, place, future = waiting.popleft()
    row, inputs, resizing, seconds = future.result()
    study.decode += seconds - resizing
    study.resize += resizing
    if not inputs:
        study.rows[place] = row
        study.missing -= 1
    else:
        batch.places.append((study, place, row))
        batch.inputs.append(inputs)


def _infer(batch: _Batch, panel: Panel) -> None:
    if not batch.inputs:
        return
    started = time.perf_counter()
    rows = panel.score([row for _, _, row in batch.places], batch.inputs)
    share = (time.perf_counter() - started) / len(batch.inputs)
    for (study, place, _), row in zip(batch.places, rows, strict=True):
        study.rows[place] = row
        study.inference += share
        study.missing -= 1


def _record(study: _Open, root: str) -> Record:
    rows: Sequence[Row] = [row for row in study.rows if row is not None]
    folder = study.folder
    return Record(
        id=study_id(root, folder),
        path=folder.path,
        name=folder.name,
        views=tuple(
            (printable(row.file), row.probability) for row in rows if row.probability is not None
        ),
        members=tuple(row.members for row in rows if row.members),
        refused=tuple((printable(row.file), row.reason) for row in rows if row.probability is None),
        seconds=(study.decode, study.resize, study.inference),
        notes=tuple((printable(row.file), note) for row in rows for note in row.notes),
    )
