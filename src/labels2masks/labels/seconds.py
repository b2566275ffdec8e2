"""What labels cost: seconds of a person's time, measured where somebody measured, else published means.

Every class that is not in the image costs the second of looking for it, and each mark the seconds of a table.
Which tool people had decides: an object boxed by dragging took 26 seconds, by four extreme clicks 7. So there are
two tables, and `read_seconds` reads a third, your own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np

from ..classes import Classes
from ..errors import DataError, UsageError, did_you_mean
from .kinds import AreaShares, Boxes, Label, Mask, Point, Points, Regions, Scribbles, Stroke, Tags, kind_name

PER_MARK = MappingProxyType(
    {
        "tags": 1.0,
        "points": 2.4,
        "scribbles": 10.9,
        "boxes": 26.0,
        "extreme": 7.0,
        "regions": 79.0,
        "mask": 79.0,
        "shares": 5.0,
    }
)
"""Seconds per class tagged, class clicked, class scribbled, object boxed, object boxed by extreme clicks, object
outlined, object of a mask, class whose share is told."""

BEARMAN = "Bearman et al. 2016, What's the Point"
EXTREME = "Papadopoulos et al. 2017, Extreme clicking"
ASSISTED = "Kirillov et al. 2023, Segment Anything, section 4: clicks into a network, corrected by hand"
ASSUMED = "our assumption"


@dataclass(frozen=True)
class SecondsTable:
    """name: how a person calls the table. per_mark: its seconds, by the keys of `PER_MARK`. source: whose they are."""

    name: str
    per_mark: Mapping[str, float]
    source: Mapping[str, str]


PUBLISHED = SecondsTable(
    "2016",
    PER_MARK,
    MappingProxyType(dict.fromkeys(PER_MARK, BEARMAN) | {"extreme": EXTREME, "shares": ASSUMED}),
)
TODAY = SecondsTable(
    "today",
    MappingProxyType({**PER_MARK, "boxes": 7.0, "regions": 14.0, "mask": 14.0}),
    MappingProxyType({**PUBLISHED.source, "boxes": EXTREME, "regions": ASSISTED, "mask": ASSISTED}),
)
TABLES = MappingProxyType({t.name: t for t in (PUBLISHED, TODAY)})
"""2016: the tools of 2012 to 2016. today: the same where nothing newer was published."""

SMALLEST_OBJECT = 0.0005
"""Regions below this share of the image are crumbs of a mask, not objects somebody outlined."""


def read_seconds(name: Path | str) -> SecondsTable:
    """The table of this name, "2016" or "today", or one of your own: a JSON file with some of the keys of `PER_MARK`.

    What the file leaves out is as in 2016. Raises UsageError where there is no such table or file, DataError for
    other keys and for what is no number of seconds.
    """
    if str(name) in TABLES:
        return TABLES[str(name)]
    path = Path(name)
    if not path.is_file():
        raise UsageError(
            f'no table of seconds {str(name)!r}: give 2016, today, or a JSON file such as {{"boxes": 9.5}}'
        )
    try:
        measured = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(measured, dict):
        raise DataError(f'{path}: expected an object from kind to seconds a mark, such as {{"boxes": 9.5}}')
    for key, value in measured.items():
        if key not in PER_MARK:
            raise DataError(f"{path}: unknown kind {key!r}{did_you_mean(key, PER_MARK)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0:
            raise DataError(f"{path}: {key}: {value!r}; expected seconds, 0 or more")
    return SecondsTable(path.name, PER_MARK | measured, {**PUBLISHED.source, **dict.fromkeys(measured, path.name)})


def labelling_seconds(labels: Sequence[Label], classes: Classes, table: SecondsTable = PUBLISHED) -> float:
    """Seconds that the labels of one image cost a person; `seconds` of a label wins over the table's means.

    classes: what the annotators had to look for (the source's class list).
    table: one of `TABLES`, or what `read_seconds` gave.
    A mask must be loaded: its objects are counted as connected regions, so touching objects
    of one class count once and the figure is a lower bound.
    """
    return sum(x.seconds if x.seconds is not None else _published(x, classes, table.per_mark) for x in labels)


def _published(label: Label, classes: Classes, per_mark: Mapping[str, float]) -> float:
    asked, look = len(classes.foreground), per_mark["tags"]
    if isinstance(label, Tags):
        return look * asked
    if isinstance(label, AreaShares):
        return look * asked + (per_mark["shares"] - look) * len(label.shares)
    if isinstance(label, Points):
        marked = {m.name for m in label.marks if isinstance(m, Point) and m.name != classes.background}
        return look * max(asked - len(marked), 0) + per_mark["points"] * len(marked)
    if isinstance(label, Scribbles):
        marked = {m.name for m in label.marks if isinstance(m, Stroke)}
        return look * max(asked - len(marked), 0) + per_mark["scribbles"] * len(marked)
    if isinstance(label, Boxes):
        marked = {m.name for m in label.marks}
        clicked = sum(bool(m.extremes) for m in label.marks)
        drawn = len(label.marks) - clicked
        return look * max(asked - len(marked), 0) + per_mark["boxes"] * drawn + per_mark["extreme"] * clicked
    if isinstance(label, Regions):
        marked = {m.name for m in label.marks}
        return look * max(asked - len(marked), 0) + per_mark[kind_name(label)] * len(label.marks)
    present, objects = _objects(label, classes)
    return look * max(asked - present, 0) + per_mark["mask"] * objects


def _objects(mask: Mask, classes: Classes) -> tuple[int, int]:
    """(classes present, connected regions) of a loaded mask, background left out."""
    if mask.ids_HW is None:
        raise ValueError("the mask must be loaded (ids_HW) before its objects are counted")
    present = objects = 0
    for name in classes.foreground:
        of_class_HW = (mask.ids_HW == classes.file_ids[classes.index(name)]).astype(np.uint8)
        if not of_class_HW.any():
            continue
        count, _, stats, _ = cv2.connectedComponentsWithStats(of_class_HW, connectivity=8)
        areas = stats[1:count, cv2.CC_STAT_AREA]
        present += 1
        objects += max(int((areas >= SMALLEST_OBJECT * of_class_HW.size).sum()), 1)
    return present, objects
