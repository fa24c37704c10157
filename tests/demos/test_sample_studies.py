"""The studies that ship: what the README says they are, and small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import phantoms
from PIL import Image
from radiograph.mark import COMMENT

SAMPLES = Path(__file__).resolve().parents[2] / "demos" / "sample_studies"
SEED, INDICES = 3, (10, 11, 13, 25, 26, 28, 50)


def test_nothing_but_the_named_studies() -> None:
    """Seven studies, one megabyte at most."""
    files = [path for path in SAMPLES.rglob("*") if path.is_file()]
    wanted = {SAMPLES / phantoms.plan_study(SEED, index).folder for index in INDICES}
    assert {path.parent for path in files} == wanted
    assert sum(path.stat().st_size for path in files) < 1_000_000


def test_they_are_what_phantoms_draws() -> None:
    """Grey levels equal within rounding: another CPU may round a pixel the other way."""
    for index in INDICES:
        study = phantoms.plan_study(SEED, index)
        for number, drawn in enumerate(phantoms.draw_study(study), start=1):
            with Image.open(SAMPLES / study.folder / f"image{number}.png") as shipped:
                assert shipped.info["Comment"] == COMMENT
                difference = np.abs(np.asarray(shipped, np.int16) - np.asarray(drawn, np.int16))
            assert np.mean(difference > 2) < 0.01
