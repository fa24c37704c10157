"""A document such as `tinycnn evaluate --json` writes, made from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

PARTS = ("XR_ELBOW", "XR_FINGER", "XR_FOREARM", "XR_HAND", "XR_HUMERUS", "XR_SHOULDER", "XR_WRIST")
MEASURES = ("accuracy", "sensitivity", "specificity", "auroc", "kappa")


def measure(value: float | None, spread: float = 0.05) -> dict[str, float | None]:
    if value is None:
        return {"value": None, "low": None, "high": None}
    return {"value": value, "low": value - spread, "high": min(value + spread, 1.0)}


def measured(truth: np.ndarray, score: np.ndarray) -> dict[str, Any]:
    """Counts and measures at threshold 0.5; kappa and AUROC only plausible."""
    said = score >= 0.5
    tp, fp = int((truth & said).sum()), int((~truth & said).sum())
    tn, fn = int((~truth & ~said).sum()), int((truth & ~said).sum())
    right = (tp + tn) / len(truth) if len(truth) else None
    sensitivity = tp / (tp + fn) if tp + fn else None
    specificity = tn / (tn + fp) if tn + fp else None
    both = None if sensitivity is None or specificity is None else sensitivity + specificity - 1
    area = None if both is None else min(0.99, 0.5 + both / 2 + 0.08)
    values = right, sensitivity, specificity, area, both
    return {
        "count": len(truth), "positive": int(truth.sum()),
        "true_positive": tp, "false_positive": fp, "true_negative": tn, "false_negative": fn,
        **{key: measure(value) for key, value in zip(MEASURES, values, strict=True)},
    }  # fmt: skip


def curve(truth: np.ndarray, score: np.ndarray) -> list[list[float]]:
    limits = [2.0, *sorted(score, reverse=True)]
    return [
        [float((score[~truth] >= t).mean()), float((score[truth] >= t).mean()), float(t)]
        for t in limits
        if truth.any() and not truth.all()
    ]


def bins(truth: np.ndarray, score: np.ndarray) -> list[dict[str, float | None]]:
    found = []
    for i in range(10):
        inside = (score >= i / 10) & (score < (i + 1) / 10)
        mean = float(score[inside].mean()) if inside.any() else None
        share = float(truth[inside].mean()) if inside.any() else None
        found.append({
            "low": i / 10, "high": (i + 1) / 10, "mean_probability": mean,
            "fraction_positive": share, "count": int(inside.sum()),
        })  # fmt: skip
    return found


def document(
    studies: int = 280,
    parts: tuple[str, ...] = PARTS,
    positive: float = 0.4,
    images: tuple[str, ...] = ("missing.png",),
    **changes: Any,
) -> dict[str, Any]:
    """A document of ``studies``, dealt to ``parts``; every study shows some of ``images``."""
    random = np.random.default_rng(1)
    truth = random.random(studies) < positive
    score = np.clip(random.normal(np.where(truth, 0.6, 0.3), 0.2), 0.001, 0.999)
    part = np.array([parts[i % len(parts)] for i in range(studies)], dtype=object)
    chosen = {name: part == name for name in parts} | {"all": np.ones(studies, bool)}
    levels = {name: measured(truth[rows], score[rows]) for name, rows in chosen.items()}
    rows = [study(i, part[i], bool(truth[i]), float(score[i]), images) for i in range(studies)]
    worst = sorted(rows, key=lambda row: -abs(row["label"] - row["probability"]))[:24]
    return {
        "schema": "tinycnn-evaluation/1", "tinycnn": "0.1.0",
        "model": {
            "name": "mobilenetv2-phantoms", "sha256": "d0d550daffbf" + "0" * 52,
            "path": "weights/mobilenetv2-phantoms.safetensors",
            "trained_on": "drawings of radiographs (demos/phantoms.py: 3600 studies of seed 1)",
            "demonstration": True, "labels": ["negative", "positive"], "positive": "positive",
        },
        "models": [
            {"name": "mobilenetv2-phantoms", "sha256": "d0" * 32, "demonstration": True},
            {"name": "cnn5-phantoms", "sha256": "11" * 32, "demonstration": True},
        ],
        "flip": True,
        "members": [{"name": name, "study": levels} for name in ("mobilenetv2-p", "cnn5-p")],
        "disagreement": {
            name: {"studies": 40, "differing": 7, "share": 0.175} for name in [*parts, "all"]
        },
        "dataset": {
            "path": "datasets/phantoms-500", "studies": studies, "patients": studies,
            "views": 2 * studies, "refused": 3, "unlabelled": 0, "without_verdict": 0,
        },
        "interrupted": False, "rule": "mean", "threshold": 0.5,
        "bootstrap": {"seed": 1, "resamples": 1000, "by": "patient", "level": 0.95},
        "levels": {"image": levels, "study": levels, "patient": levels},
        "rules": {"mean": levels, "any": levels, "max": levels},
        "published": {"source": "Rajpurkar and others, MURA (2018), table 2", "kappa": {
            name: {
                "radiologist 1": measure(0.85), "radiologist 2": measure(0.72, 0.08),
                "radiologist 3": measure(0.6), "model": measure(0.66, 0.04),
            } for name in parts
        }},
        "roc": {name: curve(truth[rows], score[rows]) for name, rows in chosen.items()},
        "reliability": {name: bins(truth[rows], score[rows]) for name, rows in chosen.items()},
        "studies": rows,
        "worst": {
            "studies": [row["id"] for row in worst],
            "images": [row["views"][0]["path"] for row in worst if row["views"]],
        },
        "seconds": {"total": 12.3, "decode": 9.1, "resize": 2.0, "inference": 3.0},
        "caution": "This is not a diagnosis: it is the output of a statistical model.",
        **changes,
    }  # fmt: skip


def study(
    number: int, part: str, truth: bool, score: float, images: tuple[str, ...]
) -> dict[str, Any]:
    shown = [images[(number + i) % len(images)] for i in range(1 + number % 4)] if images else []
    return {
        "id": f"{part}/patient{number:05}/study1", "path": f"{part}/patient{number:05}/study1",
        "body_part": part, "patient": f"patient{number:05}", "label": int(truth),
        "probability": score, "verdict_positive": score >= 0.5, "correct": (score >= 0.5) == truth,
        "members": [score, score], "differ": False,
        "views": [
            {"name": f"image{i + 1}.png", "path": path, "probability": score, "members": [0.1, 0.2]}
            for i, path in enumerate(shown)
        ],
        "refused": [],
    }  # fmt: skip
