"""What was published with MURA, to stand beside a model's own kappa.

The paper (Rajpurkar, Irvin et al., "MURA: Large Dataset for Abnormality Detection in
Musculoskeletal Radiographs", arXiv:1712.06957v4, 2018) gives Cohen's kappa of three radiologists
and of a DenseNet-169 for each body part. Here stand only the figures that were checked on the
authors' own leaderboard, https://stanfordmlgroup.github.io/competitions/mura (rows "Best
Radiologist Performance" and "Stanford Baseline"): those over all body parts, without intervals.
"""

from __future__ import annotations

from typing import Any

SOURCE = (
    "Rajpurkar, Irvin et al. 2018, arXiv:1712.06957; overall kappas as on the authors' "
    "leaderboard, https://stanfordmlgroup.github.io/competitions/mura (hidden test set of 207 "
    "studies); the figures by body part, and intervals, stand in the paper's table, which could "
    "not be checked and is not repeated here"
)
KAPPA = {"all": {"best of three radiologists": 0.778, "model": 0.705}}


def published() -> dict[str, Any]:
    """``source``, and ``kappa`` by body part and reader; null where no interval is known."""
    kappa = {
        part: {who: {"value": value, "low": None, "high": None} for who, value in readers.items()}
        for part, readers in KAPPA.items()
    }
    return {"source": SOURCE, "kappa": kappa}
