"""The plots of one run: loss, IoU of the classes, confusion matrix, reliability. Each returns an SVG drawing.

Legend: C = classes, B = bins of confidence, P = photos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..classes import Classes
from ..evaluation import Calibration
from .markup import Content, Markup, element
from .svg import apart, drawing, hexed, path, rectangle, rule, shortened, ticks, width_of, words

Row = Mapping[str, float]
Band = tuple[float, float] | None

PARTS = {"mask": "#3f9b6d", "ink": "#b0892c", "region": "#a05ab4", "presence": "#c8577e"}
"""The means that add up to the loss, and their colours."""


def loss_plot(rows: Sequence[Row], final: float | None = None) -> Markup:
    """Loss over steps and, below it, the validations. rows: of metrics.csv. final: the score at the end, 0..1."""
    looks = [(row["step"], row["mIoU"]) for row in rows if "mIoU" in row]
    width, left, right, top, high = 720.0, 52.0, 84.0, 30.0, 230.0
    last = max((row["step"] for row in rows), default=1)
    steps = np.array([row["step"] for row in rows], float)
    loss = np.array([row.get("loss", np.nan) for row in rows], float)
    bold = smoothed(loss)
    ceiling = max(float(np.nanmax(bold, initial=0)) * 1.15, 1e-6)
    bottom = top + high

    def x(step: float) -> float:
        return left + (width - left - right) * step / last

    def y(value: float) -> float:
        return bottom - high * min(max(value, 0), ceiling) / ceiling

    drawn: list[Content] = [words(left, 12, "training loss", "strong")]
    for tick in ticks(0, ceiling, 4):
        drawn += [rule(left, y(tick), width - right, y(tick)), words(left - 8, y(tick), f"{tick:g}", "faint", "end")]
    known = np.isfinite(loss)
    drawn.append(path([(x(s), y(v)) for s, v in zip(steps[known], loss[known], strict=True)], "raw"))
    drawn.append(path([(x(s), y(v)) for s, v in zip(steps[known], bold[known], strict=True)], "curve"))
    named: list[tuple[str, float, str | None]] = [("loss", float(bold[known][-1]) if known.any() else 0.0, None)]
    parts = [name for name in PARTS if any(name in row for row in rows)]
    for name in parts if len(parts) > 1 else ():
        there = np.array([name in row for row in rows])
        line = smoothed(np.array([row[name] for row in rows if name in row], float))
        drawn.append(path([(x(s), y(v)) for s, v in zip(steps[there], line, strict=True)], "part", PARTS[name]))
        named.append((name, float(line[-1]), PARTS[name]))
    for (name, _, colour), place in zip(named, apart([y(v) for _, v, _ in named], 14), strict=True):
        label = words(width - right + 8, place, name, "ink" if colour else "strong", size=11)
        dot = element("circle", cx=width - right + 4, cy=place, r=2.5, fill=colour) if colour else None
        drawn += [dot, label]
    if looks or final is not None:
        shown, bottom = _validations(looks, final, last, x, bottom + 58, width - right, left)
        drawn += shown
    for tick in ticks(0, last, 6):
        drawn.append(words(x(tick), bottom + 16, f"{tick:g}", "faint", "middle"))
    drawn.append(words(width - right, bottom + 34, "steps", "faint", "end"))
    return drawing(width, bottom + 46, "Loss over the steps of training", *drawn)


def _validations(
    looks: Sequence[tuple[float, float]],
    final: float | None,
    last: float,
    x: Callable[[float], float],
    top: float,
    right: float,
    left: float,
) -> tuple[list[Content], float]:
    """(the lower half of `loss_plot`, where it ends)."""
    high = 96.0
    ceiling = max(0.1, min(1.0, 1.15 * max([v for _, v in looks] + [final or 0])))

    def y(value: float) -> float:
        return top + high * (1 - value / ceiling)

    drawn: list[Content] = [words(left, top - 20, "mIoU on validation photos", "strong")]
    for tick in ticks(0, 100 * ceiling, 3):
        drawn.append(rule(left, y(tick / 100), right, y(tick / 100)))
        drawn.append(words(left - 8, y(tick / 100), f"{tick:g}", "faint", "end"))
    points = [(x(step), y(value)) for step, value in looks]
    ends = [(x(last), y(final))] if final is not None else []
    drawn.append(path([*points, *ends], "curve") if len(points) + len(ends) > 1 else None)
    drawn += [element("circle", cx=a, cy=b, r=4, class_="dot") for a, b in points]
    drawn += [
        words(a, b - 13, f"{100 * value:.1f}", "ink", "middle", 11)
        for (a, b), (_, value) in zip(points, looks, strict=True)
    ]
    for a, b in ends:
        drawn += [element("circle", cx=a, cy=b, r=5, class_="ring"), words(a + 12, b, f"{100 * (final or 0):.1f}")]
    return drawn, top + high


def smoothed(values: np.ndarray) -> np.ndarray:
    """Mean over a window of a twelfth of the values, shorter at both ends; NaN where the window holds none."""
    half = max(len(values) // 24, 1) if len(values) > 8 else 0
    known = np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    at = np.arange(len(values))
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    found = count[high] - count[low]
    return np.divide(total[high] - total[low], found, out=np.full(len(values), np.nan), where=found > 0)


def iou_bars(classes: Classes, iou_C: Sequence[float | None], bands_C: Sequence[Band], mean: float | None) -> Markup:
    """The classes with their IoU, best first; whiskers are bands over photos. Classes that do not occur come last."""
    order = sorted(range(len(classes)), key=lambda c: (iou_C[c] is None, -(iou_C[c] or 0), c))
    names = [shortened(classes.names[c]) for c in order]
    left = 16 + max(width_of(n) for n in names) + 10
    width, row, top = max(left + 380, 620.0), 26.0, 26.0
    span = width - left - 52

    def x(share: float) -> float:
        return left + span * share

    bottom = top + row * len(order)
    drawn: list[Content] = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        drawn += [
            rule(x(tick), top, x(tick), bottom),
            words(x(tick), bottom + 14, f"{100 * tick:g}", "faint", "middle"),
        ]
    for place, c in enumerate(order):
        y = top + row * (place + 0.5)
        drawn.append(words(left - 8, y, shortened(classes.names[c]), "ink", "end"))
        value, whisker = iou_C[c], bands_C[c]
        if value is None:
            drawn.append(words(left + 6, y, "not in the truth", "faint"))
            continue
        title = f"{classes.names[c]}: IoU {100 * value:.1f}"
        colour = hexed(classes.colours[c])
        drawn.append(rectangle(left, y - 8, span * value, 16, "swatch", title, fill=colour, rx=2))
        end = x(value)
        if whisker:
            low, high = whisker
            end = max(end, x(high))
            for class_ in ("halo", "whisker"):
                drawn.append(rule(x(low), y, x(high), y, class_))
                drawn += [rule(x(v), y - 4, x(v), y + 4, class_) for v in (low, high)]
        drawn.append(words(end + 8, y, f"{100 * value:.1f}", "strong"))
    if mean is not None:
        drawn.append(rule(x(mean), top - 6, x(mean), bottom, "mean"))
        drawn.append(words(x(mean), top - 14, f"mIoU {100 * mean:.1f}", "faint", "middle"))
    return drawing(width, bottom + 26, "IoU of each class", *drawn)


def confusion_plot(classes: Classes, counts_CD: np.ndarray) -> Markup:
    """What becomes of the pixels of each true class, in percent of its row.

    counts_CD: int C x (C + 1), the last column = none of the classes (drawn where there is any).
    """
    shown = np.flatnonzero(np.append(np.ones(len(classes), bool), counts_CD[:, -1].any()))
    rows_C = counts_CD.sum(axis=1)
    share_CD = counts_CD / np.maximum(rows_C, 1)[:, None]
    names = [shortened(n) for n in classes.names]
    columns = [*names, "none of them"]
    side = min(44.0, max(640 / len(shown), 6.0))
    size = min(12.0, side * 0.9)
    left = 34 + max(width_of(n, size) for n in names)
    top = 30 + max(width_of(columns[d], size) for d in shown) * 0.72
    drawn: list[Content] = []
    for i, name in enumerate(names):
        drawn.append(words(left - 8, top + side * (i + 0.5), name, "ink", "end", size))
    for place, d in enumerate(shown):
        drawn.append(words(left + side * (place + 0.55), top - 8, columns[d], "ink", "start", size, -45))
    for i in range(len(classes)):
        for place, d in enumerate(shown):
            share = float(share_CD[i, d])
            x, y = left + side * place, top + side * i
            if share >= 0.005:
                kind = "right" if d == i else "wrong"
                title = f"{classes.names[i]}: {100 * share:.1f} % predicted as {[*classes.names, 'none of them'][d]}"
                drawn.append(rectangle(x, y, side, side, kind, title, fill_opacity=0.12 + 0.88 * share))
                if side >= 20:
                    tone = "on" if share > 0.55 else "ink"
                    drawn.append(words(x + side / 2, y + side / 2, f"{100 * share:.0f}", tone, "middle", 11))
    wide, high = side * len(shown), side * len(classes)
    for k in range(len(shown) + 1):
        drawn.append(rule(left + side * k, top, left + side * k, top + high))
    for k in range(len(classes) + 1):
        drawn.append(rule(left, top + side * k, left + wide, top + side * k))
    drawn.append(words(12, top + high / 2, "truth", "faint", "middle", turned=-90))
    drawn.append(words(left + wide / 2, top + high + 18, "prediction", "faint", "middle"))
    room = width_of(columns[shown[-1]], size) * 0.72
    return drawing(left + wide + room, top + high + 32, "Confusion matrix, percent of each true class", *drawn)


def reliability_plot(calibration: Calibration) -> Markup:
    """How often the network is right at each confidence; below it, how many pixels have that confidence."""
    left, top, side, strip = 52.0, 16.0, 300.0, 54.0
    pixels_B = calibration.pixels_B
    total, bins = max(int(pixels_B.sum()), 1), len(pixels_B)
    wide = side / bins

    def y(share: float) -> float:
        return top + side * (1 - share)

    drawn: list[Content] = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        drawn += [
            rule(left, y(tick), left + side, y(tick)),
            words(left - 8, y(tick), f"{100 * tick:g}", "faint", "end"),
        ]
    most = max(int(pixels_B.max()), 1)
    floor = top + side + 14 + strip
    for b in np.flatnonzero(pixels_B):
        right, sure = calibration.right_B[b] / pixels_B[b], calibration.confidence_B[b] / pixels_B[b]
        x = left + wide * b
        title = f"confidence {100 * sure:.0f} %: right {100 * right:.1f} % of {pixels_B[b] / total:.1%} of the pixels"
        drawn.append(rectangle(x + 1, y(right), wide - 2, side * right, "right", title))
        low, high = sorted((right, sure))
        drawn.append(rectangle(x + 1, y(high), wide - 2, side * (high - low), "gap"))
        drawn.append(
            rectangle(x + 1, floor - strip * pixels_B[b] / most, wide - 2, strip * pixels_B[b] / most, "quiet")
        )
    drawn.append(rule(left, y(0), left + side, y(1), "mean"))
    drawn.append(rule(left, floor, left + side, floor, "axis"))
    for tick in (0, 0.25, 0.5, 0.75, 1):
        drawn.append(words(left + side * tick, floor + 14, f"{100 * tick:g}", "faint", "middle"))
    drawn.append(words(left + side / 2, floor + 32, "confidence, %", "faint", "middle"))
    drawn.append(words(12, top + side / 2, "right, %", "faint", "middle", turned=-90))
    drawn.append(words(12, floor - strip / 2, "pixels", "faint", "middle", turned=-90))
    return drawing(
        left + side + 20, floor + 44, "Reliability: how often the network is right at each confidence", *drawn
    )
