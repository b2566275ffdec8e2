"""The picture of a trained comparison: a value against a condition, a line for each thing compared, a dot a seed.

Lines join the means over the seeds; the dots beside a line show how much of its distance to another is chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labels2masks.report.markup import Content, element
from labels2masks.report.svg import apart, path, rule, ticks, words

COLOURS = ("#2f6f8f", "#c4532b", "#3f9b6d", "#a05ab4", "#b0892c")
Curve = Mapping[str, Sequence[float]]
"""Condition, in the order of the axis -> the value of each seed, in percent."""


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def spread(values: Sequence[float]) -> str:
    """Mean and, of several seeds, lowest and highest: "41.3 (40.2-42.0)"."""
    told = f"{mean(values):.1f}"
    return told if len(values) < 2 else f"{told} ({min(values):.1f}-{max(values):.1f})"


def panel(
    left: float,
    top: float,
    width: float,
    high: float,
    title: str,
    axis: str,
    curves: Mapping[str, Curve],
    named: bool = True,
) -> list[Content]:
    """Conditions in equal steps from `left` on; if `named`, the names of the curves stand to the right of `width`."""
    conditions = list(next(iter(curves.values())))
    every = [v for curve in curves.values() for values in curve.values() for v in values]
    low, ceiling = min(every), max(every)
    low, ceiling = low - 0.08 * (ceiling - low) - 0.1, ceiling + 0.08 * (ceiling - low) + 0.1

    def x(k: int) -> float:
        return left + width * (k + 0.5) / len(conditions)

    def y(value: float) -> float:
        return top + high * (ceiling - value) / (ceiling - low)

    drawn: list[Content] = [words(left, top - 16, title, "strong")]
    for tick in ticks(low, ceiling, 5):
        drawn += [rule(left, y(tick), left + width, y(tick)), words(left - 8, y(tick), f"{tick:g}", "faint", "end")]
    for k, condition in enumerate(conditions):
        drawn.append(words(x(k), top + high + 14, condition, "faint", "middle"))
    drawn.append(words(left + width, top + high + 32, axis, "faint", "end"))
    ends = apart([y(mean(curve[conditions[-1]])) for curve in curves.values()], 15)
    for (name, curve), colour, end in zip(curves.items(), COLOURS, ends, strict=False):
        means = [(x(k), y(mean(curve[condition]))) for k, condition in enumerate(conditions)]
        drawn.append(path(means, "part", colour) if len(means) > 1 else None)
        for k, condition in enumerate(conditions):
            drawn += [element("circle", cx=x(k), cy=y(v), r=2.6, fill=colour) for v in curve[condition]]
        if named:
            drawn.append(element("circle", cx=left + width + 10, cy=end, r=4, fill=colour))
            drawn.append(words(left + width + 20, end, name))
    return drawn
