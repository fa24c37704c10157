"""From nothing to a page: draw studies, train, convert, calibrate, evaluate, compare with Keras.

    python demos/end_to_end.py OUT_DIR
    python demos/end_to_end.py OUT_DIR --small

Needs the extras `train` and `jit`. Three sets of close-ups of drawn bones are made, each with
patients of its own: to train with, to choose thresholds from, and to measure on. The five-layer
CNN (recipes/brief.toml) is trained in Keras, converted, and evaluated with and without calibration;
every verdict on the test studies must be Keras's. OUT_DIR/page.html shows what came of it. The
small form, made for a test, is too short to learn much.

Stopped by Ctrl-C or a kill, the same command goes on: a finished set and every finished epoch stay.

exit status: 0 done; 1 a step failed, or Keras disagrees; 2 wrong use; 130 interrupted
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _checkout  # noqa: F401
import beside_keras
import phantoms
from training import config
from training.fitting import BEST
from training.run import REPORT
from training.run import run as train
from training.start import need_keras, start_keras

from tinycnn import calibrate, evaluate, signals
from tinycnn.engine.session import available_cores
from tinycnn.errors import TinycnnError, UsageError
from tinycnn.nn import modelfile

PLAN, MODEL = "plan.json", "cnn5-close-ups"
CALIBRATED = f"{MODEL}-calibrated.safetensors"
SEEDS = {"training": 21, "calibration": 22, "test": 23}  # no shipped model saw them


@dataclass(frozen=True)
class Plan:
    """How many studies each set has, how it is calibrated, what is changed in the recipe."""

    training: int = 1500
    calibration: int = 300
    test: int = 300
    temperature: bool = True
    changes: tuple[str, ...] = ()


SMALL = Plan(
    240, 60, 60, False, ("image.height=48", "image.width=48", "training.epochs=3")
)  # which tells labels apart too badly for a temperature to fit


def run(plan: Plan, output: Path) -> beside_keras.Agreement:
    """Do everything that is not done yet in the folder `output`, and say so line by line."""
    _claim(plan, output)
    need_keras()
    chosen = config.load("brief", plan.changes)
    steps = _Steps(6)
    steps.do("drawn", lambda: _draw_all(plan, output))
    steps.do("trained in Keras, converted", lambda: _train(chosen, output))
    steps.do("calibrated", lambda: _calibrate(plan, output))
    steps.do("evaluated as trained", lambda: _evaluate(output, "trained", _trained(output)))
    calibrated, page = output / CALIBRATED, ("--html", str(output / "page.html"))
    steps.do("evaluated calibrated", lambda: _evaluate(output, "calibrated", calibrated, page))
    agreement = steps.do("compared with Keras", lambda: _compare(chosen, output))
    print(f"page: {output / 'page.html'}", flush=True)
    return agreement


class _Steps:
    """Runs steps and prints a line for each: what it says of itself, and how long it took.

    What is printed on the way, by Keras too, goes to standard error.
    """

    def __init__(self, total: int) -> None:
        self.total, self.number = total, 0

    def do(self, title: str, work: Callable[[], tuple[str, Any]]) -> Any:
        """Call `work`, print the first of what it returns, return the second."""
        self.number += 1
        started = time.monotonic()
        with redirect_stdout(sys.stderr):
            said, result = work()
        seconds = time.monotonic() - started
        print(f"[{self.number}/{self.total}] {title}: {said} ({seconds:.1f} s)", flush=True)
        return result


def _claim(plan: Plan, output: Path) -> None:
    """Write the plan into `output`; UsageError if the folder holds something else."""
    output.mkdir(parents=True, exist_ok=True)
    text, path = json.dumps(dataclasses.asdict(plan), indent=1) + "\n", output / PLAN
    if not path.exists() and any(output.iterdir()):
        raise UsageError(f"{output} is not empty and holds no run; give an empty folder")
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise UsageError(f"{path} is of another run (--small?); give another folder")
    path.write_text(text, encoding="utf-8")


def _draw_all(plan: Plan, output: Path) -> tuple[str, None]:
    counts = {name: getattr(plan, name) for name in SEEDS}
    for name, studies in counts.items():
        _draw(output / name, studies, SEEDS[name])
    sizes = ", ".join(f"{studies} for {name}" for name, studies in counts.items())
    return f"studies {sizes}", None


def _draw(folder: Path, studies: int, seed: int) -> None:
    """Draw a set whole or not at all: what was broken off is drawn again."""
    if not folder.exists():
        draft = folder.with_name(f".{folder.name}")
        draft.mkdir(exist_ok=True)
        phantoms.write_dataset(draft, studies, seed, available_cores(), close=True)
        os.replace(draft, folder)


def _train(chosen: config.Config, output: Path) -> tuple[str, None]:
    folder = output / MODEL
    if not (folder / REPORT).exists():
        train(chosen, output / "training", folder)
    report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    loss = [row["loss"] for row in report["history"]]
    return (
        f"{report['training_images']} images, {len(loss)} epochs, loss {loss[0]:.3f} -> "
        f"{loss[-1]:.3f}; best epoch {report['best_epoch']}"
    ), None


def _trained(output: Path) -> Path:
    return output / MODEL / f"{MODEL}.safetensors"


def _calibrate(plan: Plan, output: Path) -> tuple[str, None]:
    model = output / CALIBRATED
    options = ["--kappa", "--force", "-o", str(model), *["--temperature"] * plan.temperature]
    _check(calibrate.main([str(_trained(output)), str(output / "calibration"), *options]))
    decision = modelfile.load(model).decision
    own = ", ".join(f"{part} {value:.3f}" for part, value in decision.thresholds.items())
    return f"thresholds {own}; temperature {decision.temperature:.3g}", None


def _evaluate(output: Path, name: str, model: Path, more: Sequence[str] = ()) -> tuple[str, None]:
    found = output / f"{name}.json"
    options = ["--weights", str(model), "--json", "--output", str(found), *more]
    _check(evaluate.main([str(output / "test"), *options]))
    document = json.loads(found.read_text(encoding="utf-8"))
    measured = document["levels"]["study"]["all"]
    keys = ("accuracy", "sensitivity", "specificity", "auroc", "kappa")
    said = ", ".join(f"{key} {_figure(measured[key]['value'])}" for key in keys)
    return f"{measured['count']} studies, {said}", None


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _compare(chosen: config.Config, output: Path) -> tuple[str, beside_keras.Agreement]:
    document = json.loads((output / "trained.json").read_text(encoding="utf-8"))
    network = output / MODEL / BEST
    start_keras(chosen.threads)
    agreement = beside_keras.compare(document, network, output / "test", chosen.image)
    said = f"{agreement.other_verdicts} of {agreement.studies} verdicts are different"
    return f"{said}; scores by up to {agreement.largest_difference:.0e}", agreement


def _check(status: int) -> None:
    """Go on after 0; a command has said itself what was wrong."""
    if status > 128:  # a signal ended it
        raise signals.Ended(status - 128)
    if status:
        raise TinycnnError("a step failed, see above")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; wrong use ends with status 2."""
    text, _, more = (__doc__ or "").partition("\n")
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=text, epilog=more, formatter_class=form)
    parser.add_argument("output", metavar="OUT_DIR", type=Path, help="made if missing")
    parser.add_argument("--small", action="store_true", help="less of everything: under a minute")
    return parser.parse_args(arguments)


@signals.raised()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see above for the status."""
    options = parse_arguments(arguments)
    try:
        agreement = run(SMALL if options.small else Plan(), options.output)
    except UsageError as error:
        print(f"end_to_end: {error}", file=sys.stderr)
        return 2
    except (TinycnnError, OSError, ValueError, ModuleNotFoundError) as error:
        print(f"end_to_end: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interruption:
        print("\nend_to_end: interrupted; the same command goes on", file=sys.stderr)
        return signals.status(interruption)
    if not agreement.complete:
        print(f"end_to_end: Keras judges otherwise: {agreement}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
