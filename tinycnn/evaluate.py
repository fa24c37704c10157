"""``tinycnn evaluate DATASET``: what a model is worth on a folder of labelled studies."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from typing import IO, Any

from tinycnn import cli, signals
from tinycnn.console import say
from tinycnn.engine.session import available_cores
from tinycnn.errors import PROGRAM, ClusterError
from tinycnn.evaluation import report
from tinycnn.evaluation.dataset import Dataset, add_arguments
from tinycnn.evaluation.document import Run, document
from tinycnn.evaluation.journal import Journal
from tinycnn.evaluation.records import Record
from tinycnn.evaluation.run import need_label, score
from tinycnn.files import atomic_write, need_apart
from tinycnn.panels import add_options, count, open_panel, setup_of
from tinycnn.progress import Progress
from tinycnn.studies.finder import Folder
from tinycnn.studies.panel import Panel
from tinycnn.studies.reports import Source

RESAMPLES = 1000

_Judge = Callable[[Iterable[Folder]], Generator[Record, None, None]]

EPILOG = """\
DATASET is a folder of studies named as in MURA: XR_WRIST/patient00014/study1_positive/image1.png.
A study whose name does not end in _positive or _negative is counted and left out of the figures.
DATASET may also be one of MURA's CSVs, beside the folders that it names: valid_labeled_studies.csv
or valid_image_paths.csv. Labels: rows FOLDER,1 (positive) or FOLDER,0, without a row of titles.
BY PATIENT: positive if any study is; judged positive if any study is, be it another one.
Ctrl-C, or a cluster that is lost, ends the run; what was done is reported. With --resume FILE it is
kept, and the same command goes on from there, or is given another --rule or --threshold; a study
whose files changed is judged again.

exit status: 0 every study was judged; 1 some study has no usable view; 2 wrong use, no labelled
study found, a model that cannot be read, or a cluster that was lost; 130 interrupted,
143 by SIGTERM"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return cli.run("evaluate", _evaluate, argv)


def _evaluate(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)
    dataset = Dataset(options.dataset, options.labels)
    total, said = dataset.count()
    panel, source = open_panel(setup_of(options))
    need_label(panel)
    _check_places(options, source)
    for doubt in dataset.doubts:
        cli.warn("evaluate", doubt)
    records: list[Record] = []
    started = time.monotonic()
    with (
        _outputs(options) as streams,  # a place that cannot be written to is told before the work
        _judging(options, dataset.root, panel, source) as judged,
    ):
        with _journal(options, dataset.root, source) as kept:
            stopped, recalled = _judge_all(records, judged, kept, dataset, total)
        run = Run(
            options.dataset,
            panel.decision,
            options.bootstrap,
            options.seed,
            stopped is not None,
            time.monotonic() - started,
            recalled,
            said,
        )
        found = document(records, source, run)
        _write(found, options, *streams)
    if stopped:
        return _tell(stopped, len(records), total, options.resume)
    return 1 if found["dataset"]["without_verdict"] else 0


def _parser() -> argparse.ArgumentParser:
    about = "Measure a model on labelled studies: by image, study and patient, by body part."
    parser = cli.Parser("evaluate", about, EPILOG)
    add_arguments(parser)
    add_options(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON document with everything")
    form.add_argument("--csv", action="store_true", help="a row per view")
    parser.add_argument(
        "--output", metavar="FILE", help="write there, when it ends; what was broken off says so"
    )
    parser.add_argument("--html", metavar="FILE", help="a page with curves and pictures, as well")
    parser.add_argument(
        "--resume", metavar="FILE", help="journal: go on where a run was broken off"
    )
    parser.add_argument(
        "--bootstrap", type=count, default=RESAMPLES, metavar="N",
        help="resamples of patients for the intervals; default %(default)s",
    )  # fmt: skip
    parser.add_argument("--seed", type=_seed, default=1, help="of the resamples; default 1")
    return parser


def _seed(text: str) -> int:
    if text.isdecimal() and len(text) < 10:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a number, 0 or more, not {text!r}")


def _journal(
    options: argparse.Namespace, root: str, source: Source
) -> AbstractContextManager[Journal | None]:
    if options.resume is None:
        return nullcontext(None)
    return Journal(options.resume, root, source)


@contextmanager
def _judging(
    options: argparse.Namespace, root: str, panel: Panel, source: Source
) -> Iterator[_Judge]:
    """What scores studies and yields their records in order: here, or the cluster."""
    threads = options.threads or available_cores()
    if options.scheduler is None:
        yield lambda folders: score(folders, root, panel, threads)
        return
    from tinycnn.cluster import connected, judged
    from tinycnn.clusterjob import Records, sent

    job = Records(sent(setup_of(options), source), os.path.abspath(root))
    with connected(options.scheduler) as client:
        yield lambda folders: judged(client, job, folders, panel)


def _judge_all(
    records: list[Record],
    judged: _Judge,
    kept: Journal | None,
    dataset: Dataset,
    total: int,
) -> tuple[KeyboardInterrupt | ClusterError | None, int]:
    """Fill ``records``; return what ended that too early, and how many the journal knew."""
    recalled = 0
    with Progress(total, "studies") as progress:

        def note(record: Record) -> None:
            records.append(record)
            progress.advance()

        def unknown() -> Iterator[Folder]:
            nonlocal recalled
            for folder in dataset.folders():
                known = kept.recall(folder) if kept else None
                if known:
                    recalled += 1
                    note(known)
                else:
                    yield folder

        # `read_picture` silences warnings for a moment, which is not made for several threads:
        # here they are silent for all of them, and afterwards as before.
        try:
            with (
                warnings.catch_warnings(),
                closing(judged(unknown())) as scored,
            ):
                warnings.simplefilter("ignore")
                for record in scored:
                    if kept:
                        kept.add(record)
                    note(record)
        except (KeyboardInterrupt, ClusterError) as stopped:
            if not records and isinstance(stopped, ClusterError):
                raise  # there is nothing to report
            return stopped, recalled
    return None, recalled


def _check_places(options: argparse.Namespace, source: Source) -> None:
    places = {f"--{name}": getattr(options, name) for name in ("resume", "output", "html")}
    models = (one.model_path for one in (source, *source.others))
    need_apart(places, (*models, options.dataset, *filter(None, [options.labels])))


@contextmanager
def _outputs(options: argparse.Namespace) -> Iterator[tuple[IO[str], IO[str] | None]]:
    """Open where the report goes, and the page if there is to be one."""
    with ExitStack() as open_files:
        page = open_files.enter_context(atomic_write(options.html)) if options.html else None
        if options.output is None:
            yield sys.stdout, page
        else:
            yield open_files.enter_context(atomic_write(options.output)), page


def _write(
    found: dict[str, Any], options: argparse.Namespace, stream: IO[str], html: IO[str] | None
) -> None:
    if html is not None:
        from tinycnn.evaluation.page import page

        html.write(page(found))
    if options.json:
        stream.write(json.dumps(found, allow_nan=False) + "\n")  # `dump` takes 3 times longer
    elif options.csv:
        report.write_csv(stream, found)
    else:
        report.write_text(stream, found)


def _tell(
    stopped: KeyboardInterrupt | ClusterError, done: int, total: int, journal: str | None
) -> int:
    """Say in one line why not all studies are in the report; return the exit status."""
    hint = "go on with the same command" if journal else "with --resume FILE it could go on"
    said = f"interrupted after {done} of {total} studies; the report is about these; {hint}"
    if isinstance(stopped, ClusterError):
        raise ClusterError(f"{stopped}; {said}") from stopped
    say(f"{PROGRAM} evaluate: {said}")
    return signals.status(stopped)


if __name__ == "__main__":
    sys.exit(main())
