"""The picture of a search for CRF parameters: the score of every evaluation, and one line for each parameter."""

from __future__ import annotations

import math

import numpy as np

from ..evaluation.crf_tuning import NAMES, Tuned, miou
from .markup import Content, Markup, element
from .svg import apart, drawing, path, rule, ticks, words

TITLES = {
    "bilateral_weight": "bilateral weight",
    "bilateral_xy": "bilateral, pixels",
    "bilateral_rgb": "bilateral, levels",
    "gaussian_weight": "Gaussian weight",
    "gaussian_xy": "Gaussian, pixels",
}
WIDTH, LEFT, RIGHT, HIGH = 860.0, 52.0, 120.0, 220.0


def tuning_plot(tuned: Tuned) -> Markup:
    """Above: mIoU of the evaluations in their order, the best so far as a line; the scores without a CRF and held out.
    Below, for each parameter: the best mIoU found at each of its values; the ring is the one chosen."""
    scores = 100 * np.array([t.miou for t in tuned.tried])
    without, held_out = 100 * miou(tuned.without_P3C), 100 * miou(tuned.held_out_P3C)
    # Far worse ones are drawn at the lower rim: the eye is for what happens near the best.
    high = max(scores.max(), without, held_out)
    low = max(min(scores.min(), without, held_out), min(scores[0], without, held_out) - (high - without) - 1)
    room = 0.08 * max(high - low, 0.1)
    low, high = low - room, high + room
    top = 40.0

    def x(i: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (i + 0.5) / len(scores)

    def y(value: float) -> float:
        return top + HIGH * (1 - (max(value, low) - low) / (high - low))

    drawn: list[Content] = [words(LEFT, 16, "mIoU of each evaluation, all photos", "strong")]
    for tick in ticks(low, high, 4):
        drawn += [
            rule(LEFT, y(tick), WIDTH - RIGHT, y(tick)),
            words(LEFT - 8, y(tick), f"{tick:g}", "faint", "end"),
        ]
    best = np.maximum.accumulate(scores)
    drawn.append(rule(LEFT, y(without), WIDTH - RIGHT, y(without), "mean"))
    drawn.append(path([(x(i), y(v)) for i, v in enumerate(best)], "curve"))
    drawn += [element("circle", cx=x(i), cy=y(v), r=2.6, class_="dot") for i, v in enumerate(scores)]
    drawn.append(element("circle", cx=WIDTH - RIGHT, cy=y(held_out), r=5, class_="ring"))
    told = [(f"best {best[-1]:.1f}", best[-1]), (f"held out {held_out:.1f}", held_out)]
    told.append((f"no CRF {without:.1f}", without))
    for (text, _), place in zip(told, apart([y(v) for _, v in told], 15), strict=True):
        drawn.append(words(WIDTH - RIGHT + 12, place, text, "ink", size=12))
    for tick in ticks(1, len(scores), 8):
        drawn.append(words(x(tick - 1), top + HIGH + 14, f"{tick:g}", "faint", "middle"))
    bottom = top + HIGH + 66
    wide = (WIDTH - 24) / len(NAMES)
    for k, name in enumerate(NAMES):
        drawn += _profile(tuned, name, 12 + wide * k, bottom, wide)
    return drawing(WIDTH, bottom + 190, "The search for CRF parameters", *drawn)


def _profile(tuned: Tuned, name: str, left: float, top: float, wide: float) -> list[Content]:
    """The best score at each value of one parameter, values a factor of 2 apart at equal distances."""
    best: dict[float, float] = {}
    for t in tuned.tried:
        value = getattr(t.parameters, name)
        best[value] = max(best.get(value, 0.0), 100 * t.miou)
    values = sorted(best)
    least = next((v for v in values if v > 0), 1.0)
    places = [math.log2(v) if v > 0 else math.log2(least) - 1 for v in values]  # 0 = the kernel is left out
    low, high = min(best.values()), max(best.values())
    span, rise = max(places[-1] - places[0], 1.0), max(high - low, 0.1)
    side, deep = wide - 34, 110.0

    def point(place: float, score: float) -> tuple[float, float]:
        return left + 18 + side * (place - places[0]) / span, top + 24 + deep * (1 - (score - low) / rise)

    points = [point(place, best[value]) for place, value in zip(places, values, strict=True)]
    drawn: list[Content] = [words(left + 10, top, TITLES[name], "strong")]
    drawn.append(rule(left + 10, top + 30 + deep, left + 26 + side, top + 30 + deep, "axis"))
    drawn.append(path(points, "curve") if len(points) > 1 else None)
    chosen = getattr(tuned.parameters, name)
    for value, (x, y) in zip(values, points, strict=True):
        told = element("title", f"{value:g}: mIoU {best[value]:.2f}")
        drawn.append(element("circle", told, cx=x, cy=y, r=5 if value == chosen else 2.6, class_=_mark(value, chosen)))
        if value in (values[0], values[-1], chosen):
            drawn.append(words(x, top + 46 + deep, f"{value:g}", "ink" if value == chosen else "faint", "middle", 11))
    drawn.append(words(left + 10, top + 66 + deep, f"{low:.1f} to {high:.1f}", "faint", size=11))
    return drawn


def _mark(value: float, chosen: float) -> str:
    return "ring" if value == chosen else "dot"
