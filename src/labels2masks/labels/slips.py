"""People's mistakes, as they were measured: what makes of a true label one that a person would have given.

Measured on `voc_animals` train (437 photos, 603 classes in them, official masks), unless another source is named:
    clicks (Bearman et al. 2016): of 951 on objects 893 hit, 48 fell on void (17 of them within 8 pixels of the object,
        the rest on things that the masks leave out; all are put on the border here), 10 on something else; on 11 of the
        603 classes nobody clicked.
    boxes of five animals (Animal Pose data set), each side against the mask's: further out by 3 pixels in the median,
        the middle half by 1 to 4, the middle 90 % by -3 to 8; missed are 13 % of the regions below 1 % of the photo,
        4 % of those from 1 to 3 %, 0.8 % of the larger ones.
    strokes (the two sets of scribbles on 17 photos of GrabCut): 2 of 34 slip over the border, by 4 and 7 % of
        their ink.
Our assumptions: tags are forgotten as often as clicks, extreme clicks stray like boxes by 2 pixels, and shares are
guessed with a standard deviation of a fifth of their size.

Legend: H, W = pixels of the photo; P = pixels, or points of a line.
"""

from __future__ import annotations

from dataclasses import replace
from math import floor

import cv2
import numpy as np

from .kinds import AreaShares, Box, Boxes, Label, Point, Points, Scribbles, Stroke, Tags
from .truth import Object, Truth, extremes

ON_BORDER, ON_OTHER = 48 / 951, 10 / 951
FORGOTTEN = 11 / 603
RIM = 3
"""Pixels beyond an object that are its border: half of what the masks of PASCAL VOC leave void around it."""
FAR = 100
"""A click that misses lands at most so many pixels beside the object: 7 of the 10 measured ones did."""

LOOSE, SCATTER = 2.5, 2.2
"""A side of a box lies so many pixels outside: a Laplace distribution with this median and this scale."""
MISSED = ((0.01, 0.13), (0.03, 0.04), (1.0, 0.008))
"""(below this share of the photo, so many objects are not boxed)."""
STRAY = 2.0
"""Standard deviation of an extreme click in pixels, along each axis."""

OVERRUN, OVERRUN_BY = 2 / 34, 0.055
"""So many strokes go on over the border, by this share of their length."""

GUESSED = 0.2
"""Standard deviation of the logarithm of a guessed share."""


def slipped(label: Label, truth: Truth, rng: np.random.Generator) -> Label:
    """The label with people's mistakes; what it promises to be complete is promised still, as people do.

    Where there is no background, one class at least is never forgotten: a photo of nothing can not be.
    """
    if isinstance(label, Tags):
        return replace(label, present=_remembered(sorted(label.present), truth, rng))
    if isinstance(label, AreaShares):
        told = {n: as_people_say(s * rng.lognormal(0, GUESSED)) for n, s in label.shares.items()}
        return replace(label, shares=told)
    if isinstance(label, Boxes):
        boxed = [o for o in truth.objects if o.name in truth.foreground]
        pairs = list(zip(label.marks, boxed, strict=True))
        seen = [(b, o) for b, o in pairs if rng.random() >= _missed(o, truth)]
        if not seen and truth.classes.background is None:
            seen = pairs
        draw = _clicked if any(b.extremes for b in label.marks) else _drawn
        return replace(label, marks=tuple(draw(b, o, truth, rng) for b, o in seen))
    if isinstance(label, Points):
        kept = _remembered([m.name for m in label.marks], truth, rng)
        return replace(label, marks=tuple(_misclicked(m, truth, rng) for m in label.marks if m.name in kept))
    if isinstance(label, Scribbles):
        kept = _remembered([m.name for m in label.marks], truth, rng)
        return replace(label, marks=tuple(_overrun(m, truth, rng) for m in label.marks if m.name in kept))
    return label


def as_people_say(share: float) -> float:
    """A share of the area rounded as a person rounds: to 5 %, below 7.5 % to whole percents, never to nothing."""
    rounded = round(20 * share) / 20 if share >= 0.075 else max(round(100 * share), 1) / 100
    return min(rounded, 1.0)


def _remembered(names: list[str], truth: Truth, rng: np.random.Generator) -> frozenset[str]:
    kept = frozenset(n for n in dict.fromkeys(names) if rng.random() >= FORGOTTEN)
    return kept if kept or truth.classes.background is not None else frozenset(names)


def _misclicked(mark: Point, truth: Truth, rng: np.random.Generator) -> Point:
    """The click, or one on the border of what it was meant for, or one on something else."""
    if mark.name == truth.classes.background or (chance := rng.random()) >= ON_BORDER + ON_OTHER:
        return mark
    meant_HW = np.zeros(truth.index_HW.shape, bool)
    one = next(o for o in truth.objects if o.name == mark.name and _holds(o, mark.x, mark.y))
    meant_HW[one.window] = one.part_hw
    away_HW = cv2.distanceTransform((~meant_HW).astype(np.uint8), cv2.DIST_L2, 5)
    other_HW = truth.index_HW != truth.classes.index(mark.name)
    if chance < ON_BORDER:
        ys_P, xs_P = np.nonzero(other_HW & (away_HW <= RIM))
    else:
        ys_P, xs_P = np.nonzero(other_HW & (away_HW > RIM) & (away_HW <= FAR) & (truth.index_HW >= 0))
    if not len(ys_P):
        return mark
    pick = rng.integers(len(ys_P))
    return replace(mark, x=float(xs_P[pick]) + 0.5, y=float(ys_P[pick]) + 0.5)


def _holds(one: Object, x: float, y: float) -> bool:
    h, w = one.part_hw.shape
    row, column = int(y) - one.y, int(x) - one.x
    return 0 <= row < h and 0 <= column < w and bool(one.part_hw[row, column])


def _missed(one: Object, truth: Truth) -> float:
    """The chance that nobody boxes an object."""
    share = one.area / truth.index_HW.size
    return next((chance for below, chance in MISSED if share < below), MISSED[-1][1])


def _drawn(box: Box, one: Object, truth: Truth, rng: np.random.Generator) -> Box:
    """The box as it is drawn: each side a little off, but at the photo's edge."""
    height, width = truth.index_HW.shape
    x0, y0, x1, y1 = box.bounds
    left, top, right, bottom = (
        rng.laplace(LOOSE, SCATTER, 4).round() * [x0 > 0, y0 > 0, x1 < width, y1 < height]
    ).tolist()
    x0, x1 = _sides(x0 - left, x1 + right, width)
    y0, y1 = _sides(y0 - top, y1 + bottom, height)
    return Box.upright(box.name, x0, y0, x1, y1)


def _sides(low: float, high: float, size: int) -> tuple[float, float]:
    """Two sides of a box inside the photo, at least a pixel apart."""
    low = float(np.clip(floor(low), 0, size - 1))
    return low, float(np.clip(high, low + 1, size))


def _clicked(box: Box, one: Object, truth: Truth, rng: np.random.Generator) -> Box:
    """The box of four clicks near the object's extreme points."""
    height, width = truth.index_HW.shape
    exact_42 = np.array(extremes(one.part_hw, rng)) + (one.x, one.y)
    clicks_42 = np.clip((exact_42 + rng.normal(0, STRAY, (4, 2))).round(1), 0.5, (width - 0.5, height - 0.5))
    (x0, y0), (x1, y1) = clicks_42.min(axis=0), clicks_42.max(axis=0)
    upright = Box.upright(box.name, float(x0), float(y0), float(x1), float(y1))
    return replace(upright, extremes=tuple((float(x), float(y)) for x, y in clicks_42))


def _overrun(mark: Stroke, truth: Truth, rng: np.random.Generator) -> Stroke:
    """The stroke, or one that goes straight on over the border."""
    if mark.name == truth.classes.background or rng.random() >= OVERRUN:
        return mark
    height, width = truth.index_HW.shape
    xy_P2 = np.array(mark.xy)
    length = float(np.hypot(*np.diff(xy_P2, axis=0).T).sum())
    ahead_2 = xy_P2[-1] - xy_P2[-2]
    ahead_2 = ahead_2 / max(float(np.hypot(*ahead_2)), 1e-6)
    of_class_HW = truth.index_HW == truth.classes.index(mark.name)
    end_2, beyond = xy_P2[-1], 0.0
    while beyond < OVERRUN_BY * length:
        end_2 = end_2 + ahead_2
        if not (0 <= end_2[0] < width and 0 <= end_2[1] < height):
            break
        beyond += not of_class_HW[int(end_2[1]), int(end_2[0])]
    x, y = np.clip(end_2, 0, (width, height)).round(1)
    return replace(mark, xy=(*mark.xy, (float(x), float(y))))
