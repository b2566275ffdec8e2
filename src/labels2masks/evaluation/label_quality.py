"""Which labels disagree with predictions that have not learnt from them: a doubt for every statement that may be wrong.

Every kind of label is read through its Candidates: the model disagrees at a pixel as far as it puts probability on
classes that the label rules out. Three things are weighed, all between 0 and 1:

    another class     how much surer the model is of its own class than of the label's, mean over the object
    out of place      how much surer it is of the label's class a few pixels further, times `SHIFTED`
    left out          the same difference where the model sees an object of a class that the label rules out

times the fourth root of the object's area (its share of the photo): a model is wrong about small things more often.
A photo is as doubtful as the root of the sum of the squares of its doubts.

The self-confidence of a label inside an object follows Lad and Mueller 2023 ("Estimating label quality and errors in
semantic segmentation data via any model"), the mean self-confidence of a class as its threshold Northcutt et al. 2021
("Confident learning"). Their softmin over pixels, and differences to thresholds in place of probabilities, ranked
worse on photos that nothing here is measured on (140 of VOC animals, 58 of MSRC, 15 % of their objects made wrong).

Legend: H, W = pixels; C = classes; K = rows of a Candidates table; P = some pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ..classes import Classes
from ..labels import INK, MASK, OPEN_ROW, VOID_ROW, Candidates

SMALLEST = 0.0005
"""Regions below this share of the photo are the edges of something else."""
SHIFTED = 5.0
"""A label that is moved by a third of its object still covers two thirds of it: the gain of moving it back is small."""
STEPS, DIRECTIONS = (0.15, 0.25, 0.35, 0.45), 16
"""How far a label is moved to see whether it fits better there, in roots of its area."""
LOOKED_AT = 800
"""Pixels of an object that are looked at in each place."""
MARK = 0.02
"""The share of the photo that a click, a stroke or a tag counts as: it stands for an object of some size."""
IN_A_BOX = 1 / 3
"""The share of its box that an object fills at least, nearly always."""

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Doubt:
    """One statement of a label that the predictions contradict.

    what: "class", "place" (of an object of a mask), "left out" (an object the label rules out), "mark" (a click or
        stroke), "box", "tag" (a class said to be somewhere), "share" (of the area).
    given: the classes that the label allows. seen: the class the model sees instead, -1 = none.
    doubt: 0..1 and above, comparable between all kinds. given_probability, seen_probability: means over the object.
    corners: (x0, y0, x1, y1) in shares of the photo's width and height.
    move: (dx, dy) by which the label would fit best, in the same shares; (0, 0) for all but "place".
    """

    what: str
    given: frozenset[int]
    seen: int
    doubt: float
    given_probability: float
    seen_probability: float
    corners: Corners = (0.0, 0.0, 1.0, 1.0)
    move: tuple[float, float] = (0.0, 0.0)


class SelfConfidence:
    """The mean probability that predictions give to a class where it is the label: its threshold in confident learning.

    A doubt is confident where the class that is seen instead has at least the probability it has on its own pixels.
    """

    def __init__(self, classes: int):
        self.sum_C, self.pixels_C = np.zeros(classes), np.zeros(classes, np.int64)

    def add(self, candidates: Candidates, probabilities_CHW: np.ndarray) -> None:
        labels_HW = candidates.labels()
        known_HW = labels_HW >= 0
        labels_P = labels_HW[known_HW]
        own_P = np.take_along_axis(probabilities_CHW[:, known_HW], labels_P[None], axis=0)[0]
        self.sum_C += np.bincount(labels_P, weights=own_P, minlength=len(self.sum_C))
        self.pixels_C += np.bincount(labels_P, minlength=len(self.sum_C))

    def thresholds(self) -> np.ndarray:
        """float64 C, 1.0 for a class that no label names."""
        return np.where(self.pixels_C > 0, self.sum_C / np.maximum(self.pixels_C, 1), 1.0)


def confident(doubt: Doubt, thresholds_C: np.ndarray) -> bool:
    """Is the model as sure of what it sees as it is where people say so too?"""
    return doubt.seen >= 0 and bool(doubt.seen_probability >= thresholds_C[doubt.seen])


def of_photo(doubts: list[Doubt]) -> float:
    """How doubtful a photo is."""
    return float(np.sqrt(sum(d.doubt**2 for d in doubts)))


def disagreement(candidates: Candidates, probabilities_CHW: np.ndarray) -> np.ndarray:
    """float32 HW, 0..1: the probability of the classes that the label rules out; 0 where it is void or open."""
    allowed_HW = np.zeros(candidates.index_HW.shape, np.float32)
    for row in np.unique(candidates.index_HW):
        here_HW = candidates.index_HW == row
        said = row not in (VOID_ROW, OPEN_ROW)
        allowed_HW[here_HW] = probabilities_CHW[candidates.sets_KC[row]].sum(axis=0)[here_HW] if said else 1
    return np.clip(1 - allowed_HW, 0, 1)


def doubts(candidates: Candidates, probabilities_CHW: np.ndarray, classes: Classes) -> list[Doubt]:
    """The doubts of one photo, the largest first; statements that the model agrees with are left out.

    probabilities_CHW: float32, sums to 1 over the classes, of the size of the candidates. 256 pixels a side do.
    """
    height, width = candidates.index_HW.shape
    p_CHW = probabilities_CHW
    disagree_HW = disagreement(candidates, p_CHW)
    found: list[Doubt] = []
    fitting_HW = np.zeros((height, width), bool)  # what a region that has its own doubt already speaks for
    for region in _regions(candidates, classes):
        doubt = _of_region(region, p_CHW)
        found.append(doubt)
        if doubt.doubt > 0:
            fitting_HW |= region.where_HW
            if doubt.what == "place":
                dy, dx = round(doubt.move[1] * height), round(doubt.move[0] * width)
                fitting_HW |= _moved(region.where_HW, dy, dx)
    found += _left_out(candidates, p_CHW, disagree_HW, fitting_HW)
    found += _of_boxes(candidates, p_CHW)
    found += _of_image(candidates, p_CHW)
    return sorted((d for d in found if d.doubt > 0), key=lambda d: -d.doubt)


@dataclass(frozen=True)
class _Region:
    where_HW: np.ndarray
    allowed_C: np.ndarray
    source: int
    corners: Corners


def _regions(candidates: Candidates, classes: Classes) -> Iterator[_Region]:
    """Connected regions with one statement by a mask or by ink; the ground that objects stand on is none."""
    ground = classes.index(classes.background) if classes.background is not None else -1
    height, width = candidates.index_HW.shape
    for row in np.unique(candidates.index_HW):
        allowed_C, source = candidates.sets_KC[row], int(candidates.source_K[row])
        if source not in (MASK, INK) or (source == MASK and ground >= 0 and allowed_C[ground]):
            continue
        here_HW = (candidates.index_HW == row).astype(np.uint8)
        count, part_HW, stats, _ = cv2.connectedComponentsWithStats(here_HW, connectivity=8)
        for k in range(1, count):
            x, y, w, h, area = (int(v) for v in stats[k])
            if source == INK or area >= SMALLEST * here_HW.size:
                yield _Region(
                    part_HW == k, allowed_C, source, (x / width, y / height, (x + w) / width, (y + h) / height)
                )


def _of_region(region: _Region, p_CHW: np.ndarray) -> Doubt:
    given = frozenset(map(int, np.flatnonzero(region.allowed_C)))
    mean_C = p_CHW[:, region.where_HW].mean(axis=1)
    own, other = _own_and_other(mean_C, region.allowed_C)
    margin = max(own[0] - own[1], 0.0) if other >= 0 else 0.0
    area = MARK if region.source == INK else float(region.where_HW.mean())
    if region.source == INK:
        return Doubt("mark", given, other, area**0.25 * margin, own[1], own[0], region.corners)
    gain, dy, dx = _better_place(region.where_HW, p_CHW[region.allowed_C].sum(axis=0))
    if SHIFTED * gain > margin:
        height, width = region.where_HW.shape
        move = (dx / width, dy / height)
        return Doubt("place", given, other, area**0.25 * SHIFTED * gain, own[1], own[1] + gain, region.corners, move)
    return Doubt("class", given, other, area**0.25 * margin, own[1], own[0], region.corners)


def _own_and_other(mean_C: np.ndarray, allowed_C: np.ndarray) -> tuple[tuple[float, float], int]:
    """((probability of the likeliest class that is ruled out, of all that are allowed), the former; -1 for none)."""
    ruled_out_C = np.where(allowed_C, -1.0, mean_C)
    other = int(ruled_out_C.argmax()) if not allowed_C.all() else -1
    return (float(mean_C[other]) if other >= 0 else 0.0, float(mean_C[allowed_C].sum())), other


def _better_place(where_HW: np.ndarray, own_HW: np.ndarray) -> tuple[float, int, int]:
    """(gain, dy, dx): how much more of its own class the region would hold, moved to where it holds most."""
    y_P, x_P = np.nonzero(where_HW)
    side = np.sqrt(len(y_P))
    every = max(1, len(y_P) // LOOKED_AT)
    pad = int(np.ceil(max(STEPS) * side)) + 1
    padded = np.pad(own_HW, pad)
    y_P, x_P = y_P[::every] + pad, x_P[::every] + pad
    here, best = float(padded[y_P, x_P].mean()), (0.0, 0, 0)
    for step in STEPS:
        for k in range(DIRECTIONS):
            angle = 2 * np.pi * k / DIRECTIONS
            dy, dx = round(step * side * np.sin(angle)), round(step * side * np.cos(angle))
            gain = float(padded[y_P + dy, x_P + dx].mean()) - here
            if gain > best[0]:
                best = gain, dy, dx
    return best


def _moved(where_HW: np.ndarray, dy: int, dx: int) -> np.ndarray:
    matrix_23 = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
    return cv2.warpAffine(where_HW.astype(np.uint8), matrix_23, where_HW.shape[::-1], flags=cv2.INTER_NEAREST) > 0


def _left_out(
    candidates: Candidates, p_CHW: np.ndarray, disagree_HW: np.ndarray, spoken_for_HW: np.ndarray
) -> Iterator[Doubt]:
    """Regions that the model sees as a class that the label rules out, and that no other doubt speaks for."""
    height, width = candidates.index_HW.shape
    seen_HW = p_CHW.argmax(axis=0)
    allowed_HW = candidates.sets_KC[candidates.index_HW, seen_HW] | (candidates.index_HW == VOID_ROW)
    for seen in np.unique(seen_HW[~allowed_HW]):
        here_HW = (~allowed_HW & (seen_HW == seen)).astype(np.uint8)
        count, part_HW, stats, _ = cv2.connectedComponentsWithStats(here_HW, connectivity=8)
        for k in range(1, count):
            x, y, w, h, area = (int(v) for v in stats[k])
            if area < SMALLEST * here_HW.size:
                continue
            inside_hw = part_HW[y : y + h, x : x + w] == k
            window = slice(y, y + h), slice(x, x + w)
            if spoken_for_HW[window][inside_hw].mean() >= 0.5:
                continue
            seen_probability = float(p_CHW[seen][window][inside_hw].mean())
            given_probability = 1 - float(disagree_HW[window][inside_hw].mean())
            # The width of a band says more than its length: the edge of an object is predicted a little off.
            depth = cv2.distanceTransform(np.pad(inside_hw.astype(np.uint8), 1), cv2.DIST_L2, 3).max()
            row = int(np.bincount(candidates.index_HW[window][inside_hw]).argmax())
            yield Doubt(
                "left out",
                frozenset(map(int, np.flatnonzero(candidates.sets_KC[row]))),
                int(seen),
                float(np.sqrt(depth / np.sqrt(here_HW.size))) * max(seen_probability - given_probability, 0.0),
                given_probability,
                seen_probability,
                (x / width, y / height, (x + w) / width, (y + h) / height),
            )


def _of_boxes(candidates: Candidates, p_CHW: np.ndarray) -> Iterator[Doubt]:
    """Boxes in which the model does not see their class, or sees more of it a little further."""
    height, width = candidates.index_HW.shape
    for given, (x0, y0, x1, y1) in candidates.facts.boxes:
        left, top = np.clip([round(x0), round(y0)], 0, [width - 1, height - 1])
        right, bottom = np.clip([round(x1), round(y1)], [left + 1, top + 1], [width, height])
        own_hw = p_CHW[sorted(given), top:bottom, left:right].sum(axis=0)
        filled = np.sort(own_hw, axis=None)[-max(1, round(IN_A_BOX * own_hw.size)) :]
        own = float(filled.mean())
        allowed_C = np.isin(np.arange(len(p_CHW)), sorted(given))
        (most, _), other = _own_and_other(p_CHW[:, top:bottom, left:right].mean(axis=(1, 2)), allowed_C)
        where_HW = np.zeros((height, width), bool)
        where_HW[top:bottom, left:right] = True
        gain, dy, dx = _better_place(where_HW, p_CHW[allowed_C].sum(axis=0))
        corners = (x0 / width, y0 / height, x1 / width, y1 / height)
        size = float(where_HW.mean()) ** 0.25
        if SHIFTED * gain > max(1 - 2 * own, 0.0):
            yield Doubt(
                "place", given, other, size * SHIFTED * gain, own, own + gain, corners, (dx / width, dy / height)
            )
        else:
            yield Doubt("box", given, other, size * max(1 - 2 * own, 0.0), own, most, corners)


def _of_image(candidates: Candidates, p_CHW: np.ndarray) -> Iterator[Doubt]:
    """Classes that are said to be in the photo and are seen nowhere; shares of the area that are not so."""
    pixels = candidates.index_HW.size
    least = max(1, round(MARK / 2 * pixels))
    boxed = {given for given, _ in candidates.facts.boxes}
    for given in candidates.facts.present:
        own_HW = p_CHW[sorted(given)].sum(axis=0)
        if given in boxed or (candidates.sets_KC[:, sorted(given)].any(axis=1) & (candidates.source_K >= MASK)).any():
            continue  # said by a box, a mask or ink as well, which say where
        own = float(np.partition(own_HW, own_HW.size - least, axis=None)[-least:].mean())
        yield Doubt("tag", given, -1, MARK**0.25 * max(1 - 2 * own, 0.0), own, 0.0)
    for c, share in candidates.facts.shares.items():
        seen = float(p_CHW[c].mean())
        yield Doubt("share", frozenset({c}), c, max(abs(seen - share) - 0.1, 0.0), share, seen)
