"""What was published with MURA, to stand beside a model's own kappa.

The paper (Rajpurkar, Irvin et al., "MURA: Large Dataset for Abnormality Detection in
Musculoskeletal Radiographs", arXiv:1712.06957v4, 2018) gives in its table 2 Cohen's kappa of three
radiologists and of a DenseNet-169 for each body part, with intervals. Here stand only figures that
were read elsewhere than in a memory of that table:

- over all body parts, the best radiologist and the model: the authors' own leaderboard,
  https://stanfordmlgroup.github.io/competitions/mura (rows "Best Radiologist Performance" and
  "Stanford Baseline");
- the model by body part: README of https://github.com/pengshiqi/MURA at commit 5d93fdd, row
  "Baseline", whose average is the 0.705 of the leaderboard.

No source of the radiologists' figures by body part could be opened, so there are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SOURCE = (
    "Rajpurkar, Irvin et al. 2018, arXiv:1712.06957, hidden test set of 207 studies. Overall as on "
    "the authors' leaderboard, https://stanfordmlgroup.github.io/competitions/mura; the baseline "
    "by body part as quoted in https://github.com/pengshiqi/MURA (README, row Baseline). The "
    "radiologists by body part, and intervals, stand in the paper's table 2, which could not be "
    "checked and is not repeated here"
)
KAPPA = {
    "all": {"best of three radiologists": 0.778, "model": 0.705},
    "XR_ELBOW": {"model": 0.710},
    "XR_FINGER": {"model": 0.389},
    "XR_FOREARM": {"model": 0.737},
    "XR_HAND": {"model": 0.851},
    "XR_HUMERUS": {"model": 0.600},
    "XR_SHOULDER": {"model": 0.729},
    "XR_WRIST": {"model": 0.931},
}


def comparable(counts: Mapping[str, float]) -> list[str]:
    """Body parts whose kappa may stand beside a published one; empty where the data are not MURA's.

    ``counts``: judged studies by body part, with "all". A part that nobody published has no place
    here, and all together are like MURA's only with each of its seven parts and no other.
    """
    judged = {part for part, count in counts.items() if count and part != "all"}
    parts = sorted(judged & KAPPA.keys())
    return ["all", *parts] if {"all", *judged} == KAPPA.keys() else parts


def published() -> dict[str, Any]:
    """``source``, and ``kappa`` by body part and reader; null where no interval is known."""
    kappa = {
        part: {who: {"value": value, "low": None, "high": None} for who, value in readers.items()}
        for part, readers in KAPPA.items()
    }
    return {"source": SOURCE, "kappa": kappa}
