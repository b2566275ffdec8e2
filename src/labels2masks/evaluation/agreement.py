"""Masks against labels that are no masks: how many clicks they hit, whether tags and boxes agree.

This is agreement, not accuracy: a mask of one right pixel under each click agrees with all of
them. No number here is called mIoU.

Legend: H, W = pixels; K = rows of a Candidates table; C = classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from ..classes import Vocabulary
from ..labels import INK, AreaShares, Boxes, Label, Points, Scribbles, Tags, rasterise
from ..labels.seconds import SMALLEST_OBJECT

XYXY = tuple[float, float, float, float]


class Agreement:
    """Accumulates over photos. Each kind of label is counted on its own."""

    def __init__(self) -> None:
        self.hits = {"clicks": 0, "stroke_pixels": 0}
        self.count = {"clicks": 0, "stroke_pixels": 0}
        self.right_tags = self.wrong_tags = self.missed_tags = 0
        self.box_ious: list[float] = []
        self.share_errors: list[float] = []

    def add(self, mask_HW: np.ndarray, labels: Sequence[Label], vocabulary: Vocabulary) -> None:
        """mask_HW: indices of the vocabulary's target classes, -1 = none of them."""
        for label in labels:
            if isinstance(label, Points):
                self._points(mask_HW, label, vocabulary)
            elif isinstance(label, Scribbles):
                self._strokes(mask_HW, label, vocabulary)
            elif isinstance(label, Tags):
                self._tags(mask_HW, label, vocabulary)
            elif isinstance(label, Boxes):
                self._boxes(mask_HW, label, vocabulary)
            elif isinstance(label, AreaShares):
                self._shares(mask_HW, label, vocabulary)

    def scores(self) -> dict[str, Any]:
        """What there was a label for, all 0..1:

        clicks, stroke_pixels: {"hit": share whose class is one that the mark allows, "count"}.
        tags: {"precision", "recall", "count"}; a class is predicted from 0.05 % of the image on.
        boxes: {"iou": mean IoU of each box with the hull of the regions that belong to it, "count"}.
        shares: {"mean_absolute_error", "count"}.
        """
        found: dict[str, Any] = {
            kind: {"hit": self.hits[kind] / self.count[kind], "count": self.count[kind]}
            for kind in self.hits
            if self.count[kind]
        }
        tags = self.right_tags + self.missed_tags
        if tags or self.wrong_tags:
            predicted = self.right_tags + self.wrong_tags
            found["tags"] = {
                "precision": self.right_tags / predicted if predicted else None,
                "recall": self.right_tags / tags if tags else None,
                "count": tags,
            }
        if self.box_ious:
            found["boxes"] = {"iou": float(np.mean(self.box_ious)), "count": len(self.box_ious)}
        if self.share_errors:
            found["shares"] = {
                "mean_absolute_error": float(np.mean(self.share_errors)),
                "count": len(self.share_errors),
            }
        return found

    def _points(self, mask_HW: np.ndarray, label: Points, vocabulary: Vocabulary) -> None:
        height, width = mask_HW.shape
        for mark in label.marks:
            allowed = _indices(vocabulary, mark.name)
            y, x = int(mark.y), int(mark.x)
            if allowed and 0 <= y < height and 0 <= x < width:
                self.count["clicks"] += 1
                self.hits["clicks"] += (int(mask_HW[y, x]) in allowed) != mark.negative

    def _strokes(self, mask_HW: np.ndarray, label: Scribbles, vocabulary: Vocabulary) -> None:
        drawn = rasterise((label,), vocabulary, *mask_HW.shape)
        ink_HW = drawn.source_K[drawn.index_HW] == INK
        mask_P = mask_HW[ink_HW]
        allowed_P = drawn.sets_KC[drawn.index_HW[ink_HW], mask_P] & (mask_P >= 0)
        self.count["stroke_pixels"] += len(mask_P)
        self.hits["stroke_pixels"] += int(allowed_P.sum())

    def _tags(self, mask_HW: np.ndarray, label: Tags, vocabulary: Vocabulary) -> None:
        target = vocabulary.target
        present = [allowed for name in sorted(label.present) if (allowed := _indices(vocabulary, name))]
        maybe = frozenset().union(*present)
        promised = set(label.complete) | {m for name in label.absent for m in vocabulary.source.members(name)}
        known = {target.index(name) for name in vocabulary.complete(promised)} | maybe
        pixels_C = np.bincount(mask_HW[mask_HW >= 0], minlength=len(target))
        predicted = {int(i) for i in np.flatnonzero(pixels_C >= max(1, SMALLEST_OBJECT * mask_HW.size))}
        if target.background:
            predicted.discard(target.index(target.background))
        self.right_tags += sum(bool(allowed & predicted) for allowed in present)
        self.missed_tags += sum(not allowed & predicted for allowed in present)
        self.wrong_tags += len((predicted & known) - maybe)

    def _boxes(self, mask_HW: np.ndarray, label: Boxes, vocabulary: Vocabulary) -> None:
        by_meaning: dict[frozenset[int], list[XYXY]] = {}
        for box in label.marks:
            if allowed := _indices(vocabulary, box.name):
                by_meaning.setdefault(allowed, []).append(box.bounds)
        for allowed, boxes in by_meaning.items():
            self.box_ious += hull_ious(np.isin(mask_HW, list(allowed)), boxes)

    def _shares(self, mask_HW: np.ndarray, label: AreaShares, vocabulary: Vocabulary) -> None:
        for name, share in label.shares.items():
            if allowed := _indices(vocabulary, name):
                self.share_errors.append(abs(float(np.isin(mask_HW, list(allowed)).mean()) - share))


def one_number(scores: Mapping[str, Any]) -> dict[str, float]:
    """`Agreement.scores()` as one number a kind, all 0..1 and larger = better, and their plain mean, `agreement`.

    clicks, stroke_pixels: the share that is hit. tags: F1 of the classes found, 2 P R / (P + R). boxes: the mean IoU.
    shares: 1 - the mean absolute error. Kinds count alike in the mean, or a thousand pixels of strokes would drown the
    clicks. {} where there was no label. It compares models on the same labels, and says nothing of their accuracy.
    """
    found = {kind: scores[kind]["hit"] for kind in ("clicks", "stroke_pixels") if kind in scores}
    if "tags" in scores:
        precision, recall = (scores["tags"][name] or 0.0 for name in ("precision", "recall"))
        found["tags"] = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    if "boxes" in scores:
        found["boxes"] = scores["boxes"]["iou"]
    if "shares" in scores:
        found["shares"] = 1 - scores["shares"]["mean_absolute_error"]
    return {**found, "agreement": sum(found.values()) / len(found)} if found else {}


def hull_ious(region_HW: np.ndarray, boxes: Sequence[XYXY]) -> list[float]:
    """For each box the IoU with the upright hull of its regions, 0 where it has none.

    A connected region belongs to the box that covers most of it, to none where no box touches it.
    """
    count, labels_HW, stats, _ = cv2.connectedComponentsWithStats(region_HW.astype(np.uint8), connectivity=8)
    hulls: list[XYXY | None] = [None] * len(boxes)
    for region in range(1, count):
        x, y, width, height, area = (int(v) for v in stats[region])
        if area < SMALLEST_OBJECT * region_HW.size:
            continue
        part_HW = labels_HW == region
        covered = [int(part_HW[_slices(box)].sum()) for box in boxes]
        best = int(np.argmax(covered))
        if covered[best]:
            hull, old = (x, y, x + width, y + height), hulls[best]
            hulls[best] = hull if old is None else (*map(min, old[:2], hull[:2]), *map(max, old[2:], hull[2:]))  # type: ignore[assignment]
    return [0.0 if hull is None else _iou(hull, box) for hull, box in zip(hulls, boxes, strict=True)]


def _slices(box: XYXY) -> tuple[slice, slice]:
    x0, y0, x1, y1 = (max(0, round(v)) for v in box)
    return slice(y0, y1), slice(x0, x1)


def _iou(a: XYXY, b: XYXY) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0.0) * max(height, 0.0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def _indices(vocabulary: Vocabulary, name: str) -> frozenset[int]:
    return frozenset(vocabulary.target.index(n) for n in vocabulary.meaning(name))
