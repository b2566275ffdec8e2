"""What learnt maps say of every pixel, among the candidates that the labels leave: witnesses for other steps to join.

    from_scores     a network that has learnt from the same labels, or from what an earlier round left of them
    from_saliency   a map of what stands out, of whatever class: background where nothing does

Legend: C = classes; H, W = pixels.
"""

from __future__ import annotations

import numpy as np

from ..labels import VOID_ROW, Candidates
from .cues import Cues
from .decide import Evidence

FAINT = 0.02
"""How sure saliency may be, at most: 1 - FAINT."""


def from_scores(image_HW3: np.ndarray, candidates: Candidates, cues: Cues) -> Evidence:
    """Evidence: the network's log-probabilities. Nothing is said on void. UsageError without scores."""
    return said(candidates, cues.need("scores_CHW", "from_scores", image_HW3))


def from_saliency(image_HW3: np.ndarray, candidates: Candidates, cues: Cues) -> Evidence:
    """Evidence: log(1 - s) for background, log s for every other candidate, s the saliency. Nothing is said on void.

    Raises UsageError without saliency, and where no class is background.
    """
    saliency_HW = np.clip(cues.need("saliency_HW", "from_saliency", image_HW3), FAINT, 1 - FAINT)
    is_ground_C11 = (np.arange(candidates.sets_KC.shape[1]) == cues.ground("from_saliency"))[:, None, None]
    return said(candidates, np.where(is_ground_C11, np.log(1 - saliency_HW), np.log(saliency_HW)))


def said(candidates: Candidates, scores_CHW: np.ndarray) -> Evidence:
    """Evidence of scores: sure everywhere but on void, -inf for what is no candidate."""
    heard_HW = candidates.index_HW != VOID_ROW
    allowed_CHW = candidates.allowed()
    return Evidence(np.where(allowed_CHW, scores_CHW, -np.inf).astype(np.float32), heard_HW.astype(np.float32))
