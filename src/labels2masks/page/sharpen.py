"""The mask that follows the photo's edges: the constrained dense CRF on every second pixel, or GrabCut on demand.

    crf       Kraehenbuehl and Koltun 2011, with the labels' candidates as what a pixel may be
    grabcut   Rother, Kolmogorov and Blake 2004, for each class that is seen: the mask says what is probable, the
              labels what is certain; where two cuts want a pixel, the likelier class of the mask has it

Both work at half of the mask's size and are laid over it; the labels bind at its full size.

Legend: H, W = pixels of the mask; h, w = half of them; C = classes.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..errors import UsageError, did_you_mean
from ..grid import Grid
from ..kernels.dense_crf import PRESETS, CRFParameters, dense_crf
from ..labels import Candidates
from ..prediction.views import resized, scaled
from .shown import UNDECIDED, masked

HOW = ("crf", "grabcut")
FULL = PRESETS["deeplab"]
HALF = CRFParameters(
    FULL.bilateral_weight, FULL.bilateral_xy / 2, FULL.bilateral_rgb, FULL.gaussian_weight, FULL.gaussian_xy / 2
)
"""The same neighbours, counted in pixels of twice the size."""
ITERATIONS = 3


def sharpened(
    how: str, image_HW3: np.ndarray, scores_Chw: np.ndarray, grid: Grid, candidates: Candidates
) -> tuple[np.ndarray, np.ndarray]:
    """(index_HW, confidence_HW) as `shown.masked` gives them.

    scores_Chw: on `grid` in pixels of the mask. Raises UsageError for another `how`.
    """
    if how not in HOW:
        raise UsageError(f"no way {how!r} to sharpen a mask{did_you_mean(how, HOW)}")
    height, width = candidates.index_HW.shape
    half = max(1, height // 2), max(1, width // 2)
    small_hw3 = resized(image_HW3, *half)
    few = _at(candidates, *half)
    if how == "grabcut":
        return _cut(small_hw3, scores_Chw, grid, candidates, few)
    on_half = scaled(grid, half[0] / height, half[1] / width)
    marginals_Chw = dense_crf(small_hw3, preset=HALF, scores_Lhw=scores_Chw, grid=on_half, allowed_LHW=few.allowed())
    likely_Chw = np.log(np.maximum(marginals_Chw, 1e-6))
    return masked(likely_Chw, _pixels(half, height, width), candidates)


def _cut(
    small_hw3: np.ndarray, scores_Chw: np.ndarray, grid: Grid, candidates: Candidates, few: Candidates
) -> tuple[np.ndarray, np.ndarray]:
    height, width = candidates.index_HW.shape
    half = few.index_HW.shape
    on_half = scaled(grid, half[0] / height, half[1] / width)
    before_hw, sure_hw = masked(scores_Chw, on_half, few)
    said_hw, allowed_Chw = few.labels(), few.allowed()
    bgr_hw3 = np.ascontiguousarray(small_hw3[..., ::-1])
    taken_hw = np.full(half, UNDECIDED, np.uint8)
    for of_class in np.unique(before_hw[before_hw != UNDECIDED]):
        trimap_hw = np.where(before_hw == of_class, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        trimap_hw[~allowed_Chw[of_class]] = cv2.GC_BGD
        trimap_hw[(said_hw >= 0) & (said_hw != of_class)] = cv2.GC_BGD
        trimap_hw[said_hw == of_class] = cv2.GC_FGD
        wins_hw = _grabcut(bgr_hw3, trimap_hw)
        free_hw = (taken_hw == UNDECIDED) | (before_hw == of_class)
        taken_hw[wins_hw & free_hw] = of_class
    pixels = _pixels(half, height, width)
    won_Chw = np.where(np.arange(len(scores_Chw))[:, None, None] == taken_hw, np.float32(3), np.float32(0))
    return masked(won_Chw, pixels, candidates)


def _grabcut(bgr_hw3: np.ndarray, trimap_hw: np.ndarray) -> np.ndarray:
    """bool hw. What has only one side is left as it is."""
    object_hw = np.isin(trimap_hw, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if object_hw.all() or not object_hw.any():
        return object_hw
    cv2.setRNGSeed(0)  # the same cut each time
    mixtures = np.zeros((2, 65))
    cv2.grabCut(bgr_hw3, trimap_hw, None, mixtures[:1], mixtures[1:], ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return np.isin(trimap_hw, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _at(candidates: Candidates, h: int, w: int) -> Candidates:
    """At fewer pixels: the nearest one's."""
    return candidates.mapped(lambda index_HW: cv2.resize(index_HW, (w, h), interpolation=cv2.INTER_NEAREST))


def _pixels(half: tuple[int, int], height: int, width: int) -> Grid:
    """Where the pixels of half the size lie in those of the mask."""
    return scaled(Grid(), height / half[0], width / half[1])
