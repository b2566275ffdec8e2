"""Marks, pixels and seconds of each class by each kind of label: of one photo, and summed over a set.

Legend: C = target classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np

from ..classes import Classes, Vocabulary
from ..labels import AreaShares, Label, Mask, Tags
from ..labels.seconds import SMALLEST_OBJECT

Cell = tuple[int, int, float]
"""(marks, pixels, seconds) of one class by one kind."""


def region_areas(index_HW: np.ndarray, classes: int) -> dict[int, np.ndarray]:
    """class -> pixels of each of its connected regions. index_HW: class indices, others = none."""
    there = np.flatnonzero(np.bincount(np.maximum(index_HW, -1).ravel() + 1, minlength=classes + 1)[1:])
    found = {}
    for c in map(int, there):
        *_, stats, _ = cv2.connectedComponentsWithStats((index_HW == c).astype(np.uint8), connectivity=8)
        found[c] = stats[1:, cv2.CC_STAT_AREA]
    return found


def cells_of(
    label: Label, vocabulary: Vocabulary, seconds: float, areas: Mapping[int, np.ndarray], pixels: int
) -> dict[int, Cell]:
    """class index -> what one label has of it.

    seconds: what the label cost; shared out evenly over its marks, the background's left out, so the seconds of looking
    for what is not there go with them. areas: see `region_areas`, of a mask of so many pixels.
    Marks are clicks, strokes, boxes, outlines, objects of a mask (connected regions), classes named. What means several
    classes, or none of them, is no class's own.
    """
    counts = _of_mask(vocabulary, areas, pixels) if isinstance(label, Mask) else _of_marks(label, vocabulary)
    marked = sum(marks for marks, _ in counts.values())
    each = seconds / marked if marked else 0.0
    return {c: (marks, area, each * marks) for c, (marks, area) in counts.items() if c >= 0}


def _of_mask(vocabulary: Vocabulary, areas: Mapping[int, np.ndarray], pixels: int) -> dict[int, tuple[int, int]]:
    """class -> (objects, pixels)."""
    target = vocabulary.target
    ground = target.index(target.background) if target.background is not None else -1
    found = {}
    for c, of_regions in areas.items():
        objects = max(int((of_regions >= SMALLEST_OBJECT * pixels).sum()), 1)
        found[c] = 0 if c == ground else objects, int(of_regions.sum())
    return found


def _of_marks(label: Label, vocabulary: Vocabulary) -> dict[int, tuple[int, int]]:
    """class -> (marks, 0 pixels); -1 = what is no class's own."""
    names: Iterable[str]
    if isinstance(label, Tags):
        names = label.present
    elif isinstance(label, AreaShares):
        names = label.shares
    else:
        names = [m.name for m in label.marks if not getattr(m, "negative", False)]  # type: ignore[union-attr]
    counts: dict[int, tuple[int, int]] = {}
    for name in names:
        meant = vocabulary.meaning(name)
        c = vocabulary.target.index(min(meant)) if len(meant) == 1 else -1
        counts[c] = counts.get(c, (0, 0))[0] + 1, 0
    return counts


class ClassTable:
    """Adds up the cells of photos: (kind, class) -> photos, marks, pixels, seconds."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, int], list[float]] = {}

    def add(self, cells: Mapping[tuple[str, int], Cell]) -> None:
        for key, (marks, pixels, seconds) in cells.items():
            row = self.cells.setdefault(key, [0, 0, 0, 0.0])
            for k, more in enumerate((1, marks, pixels, seconds)):
                row[k] += more

    def rows(self, classes: Classes) -> list[dict[str, Any]]:
        """One row a class and kind, in the order of the classes. pixels: of masks, None for other kinds."""
        return [
            {
                "class": classes.names[c],
                "kind": kind,
                "photos": int(photos),
                "marks": int(marks),
                "pixels": int(pixels) if kind == "mask" else None,
                "seconds": round(seconds, 1),
            }
            for (kind, c), (photos, marks, pixels, seconds) in sorted(
                self.cells.items(), key=lambda item: (item[0][1], item[0][0])
            )
        ]
