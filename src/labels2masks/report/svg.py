"""What the plots are drawn with: SVG whose colours are the page's, so that one picture serves by day and by night.

The page has the plots inline with one style sheet; a file of its own (`standalone`) carries the sheet inside.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..classes import Colour
from .markup import Content, Markup, element

SHEET = Path(__file__).with_name("chart.css")
SIZE = 12
"""Pixels of ordinary text."""


def drawing(width: float, height: float, title: str, *content: Content) -> Markup:
    """An SVG that shrinks with the page. title: what a screen reader says."""
    return element(
        "svg",
        element("title", title),
        *content,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {math.ceil(width)} {math.ceil(height)}",
        width=math.ceil(width),
        height=math.ceil(height),
        role="img",
        class_="chart broad" if width > 500 else "chart",
    )


def standalone(svg: Markup) -> str:
    """The drawing as a file: with its colours and a ground."""
    head, body = svg.split(">", 1)
    sheet = Markup(SHEET.read_text(encoding="utf-8"))
    ground = element("rect", width="100%", height="100%", class_="ground")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head}>{element("style", sheet)}{ground}{body}\n'


def words(
    x: float, y: float, text: str, class_: str = "ink", anchor: str = "start", size: float = SIZE, turned: float = 0
) -> Markup:
    """A line of text whose middle height is y. anchor: start, middle, end. turned: degrees around (x, y)."""
    return element(
        "text",
        text,
        x=x,
        y=y,
        dy="0.35em",
        class_=class_,
        text_anchor=anchor,
        font_size=size,
        transform=f"rotate({turned:g} {x:.2f} {y:.2f})" if turned else None,
    )


def rule(x0: float, y0: float, x1: float, y1: float, class_: str = "grid") -> Markup:
    return element("line", x1=x0, y1=y0, x2=x1, y2=y1, class_=class_)


def path(points: Iterable[tuple[float, float]], class_: str, colour: str | None = None) -> Markup:
    """A line through the points."""
    steps = " L".join(f"{x:.2f} {y:.2f}" for x, y in points)
    return element("path", d=f"M{steps}", class_=class_, stroke=colour)


def rectangle(
    x: float, y: float, width: float, height: float, class_: str | None = None, title: str | None = None, **more: object
) -> Markup:
    told = element("title", title) if title else None
    return element("rect", told, x=x, y=y, width=max(width, 0.0), height=height, class_=class_, **more)  # type: ignore[arg-type]


def hexed(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from the first at or above `low` to the last at or below `high`."""
    if not high > low:
        return [low]
    raw = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def width_of(text: str, size: float = SIZE) -> float:
    """About how wide a text is in a font of the system: wide enough to keep room."""
    units = sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.62 if c.isupper() else 0.55 for c in text)
    return units * size


def shortened(text: str, most: int = 22) -> str:
    """The text, its middle left out above so many characters."""
    return text if len(text) <= most else f"{text[: most // 2]}…{text[len(text) - (most - most // 2 - 1) :]}"


def apart(places: Sequence[float], gap: float) -> list[float]:
    """The places in their order, pushed down where they are closer than `gap`."""
    moved: dict[int, float] = {}
    last = -math.inf
    for i in sorted(range(len(places)), key=lambda i: places[i]):
        last = moved[i] = max(places[i], last + gap)
    return [moved[i] for i in range(len(places))]
