"""Drawing in SVG: what three kinds of chart need, and no more. Colours are the page's classes."""

from __future__ import annotations

from collections.abc import Iterable

from tinycnn.lightclass import dataclass

Point = tuple[float, float]


@dataclass(frozen=True)
class Axes:
    """A rectangle of the drawing, in pixels, and the values at its borders."""

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)

    def x(self, value: float) -> float:
        """Pixels from the left; what lies outside is drawn at the border."""
        return self.left + self.width * _share(value, *self.x_range)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return self.top + self.height * (1 - _share(value, *self.y_range))

    @property
    def right(self) -> float:
        """The pixel of the right border."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """The pixel of the lower border."""
        return self.top + self.height


def drawing(width: float, height: float, description: str, *content: str) -> str:
    """The whole chart; ``description``, escaped, is what a screen reader says."""
    return (
        f'<svg viewBox="0 0 {_px(width)} {_px(height)}" width="{_px(width)}" '
        f'height="{_px(height)}" role="img" aria-label="{description}">{"".join(content)}</svg>'
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line of the CSS class ``kind``."""
    return f'<line x1="{_px(x1)}" y1="{_px(y1)}" x2="{_px(x2)}" y2="{_px(y2)}" class="{kind}"/>'


def rectangle(x: float, y: float, width: float, height: float, kind: str) -> str:
    """A filled rectangle; (x, y) is its upper left corner."""
    return (
        f'<rect x="{_px(x)}" y="{_px(y)}" width="{_px(width)}" height="{_px(height)}" '
        f'class="{kind}"/>'
    )


def dot(x: float, y: float, kind: str, radius: float = 3.5) -> str:
    """A filled circle."""
    return f'<circle cx="{_px(x)}" cy="{_px(y)}" r="{_px(radius)}" class="{kind}"/>'


def diamond(x: float, y: float, kind: str, radius: float = 5.5) -> str:
    """A square on its corner: told from a dot without seeing the colour."""
    corners = ((0, -radius), (radius, 0), (0, radius), (-radius, 0))
    points = " ".join(f"{_px(x + dx)},{_px(y + dy)}" for dx, dy in corners)
    return f'<polygon points="{points}" class="{kind}"/>'


def label(words: str, x: float, y: float, kind: str = "", anchor: str = "start") -> str:
    """A line of text, escaped already, whose base line starts, is centred or ends at (x, y)."""
    return f'<text x="{_px(x)}" y="{_px(y)}" text-anchor="{anchor}" class="{kind}">{words}</text>'


def upright(words: str, x: float, y: float, kind: str = "") -> str:
    """A line of text that runs upwards, centred at (x, y)."""
    return (
        f'<text transform="translate({_px(x)} {_px(y)}) rotate(-90)" text-anchor="middle" '
        f'class="{kind}">{words}</text>'
    )


def path(points: Iterable[Point], kind: str) -> str:
    """A line through ``points``, on a grid of half a pixel: however many, it stays small."""
    kept: list[Point] = []
    for x, y in points:
        point = round(2 * x) / 2, round(2 * y) / 2
        if kept and point == kept[-1]:
            continue
        if len(kept) > 1 and _straight(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    return f'<polyline points="{" ".join(f"{x:g},{y:g}" for x, y in kept)}" class="{kind}"/>'


def _straight(a: Point, b: Point, c: Point) -> bool:
    """Whether b stands on an upright or level line from a to c: the steps of a ROC curve."""
    return a[0] == b[0] == c[0] or a[1] == b[1] == c[1]


def _share(value: float, low: float, high: float) -> float:
    return min(max((value - low) / (high - low), 0.0), 1.0)


def _px(value: float) -> str:
    return f"{round(value, 1):g}"
