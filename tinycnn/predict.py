"""``tinycnn predict STUDY_DIR``: judge one study, or every study in a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from typing import IO

from tinycnn import cli
from tinycnn.errors import StudyError
from tinycnn.files import atomic_write, need_apart
from tinycnn.panels import add_options, open_panel, setup_of
from tinycnn.progress import Progress
from tinycnn.studies.doubts import large_studies
from tinycnn.studies.finder import Folder, find_folders, find_studies
from tinycnn.studies.names import counted, printable
from tinycnn.studies.panel import Panel
from tinycnn.studies.reports import Report, Source, Tally, TextReport
from tinycnn.studies.result import StudyResult
from tinycnn.studies.verdict import judge_with

KEPT_IN_MEMORY = 1 << 20  # of a JSON document that waits for its end; the rest goes to disk

EPILOG = """\
A study is a folder of PNG or JPEG images, or one image. A folder above is searched for studies;
names as in MURA (XR_SHOULDER/patient00007/study1_positive) tell body part, patient and label.
A view that shows nothing (one gray level, a few pixels) is refused and has no part in the verdict.

exit status: 0 a verdict for every study; 1 some study has no usable view; 2 wrong use, no study
found, or a model that cannot be read; 130 interrupted,
143 by SIGTERM"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return cli.run("predict", _predict, argv)


def _predict(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)
    folders = _at_least_one_study(options.study)
    panel, source = open_panel(setup_of(options))
    models = (one.model_path for one in (source, *source.others))
    need_apart({"--output": options.output}, (*models, options.study))
    tally = Tally()
    with (
        _judging(options, panel, source) as judged,
        _output(options) as stream,
        _progress(options) as progress,
    ):
        report = _report(options)(stream, source)
        report.begin()
        try:
            for result in judged(_studies(folders, tally)):
                progress.clear()
                report.study(result)
                tally.add(result)
                progress.advance()
            report.end(tally)
        finally:
            report.close()
    if tally.large and (options.json or options.csv or options.output):  # else it is in the text
        views, path = tally.largest
        cli.warn("predict", large_studies(tally.large, path, views))
    return 1 if tally.without_verdict else 0


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser("predict", "Judge one study, or every study in a folder.", EPILOG)
    parser.add_argument("study", metavar="STUDY_DIR", help="a study, or a folder with many")
    add_options(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON document")
    form.add_argument("--csv", action="store_true", help="a row per file")
    parser.add_argument("--output", metavar="FILE", help="write there, whole or not at all")
    return parser


@contextmanager
def _judging(
    options: argparse.Namespace, panel: Panel, source: Source
) -> Iterator[Callable[[Iterable[Folder]], Iterator[StudyResult]]]:
    """What judges one study after the other, in their order: here, or the cluster."""
    if options.scheduler is None:
        yield partial(map, partial(judge_with, panel=panel))
        return
    from tinycnn.cluster import connected, judged
    from tinycnn.clusterjob import Verdicts, sent

    job = Verdicts(sent(setup_of(options), source))
    with connected(options.scheduler) as client:
        yield lambda folders: judged(client, job, folders, panel)


def _studies(folders: Iterable[Folder], tally: Tally) -> Iterator[Folder]:
    """The studies among ``folders``; what lies elsewhere is counted."""
    for folder in folders:
        if folder.is_study:
            yield folder
        else:
            tally.add_stray(folder)


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
