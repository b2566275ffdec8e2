"""Scribbles that were saved as pixels, as the strokes that they are.

A picture of scribbles is no mask: its 255 is where nobody drew, not void that takes a pixel out of every loss. As
strokes they stay ink, which augmentation moves as lines, and the loss weighs as ink. Each connected piece becomes one
stroke: a pen that follows the piece's skeleton (Zhang and Suen 1984, as in scikit-image) and goes back where it
branches, as wide as the ink lets it be.

Legend: H, W = pixels; h, w = those of one piece.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..classes import Classes, Vocabulary
from ..labels import Scribbles, Stroke, rasterise
from ..labels.kinds import XY

BESIDE = 0.05
"""The share of a stroke's pixels that may lie beside the ink, by one pixel: lines of any slope have jagged borders."""

_AROUND = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, -1), (-1, 1))
_INK = Vocabulary.same(Classes(("ink", "paper")))


def strokes_of(ink_HW: np.ndarray, name: str) -> list[Stroke]:
    """Strokes of class `name`, one for each 8-connected piece of a bool HW.

    No pixel that they cover lies further than one from the ink, and at most 5 % lie beside it. A line of even width is
    covered for the most part (about four fifths), a blot only along its middle.
    """
    count, piece_HW, stats, _ = cv2.connectedComponentsWithStats(ink_HW.astype(np.uint8), connectivity=8)
    made = []
    for piece in range(1, count):
        x, y, w, h = (int(v) for v in stats[piece, :4])
        stroke = _stroke(np.pad(piece_HW[y : y + h, x : x + w] == piece, 2), name)
        made.append(Stroke(name, tuple((u + x - 2, v + y - 2) for u, v in stroke.xy), stroke.width))
    return made


def _stroke(ink_hw: np.ndarray, name: str) -> Stroke:
    from skimage.morphology import skeletonize  # takes a third of a second, and few data sets need it

    skeleton_hw = skeletonize(ink_hw)
    depth_hw = cv2.distanceTransform(ink_hw.astype(np.uint8), cv2.DIST_L2, 5)
    width = max(1, round(2 * float(np.median(depth_hw[skeleton_hw])) - 1))
    line = _walk(skeleton_hw)
    near_hw = cv2.dilate(ink_hw.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    while width > 1:
        drawn_hw = _drawn(Stroke("ink", line, width), *ink_hw.shape)
        if not (drawn_hw & ~near_hw).any() and (drawn_hw & ~ink_hw).sum() <= BESIDE * drawn_hw.sum():
            break
        width -= 1
    return Stroke(name, line, float(width))


def _drawn(stroke: Stroke, h: int, w: int) -> np.ndarray:
    return rasterise((Scribbles((stroke,)),), _INK, h, w).labels() == 0


def _walk(skeleton_hw: np.ndarray) -> tuple[XY, ...]:
    """The centres of all pixels of a connected skeleton as one line from neighbour to neighbour, without those on the
    way of a straight piece."""
    unseen = set(zip(*(v.tolist() for v in np.nonzero(skeleton_hw)), strict=True))
    ends = [p for p in sorted(unseen) if sum((p[0] + i, p[1] + j) in unseen for i, j in _AROUND) == 1]
    way = [ends[0] if ends else min(unseen)]
    unseen.discard(way[0])
    line = [*way]
    while unseen:
        row, column = way[-1]
        ahead = next((p for i, j in _AROUND if (p := (row + i, column + j)) in unseen), None)
        if ahead is None:
            way.pop()
        else:
            unseen.discard(ahead)
            way.append(ahead)
        line.append(way[-1])
    yx_N2 = np.array(line)
    step_N2 = np.diff(yx_N2, axis=0)
    turns_N = np.concatenate([[True], (step_N2[1:] != step_N2[:-1]).any(axis=1), [True]]) if len(line) > 1 else [True]
    return tuple((x + 0.5, y + 0.5) for y, x in yx_N2[turns_N].tolist())
