"""``tinycnn predict STUDY_DIR``: judge one study, or every study in a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import IO

import tinycnn
from tinycnn import cli, weights
from tinycnn.errors import StudyError, UsageError
from tinycnn.files import atomic_write
from tinycnn.nn.model import Decision, Model
from tinycnn.progress import Progress
from tinycnn.studies.finder import Folder, find_folders, find_studies
from tinycnn.studies.names import counted, printable
from tinycnn.studies.reports import Report, Source, Tally, TextReport
from tinycnn.studies.result import StudyResult
from tinycnn.studies.verdict import Session, judge

KEPT_IN_MEMORY = 1 << 20  # of a JSON document that waits for its end; the rest goes to disk

EPILOG = """\
A study is a folder of PNG or JPEG images, or one image. A folder above is searched for studies;
names as in MURA (XR_SHOULDER/patient00007/study1_positive) tell body part, patient and label.

exit status: 0 a verdict for every study; 1 some study has no usable view; 2 wrong use, no study
found, or a model that cannot be read; 130 interrupted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return cli.run("predict", _predict, argv)


def _predict(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)
    folders = _at_least_one_study(options.study)
    sources, judge_one = _judges(options)
    source = replace(sources[0], others=tuple(sources[1:]))
    tally = Tally()
    with _output(options) as stream, _progress(options) as progress:
        report = _report(options)(stream, source)
        report.begin()
        try:
            for folder in folders:
                if not folder.is_study:
                    tally.add_stray(folder)
                    continue
                result = judge_one(folder)
                progress.clear()
                report.study(result)
                tally.add(result)
                progress.advance()
            report.end(tally)
        finally:
            report.close()
    return 1 if tally.without_verdict else 0


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser("predict", "Judge one study, or every study in a folder.", EPILOG)
    parser.add_argument("study", metavar="STUDY_DIR", help="a study, or a folder with many")
    parser.add_argument(
        "--weights",
        action="append",
        metavar="NAME|PATH",
        help=f"model; default {weights.DEFAULT}; several: their mean, and how they differ",
    )
    parser.add_argument("--rule", choices=("mean", "any", "max"), help="default: the model's")
    parser.add_argument(
        "--threshold", type=threshold, help="for all studies, between 0 and 1; default the model's"
    )
    parser.add_argument("--flip", action="store_true", help="mean with each view's mirror image")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON document")
    form.add_argument("--csv", action="store_true", help="a row per file")
    parser.add_argument("--output", metavar="FILE", help="write there, whole or not at all")
    parser.add_argument("--backend", help="numba or numpy; default: the fastest that runs here")
    parser.add_argument("--threads", type=count, help="default: one per core")
    return parser


def _judges(
    options: argparse.Namespace,
) -> tuple[list[Source], Callable[[Folder], StudyResult]]:
    """Load what the options name: the models, and what judges a folder with all of them."""
    loaded = [
        tinycnn.load(name, backend=options.backend, threads=options.threads)
        for name in options.weights or [weights.DEFAULT]
    ]
    version = tinycnn.__version__
    sources = [
        Source(s.model, s.model_hash, str(s.path), s.backend, version, options.flip) for s in loaded
    ]
    sessions: Sequence[Session] = loaded
    if options.flip:
        from tinycnn.studies.mirrored import Mirrored

        sessions = [Mirrored(session) for session in loaded]
    if len(loaded) == 1:
        decision = decision_of(loaded[0].model, options)
        return sources, partial(judge, session=sessions[0], decision=decision)
    from tinycnn.studies.ensemble import common_decision, judge_together

    models = [session.model for session in loaded]
    decision = common_decision(models, options.rule, options.threshold)
    return sources, partial(judge_together, sessions=sessions, decision=decision)


def threshold(text: str) -> float:
    """Read an option's value: a number between 0 and 1, neither included."""
    with suppress(ValueError):
        if 0.0 < (value := float(text)) < 1.0:
            return value
    raise argparse.ArgumentTypeError(f"threshold must be a number between 0 and 1, not {text!r}")


def count(text: str) -> int:
    """Read an option's value: a whole number, 1 or more."""
    with suppress(ValueError):
        if (value := int(text)) >= 1:
            return value
    raise argparse.ArgumentTypeError(f"must be a number, 1 or more, not {text!r}")


def decision_of(model: Model, options: argparse.Namespace) -> Decision:
    """The model's decision with ``--rule`` and ``--threshold`` where they are given."""
    changes = {"rule": options.rule, "threshold": options.threshold}
    given = {name: value for name, value in changes.items() if value is not None}
    if given and model.decision.positive is None:
        raise UsageError(
            f"--{next(iter(given))}: model {model.name!r} looks for no label; "
            "its verdict is the label with the highest mean score"
        )
    if options.threshold is None and options.rule in (None, model.decision.rule):
        return model.decision
    return replace(model.decision, **given, thresholds={})  # those are for the model's own rule


def _at_least_one_study(root: str) -> Iterator[Folder]:
    """Search ``root``; StudyError before anything else is done if there is no study in it."""
    folders, passed = find_folders(root), list[Folder]()
    for folder in folders:
        passed.append(folder)
        if folder.is_study:
            return chain(passed, folders)
    entries = [entry for folder in passed for entry in folder.entries]
    links = sum(entry.is_link for entry in entries)
    followed = f"; {counted(links, 'symbolic link')} not followed" if links else ""
    raise StudyError(
        f"no study in {printable(root)!r}: {counted(len(entries) - links, 'file')} seen, "
        f"none is an image; PNG and JPEG are read{followed}"
    )


def _report(options: argparse.Namespace) -> Callable[[IO[str], Source], Report]:
    if options.json or options.csv:
        from tinycnn.studies.records import CsvReport, JsonReport

        return JsonReport if options.json else CsvReport
    return partial(TextReport, several=_length(islice(find_studies(options.study), 2)) > 1)


@contextmanager
def _output(options: argparse.Namespace) -> Iterator[IO[str]]:
    if options.output:
        with atomic_write(options.output) as stream:
            yield stream
    elif options.json:  # half a document is worth nothing: it leaves when it is complete
        import shutil
        import tempfile

        with tempfile.SpooledTemporaryFile(KEPT_IN_MEMORY, "w+", encoding="utf-8") as spool:
            yield spool
            spool.seek(0)
            shutil.copyfileobj(spool, sys.stdout)
    else:
        yield sys.stdout


def _progress(options: argparse.Namespace) -> Progress:
    on_screen = not (options.output or options.json) and sys.stdout.isatty()
    if on_screen or not sys.stderr.isatty():  # then the studies themselves show how far it is
        return Progress(0)
    return Progress(_length(find_studies(options.study)), "studies")


def _length(things: Iterable[object]) -> int:
    return sum(1 for _ in things)


if __name__ == "__main__":
    sys.exit(main())
