"""Which labels disagree with predictions that have not learnt from them: a doubt for every statement that may be wrong.

Every kind of label is read through its Candidates: at a pixel the model believes in the label as far as it puts
probability on the classes that the label allows. What counts is where it believes nearly nothing: everybody's borders
are off by some pixels and some classes look alike, but a probability below `NONE` is a contradiction.

    another class, left out    connected pixels without belief, for the whole object where they cover half of it; their
                               doubt is their size times the mean of 1 / (1 + (belief / `FADES`)^2)
    out of place               how much surer the model is of the label's class a few pixels further, times the size of
                               the object, the root of the same mean over it, and `SHIFTED`

The size of a region is the root of the radius of its largest disc times the root of its side (the root of its area): a
thin band along a border is small. A photo is as doubtful as the root of the sum of the squares of its doubts, plus
`PIXELS` times what a softmin of its pixels' belief lacks to 1.

That softmin, and that the least confident pixels tell most, are of Lad and Mueller 2023 ("Estimating label quality and
errors in semantic segmentation data via any model", temperature 0.1); the mean self-confidence of a class as its
threshold of Northcutt et al. 2021 ("Confident learning"). The constants were found on photos that nothing here is
measured on, see benchmarks/review.py: means of differences of probabilities, and differences to the thresholds, ranked
worse there.

Legend: H, W = pixels; C = classes; K = rows of a Candidates table; P = some pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..classes import Classes
from ..labels import INK, MASK, OPEN_ROW, VOID_ROW, Candidates

SMALLEST = 0.0005
"""Regions below this share of the photo are the edges of something else."""
NONE, LITTLE = 0.05, 0.3
"""Probability of what the label allows below which the model believes none of it, and little. Regions of little belief
come after most of the others; they are all that a model finds that is never sure."""
FADES = 0.02
"""How fast doubt fades as belief grows."""
SHIFTED = 4.0
"""A label that is moved by a third of its object still covers two thirds of it: the gain of moving it back is small."""
STEPS, DIRECTIONS = (0.15, 0.25, 0.35, 0.45), 16
"""How far a label is moved to see whether it fits better there, in roots of its area."""
LOOKED_AT = 800
"""Pixels of an object that are looked at in each place."""
PIXELS, TEMPERATURE = 2.0, 0.1
"""What the softmin of a photo's pixels counts beside its doubts, and its temperature."""
MARK = 0.09
"""The size that a click, a stroke, a tag or a share counts as: of an object with 2 % of the photo."""
LEAST = 1e-4
"""Doubt that is not worth a line."""
A_PLACE, SOMEWHERE = 0.01, 0.1
"""The share of the photo that has to show a class that is tagged; belief there that leaves a third of the doubt."""
OFF = 0.1
"""By how much a share of the area may be off."""
IN_A_BOX = 1 / 3
"""The share of its box that an object fills at least, nearly always."""

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Doubt:
    """One statement of a label that the predictions contradict.

    what: "class", "place" (of an object of a mask), "left out" (an object the label rules out), "mark" (a click or
        stroke), "box", "tag" (a class said to be somewhere), "share" (of the area).
    given: the classes that the label allows. seen: the class the model sees instead, -1 = none.
    doubt: 0..1, seldom above, comparable between all kinds. given_probability, seen_probability: means over the object.
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


def of_photo(doubts: Sequence[Doubt], candidates: Candidates, probabilities_CHW: np.ndarray) -> float:
    """How doubtful a photo is, from its doubts and its pixels."""
    stated_HW = (candidates.index_HW != VOID_ROW) & (candidates.index_HW != OPEN_ROW)
    belief_P = 1 - disagreement(candidates, probabilities_CHW)[stated_HW]
    softmin = float(np.average(belief_P, weights=np.exp(-belief_P / TEMPERATURE))) if belief_P.size else 1.0
    return float(np.sqrt(sum(d.doubt**2 for d in doubts))) + PIXELS * (1 - softmin)


def disagreement(candidates: Candidates, probabilities_CHW: np.ndarray) -> np.ndarray:
    """float32 HW, 0..1: the probability of the classes that the label rules out; 0 where it is void or open."""
    allowed_HW = np.zeros(candidates.index_HW.shape, np.float32)
    for row in np.unique(candidates.index_HW):
        here_HW = candidates.index_HW == row
        said = row not in (VOID_ROW, OPEN_ROW)
        allowed_HW[here_HW] = probabilities_CHW[candidates.sets_KC[row]].sum(axis=0)[here_HW] if said else 1
    return np.clip(1 - allowed_HW, 0, 1)


def doubts(candidates: Candidates, probabilities_CHW: np.ndarray, classes: Classes) -> list[Doubt]:
    """The doubts of one photo, the largest first; statements that the model believes are left out.

    probabilities_CHW: float32, sums to 1 over the classes, of the size of the candidates. 256 pixels a side do.
    """
    belief_HW = 1 - disagreement(candidates, probabilities_CHW)
    found: list[Doubt] = []
    regions = list(_regions(candidates, classes))
    places = [_out_of_place(region, probabilities_CHW, belief_HW) for region in regions]
    for doubt, k in _without_belief(candidates, probabilities_CHW, belief_HW, regions, places):
        if k is None:
            found.append(doubt)
        elif (before := places[k]) is None or doubt.doubt > before.doubt:
            places[k] = doubt
    found += [d for d in places if d is not None]
    found += _of_boxes(candidates, probabilities_CHW)
    found += _of_image(candidates, probabilities_CHW)
    return sorted((d for d in found if d.doubt > LEAST), key=lambda d: -d.doubt)


def _size(area: float, radius: float) -> float:
    """Of a region, from its share of the photo and the radius of its largest disc in sides of the photo."""
    return area**0.25 * radius**0.5


def _without(belief_P: np.ndarray | float) -> float:
    """The mean of 1 / (1 + (belief / FADES)^2): 1 where there is no belief at all."""
    return float((1 / (1 + np.square(np.asarray(belief_P) / FADES))).mean())


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


def _out_of_place(region: _Region, p_CHW: np.ndarray, belief_HW: np.ndarray) -> Doubt | None:
    """For an object of a mask; of clicks and strokes what they say of their own pixels."""
    given = frozenset(map(int, np.flatnonzero(region.allowed_C)))
    belief_P = belief_HW[region.where_HW]
    (other, own), seen = _own_and_other(p_CHW[:, region.where_HW].mean(axis=1), region.allowed_C)
    if region.source == INK:
        return Doubt("mark", given, seen, MARK * _without(belief_P), own, other, region.corners)
    gain, dy, dx = _better_place(region.where_HW, p_CHW[region.allowed_C].sum(axis=0))
    if not gain:
        return None
    height, width = region.where_HW.shape
    size = float(region.where_HW.mean()) ** 0.25
    doubt = SHIFTED * size * gain * _without(belief_P) ** 0.5
    return Doubt("place", given, seen, doubt, own, own + gain, region.corners, (dx / width, dy / height))


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


def _without_belief(
    candidates: Candidates,
    p_CHW: np.ndarray,
    belief_HW: np.ndarray,
    regions: Sequence[_Region],
    places: Sequence[Doubt | None],
) -> Iterator[tuple[Doubt, int | None]]:
    """(doubt, the region it is about, None for an object that the label lacks) of connected pixels without belief.

    It is about the object of a mask that it is half of and that holds half of it. Of the others, what as large a doubt
    about the place of an object explains is left out.
    """
    height, width = candidates.index_HW.shape
    seen_HW = p_CHW.argmax(axis=0)
    allowed_HW = candidates.sets_KC[candidates.index_HW, seen_HW] | (candidates.index_HW == VOID_ROW)
    allowed_HW |= candidates.source_K[candidates.index_HW] == INK  # clicks and strokes speak for themselves
    owner_HW, explained_HW = _owners(regions, (height, width)), _explained(regions, places, (height, width))
    for (x, y, w, h), inside_hw in _parts(~allowed_HW, belief_HW):
        window = slice(y, y + h), slice(x, x + w)
        area = int(inside_hw.sum())
        depth = cv2.distanceTransform(np.pad(inside_hw.astype(np.uint8), 1), cv2.DIST_L2, 3).max()
        size = _size(area / seen_HW.size, float(depth) / np.sqrt(seen_HW.size))
        doubt = size * _without(belief_HW[window][inside_hw])
        row = int(np.bincount(candidates.index_HW[window][inside_hw]).argmax())
        given = frozenset(map(int, np.flatnonzero(candidates.sets_KC[row])))
        mean_C = p_CHW[(slice(None), *window)][:, inside_hw].mean(axis=1)
        (other, own), seen = _own_and_other(mean_C, candidates.sets_KC[row])
        common_R = np.bincount(owner_HW[window][inside_hw], minlength=1)
        about = int(common_R.argmax()) - 1
        if about >= 0 and 2 * common_R[about + 1] >= max(area, int(regions[about].where_HW.sum())):
            yield Doubt("class", given, seen, doubt, own, other, regions[about].corners), about
        elif (explained_HW[window][inside_hw] >= doubt).mean() < 0.5:
            corners = (x / width, y / height, (x + w) / width, (y + h) / height)
            yield Doubt("left out", given, seen, doubt, own, other, corners), None


def _owners(regions: Sequence[_Region], shape: tuple[int, int]) -> np.ndarray:
    """int HW: 1 + the number of the object of a mask, 0 = none."""
    owner_HW = np.zeros(shape, np.int64)
    for k, region in enumerate(regions):
        if region.source == MASK:
            owner_HW[region.where_HW] = k + 1
    return owner_HW


def _explained(regions: Sequence[_Region], places: Sequence[Doubt | None], shape: tuple[int, int]) -> np.ndarray:
    """float HW: the largest doubt about the place of an object that is here or belongs here; 0 = none."""
    height, width = shape
    explained_HW = np.zeros(shape)
    for region, place in zip(regions, places, strict=True):
        if place is not None and place.what == "place":
            there_HW = _moved(region.where_HW, round(place.move[1] * height), round(place.move[0] * width))
            spoken_HW = region.where_HW | there_HW
            explained_HW[spoken_HW] = np.maximum(explained_HW[spoken_HW], place.doubt)
    return explained_HW


def _parts(wrong_HW: np.ndarray, belief_HW: np.ndarray) -> Iterator[tuple[tuple[int, int, int, int], np.ndarray]]:
    """((x, y, w, h), bool hw) of connected regions without belief, then of others with little."""
    found_HW = np.zeros(wrong_HW.shape, bool)
    for level in (NONE, LITTLE):
        below_HW = (wrong_HW & (belief_HW < level)).astype(np.uint8)
        count, part_HW, stats, _ = cv2.connectedComponentsWithStats(below_HW, connectivity=8)
        for part in range(1, count):
            x, y, w, h, area = (int(v) for v in stats[part])
            window = slice(y, y + h), slice(x, x + w)
            inside_hw = part_HW[window] == part
            if area >= SMALLEST * below_HW.size and not found_HW[window][inside_hw].any():
                found_HW[window] |= inside_hw
                yield (x, y, w, h), inside_hw


def _of_boxes(candidates: Candidates, p_CHW: np.ndarray) -> Iterator[Doubt]:
    """Boxes in which the model does not see their class, or sees more of it a little further."""
    height, width = candidates.index_HW.shape
    for given, (x0, y0, x1, y1) in candidates.facts.boxes:
        left, top = np.clip([round(x0), round(y0)], 0, [width - 1, height - 1])
        right, bottom = np.clip([round(x1), round(y1)], [left + 1, top + 1], [width, height])
        allowed_C = np.isin(np.arange(len(p_CHW)), sorted(given))
        own_HW = p_CHW[allowed_C].sum(axis=0)
        own = _best(own_HW[top:bottom, left:right], IN_A_BOX)
        (other, _), seen = _own_and_other(p_CHW[:, top:bottom, left:right].mean(axis=(1, 2)), allowed_C)
        where_HW = np.zeros((height, width), bool)
        where_HW[top:bottom, left:right] = True
        gain, dy, dx = _better_place(where_HW, own_HW)
        corners = (x0 / width, y0 / height, x1 / width, y1 / height)
        area, radius = float(where_HW.mean()), float(min(bottom - top, right - left)) / 2 / np.sqrt(height * width)
        lacking = _size(area, radius) * _lacking(own)
        empty_HW = own_HW[top:bottom, left:right]
        moved = SHIFTED * area**0.25 * gain * _without(empty_HW) ** 0.5
        if moved > lacking:
            yield Doubt("place", given, seen, moved, own, own + gain, corners, (dx / width, dy / height))
        else:
            yield Doubt("box", given, seen, lacking, own, other, corners)


def _best(own_hw: np.ndarray, share: float) -> float:
    """The mean over that share of the pixels where it is largest."""
    count = max(1, round(share * own_hw.size))
    return float(np.partition(own_hw, own_hw.size - count, axis=None)[-count:].mean())


def _lacking(best: float) -> float:
    """Doubt of a class that is said to be somewhere, from its belief where that is largest."""
    return float(np.exp(-best / SOMEWHERE))


def _of_image(candidates: Candidates, p_CHW: np.ndarray) -> Iterator[Doubt]:
    """Classes that are said to be in the photo and are seen nowhere; shares of the area that are not so."""
    boxed = {given for given, _ in candidates.facts.boxes}
    stated_K = (candidates.source_K >= MASK) & np.isin(np.arange(len(candidates.sets_KC)), candidates.index_HW)
    for given in candidates.facts.present:
        if given in boxed or (candidates.sets_KC[stated_K][:, sorted(given)]).any():
            continue  # said by a box, a mask or ink as well, which say where
        own = _best(p_CHW[sorted(given)].sum(axis=0), A_PLACE)
        yield Doubt("tag", given, -1, MARK * _lacking(own), own, 0.0)
    for c, share in candidates.facts.shares.items():
        seen = float(p_CHW[c].mean())
        yield Doubt("share", frozenset({c}), c, MARK * min(max(abs(seen - share) - OFF, 0.0) / OFF, 1.0), share, seen)
