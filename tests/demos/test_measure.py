"""Measuring the shipped models: counting, the table, and that the shipped files are honest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import measure
import pytest

from tinycnn import weights
from tinycnn.errors import TinycnnError
from tinycnn.nn import modelfile
from tinycnn.nn.model import Decision

COUNTS = Counter({(True, True): 3, (True, False): 1, (False, False): 4, (False, True): 2})


def test_counts_become_figures() -> None:
    """(truly abnormal, called abnormal) lands in the right place."""
    made = measure.figures(COUNTS, Decision("mean", 0.5, 1))
    assert (made.true_positive, made.false_negative) == (3, 1)
    assert (made.true_negative, made.false_positive) == (4, 2)


def test_table_has_a_row_per_body_part_and_a_column_per_model() -> None:
    """Accuracy first, then sensitivity and specificity."""
    made = measure.figures(COUNTS, Decision("mean", 0.5, 1))
    text = measure.table(
        {"a": {"XR_WRIST": made, "all": made}, "b": {"XR_WRIST": made, "all": made}}
    )
    assert text.splitlines()[2] == (
        "| XR_WRIST | 10 | 70.0 % (75.0 %, 66.7 %) | 70.0 % (75.0 %, 66.7 %) |"
    )


def test_readme_keeps_what_is_outside_the_marks(tmp_path: Path) -> None:
    """Only the table is replaced; without marks nothing is written."""
    page = tmp_path / "README.md"
    begin, end = "<!-- measured: begin -->", "<!-- measured: end -->"
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    measure.update_readme(page, "new")
    assert page.read_text() == f"before\n{begin}\nnew\n{end}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(TinycnnError, match="marks"):
        measure.update_readme(page, "new")


def test_seed_of_the_training_is_refused() -> None:
    """What was trained on cannot be measured on."""
    with pytest.raises(SystemExit) as stop:
        measure.parse_arguments(["--seed", "1"])
    assert stop.value.code == 2


@pytest.mark.parametrize("name", [n for n in weights.names() if n.endswith(measure.PHANTOMS)])
def test_shipped_models_say_what_they_are(name: str) -> None:
    """Small, marked as demonstration, measured on all body parts, figures as in the README."""
    path = weights.find(name)
    model = modelfile.load(path)
    assert path.stat().st_size < 4_000_000
    assert model.provenance.demonstration
    assert "drawings" in model.provenance.trained_on
    assert model.labels == ("negative", "positive")
    assert model.decision == Decision("mean", 0.5, 1)
    assert len(model.provenance.accuracy) == 8
    page = (weights.FOLDER / "README.md").read_text(encoding="utf-8")
    for part, figures in model.provenance.accuracy.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| {part} |"))
        assert measure._cell(figures) in row
