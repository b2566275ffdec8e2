"""GrabCut (Rother, Kolmogorov and Blake 2004) inside boxes, from strokes, and from extreme clicks; the cut is OpenCV's.

A box: outside is sure background, inside probable object, clicks are sure. Strokes alone: each class against the ink of
all others. Where the result is no object (empty, or less than 15 % of the box in its hull) the box counts whole.

GrabCut+ (Khoreva et al. 2017, "Simple Does It", section 4) cuts from many perturbed boxes: pixels that at least 70 % of
the cuts call object are, those that fewer than 20 % call so are not, in between nothing is said. The paper's pairwise
term from HED boundaries is left out: that detector learnt from drawn boundaries.

Legend: H, W = pixels; h, w = pixels of a box.
"""

from __future__ import annotations

import zlib

import cv2
import numpy as np

from ..labels import VOID_ROW, Candidates
from .cues import Cues
from .decide import Evidence
from .objects import Boxed, as_evidence, clear_boxes, hull_of, ink_of, laid_down

ITERATIONS = 5
LEAST_OVERLAP = 0.15
AGREED, DISMISSED = 0.7, 0.2
PERTURBED = 0.1
"""Each side of a box moves by up to this share of the box's length."""
AROUND = 0.5
"""Background is learnt from a frame of this share of the box's sides: what is far is another scene."""


def grabcut(image_HW3: np.ndarray, candidates: Candidates, cues: Cues, seed: int = 0) -> Evidence:
    """Evidence: in each box its object and background around it, smaller boxes on top; without boxes, ink that grows.

    A box of several possible classes says nothing. Raises UsageError where there are boxes and no background.
    """
    boxes = clear_boxes(candidates)
    if not boxes:
        return as_evidence(candidates, _from_ink(image_HW3, candidates, seed))
    cuts = [cut_box(image_HW3, candidates, box, box.window, (seed, number)) for number, box in enumerate(boxes)]
    return as_evidence(candidates, laid_down(candidates, boxes, cuts, cues.ground("grabcut")))


def grabcut_plus(image_HW3: np.ndarray, candidates: Candidates, cues: Cues, runs: int = 150, seed: int = 0) -> Evidence:
    """Evidence where `runs` cuts of perturbed boxes agree ("GrabCut+" with ignored pixels). Raises like `grabcut`."""
    boxes = clear_boxes(candidates)
    cuts = [agreement(image_HW3, candidates, box, runs, (seed, number)) for number, box in enumerate(boxes)]
    objects = [share_hw >= AGREED for share_hw in cuts]
    doubts = [~(share_hw >= AGREED) & ~(share_hw < DISMISSED) for share_hw in cuts]
    return as_evidence(candidates, laid_down(candidates, boxes, objects, cues.ground("grabcut_plus"), doubts))


def agreement(
    image_HW3: np.ndarray, candidates: Candidates, box: Boxed, runs: int, seed: tuple[int, ...]
) -> np.ndarray:
    """float hw of the box: the share of `runs` cuts from perturbed boxes in which a pixel is object."""
    draw = np.random.default_rng(seed)
    rows, columns = box.window
    height, width = candidates.index_HW.shape
    count_hw = np.zeros((rows.stop - rows.start, columns.stop - columns.start))
    for run in range(runs):
        moves = draw.uniform(-PERTURBED, PERTURBED, 4) * np.repeat(count_hw.shape, 2)
        top, bottom = np.clip(np.rint((rows.start, rows.stop) + moves[:2]), 0, height).astype(int)
        left, right = np.clip(np.rint((columns.start, columns.stop) + moves[2:]), 0, width).astype(int)
        window = (slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1)))
        object_HW = np.zeros((height, width), bool)
        object_HW[window] = cut_box(image_HW3, candidates, box, window, (*seed, run))
        count_hw += object_HW[box.window]
    return count_hw / runs


def cut_box(
    image_HW3: np.ndarray,
    candidates: Candidates,
    box: Boxed,
    window: tuple[slice, slice],
    seed: tuple[int, ...],
) -> np.ndarray:
    """bool hw of `window` (the box, or a perturbed one): where its object is."""
    rows, columns = window
    height, width = candidates.index_HW.shape
    frame_y, frame_x = (max(2, int(AROUND * (s.stop - s.start))) for s in window)
    top, left = max(rows.start - frame_y, 0), max(columns.start - frame_x, 0)
    around = (slice(top, min(rows.stop + frame_y, height)), slice(left, min(columns.stop + frame_x, width)))
    within = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    of_class = int(box.allowed_C.argmax())
    possible_K = candidates.sets_KC[:, of_class].copy()
    possible_K[VOID_ROW] = True  # void may be anything
    ink = ink_of(candidates)[around]
    trimap = np.full(ink.shape, cv2.GC_BGD, np.uint8)
    trimap[within] = cv2.GC_PR_FGD
    trimap[~possible_K[candidates.index_HW[around]]] = cv2.GC_BGD
    trimap[within][ink[within] == of_class] = cv2.GC_FGD
    found = _cut(image_HW3[around], trimap, seed)[within]
    top, left, bottom, right = hull_of(found)
    if (bottom - top) * (right - left) < LEAST_OVERLAP * found.size:
        return trimap[within] != cv2.GC_BGD
    return found


def _cut(image_HW3: np.ndarray, trimap_HW: np.ndarray, seed: tuple[int, ...]) -> np.ndarray:
    """bool HW: object after the cut; the trimap as it is where it leaves nothing to decide."""
    probable_HW = trimap_HW == cv2.GC_PR_FGD
    object_HW = (trimap_HW == cv2.GC_FGD) | probable_HW
    if not probable_HW.any() or object_HW.all():
        return object_HW
    # OpenCV draws from one running generator for its mixtures' first centres: the same cut needs the same start.
    cv2.setRNGSeed(zlib.crc32(np.asarray(seed, np.int64).tobytes()) & 0x7FFFFFFF)
    mixtures = np.zeros((2, 65))
    result_HW = trimap_HW.copy()
    bgr_HW3 = np.ascontiguousarray(image_HW3[..., ::-1])
    cv2.grabCut(bgr_HW3, result_HW, None, mixtures[:1], mixtures[1:], ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return (result_HW == cv2.GC_FGD) | (result_HW == cv2.GC_PR_FGD)


def _from_ink(image_HW3: np.ndarray, candidates: Candidates, seed: int) -> np.ndarray:
    """int32 HW: for each class with ink one cut against the ink of the others; where several win, or none, -1."""
    ink_HW = ink_of(candidates)
    label_HW = ink_HW.copy()
    inked = np.unique(ink_HW[ink_HW >= 0])
    if len(inked) < 2:
        return label_HW
    wins_HW = np.zeros(ink_HW.shape, np.int32)
    for of_class in inked:
        allowed_HW = candidates.sets_KC[:, of_class][candidates.index_HW]
        trimap_HW = np.where(allowed_HW, np.uint8(cv2.GC_PR_FGD), np.uint8(cv2.GC_BGD))
        trimap_HW[ink_HW >= 0] = cv2.GC_BGD
        trimap_HW[ink_HW == of_class] = cv2.GC_FGD
        found_HW = _cut(image_HW3, trimap_HW, (seed, int(of_class))) & allowed_HW
        wins_HW += found_HW
        label_HW = np.where(found_HW & (ink_HW < 0), of_class, label_HW)
    return np.where((wins_HW == 1) | (ink_HW >= 0), label_HW, -1)
