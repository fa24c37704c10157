"""Which models judge, and how: what the options of predict and evaluate name, opened as a panel.

`Setup` is plain data: sent to another process or machine that has the same model files, it opens
there as the same panel.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import tinycnn
from tinycnn import weights
from tinycnn.errors import UsageError
from tinycnn.lightclass import dataclass
from tinycnn.nn.model import Decision, Model, Rule
from tinycnn.studies.names import counted
from tinycnn.studies.panel import Panel, Session
from tinycnn.studies.reports import Source


@dataclass(frozen=True)
class Setup:
    """What is needed to judge: model files, and what replaces their own ways.

    ``weights``: names of shipped models, or paths. ``rule``, ``threshold``: None for the models'
    own. ``backend``, ``threads``: None for what is fastest, see `tinycnn.load`. ``hashes``: SHA-256
    that the model files must have; empty for whatever lies there.
    """

    weights: tuple[str, ...] = (weights.DEFAULT,)
    flip: bool = False
    rule: Rule | None = None
    threshold: float | None = None
    backend: str | None = None
    threads: int | None = None
    hashes: tuple[str, ...] = ()


def open_panel(setup: Setup) -> tuple[Panel, Source]:
    """Load the models of ``setup``; return what judges, and what reports say of it.

    ModelFileError for a file that is not sound, UsageError for models that cannot judge together,
    for a rule where no label is looked for, and for a file that is not the one of ``hashes``.
    """
    loaded = [
        tinycnn.load(name, backend=setup.backend, threads=setup.threads) for name in setup.weights
    ]
    if setup.hashes and len(setup.hashes) != len(loaded):
        raise UsageError(f"{counted(len(setup.hashes), 'hash')} for {len(loaded)} models")
    for session, wanted in zip(loaded, setup.hashes, strict=False):
        if session.model_hash != wanted:
            raise UsageError(
                f"{session.path}: not the model that the job began with: its SHA-256 is "
                f"{session.model_hash[:12]}, not {wanted[:12]}; copy the same file to every machine"
            )
    version = tinycnn.__version__
    source, *others = (
        Source(s.model, s.model_hash, str(s.path), s.backend, version, setup.flip) for s in loaded
    )
    _need_different((source, *others))
    sessions: tuple[Session, ...] = tuple(loaded)
    if setup.flip:
        from tinycnn.studies.mirrored import Mirrored

        sessions = tuple(map(Mirrored, loaded))
    panel = Panel(sessions, _decision([s.model for s in loaded], setup))
    return panel, replace(source, others=tuple(others))


def _need_different(sources: Iterable[Source]) -> None:
    """UsageError if the same model is there twice: it would count twice, and agree with itself."""
    paths: dict[str, str] = {}
    for one in sources:
        if one.model_hash in paths:
            first = paths[one.model_hash]
            raise UsageError(f"{one.model_path} is the same model as {first}: name it once")
        paths[one.model_hash] = one.model_path


def pinned(setup: Setup, source: Source) -> Setup:
    """The same ``setup`` with the hashes of what it opened: elsewhere nothing else will do."""
    return replace(setup, hashes=tuple(one.model_hash for one in (source, *source.others)))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the options that `setup_of` reads."""
    parser.add_argument(
        "--weights",
        action="append",
        metavar="NAME|PATH",
        help=f"model; default {weights.DEFAULT}; several: their mean, and how they differ",
    )
    parser.add_argument("--rule", choices=("mean", "any", "max"), help="default: the model's")
    parser.add_argument(
        "--threshold", type=_threshold, help="for all studies, between 0 and 1; default the model's"
    )
    parser.add_argument("--flip", action="store_true", help="mean with each view's mirror image")
    parser.add_argument(
        "--backend", help="native, numba, numpy; default: the fastest that runs here"
    )
    parser.add_argument("--threads", type=count, help="default: one per core")
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="work on the Dask cluster there; see docs/scale.md"
    )


def setup_of(options: argparse.Namespace) -> Setup:
    """What ``options``, of a parser that `add_options` has seen, ask for."""
    return Setup(
        tuple(options.weights or [weights.DEFAULT]),
        options.flip,
        options.rule,
        options.threshold,
        options.backend,
        options.threads,
    )


def count(text: str) -> int:
    """Read an option's value: a whole number, 1 or more."""
    with suppress(ValueError):
        if (value := int(text)) >= 1:
            return value
    raise argparse.ArgumentTypeError(f"must be a number, 1 or more, not {text!r}")


def _threshold(text: str) -> float:
    with suppress(ValueError):
        if 0.0 < (value := float(text)) < 1.0:
            return value
    raise argparse.ArgumentTypeError(f"threshold must be a number between 0 and 1, not {text!r}")


def _decision(models: list[Model], setup: Setup) -> Decision:
    """The models' decision with the rule and threshold of ``setup`` where they are given."""
    if len(models) > 1:
        from tinycnn.studies.ensemble import common_decision

        return common_decision(models, setup.rule, setup.threshold)
    model = models[0]
    changes = {"rule": setup.rule, "threshold": setup.threshold}
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    if given and model.decision.positive is None and not model.independent:
        raise UsageError(
            f"--{next(iter(given))}: model {model.name!r} looks for no label; "
            "its verdict is the label with the highest mean score"
        )
    if setup.threshold is None and setup.rule in (None, model.decision.rule):
        return model.decision
    return replace(model.decision, **given, thresholds={})  # those are for the model's own rule
