"""Where things are drawn, and what tables count."""

from __future__ import annotations

import re

import pytest

from tests.evaluation.sample import measure
from tinycnn.evaluation import charts, tables
from tinycnn.evaluation.svg import Axes, path


def bin_(low: float, mean: float, fraction: float, count: int) -> dict[str, float]:
    return {"low": low, "high": low + 0.1, "mean_probability": mean, "fraction_positive": fraction,
            "count": count}  # fmt: skip


def spots(svg: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([^"]+)" cy="([^"]+)"', svg)]


def test_the_matrix_counts_each_of_the_four_in_its_place():
    html = tables.confusion("All", {
        "true_positive": 30, "false_negative": 10, "false_positive": 6, "true_negative": 18,
    })  # fmt: skip
    found = re.findall(r'class="(right|wrong)" style="--share:([\d.]+)">(\d+)<', html)
    assert found == [
        ("right", "0.75", "30"), ("wrong", "0.25", "10"),
        ("wrong", "0.25", "6"), ("right", "0.75", "18"),
    ]  # fmt: skip
    positive, negative = html.index("is positive"), html.index("is negative")
    assert positive < html.index(">30<") < html.index(">10<") < negative < html.index(">6<")


def test_a_row_of_the_matrix_without_studies_has_no_shares():
    html = tables.confusion("All", dict.fromkeys(("true_positive", "false_negative"), 0))
    assert "%" not in html
    assert html.count("\N{EN DASH}") == 2  # the row that the document does not tell


def test_reliability_is_drawn_at_the_means():
    svg = charts.reliability("Hand", [bin_(0.2, 0.25, 0.5, 8), bin_(0.7, 0.75, 1.0, 4)])
    assert spots(svg) == [(95.5, 113.0), (198.5, 10.0)]
    heights = re.findall(r'height="([\d.]+)" class="count"', svg)
    assert [float(height) for height in heights] == [25, 12.5]
    assert ">8<" in svg
    assert ">4<" in svg


def test_the_calibration_error_weighs_bins_by_their_counts():
    bins = [bin_(0.0, 0.1, 0.0, 30), bin_(0.9, 0.9, 0.5, 10), bin_(0.5, 0.5, 0.0, 0)]
    assert charts.calibration_error(bins) == pytest.approx((0.1 * 30 + 0.4 * 10) / 40)
    assert charts.calibration_error([]) is None


def test_kappas_stand_on_one_axis():
    readers = [
        ("Radiologist 1", measure(0.75, 0.25), "peer"),
        ("This model", measure(-0.5), "model"),
    ]
    svg = charts.kappas("Hand", readers, -1.0)
    left, width = 176, 142
    assert spots(svg) == [(round(left + width * 1.75 / 2, 1), 17.0)]
    assert f'<line x1="{left + width * 0.75:g}" y1="17" x2="{left + width:g}" y2="17"' in svg
    assert f'<polygon points="{left + width * 0.25:g},33.5' in svg  # row 2, 22 below, radius 5.5
    assert ">0.750<" in svg
    assert ">\u22120.500<" in svg


def test_a_line_keeps_its_corners_only():
    steps = [(0, 0), (0, 1), (0, 2), (0.1, 2.1), (5, 2), (9, 2), (9, 7)]
    assert path(steps, "c") == '<polyline points="0,0 0,2 9,2 9,7" class="c"/>'


def test_what_lies_outside_is_drawn_at_the_border():
    axes = Axes(10, 20, 100, 50)
    assert (axes.x(-3), axes.x(0.25), axes.x(7)) == (10, 35, 110)
    assert (axes.y(0), axes.y(1)) == (70, 20)
