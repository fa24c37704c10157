"""Train a classifier with Keras 3 on TensorFlow (extra `train`), and convert it for tinycnn.

    python demos/train.py shoulder-cnn5 MURA-v1.1/train -o shoulder
    python demos/train.py my.toml PHANTOMS -o mine --set training.epochs=5 --set data.folds=3

The first argument is a recipe of demos/recipes or a TOML file (all options: training/config.py).
DATA is a folder in the MURA layout, one of MURA's CSVs (train_image_paths.csv,
train_labeled_studies.csv), or a two-class .npz of MedMNIST. The output folder gets config.toml,
the best epoch as Keras and as tinycnn file, history.csv, curves.png and report.json. The same
command after a kill goes on with the epoch that was broken off.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import _checkout  # noqa: F401
from training import config
from training.run import run

from tinycnn import signals
from tinycnn.errors import TinycnnError


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; wrong use ends with status 2."""
    text, _, more = (__doc__ or "").partition("\n")
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=text, epilog=more, formatter_class=form)
    parser.add_argument("config", help=f"a TOML file, or one of {', '.join(config.recipes())}")
    parser.add_argument("data", type=Path, help="folder in the MURA layout, MURA's CSV, or .npz")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the result")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.OPTION=VALUE")
    return parser.parse_args(arguments)


@signals.raised()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 trained, 1 data or extra missing, 130 interrupted."""
    options = parse_arguments(arguments)
    try:
        report = run(config.load(options.config, tuple(options.set)), options.data, options.output)
    except (TinycnnError, OSError, ValueError, ModuleNotFoundError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interruption:
        print("train: interrupted; the same command goes on", file=sys.stderr)
        return signals.status(interruption)
    print(json.dumps(report["validation"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
