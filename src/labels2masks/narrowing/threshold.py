"""Threshold: what stands out is an object, the rest is background.

Where several object classes are candidates of a salient pixel they stay equally likely: add another step's evidence.

Legend: C = classes; H, W = pixels.
"""

from __future__ import annotations

import numpy as np

from ..labels import VOID_ROW, Candidates
from .cues import Cues
from .decide import Evidence
from .objects import SURE


def threshold(
    image_HW3: np.ndarray, candidates: Candidates, cues: Cues, at: float = 0.5, band: float = 0.0
) -> Evidence:
    """Evidence: background where the saliency is below `at`, one of the other candidates from there on.

    band: half the width of the range around `at` in which nothing is said.
    UsageError without saliency or a background class.
    """
    background = cues.ground("threshold")
    saliency_HW = cues.need("saliency_HW", "threshold", image_HW3)
    allowed_CHW = candidates.allowed()
    others_HW = np.maximum(allowed_CHW.sum(axis=0) - allowed_CHW[background], 1)
    object_HW = saliency_HW >= at
    of_background_HW = np.where(object_HW, 1 - SURE, SURE)
    scores_CHW = np.broadcast_to(np.log((1 - of_background_HW) / others_HW), allowed_CHW.shape).copy()
    scores_CHW[background] = np.log(of_background_HW)
    said_HW = (np.abs(saliency_HW - at) >= band) & (candidates.index_HW != VOID_ROW)
    return Evidence(np.where(allowed_CHW, scores_CHW, -np.inf).astype(np.float32), said_HW.astype(np.float32))
