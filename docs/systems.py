"""Tables and pictures of the page about the networks, from what benchmarks/networks.py wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from labels2masks.report.difference_plot import COLOURS
from labels2masks.report.markup import Content, element
from labels2masks.report.svg import drawing, rule, standalone, ticks, width_of, words

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"

STRIDES = {"32": 32, "16": 16, "8": 8, "4 and less": 4}
"""Groups of the scores' stride, each with its own colour."""

LEFT = 46.0
"""Where the axis of the picture of scores stands."""

EXPERIMENTS = ("none_16_large", "deeplab_v3_large", "deeplab_v2_slower")
"""Runs with other settings than the rest: in no table but those that name them."""

Row = dict[str, Any]

MEASURES: dict[str, Callable[[Row], float]] = {
    "mIoU": lambda row: row["value"],
    "boundary F1": lambda row: 100 * row["settings"]["boundary_f1"],
    "thin": lambda row: 100 * row["settings"]["thin"],
}
SHOWN = ("mIoU", "boundary F1")
"""Of these, what the picture of the pairs shows."""


def rows(steps: int | None) -> list[Row]:
    """What was trained for so many steps; None = the published forms, which were only timed."""
    of = json.loads((RESULTS / "networks.json").read_text(encoding="utf-8"))
    return [row for row in of if row["settings"].get("steps") == steps]


def trained(of: Sequence[Row], seed: int = 0) -> list[Row]:
    """The runs with that seed and equal settings, best first."""
    equal = [r for r in of if r["settings"]["system"] not in EXPERIMENTS]
    return sorted((r for r in equal if r["settings"]["seed"] == seed), key=lambda r: -r["value"])


def score_table(of: Sequence[Row]) -> str:
    """Markdown, a line a system."""
    lines = [_line("system", *MEASURES, "M par.", "GMAC", "stride", "field", "images/s")]
    lines.append("|---" * 9 + "|")
    for row in of:
        s = row["settings"]
        scores = [f"{MEASURES[measure](row):.1f}" for measure in MEASURES]
        sizes = [f"{s['parameters'] / 1e6:.2f}", f"{s['multiply_adds'] / 1e9:.1f}", f"{s['stride']:g}", _field(s)]
        lines.append(_line(s["system"], *scores, *sizes, f"{s['images_per_second']:.1f}"))
    return "\n".join(lines)


def published_table(of: Sequence[Row]) -> str:
    """Markdown, the fastest first."""
    lines = [_line("as published", "M par.", "GMAC", "stride", "field", "images/s")]
    lines.append("|---" * 6 + "|")
    for row in sorted(of, key=lambda r: -r["value"]):
        s = row["settings"]
        sizes = [f"{s['parameters'] / 1e6:.1f}", f"{s['multiply_adds'] / 1e9:.0f}", f"{s['stride']:g}", _field(s)]
        lines.append(_line(s["system"], *sizes, f"{row['value']:.2f}"))
    return "\n".join(lines)


def membrane_table() -> str:
    """Markdown: the arms of U-Net on membranes, each seed's scores."""
    of = json.loads((RESULTS / "isbi_em.json").read_text(encoding="utf-8"))
    measures = {"Rand F": "rand_f", "mIoU": "miou", "pixel error": "pixel_error"}
    lines = [_line("", *measures), "|---" * (1 + len(measures)) + "|"]
    by_arm: dict[str, list[Row]] = {}
    for row in of:
        by_arm.setdefault(row["settings"]["arm"], []).append(row["settings"])
    for arm, runs in by_arm.items():
        lines.append(_line(arm, *(", ".join(f"{run[key]:.1f}" for run in runs) for key in measures.values())))
    otsu = of[0]["settings"]["otsu"]
    lines.append(_line("Otsu's threshold, no network", *(f"{otsu[key]:.1f}" for key in measures.values())))
    return "\n".join(lines)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _field(settings: dict[str, Any]) -> str:
    return f"{settings['field']:,}" + ("+" if settings["whole_image"] else "")


def differences(of: Sequence[Row], pair: tuple[str, str], measure: str) -> list[float]:
    """Points by which the second of the pair beats the first, seed by seed; one that went on from the first's run is
    compared with that run."""
    first, second = ({r["settings"]["seed"]: r for r in of if r["settings"]["system"] == name} for name in pair)
    other = {seed: 0 if row["settings"]["after"] == pair[0] else seed for seed, row in second.items()}
    score = MEASURES[measure]
    return [score(second[seed]) - score(first[other[seed]]) for seed in sorted(second) if other[seed] in first]


def pair_table(of: Sequence[Row], pairs: Sequence[tuple[str, str]]) -> str:
    """Markdown: the mean difference of each pair, and that of each seed."""
    lines = [_line("pair", *MEASURES), "|---" * (1 + len(MEASURES)) + "|"]
    for pair in pairs:
        cells = []
        for measure in MEASURES:
            found = differences(of, pair, measure)
            cells.append(f"**{mean(found):+.1f}** ({', '.join(f'{d:+.1f}' for d in found)})" if found else "")
        lines.append(_line(f"{pair[1]} less {pair[0]}", *cells))
    return "\n".join(lines)


def pair_plot(groups: Sequence[tuple[Sequence[Row], Sequence[tuple[str, str]]]]) -> str:
    """An SVG of pairs, each among its own runs: a dot a seed, a bar at their mean."""
    pairs = [pair for _, some in groups for pair in some]
    shown = {
        pair: {measure: differences(of, pair, measure) for measure in SHOWN} for of, some in groups for pair in some
    }
    values = [d for measures in shown.values() for found in measures.values() for d in found]
    low, high = min(0.0, *values) - 1, max(0.0, *values) + 1
    labels = {pair: f"{pair[1]} less {pair[0]}" for pair in pairs}
    left, width, top, pitch = 20 + max(map(width_of, labels.values())), 800.0, 58.0, 46.0

    def x(points: float) -> float:
        return left + (width - left - 30) * (points - low) / (high - low)

    bottom = top + pitch * len(pairs)
    drawn: list[Content] = [words(16, 16, "Differences of pairs, points; a dot a seed", "strong", size=14)]
    for tick in ticks(low, high, 8):
        drawn += [
            rule(x(tick), top, x(tick), bottom),
            words(x(tick), bottom + 14, f"{tick:+g}" if tick else "0", "faint", "middle"),
        ]
    drawn.append(rule(x(0), top - 4, x(0), bottom, "axis"))
    for k, measure in enumerate(SHOWN):
        drawn.append(element("circle", cx=left + 10 + 110 * k, cy=40, r=5, fill=COLOURS[k]))
        drawn.append(words(left + 20 + 110 * k, 40, measure))
    for place, (pair, measures) in enumerate(shown.items()):
        y = top + pitch * (place + 0.5)
        drawn.append(words(left - 8, y, labels[pair], "ink", "end"))
        for k, found in enumerate(measures.values()):
            at = y + 16 * (k - 0.5)
            drawn += [element("circle", cx=x(d), cy=at, r=4.5, fill=COLOURS[k], class_="swatch") for d in found]
            if found:
                middle = x(mean(found))
                drawn.append(element("line", x1=middle, y1=at - 8, x2=middle, y2=at + 8, class_="whisker"))
    return standalone(drawing(width, bottom + 28, "Differences of pairs over seeds", *drawn))


def score_plot(of: Sequence[Row]) -> str:
    """An SVG: mIoU over the time of one photo."""
    width, high, left, right, top = 860.0, 470.0, LEFT, 20.0, 66.0
    seconds = [1 / r["settings"]["images_per_second"] for r in of]
    first, last = math.log2(min(seconds)) - 0.15, math.log2(max(seconds)) + 0.9
    low, highest = math.floor(min(r["value"] for r in of)) - 1, math.ceil(max(r["value"] for r in of)) + 1

    def x(time: float) -> float:
        return left + (width - left - right) * (math.log2(time) - first) / (last - first)

    def y(miou: float) -> float:
        return top + high * (highest - miou) / (highest - low)

    title = "mIoU over the time of one photo of 480x360, one thread"
    drawn: list[Content] = [words(16, 16, title, "strong", size=14), words(16, 44, "stride of the scores:")]
    for k, group in enumerate(STRIDES):
        drawn.append(element("circle", cx=160 + 70 * k, cy=44, r=5, fill=COLOURS[k]))
        drawn.append(words(170 + 70 * k, 44, group))
    for tick in ticks(low, highest, 8):
        drawn += [rule(left, y(tick), width - right, y(tick)), words(left - 8, y(tick), f"{tick:g}", "faint", "end")]
    for power in range(math.ceil(first), math.floor(last) + 1):
        at = x(2.0**power)
        drawn += [rule(at, top, at, top + high), words(at, top + high + 14, f"{2.0**power:.3g} s", "faint", "middle")]
    taken: list[tuple[float, float, float, float]] = []
    points = [(x(time), y(r["value"])) for time, r in zip(seconds, of, strict=True)]
    taken += [(a - 5, b - 5, a + 5, b + 5) for a, b in points]
    for (a, b), row in zip(points, of, strict=True):
        s = row["settings"]
        colour = COLOURS[next(k for k, stride in enumerate(STRIDES.values()) if s["stride"] >= stride or stride == 4)]
        told = element("title", f"{s['system']}: {row['value']:.1f}")
        drawn.append(element("circle", told, cx=a, cy=b, r=5, fill=colour, class_="swatch"))
        drawn.append(_label(s["system"], a, b, taken))
    return standalone(drawing(width, top + high + 28, title, *drawn))


def _label(text: str, a: float, b: float, taken: list[tuple[float, float, float, float]]) -> list[Content]:
    """The name at the free place that is nearest to the dot, with a line to it where that is not beside it."""
    wide = width_of(text, 11)
    places = [
        (a + side, b + down) for down in (0, -8, 8, -14, 14, -22, 22, -32, 32, -44, 44) for side in (9, -9 - wide)
    ]
    for left, middle in places:
        box = (left, middle - 6, left + wide, middle + 6)
        if not any(box[0] < t[2] and t[0] < box[2] and box[1] < t[3] and t[1] < box[3] for t in taken):
            break
    taken.append(box)
    end = left - 2 if left > a else left + wide + 2
    line = rule(a, b, end, middle) if abs(middle - b) > 9 else None
    return [line, words(left, middle, text, size=11)]
