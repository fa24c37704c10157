"""Measure the shipped models of phantoms on 500 phantom studies that they never saw.

    python demos/measure.py            # prints the table of weights/README.md
    python demos/measure.py --update   # also writes it there, and the figures into the model files

The studies are drawn into a temporary folder with a seed that no training used, and judged one by
one as `tinycnn predict` does it.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import _checkout  # noqa: F401
import phantoms

import tinycnn
from tinycnn import signals, weights
from tinycnn.errors import TinycnnError
from tinycnn.nn import modelfile
from tinycnn.nn.model import Decision, Figures
from tinycnn.progress import Progress
from tinycnn.studies.result import StudyResult
from tinycnn.studies.verdict import predict_studies

SEED, STUDIES = 2, 500
TRAINING_SEEDS = (1, 7, 11, 12)
MARK = "measured"
PHANTOMS = "-phantoms"  # how the names of the models end that were trained on drawings


def outcomes(results: Iterable[StudyResult], total: int) -> dict[str, Counter[tuple[bool, bool]]]:
    """Count (truly abnormal, called abnormal) per body part and over all of them."""
    counts: dict[str, Counter[tuple[bool, bool]]] = {}
    with Progress(total, "studies") as progress:
        for result in results:
            if result.positive is None or result.body_part is None:
                raise TinycnnError(f"{result.path}: no verdict; draw the studies again")
            pair = (result.label == "positive", result.positive)
            for part in (result.body_part, "all"):
                counts.setdefault(part, Counter())[pair] += 1
            progress.advance()
    return counts


def figures(counts: Counter[tuple[bool, bool]], decision: Decision) -> Figures:
    """The counts as a model file keeps them."""
    return Figures(
        studies=counts.total(),
        true_positive=counts[True, True],
        false_positive=counts[False, True],
        true_negative=counts[False, False],
        false_negative=counts[True, False],
        rule=decision.rule,
        threshold=decision.threshold,
    )


def measure(name: str, studies: Path, total: int) -> dict[str, Figures]:
    """Judge all studies with one shipped model: figures per body part, "all" last."""
    session = tinycnn.load(name)
    counts = outcomes(predict_studies(studies, session), total)
    order = sorted(counts, key=lambda part: (part == "all", part))
    return {part: figures(counts[part], session.model.decision) for part in order}


def table(measured: dict[str, dict[str, Figures]]) -> str:
    """Markdown: a row per body part, a column per model: accuracy (sensitivity, specificity)."""
    names = list(measured)
    lines = [f"| body part | studies | {' | '.join(names)} |", "|---|--:|" + "--:|" * len(names)]
    for part, first in measured[names[0]].items():
        cells = [_cell(measured[name][part]) for name in names]
        lines.append(f"| {part} | {first.studies} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: Figures) -> str:
    rates = (value.accuracy, value.sensitivity, value.specificity)
    accuracy, sensitivity, specificity = ("-" if r is None else f"{100 * r:.1f} %" for r in rates)
    return f"{accuracy} ({sensitivity}, {specificity})"


def update_model(name: str, accuracy: dict[str, Figures], evaluated_on: str) -> None:
    """Write the figures into the shipped file, which stays the same otherwise."""
    path = weights.find(name)
    model = modelfile.load(path)
    provenance = dataclasses.replace(model.provenance, accuracy=accuracy, evaluated_on=evaluated_on)
    modelfile.save(dataclasses.replace(model, provenance=provenance), path)


def update_readme(path: Path, text: str, mark: str = MARK) -> None:
    """Replace what stands between the two comments `mark`: begin and `mark`: end."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    old = path.read_text(encoding="utf-8")
    if begin not in old or end not in old:
        raise TinycnnError(f"{path}: the marks {begin} and {end} are missing; put them back")
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    path.write_text(pattern.sub(lambda _: f"{begin}\n{text}\n{end}", old), encoding="utf-8")


def run(options: argparse.Namespace) -> str:
    """Draw, judge, and update what is asked for; returns the table."""
    with tempfile.TemporaryDirectory(prefix="phantoms-") as folder:
        studies = Path(folder)
        phantoms.write_dataset(studies, options.studies, options.seed, options.jobs)
        names = options.weights or [n for n in weights.names() if n.endswith(PHANTOMS)]
        measured = {name: measure(name, studies, options.studies) for name in names}
    text = table(measured)
    if options.update:
        for name, accuracy in measured.items():
            drawn = f"{options.studies} drawn phantom studies that it never saw"
            update_model(name, accuracy, f"{drawn} (seed {options.seed})")
        update_readme(weights.FOLDER / "README.md", text)
    return text


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; wrong use ends with status 2."""
    text, _, more = (__doc__ or "").partition("\n")
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=text, epilog=more, formatter_class=form)
    parser.add_argument(
        "--weights", action="append", help="a shipped model; default: all *-phantoms"
    )
    parser.add_argument("--studies", type=int, default=STUDIES, help=f"default: {STUDIES}")
    parser.add_argument("--seed", type=int, default=SEED, help=f"default: {SEED}")
    parser.add_argument("--jobs", type=int, default=1, help="processes that draw (default: 1)")
    parser.add_argument(
        "--update",
        action="store_true",
        help="also write weights/",
    )
    options = parser.parse_args(arguments)
    if options.seed in TRAINING_SEEDS:
        parser.error(f"seeds {TRAINING_SEEDS} were used in training; take another")
    return options


@signals.raised()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 measured, 1 something could not be read or written, 130 interrupted."""
    options = parse_arguments(arguments)
    try:
        print(run(options))
    except (TinycnnError, OSError) as error:
        print(f"measure: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interruption:
        print("measure: interrupted", file=sys.stderr)
        return signals.status(interruption)
    return 0


if __name__ == "__main__":
    sys.exit(main())
