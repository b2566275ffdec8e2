"""The objects that labels mark: boxes from the facts, marked pixels from the candidates; and masks of them as evidence.

Legend: C = classes; H, W = pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from ..labels import INK, VOID_ROW, Candidates
from .decide import Evidence

SURE = 0.9
"""The probability of the class that a hard answer names; the other candidates share the rest."""


@dataclass(frozen=True)
class Boxed:
    """One box. allowed_C: bool, the classes it may hold. window: the pixels it covers, cut at the photo's border."""

    allowed_C: np.ndarray
    window: tuple[slice, slice]

    @property
    def area(self) -> int:
        rows, columns = self.window
        return (rows.stop - rows.start) * (columns.stop - columns.start)


def boxes_of(candidates: Candidates) -> list[Boxed]:
    """The boxes that lie in the photo, largest first, so that smaller ones are drawn on top of them."""
    height, width = candidates.index_HW.shape
    found = []
    for classes, (x0, y0, x1, y1) in candidates.facts.boxes:
        left, top = max(ceil(x0 - 0.5), 0), max(ceil(y0 - 0.5), 0)
        right, bottom = min(ceil(x1 - 0.5), width), min(ceil(y1 - 0.5), height)
        if right > left and bottom > top:
            allowed_C = np.zeros(candidates.sets_KC.shape[1], bool)
            allowed_C[sorted(classes)] = True
            found.append(Boxed(allowed_C, (slice(top, bottom), slice(left, right))))
    return sorted(found, key=lambda b: -b.area)


def clear_boxes(candidates: Candidates) -> list[Boxed]:
    """The boxes that can hold one class only, largest first."""
    return [b for b in boxes_of(candidates) if b.allowed_C.sum() == 1]


def laid_down(
    candidates: Candidates,
    boxes: list[Boxed],
    objects: list[np.ndarray],
    background: int,
    doubts: list[np.ndarray] | None = None,
) -> np.ndarray:
    """int32 HW: boxes' objects over each other in their order, background in the rest of the boxes, -1 outside.

    objects: bool hw of each box. doubts: bool hw, pixels of which nothing is said.
    """
    label_HW = np.full(candidates.index_HW.shape, -1, np.int32)
    for box in boxes:
        label_HW[box.window] = background
    for number, (box, object_hw) in enumerate(zip(boxes, objects, strict=True)):
        if doubts is not None:
            label_HW[box.window][doubts[number]] = -1
        label_HW[box.window][object_hw] = box.allowed_C.argmax()
    return label_HW


def filled_boxes(candidates: Candidates, background: int) -> Evidence:
    """Evidence of boxes that are taken for objects whole."""
    boxes = clear_boxes(candidates)
    full = [np.ones(candidates.index_HW[b.window].shape, bool) for b in boxes]
    return as_evidence(candidates, laid_down(candidates, boxes, full, background))


def ink_of(candidates: Candidates) -> np.ndarray:
    """int32 HW: the class where a click or stroke leaves one, -1 elsewhere."""
    drawn_K = candidates.source_K == INK
    return np.where(drawn_K[candidates.index_HW], candidates.labels(), -1)


def as_evidence(candidates: Candidates, label_HW: np.ndarray, confidence_HW: np.ndarray | None = None) -> Evidence:
    """Evidence of a hard answer.

    label_HW: int, the class a pixel is found to be; -1 where the step says nothing. An answer that is no candidate of
        its pixel says nothing either. confidence_HW: float32, 0..1; without it 1 wherever something is said.
    """
    allowed_CHW = candidates.allowed()
    said_HW = (label_HW >= 0) & (candidates.index_HW != VOID_ROW)
    said_HW &= np.take_along_axis(allowed_CHW, np.maximum(label_HW, 0)[None], axis=0)[0]
    others_HW = np.maximum(allowed_CHW.sum(axis=0, dtype=np.float32) - 1, 1)
    scores_CHW = np.broadcast_to(np.log((1 - SURE) / others_HW), allowed_CHW.shape).copy()
    np.put_along_axis(scores_CHW, np.maximum(label_HW, 0)[None], np.float32(np.log(SURE)), axis=0)
    scores_CHW = np.where(said_HW, scores_CHW, np.float32(0))
    confidence = said_HW if confidence_HW is None else np.where(said_HW, confidence_HW, 0)
    return Evidence(
        np.where(allowed_CHW, scores_CHW, np.float32(-np.inf)).astype(np.float32), confidence.astype(np.float32)
    )


def hull_of(region_HW: np.ndarray) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of the upright hull, the last two exclusive; zeros where there is no pixel."""
    rows, columns = np.flatnonzero(region_HW.any(axis=1)), np.flatnonzero(region_HW.any(axis=0))
    if not rows.size:
        return 0, 0, 0, 0
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
