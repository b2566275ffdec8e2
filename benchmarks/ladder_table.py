"""What `ladder.py` found, as Markdown and as a curve: hours of labelling against mIoU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labels2masks.files import write_atomically
from labels2masks.report.svg import drawing, path, rule, standalone, words

Rows = Sequence[dict[str, Any]]
HEADS = {
    "rung": "The rungs: the recipe that `auto` takes for each kind of label",
    "instant": "`instant`: ridge regression on the same features, what every recipe has to beat",
    "chain": "The systems of the papers, one seed, the same network and steps",
    "baseline": "What each part adds, one seed",
    "few": "Few masks; the rest of 1,037 photos without a label",
    "msrc": "MSRC-21, where nothing was chosen",
}
ANIMALS = ("cat", "cow", "dog", "horse", "sheep")
COLUMNS = (
    *("", "recipe", "seeds", "mIoU", "to masks", "band", "with CRF", "animals", "person", "hours 2016 / today"),
    *("decided, %", "wrong, %", "core minutes"),
)


def markdown(rows: Rows) -> str:
    """One table a group; a row's seeds together."""
    parts = []
    masks = mean([r for r in rows if r["settings"]["row"] == "masks"], "value")
    for group, head in HEADS.items():
        names = list(dict.fromkeys(r["settings"]["row"] for r in rows if r["settings"]["group"] == group))
        if not names:
            continue
        reference = (
            masks if group != "msrc" else mean([r for r in rows if r["settings"]["kind"] == "msrc-masks"], "value")
        )
        lines = [f"**{head}**", "", f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
        lines += [_line(name, [r for r in rows if r["settings"]["row"] == name], reference) for name in names]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def mean(rows: Rows, key: str) -> float:
    values = [r[key] if key in r else r["settings"][key] for r in rows]
    return float(np.mean(values)) if values else math.nan


def _line(name: str, rows: Rows, masks: float) -> str:
    one = rows[0]["settings"]
    value = mean(rows, "value")
    spread = f" ± {np.std([r['value'] for r in rows], ddof=1):.1f}" if len(rows) > 1 else ""
    bands = [r["settings"]["band_to_masks"] for r in rows if r["settings"]["band_to_masks"]]
    low, high = np.mean(bands, axis=0) if bands else (math.nan, math.nan)
    of = {c: float(np.mean([r["settings"]["iou"][c] for r in rows])) for c in one["iou"]}
    animals = f"{np.mean([of[c] for c in ANIMALS]):.1f}" if set(ANIMALS) <= set(of) else ""
    cells = (
        name,
        "+".join(one["narrowed_by"]) or one["recipe"],
        str(len(rows)),
        f"**{value:.1f}**{spread}",
        f"{value / masks:.2f}" if masks == masks else "",
        f"{low:+.1f} to {high:+.1f}" if bands else "",
        f"{mean(rows, 'miou_crf'):.1f}",
        animals,
        f"{of['person']:.1f}" if "person" in of else "",
        f"{one['hours_2016']:.1f} / {one['hours_today']:.1f}",
        f"{100 * one['decided_before']:.0f} → {100 * one['decided_after']:.0f}",
        f"{100 * one['wrong_before']:.1f} → {100 * one['wrong_after']:.1f}",
        f"{mean(rows, 'cpu_seconds') / 60:.1f}",
    )
    return f"| {' | '.join(cells)} |"


LEFT, RIGHT, TOP, BOTTOM = 60.0, 720.0, 56.0, 380.0
HOURS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)


def drawn_curve(rows: Rows, file: Path) -> None:
    """Hours of labelling (by a logarithm) against mIoU: every rung at the seconds of 2016 and of today's tools."""
    rungs = {r["settings"]["row"]: r["settings"] for r in rows if r["settings"]["group"] == "rung"}
    scores = {name: mean([r for r in rows if r["settings"]["row"] == name], "value") for name in rungs}
    shown = {n: s for n, s in rungs.items() if n in ("tags", "clicks", "scribbles", "boxes", "masks")}
    if not shown:
        return
    low = 10 * math.floor(min(scores[n] for n in shown) / 10 - 0.2)
    high = 10 * math.ceil(max(scores[n] for n in shown) / 10)

    def at(hours: float, miou: float) -> tuple[float, float]:
        x = LEFT + (RIGHT - LEFT) * math.log(hours / HOURS[0]) / math.log(HOURS[-1] / HOURS[0])
        return x, BOTTOM - (BOTTOM - TOP) * (miou - low) / (high - low)

    title = "Hours of labelling against mIoU, VOC animals, 437 photos, one network"
    drawn: list[Any] = [words(16, 22, title, "strong", size=15)]
    for tick in range(low, high + 1, 10):
        drawn += [
            rule(LEFT, at(1, tick)[1], RIGHT, at(1, tick)[1]),
            words(LEFT - 8, at(1, tick)[1], f"{tick}", "faint", "end"),
        ]
    for hours in HOURS:
        x = at(hours, low)[0]
        drawn += [rule(x, TOP, x, BOTTOM), words(x, BOTTOM + 16, f"{hours:g} h", "faint", "middle")]
    for table, colour in (("2016", "#b45309"), ("today", "#2563eb")):
        points = {n: at(s[f"hours_{table}"], scores[n]) for n, s in shown.items()}
        drawn.append(path(sorted(points.values()), "part", colour))
        for name, (x, y) in points.items():
            drawn.append(words(x, y, "●", "ink", "middle", size=11))
            if table == "2016" or abs(points[name][0] - at(shown[name]["hours_2016"], 0)[0]) > 40:
                drawn.append(words(x, y - 14, f"{name} {scores[name]:.1f}", "ink", "middle"))
    for number, (text, colour) in enumerate((("seconds of 2016", "#b45309"), ("today's tools", "#2563eb"))):
        y = BOTTOM - 40 + 18 * number
        drawn += [path([(RIGHT - 150, y), (RIGHT - 124, y)], "part", colour), words(RIGHT - 116, y, text)]
    write_atomically(file, standalone(drawing(RIGHT + 40, BOTTOM + 32, title, *drawn)))
