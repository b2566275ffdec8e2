"""The sections of a run's report, in their order. What has nothing to say is None.

Legend: C = classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..classes import Classes
from ..evaluation import card_lines
from ..training.plan import describe
from .facts import Facts
from .lessons import lessons
from .markup import Content, Markup, element, joined
from .pictures import data_uri
from .svg import hexed
from .worst import Shown

LISTED = 50
"""Photos that were left out and are named; the number of all is always given."""
BATCHES_WIDTH = 1600
"""Pixels that the picture of the first batches is shrunk to."""


def learnt(facts: Facts) -> Content:
    scored = facts.scored
    told = lessons(
        facts.metrics,
        facts.plan.class_list,
        scored.confusion.counts if scored else None,
        scored.calibration if scored else None,
        facts.rows,
    )
    return element("ul", *(element("li", line) for line in told), class_="lessons")


def classes(facts: Facts, plots: Mapping[str, Markup]) -> Content:
    """The bars, and a table with what they rest on."""
    if not facts.scored:
        return None
    classes = facts.plan.class_list
    true_PC = facts.scored.sums()[:, 1]
    photos_C, total = (true_PC > 0).sum(axis=0), max(facts.metrics["pixels"], 1)
    rows = []
    for c, name in enumerate(classes.names):
        row, spread = facts.metrics["per_class"][name], facts.bands_C[c]
        cells = [_percent(row["iou"]), f"{100 * spread[0]:.0f}–{100 * spread[1]:.0f}" if spread else "–"]
        cells += [_percent(row["precision"]), _percent(row["recall"]), _percent(row["pixels"] / total)]
        cells += [str(int(photos_C[c])), _percent(facts.plan.class_shares[c])]
        rows.append(
            element(
                "tr",
                element("th", _swatch(classes, c), " ", element("bdi", name), scope="row"),
                *(element("td", x) for x in cells),
            )
        )
    head = ("class", "IoU", "95 % band", "precision", "recall", "share of truth", "photos", "share in training")
    table = element(
        "table",
        element("thead", element("tr", *(element("th", x, scope="col") for x in head))),
        element("tbody", *rows),
    )
    text = (
        "Precision: how many of the pixels that got the name have it. Recall: how many that have it got it. "
        "Shares are of labelled pixels, photos those that hold the class. Bands come from drawing photos anew; "
        "of a class in few photos they say little."
    )
    return joined(_scrolled(plots["iou"]), _scrolled(table), element("p", text, class_="note"))


def confusions(plots: Mapping[str, Markup]) -> Content:
    if "confusion" not in plots:
        return None
    text = "Each row says what became of the pixels of one class, in percent. Blue is right, orange is not."
    return joined(_scrolled(plots["confusion"]), element("p", text, class_="note"))


def photos(facts: Facts, shown: Sequence[Shown | tuple[str, str]], no_photos: bool) -> Content:
    if no_photos:
        return element("p", "This report was written without photos.", class_="note")
    if facts.scored:
        text = (
            "Ranked by the mean IoU over the classes that a photo holds; the last few are spread down to the best. "
            "In the error picture wrong pixels are red, unlabelled ones dark. Click a picture to enlarge it."
        )
    else:
        where = "set aside" if facts.plan.val else "of the training set: the network has seen them"
        text = f"Some photos {where}. Click a picture to enlarge it."
    named = facts.plan.class_list
    legend = [element("span", _swatch(named, c), element("bdi", name)) for c, name in enumerate(named.names)]
    return joined(
        element("p", text, class_="note"),
        element("p", *legend, class_="legend"),
        *(_figure(item) for item in shown),
    )


def _swatch(classes: Classes, c: int) -> Markup:
    square = element("rect", width=14, height=14, rx=3, fill=hexed(classes.colours[c]))
    return element("svg", square, width=14, height=14, aria_hidden="true")


def _figure(item: Shown | tuple[str, str]) -> Markup:
    if not isinstance(item, Shown):
        name, _ = item
        return element("p", element("bdi", name), ": can no longer be read.", class_="note")
    panels = [
        element(
            "figure",
            element("img", src=data_uri(picture_hw3), alt=f"{item.name}: {caption}", loading="lazy"),
            element("figcaption", caption),
            tabindex=0,
        )
        for caption, picture_hw3 in item.panels.items()
    ]
    place = element("span", f"{item.place} of {item.of}", class_="place")
    score = element("span", f"mean IoU {100 * item.iou:.0f}", class_="iou") if item.iou is not None else None
    mistakes = "; ".join(
        f"{true} taken for {predicted or 'none of the classes'}: {100 * share:.1f} % of the photo"
        for true, predicted, share in item.mistakes
    )
    return element(
        "article",
        element("h3", place, element("bdi", item.name), score),
        element("p", mistakes, class_="mistakes") if mistakes else None,
        element("p", f"Also said: {item.said}", class_="mistakes") if item.said else None,
        element("div", *panels, class_="panels"),
        class_="photo",
    )


def training(plots: Mapping[str, Markup], batches_HW3: np.ndarray | None) -> Content:
    parts: list[Content] = [_scrolled(plots["loss"])] if "loss" in plots else []
    if batches_HW3 is not None:
        height, width = batches_HW3.shape[:2]
        if width > BATCHES_WIDTH:
            size = (BATCHES_WIDTH, round(height * BATCHES_WIDTH / width))
            batches_HW3 = cv2.resize(batches_HW3, size, interpolation=cv2.INTER_AREA)
        text = (
            "The first batches as the network saw them: crops above, below them what their labels allow. "
            "A class's colour: only that class; mixed with grey: several; grey: all; black: no statement."
        )
        picture = element("img", src=data_uri(batches_HW3), alt="The first batches", class_="wide", loading="lazy")
        parts += [element("h3", "First batches"), picture, element("p", text, class_="note")]
    return joined(*parts) if parts else None


def confidence(facts: Facts, plots: Mapping[str, Markup]) -> Content:
    if not facts.scored or "reliability" not in plots:
        return None
    text = (
        "Bars: how often the network is right where it claims a confidence. On the dashed line the claim is true; "
        "the pale part is the gap. Below: how many pixels have that confidence. "
        f"Calibration error {100 * (facts.scored.calibration.error or 0):.1f} %: the mean gap over all pixels."
    )
    return joined(_scrolled(plots["reliability"]), element("p", text, class_="note"))


def left_out(facts: Facts) -> Content:
    if not facts.skipped:
        return None
    rows = [
        element(
            "tr", element("th", element("bdi", str(e.get("name", ""))), scope="row"), element("td", _local(facts, e))
        )
        for e in facts.skipped[:LISTED]
    ]
    more = f"{len(facts.skipped)} in all; skipped.jsonl names every one. The files were left where they are."
    head = element("thead", element("tr", element("th", "photo", scope="col"), element("th", "reason", scope="col")))
    return joined(
        _scrolled(element("table", head, element("tbody", *rows), class_="words")), element("p", more, class_="note")
    )


def _local(facts: Facts, entry: Mapping[str, Any]) -> str:
    return without_place(str(entry.get("reason", "")), facts.plan.data)


def without_place(text: str, place: str) -> str:
    """The text without the folder that the data lay in: a page travels, and need not say whose machine it was."""
    place = place.rstrip("/")
    return text.replace(f"{place}/", "").replace(place, Path(place).name) if place else text


def protocol(facts: Facts) -> Content:
    card = facts.metrics["protocol"] if facts.scored else {**facts.metrics["protocol"], "miou_means": None}
    pairs = [line.split("  ", 1) for line in card_lines(card)]
    return element(
        "dl", *(element("div", element("dt", a.strip()), element("dd", b.strip())) for a, b in pairs), class_="card"
    )


def plan(facts: Facts) -> Content:
    """What was decided, every setting, and where it ran."""
    told = []
    for line in describe(facts.plan).splitlines():
        what, _, text = line.partition(" ")
        told.append((what, without_place(text.strip(), facts.plan.data)))
    settings = [(k, _setting(v)) for k, v in _flat(facts.plan.settings.model_dump())]
    machine = [(k.replace("_", " "), _setting(v)) for k, v in _flat(facts.environment, " ")]
    return joined(
        _pairs(told),
        element("details", element("summary", "Every setting"), _pairs(settings)),
        element("details", element("summary", "Machine and versions"), _pairs(machine)) if machine else None,
    )


def _pairs(pairs: Sequence[tuple[str, str]]) -> Markup:
    return element("dl", *(element("div", element("dt", a), element("dd", b)) for a, b in pairs), class_="card")


def _flat(tree: Mapping[str, Any], mark: str = ".") -> list[tuple[str, Any]]:
    return [
        (path, leaf)
        for name, value in tree.items()
        for path, leaf in (
            [(f"{name}{mark}{k}", v) for k, v in _flat(value, mark)] if isinstance(value, dict) else [(name, value)]
        )
    ]


def _setting(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(_setting(v) for v in value) or "none"
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return f"{value:g}" if isinstance(value, float) else str(value)


def _scrolled(content: Content) -> Markup:
    """What is wider than a phone scrolls by itself, not the page."""
    return element("div", content, class_="scrolled")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
