"""The picture of a comparison: differences to the first run with their bands, all classes together and one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .markup import Content, Markup, element
from .svg import drawing, rectangle, rule, shortened, ticks, width_of, words

COLOURS = ("#2f7fa3", "#c4632b", "#4c9a5f", "#a05ab4", "#b08d2c", "#c8577e", "#5b6bc0", "#7a7f88")
"""Of the runs after the first; they come round again after eight."""


def difference_plot(result: Mapping[str, Any]) -> Markup:
    """result: what `compare` returns. Points right of the line: better than the first run."""
    runs = result["runs"][1:]
    groups = [("mIoU", [(run["difference"], run["difference_band"]) for run in runs])]
    groups += [(c["name"], list(zip(c["difference"], c["difference_band"], strict=True))) for c in result["classes"]]
    left = 20 + max(width_of(shortened(name)) for name, _ in groups)
    width, right, top = max(left + 480, 720.0), 64.0, 58.0 + 18 * len(runs)
    low, high = _reach([value for _, values in groups for value in values])

    def x(points: float) -> float:
        return left + (width - left - right) * (points - low) / (high - low)

    pitch = 15.0 * len(runs) + 11
    bottom = top + pitch * len(groups)
    first = shortened(result["runs"][0]["run"], 40)
    drawn: list[Content] = [words(16, 20, f"Difference to {first}, points of IoU", "strong", size=14)]
    for k, run in enumerate(runs):
        colour = COLOURS[k % len(COLOURS)]
        drawn.append(element("circle", cx=22, cy=44 + 18 * k, r=5, fill=colour))
        drawn.append(words(34, 44 + 18 * k, shortened(run["run"], 60)))
    drawn.append(rectangle(8, top, width - 16, pitch, "shade"))
    for tick in ticks(low, high, 8):
        drawn.append(rule(x(tick), top, x(tick), bottom))
        drawn.append(words(x(tick), bottom + 14, f"{tick:+g}" if tick else "0", "faint", "middle"))
    drawn.append(rule(x(0), top - 4, x(0), bottom, "axis"))
    for place, (name, values) in enumerate(groups):
        y = top + pitch * place
        drawn.append(words(left - 8, y + pitch / 2, shortened(name), "ink" if place else "strong", "end"))
        if all(difference is None for difference, _ in values):
            drawn.append(words(x(0) + 10, y + pitch / 2, "not in the truth", "faint"))
        for k, (difference, spread) in enumerate(values):
            if difference is not None:
                middle = y + 5.5 + 15 * (k + 0.5)
                drawn += _point(name, 100 * difference, spread, x, middle, COLOURS[k % len(COLOURS)], width - right + 8)
    drawn.append(words(x(0) - 8, bottom + 34, "worse", "faint", "end"))
    drawn.append(words(x(0) + 8, bottom + 34, "better", "faint"))
    return drawing(width, bottom + 46, f"Differences in IoU to {first}, with 95 % bands over photos", *drawn)


def _point(
    name: str,
    points: float,
    spread: Sequence[float] | None,
    x: Callable[[float], float],
    y: float,
    colour: str,
    margin: float,
) -> list[Content]:
    """A dot with its band, and its value in the margin."""
    drawn: list[Content] = []
    told = f"{name}: {points:+.1f}"
    if spread:
        a, b = (100 * v for v in spread)
        told += f", 95 % band {a:+.1f} to {b:+.1f}"
        drawn.append(element("line", x1=x(a), y1=y, x2=x(b), y2=y, stroke=colour, stroke_width=2.4))
        drawn += [
            element("line", x1=x(v), y1=y - 4, x2=x(v), y2=y + 4, stroke=colour, stroke_width=2.4) for v in (a, b)
        ]
    drawn.append(element("circle", element("title", told), cx=x(points), cy=y, r=4.5, fill=colour, class_="swatch"))
    drawn.append(words(margin, y, f"{points:+.1f}", "ink", size=11))
    return drawn


def _reach(values: Sequence[tuple[float | None, Sequence[float] | None]]) -> tuple[float, float]:
    """The ends of the axis, in points: all dots and bands, and zero."""
    ends = [0.0]
    for difference, spread in values:
        ends += [100 * difference] if difference is not None else []
        ends += [100 * v for v in spread or ()]
    room = max(0.08 * (max(ends) - min(ends)), 0.5)
    return min(ends) - room, max(ends) + room
