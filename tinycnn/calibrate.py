"""``tinycnn calibrate MODEL DATASET -o NEW``: thresholds by body part, and a temperature."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

import tinycnn
from tinycnn import cli
from tinycnn.errors import StudyError, UsageError
from tinycnn.evaluation.dataset import Dataset, add_arguments
from tinycnn.evaluation.records import patient_key, study_id
from tinycnn.nn import modelfile
from tinycnn.nn.model import MAX_TEXT, Calibration, Decision, Model, Sample
from tinycnn.progress import Progress
from tinycnn.studies import fitting
from tinycnn.studies.calibrated import scaled
from tinycnn.studies.names import counted, printable
from tinycnn.studies.result import StudyResult
from tinycnn.studies.verdict import decide, judge

FEWEST = 20  # studies of either label that a threshold is chosen from

EPILOG = f"""\
DATASET has the layout of MURA (XR_SHOULDER/patient00007/study1_positive): a name says what is
right. It may also be one of MURA's CSVs, beside the folders that it names, as for `evaluate`.
Take studies that the model was not trained on. A body part with fewer than {FEWEST} studies of
either label has the threshold of all body parts together.

exit status: 0 written; 2 wrong use, a model that cannot be read, or data that is too little"""


@dataclass
class Studies:
    """What is known of the studies of one body part: raw probabilities of views, and labels."""

    views: list[tuple[float, ...]] = field(default_factory=list)
    truth: list[bool] = field(default_factory=list)
    patients: set[str] = field(default_factory=set)

    def add(self, result: StudyResult, patient: str) -> None:
        """Take in a study that has a label and a verdict."""
        self.views.append(tuple(r.probability for r in result.judged if r.probability is not None))
        self.truth.append(result.label == "positive")
        self.patients.add(patient)

    @property
    def sample(self) -> Sample:
        """How many there are."""
        positive = sum(self.truth)
        return Sample(positive, len(self.truth) - positive, len(self.patients))

    @property
    def enough(self) -> bool:
        """Whether a threshold can be chosen from them."""
        return min(self.sample.positive, self.sample.negative) >= FEWEST

    def scores(self, decision: Decision) -> fitting.Floats:
        """What the rule compares with the threshold, (studies,)."""
        rule = replace(decision, rule="max" if decision.rule == "any" else decision.rule)
        return np.array([decide(scaled_views(v, decision), rule)[1] for v in self.views])


@dataclass
class Found:
    """Studies by body part, with "all"; and how many were of no use."""

    parts: dict[str, Studies] = field(default_factory=lambda: {"all": Studies()})
    unlabelled: int = 0
    unusable: int = 0
    refused: int = 0  # views of labelled studies

    def add(self, result: StudyResult, patient: str) -> None:
        """Take in a study of ``patient``, or count why not."""
        if result.label is None:
            self.unlabelled += 1
            return
        self.refused += len(result.refused)
        if result.positive is None:
            self.unusable += 1
        else:
            for part in ("all", result.body_part):
                if part is not None:
                    self.parts.setdefault(part, Studies()).add(result, patient)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return cli.run("calibrate", _calibrate, argv)


def _calibrate(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)
    _check(options)
    dataset = Dataset(options.dataset, options.labels)
    total, _ = dataset.count()
    for doubt in dataset.doubts:
        cli.warn("calibrate", doubt)
    session = tinycnn.load(options.model, backend=options.backend, threads=options.threads)
    model = session.model
    if model.decision.positive is None:
        raise UsageError(f"model {model.name!r} looks for no label: there is nothing to calibrate")
    raw = replace(model.decision, temperature=1.0, thresholds={}, calibration=None)
    found = Found()
    with Progress(total, "studies") as progress:
        for folder in dataset.folders():
            patient = patient_key(study_id(dataset.root, folder), folder.name)
            found.add(judge(folder, session, raw), patient)
            progress.advance()
    decision = calibrated(raw, found.parts, options)
    print(_report(model, decision, found))
    _write(replace(model, decision=decision), options.output)
    tinycnn.load(options.output, backend=options.backend, threads=options.threads)
    print(f"written: {printable(str(options.output))}; its self-test passes")
    return 0


def calibrated(
    raw: Decision, parts: Mapping[str, Studies], options: argparse.Namespace
) -> Decision:
    """Return ``raw`` with the temperature and the thresholds that ``options`` ask for.

    StudyError if all studies together are too few, or tell nothing.
    """
    sample = parts["all"].sample
    if not parts["all"].enough:
        raise StudyError(
            f"{printable(options.dataset)!r} has {sample.positive} positive and {sample.negative} "
            f"negative studies that can be used; {FEWEST} of each are needed"
        )
    target = f"sensitivity {options.sensitivity:g}" if options.sensitivity else "best kappa"
    if not (options.sensitivity or options.kappa):
        target = "none"
    samples = {part: parts[part].sample for part in sorted(parts)}
    record = Calibration(_name(options), target, raw.rule, tinycnn.__version__, samples)
    decision = replace(raw, calibration=record)
    if options.temperature:
        decision = replace(decision, temperature=_temperature(parts["all"], target))
    if target == "none":
        return decision
    chosen = {p: _threshold(parts[p], decision, options) for p in sorted(parts) if parts[p].enough}
    thresholds = {part: value for part, value in chosen.items() if value is not None}
    if "all" not in thresholds:
        raise StudyError(f"no threshold gives {target}: the scores do not tell the labels apart")
    return replace(decision, thresholds=thresholds)


def _temperature(studies: Studies, target: str) -> float:
    try:
        return fitting.fit_temperature(*_views(studies))
    except StudyError as error:
        hint = "" if target == "none" else "; leave out --temperature to choose thresholds alone"
        raise StudyError(f"{error}{hint}") from error


def _threshold(studies: Studies, decision: Decision, options: argparse.Namespace) -> float | None:
    p, truth = studies.scores(decision), np.array(studies.truth)
    if options.sensitivity:
        return fitting.threshold_for_sensitivity(p, truth, options.sensitivity)
    return fitting.threshold_for_kappa(p, truth)


def scaled_views(views: Iterable[float], decision: Decision) -> list[float]:
    """Probabilities of views at the temperature of ``decision``."""
    return [scaled(p, decision.temperature) for p in views]


def _views(studies: Studies) -> tuple[fitting.Floats, fitting.Bools]:
    """Every view with the label of its study."""
    counts = [len(views) for views in studies.views]
    return np.concatenate([np.array(v) for v in studies.views]), np.repeat(studies.truth, counts)


def _report(model: Model, decision: Decision, found: Found) -> str:
    record, sample = decision.calibration, found.parts["all"].sample
    assert record is not None
    lines = [
        f"{printable(model.name)} on {record.dataset}: {sample.positive} positive and "
        f"{sample.negative} negative studies of {counted(sample.patients, 'patient')}; "
        f"rule {decision.rule}, target: {record.target}"
    ]
    if decision.temperature != 1.0:
        lines.append(_before_and_after(found.parts["all"], decision))
    if decision.thresholds:
        lines += ["", "body part       positive negative threshold sensitivity specificity  kappa"]
        lines += [_row(part, found.parts[part], decision) for part in sorted(found.parts)]
        lines += ["These figures are of the studies that were chosen from: expect less of others."]
    left = {"without a label": found.unlabelled, "without a view": found.unusable}
    lines += [f"left out: {n} {'study' if n == 1 else 'studies'} {w}" for w, n in left.items() if n]
    lines += [f"left out: {counted(found.refused, 'view')} refused"] * bool(found.refused)
    return "\n".join(lines)


def _before_and_after(studies: Studies, decision: Decision) -> str:
    raw, truth = _views(studies)
    p = np.array(scaled_views(raw.tolist(), decision))
    losses = [fitting.log_loss(q, truth) for q in (raw, p)]
    errors = [fitting.expected_calibration_error(q, truth) for q in (raw, p)]
    worse = round(errors[1], 4) > round(errors[0], 4)
    return (
        f"temperature {decision.temperature:.4g}: log loss {losses[0]:.4f} -> {losses[1]:.4f}, "
        f"calibration error (ECE) {errors[0]:.4f} -> {errors[1]:.4f}, of {len(raw)} views"
        + "\nThe calibration error got WORSE: consider to leave out --temperature."
        * worse
    )


def _row(part: str, studies: Studies, decision: Decision) -> str:
    used, sample = decision.on(part), studies.sample
    tp, fp, tn, fn = fitting.outcomes(
        studies.scores(decision), np.array(studies.truth), used.threshold
    )
    rates = [f"{a / (a + b):.1%}" if a + b else "-" for a, b in ((tp, fn), (tn, fp))]
    value = fitting.kappa(tp, fp, tn, fn)
    text = (
        f"{part:<15} {sample.positive:8} {sample.negative:8} {used.threshold:9g} "
        f"{rates[0]:>11} {rates[1]:>11} {'-' if value is None else f'{value:.3f}':>6}"
    )
    if part in decision.thresholds:
        return text
    why = "no threshold does it" if studies.enough else f"fewer than {FEWEST} of a label"
    return f"{text}  (that of all: {why})"


def _write(model: Model, path: Path) -> None:
    """Write ``model``; as float16 where that loses nothing, as in a file that was float16."""
    lossless = all(
        np.array_equal(modelfile.rounded({name: value})[name], value)
        for name, value in model.weights.items()
    )
    modelfile.save(model, path, "float16" if lossless else "float32")


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser(
        "calibrate", "Choose thresholds by body part, and a temperature, from studies.", EPILOG
    )
    parser.add_argument("model", metavar="MODEL", help="a model file, or a shipped model by name")
    add_arguments(parser)
    parser.add_argument(
        "-o", "--output", metavar="NEW", type=Path, required=True, help="model file to write"
    )
    target = parser.add_mutually_exclusive_group()
    target.add_argument(
        "--sensitivity", type=_share, metavar="S", help="thresholds that find this share, as 0.95"
    )
    target.add_argument("--kappa", action="store_true", help="thresholds with the best kappa")
    parser.add_argument("--temperature", action="store_true", help="fit a temperature")
    parser.add_argument("--name", help="what to call the data; default: the name of DATASET")
    parser.add_argument("--force", action="store_true", help="replace NEW if it exists")
    parser.add_argument(
        "--backend", help="native, numba, numpy; default: the fastest that runs here"
    )
    parser.add_argument("--threads", type=int, help="default: one per core")
    return parser


def _share(text: str) -> float:
    with suppress(ValueError):
        if 0.0 < (value := float(text)) <= 1.0:
            return value
    raise argparse.ArgumentTypeError(f"must be a share above 0 and up to 1, not {text!r}")


def _check(options: argparse.Namespace) -> None:
    """Refuse, before the work begins, what would fail after it."""
    if not (options.sensitivity or options.kappa or options.temperature):
        raise UsageError("nothing to do: give --sensitivity, --kappa or --temperature")
    path: Path = options.output
    if path.suffix != ".safetensors":
        raise UsageError(f"--output {path}: a model file is called NAME.safetensors")
    if not path.parent.is_dir():
        raise UsageError(f"--output {path}: there is no folder {path.parent}")
    if path.exists() and not options.force:
        raise UsageError(f"{path} exists; give --force to replace it, or another --output")


def _name(options: argparse.Namespace) -> str:
    name = options.name or os.path.basename(os.path.abspath(options.dataset))
    return printable(name)[:MAX_TEXT] or "unnamed"


if __name__ == "__main__":
    sys.exit(main())
