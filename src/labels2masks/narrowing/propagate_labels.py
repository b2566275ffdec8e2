"""Labels spread to pixels near in place and colour: what is decided votes on what is not.

The vote is `kernels.guided.label_votes`, here among the candidates of each pixel only. One look at the photo and no
iteration: a light substitute for the dense CRF, and a start for it.

Legend: C = classes; H, W = pixels.
"""

from __future__ import annotations

import numpy as np

from ..errors import UsageError
from ..kernels.guided import FAINT, label_votes
from ..labels import VOID_ROW, Candidates
from .decide import Evidence


def propagate_labels(
    image_HW3: np.ndarray,
    candidates: Candidates,
    cues: object = None,
    sigma_xy: float = 80,
    sigma_rgb: float = 13,
) -> Evidence:
    """Evidence: the log share of each candidate in the votes that reach a pixel; pixels with one candidate left vote.

    Confidence is v / (v + FAINT) of the votes v for the pixel's candidates, 0 where v is below FAINT (nobody of like
    colour is near) and on void. The step asks for no cues. Raises UsageError as `label_votes` does.
    """
    classes, (height, width) = candidates.sets_KC.shape[1], candidates.index_HW.shape
    if image_HW3.shape[:2] != (height, width):
        raise UsageError(f"an image of {image_HW3.shape} for candidates of {height}x{width}")
    allowed_CHW = candidates.allowed()
    votes_CHW = label_votes(image_HW3, candidates.labels(), classes, sigma_xy, sigma_rgb) * allowed_CHW
    heard_HW = votes_CHW.sum(axis=0)
    share_CHW = (votes_CHW + FAINT / allowed_CHW.sum(axis=0, dtype=np.float32)) / (heard_HW + FAINT)
    reached_HW = (heard_HW >= FAINT) & (candidates.index_HW != VOID_ROW)
    return Evidence(
        np.where(allowed_CHW, np.log(share_CHW), np.float32(-np.inf)),
        np.where(reached_HW, heard_HW / (heard_HW + FAINT), np.float32(0)),
    )
