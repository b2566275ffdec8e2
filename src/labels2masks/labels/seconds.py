"""What labels cost: seconds of a person's time, measured where somebody measured, else published means.

The published means are those of Bearman et al. 2016, "What's the Point" (released plotting
code, PASCAL VOC): every class that is not in the image costs one second of looking, and
each mark the seconds of `PER_MARK`.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import cv2
import numpy as np

from ..classes import Classes
from .kinds import AreaShares, Boxes, Label, Mask, Point, Points, Regions, Scribbles, Stroke, Tags, kind_name

PER_MARK = MappingProxyType(
    {"tags": 1.0, "points": 2.4, "scribbles": 10.9, "boxes": 26.0, "regions": 79.0, "mask": 79.0, "shares": 5.0}
)
"""Seconds per class tagged, class clicked, class scribbled, object boxed (drawn; extreme clicks take 7),
object outlined. `shares` is our assumption: no published figure was found."""

SMALLEST_OBJECT = 0.0005
"""Regions below this share of the image are crumbs of a mask, not objects somebody outlined."""


def labelling_seconds(labels: Sequence[Label], classes: Classes) -> float:
    """Seconds that the labels of one image cost a person; `seconds` of a label wins over the means.

    classes: what the annotators had to look for (the source's class list).
    A mask must be loaded: its objects are counted as connected regions, so touching objects
    of one class count once and the figure is a lower bound.
    """
    return sum(x.seconds if x.seconds is not None else _published(x, classes) for x in labels)


def _published(label: Label, classes: Classes) -> float:
    asked = len(classes.foreground)
    if isinstance(label, Tags):
        return PER_MARK["tags"] * asked
    if isinstance(label, AreaShares):
        return asked + (PER_MARK["shares"] - 1) * len(label.shares)
    if isinstance(label, Points):
        marked = {m.name for m in label.marks if isinstance(m, Point) and m.name != classes.background}
        return max(asked - len(marked), 0) + PER_MARK["points"] * len(marked)
    if isinstance(label, Scribbles):
        marked = {m.name for m in label.marks if isinstance(m, Stroke)}
        return max(asked - len(marked), 0) + PER_MARK["scribbles"] * len(marked)
    if isinstance(label, Boxes | Regions):
        marked = {m.name for m in label.marks}
        return max(asked - len(marked), 0) + PER_MARK[kind_name(label)] * len(label.marks)
    present, objects = _objects(label, classes)
    return max(asked - present, 0) + PER_MARK["mask"] * objects


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
