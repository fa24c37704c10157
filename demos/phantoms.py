"""Draw radiographs that never were, in the folder layout of MURA.

    python demos/phantoms.py OUT_DIR --studies 500 --seed 1

Study i of a seed is the same whatever the count and the number of jobs. The drawings show the seven
body parts of MURA; a study is abnormal when one bone has a fracture, a plate, a wire or a lesion,
which some of its views may not show. Nothing here comes from a patient: every file says so in its
metadata and carries the word PHANTOM.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import _checkout  # noqa: F401
import numpy as np
from PIL import Image
from radiograph import defects
from radiograph.anatomy import BODY_PARTS, View, scaled
from radiograph.film import close_up, develop, random_pose
from radiograph.mark import save_png

from tinycnn import signals

ABNORMAL_SHARE = 0.45
# Every tenth study is the second one of the patient before it, so that a split by patient matters.
RETURN_EVERY = 10


@dataclass(frozen=True)
class Study:
    """What study `index` of `seed` is, before anything is drawn."""

    seed: int
    index: int
    body_part: str
    patient: int
    number: int
    abnormal: bool
    views: int

    @property
    def folder(self) -> Path:
        """XR_PART/patientNNNNN/studyN_label, relative to the data set."""
        label = "positive" if self.abnormal else "negative"
        return Path(self.body_part, f"patient{self.patient:05d}", f"study{self.number}_{label}")


def plan_study(seed: int, index: int) -> Study:
    """Decide label, body part, patient and number of views of one study."""
    rng = np.random.default_rng([seed, index, 0])
    returns = index % RETURN_EVERY == RETURN_EVERY - 1
    patient = index - 1 if returns else index
    body_part = list(BODY_PARTS)[patient % len(BODY_PARTS)]
    abnormal = bool(rng.random() < ABNORMAL_SHARE)
    views = int(rng.choice([1, 2, 3, 4], p=(0.1, 0.35, 0.4, 0.15)))
    return Study(seed, index, body_part, patient + 1, 2 if returns else 1, abnormal, views)


def _visibilities(views: int, rng: np.random.Generator) -> list[float]:
    """How well each view shows the defect: one always does, a third of the others not at all."""
    shown = rng.uniform(0.4, 1.0, size=views) * (rng.random(views) > 0.3)
    shown[int(rng.integers(views))] = rng.uniform(0.75, 1.0)
    return [float(value) for value in shown]


def shown(study: Study) -> list[bool]:
    """Which views of the study show a defect; the label says only that one of them does."""
    rng = np.random.default_rng([study.seed, study.index, 1])
    defects.random_defect(rng)
    return [study.abnormal and value > 0 for value in _visibilities(study.views, rng)]


def draw_study(study: Study, close: bool = False) -> Iterator[Image.Image]:
    """Draw the views of a study one after the other: 8-bit grey, long side about 512.

    `close`: films of 208 x 208 around the defect, or where it would be, at the same scale.
    """
    rng = np.random.default_rng([study.seed, study.index, 1])
    body = np.random.default_rng([study.seed, study.patient, 2])
    body_seed, young, width = (
        int(body.integers(2**31)),
        body.random() < 0.18,
        body.uniform(0.88, 1.15),
    )
    mirrored = bool(body.random() < 0.5)
    defect = defects.random_defect(rng)
    for number, visibility in enumerate(_visibilities(study.views, rng)):
        # The marker comes from its own generator and mostly tells the side, never the label.
        view_rng = np.random.default_rng([study.seed, study.index, 3, number])
        view = View(float(view_rng.uniform(0.4, 1.0)), float(view_rng.random() ** 2))
        anatomy = scaled(BODY_PARTS[study.body_part](np.random.default_rng(body_seed), view), width)
        if young:
            anatomy = defects.with_growth_plates(anatomy, 3.0)
        scene = defects.apply(defect, anatomy, visibility if study.abnormal else 0.0)
        defects.distract(scene, study.body_part, view_rng)
        pose = random_pose(view_rng, mirrored)
        if close:
            pose = close_up(pose, defects.location(defect, anatomy), view_rng)
        marker = "L" if mirrored else "R"
        yield develop(scene, anatomy.tissue, pose, marker, view_rng)


def files(study: Study, by_view: bool = False) -> list[Path]:
    """Where the views go, relative to the data set; `by_view`: see `--by-view`."""
    if not by_view:
        return [study.folder / f"image{view}.png" for view in range(1, study.views + 1)]
    return [
        replace(study, number=10 * study.number + view, abnormal=abnormal).folder / "image1.png"
        for view, abnormal in enumerate(shown(study), start=1)
    ]


def write_study(root: Path, seed: int, close: bool, by_view: bool, index: int) -> int:
    """Draw study `index` below `root`; returns the number of views."""
    study = plan_study(seed, index)
    for path, image in zip(files(study, by_view), draw_study(study, close), strict=True):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        save_png(image, root / path)
    return study.views


def with_progress(counts: Iterable[int], total: int) -> Iterator[int]:
    """Pass counts on, with a bar on stderr when that is a terminal and two seconds have passed."""
    start = shown = time.monotonic()
    for done, count in enumerate(counts, start=1):
        yield count
        now = time.monotonic()
        if sys.stderr.isatty() and now - start > 2 and (now - shown > 0.2 or done == total):
            shown = now
            bar = ("#" * (30 * done // total)).ljust(30, ".")
            end = "\n" if done == total else ""
            print(f"\r[{bar}] {done}/{total} studies", end=end, file=sys.stderr, flush=True)


def _follow_parent() -> None:
    """Of a process that draws: the parent alone answers signals, in one line, and ends this one."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # leaves no file half written


def write_dataset(
    root: Path, studies: int, seed: int, jobs: int = 1, close: bool = False, by_view: bool = False
) -> int:
    """Draw studies 0..studies-1 of `seed` below `root`; returns the number of images."""
    work = partial(write_study, root, seed, close, by_view)
    if jobs == 1:
        return sum(with_progress(map(work, range(studies)), studies))
    with multiprocessing.Pool(jobs, initializer=_follow_parent) as pool:
        counts = pool.imap_unordered(work, range(studies), chunksize=4)
        return sum(with_progress(counts, studies))


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; wrong use ends with status 2."""
    parser = argparse.ArgumentParser(description="Draw radiographs that never were (MURA layout).")
    parser.add_argument("out_dir", type=Path, help="folder to write into; made if missing")
    parser.add_argument("--studies", type=int, default=500, help="how many (default: 500)")
    parser.add_argument(
        "--seed", type=int, default=1, help="another seed, other studies (default: 1)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument(
        "--close-up", action="store_true", help="small films around the spot: a first lesson"
    )
    parser.add_argument(
        "--by-view",
        action="store_true",
        help="every view a study of its own, positive only if it shows the defect: a lesson",
    )
    parser.add_argument(
        "--force", action="store_true", help="write into a folder that is not empty"
    )
    options = parser.parse_args(arguments)
    if options.studies < 1 or options.jobs < 1 or options.seed < 0:
        parser.error("--studies and --jobs must be at least 1, --seed at least 0")
    return options


@signals.raised()
def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 done, 1 could not write, 2 wrong use, 130 interrupted, 143 by SIGTERM."""
    options = parse_arguments(arguments)
    root: Path = options.out_dir
    try:
        if root.is_dir() and any(root.iterdir()) and not options.force:
            print(
                f"phantoms: {root} is not empty: name an empty folder or add --force",
                file=sys.stderr,
            )
            return 2
        root.mkdir(parents=True, exist_ok=True)
        images = write_dataset(
            root, options.studies, options.seed, options.jobs, options.close_up, options.by_view
        )
    except KeyboardInterrupt as interruption:
        print(
            f"\nphantoms: interrupted; the files in {root} are whole, the set is not",
            file=sys.stderr,
        )
        return signals.status(interruption)
    except OSError as error:
        print(
            f"phantoms: cannot write: {error}: free some space or choose another folder",
            file=sys.stderr,
        )
        return 1
    print(f"{options.studies} studies, {images} images in {root}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
