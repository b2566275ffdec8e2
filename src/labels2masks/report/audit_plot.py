"""The picture of an audit: what was estimated, with its bands. Beside the IoU of each class the area it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..classes import Classes
from ..evaluation.stratified import Estimate, Figure
from .markup import Content, Markup
from .svg import drawing, hexed, rectangle, rule, shortened, ticks, width_of, words

ROW, TOP, WIDE, NARROW = 26.0, 70.0, 380.0, 200.0


def audit_plot(classes: Classes, found: Estimate, answers: int) -> Markup:
    """Classes in the order of their IoU, those that nobody named last."""
    values = [-1.0 if iou is None else iou.value for iou in found.iou_C]
    order = sorted(range(len(classes)), key=lambda c: (-values[c], c))
    left = 24 + max(width_of(shortened(name)) for name in (*classes.names, "mIoU"))
    areas = found.area_C or ()
    most = max((area.high for area in areas), default=1.0)
    rows = len(order) + 1
    bottom = TOP + ROW * rows
    second = left + WIDE + 60

    def iou_x(share: float) -> float:
        return left + WIDE * share

    def area_x(share: float) -> float:
        return second + NARROW * share / most

    heading = f"Estimated from {answers:,} random pixels, with 95 % bands"
    drawn: list[Content] = [words(16, 20, heading, "strong", size=14)]
    drawn += [words(left, TOP - 20, "IoU, %", "faint"), words(second, TOP - 20, "share of the area, %", "faint")]
    drawn.append(rectangle(8, TOP, second + NARROW + 56, ROW, "shade"))
    drawn += _axis(iou_x, ticks(0, 100, 4), bottom) + _axis(area_x, ticks(0, 100 * most, 4), bottom)
    drawn.append(words(left - 8, TOP + ROW / 2, "mIoU", "strong", "end"))
    if found.miou is not None:
        drawn += _bar("mIoU", found.miou, iou_x, TOP + ROW / 2, None)
    for place, c in enumerate(order, 1):
        name, y = classes.names[c], TOP + ROW * (place + 0.5)
        drawn.append(words(left - 8, y, shortened(name), "ink", "end"))
        iou = found.iou_C[c]
        if iou is None:
            drawn.append(words(left + 6, y, "not among the answers", "faint"))
        else:
            drawn += _bar(f"IoU of {name}", iou, iou_x, y, hexed(classes.colours[c]))
        if areas:
            drawn += _bar(f"area of {name}", areas[c], area_x, y, hexed(classes.colours[c]))
    return drawing(second + NARROW + 72, bottom + 26, heading, *drawn)


def _axis(x: Callable[[float], float], percents: Sequence[float], bottom: float) -> list[Content]:
    drawn: list[Content] = []
    for tick in percents:
        at = x(tick / 100)
        drawn += [rule(at, TOP, at, bottom), words(at, bottom + 14, f"{tick:g}", "faint", "middle")]
    return drawn


def _bar(what: str, figure: Figure, x: Callable[[float], float], y: float, colour: str | None) -> list[Content]:
    """A bar with its whisker, and its value behind both."""
    value, low, high = (100 * v for v in (figure.value, figure.low, figure.high))
    told = f"{what}: {value:.1f} %, 95 % band {low:.1f} to {high:.1f}"
    class_, fill = ("swatch", {"fill": colour}) if colour else ("right", {})
    drawn: list[Content] = [rectangle(x(0), y - 8, x(figure.value) - x(0), 16, class_, told, rx=2, **fill)]
    for line in ("halo", "whisker"):
        drawn.append(rule(x(figure.low), y, x(figure.high), y, line))
        drawn += [rule(x(end), y - 4, x(end), y + 4, line) for end in (figure.low, figure.high)]
    drawn.append(words(x(figure.high) + 8, y, f"{value:.1f}", "strong"))
    return drawn
