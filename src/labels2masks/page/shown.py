"""From a photo's scores to the mask that a person sees: the labels bind, and what is unsure stays open.

Legend: H, W = pixels of the mask; h, w = cells; C = classes; K = rows of a Candidates table.
"""

from __future__ import annotations

import numpy as np

from ..grid import Grid
from ..kernels.upsample_argmax import upsample_argmax
from ..labels import Candidates

UNDECIDED = 255
"""In the place of a class; hence a page has at most 255 classes."""
SURE = 0.6
"""The least probability of a class that is shown: three to two against all others together. No truth chose it."""


def masked(
    scores_Chw: np.ndarray, grid: Grid, candidates: Candidates, sure: float = SURE
) -> tuple[np.ndarray, np.ndarray]:
    """(index_HW uint8, `UNDECIDED` where no candidate is sure; confidence_HW uint8, probability of 0..1 as 0..255).

    scores_Chw: on `grid` in pixels of the mask. Each pixel takes the likeliest of its candidates; where they leave one,
    that is sure.
    """
    height, width = candidates.index_HW.shape
    index_HW = np.full((height, width), UNDECIDED, np.uint8)
    sure_HW = np.zeros((height, width), np.float32)
    rows = np.flatnonzero(np.bincount(candidates.index_HW.ravel()))
    possible: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
    for k in rows:
        set_C = candidates.sets_KC[k] if candidates.sets_KC[k].any() else np.ones(len(scores_Chw), bool)  # void is open
        here_HW = candidates.index_HW == k
        if set_C.sum() == 1:
            index_HW[here_HW], sure_HW[here_HW] = set_C.argmax(), 1
            continue
        if set_C.tobytes() not in possible:
            among_Chw = np.where(set_C[:, None, None], scores_Chw, np.float32(-np.inf))
            possible[set_C.tobytes()] = upsample_argmax(among_Chw, grid, height, width, confidence=True)
        mask_HW, confidence_HW = possible[set_C.tobytes()]
        index_HW[here_HW] = np.where(confidence_HW[here_HW] >= sure, mask_HW[here_HW], UNDECIDED)
        sure_HW[here_HW] = confidence_HW[here_HW]
    return index_HW, as_bytes(sure_HW)


def as_bytes(share_HW: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(share_HW, 0, 1)).astype(np.uint8)
