"""Simple Does It: weakly supervised segmentation from boxes (Khoreva et al. 2017).

    box_round   "Box": filled boxes at first; later the network's answer, kept inside the boxes, the full box again
                where the overlap of the two is below 50 %, sharpened by DeepLab's dense CRF
    box_inner   "Box^i": the inner 20 % of a box's area is object, of the rest of the box nothing is said
    grabcut_plus (its own file): "GrabCut+"
    m_and_g     "M & G+": where a segment proposal and GrabCut+ agree; of the rest of the box nothing is said

Legend: H, W = pixels; h, w = pixels of a box; S = proposals.
"""

from __future__ import annotations

import numpy as np

from ..labels import Candidates
from .cues import Cues
from .decide import Evidence
from .dense_crf import dense_crf
from .grabcut import AGREED, agreement
from .objects import Boxed, as_evidence, clear_boxes, filled_boxes, laid_down

INNER = 0.2
LEAST_OVERLAP = 0.5


def box_round(image_HW3: np.ndarray, candidates: Candidates, cues: Cues) -> Evidence:
    """Evidence of one round; without scores the boxes are filled. UsageError without a background class."""
    background = cues.ground("box_round")
    if cues.scores_CHW is None:
        return filled_boxes(candidates, background)
    boxes = clear_boxes(candidates)
    found_HW = cues.need("scores_CHW", "box_round", image_HW3).argmax(axis=0)
    kept = []
    for box in boxes:
        object_hw = found_HW[box.window] == box.allowed_C.argmax()
        kept.append(object_hw if object_hw.mean() >= LEAST_OVERLAP else np.ones(object_hw.shape, bool))
    start = as_evidence(candidates, laid_down(candidates, boxes, kept, background))
    return dense_crf(image_HW3, candidates, start, "deeplab")


def box_inner(image_HW3: np.ndarray, candidates: Candidates, cues: Cues) -> Evidence:
    """Evidence: the inner fifth of each box's area. UsageError without a background class."""
    cues.ground("box_inner")
    label_HW = np.full(candidates.index_HW.shape, -1, np.int32)
    for box in clear_boxes(candidates):
        label_HW[box.window] = -1
        label_HW[inner_window(box.window, INNER)] = box.allowed_C.argmax()
    return as_evidence(candidates, label_HW)


def m_and_g(image_HW3: np.ndarray, candidates: Candidates, cues: Cues, runs: int = 150, seed: int = 0) -> Evidence:
    """Evidence where the proposal that fits a box best and GrabCut+ agree.

    The paper's proposals are MCG's, which learnt from drawn masks; `cues.proposals_SHW` may come from anywhere.
    UsageError without proposals or a background class.
    """
    background = cues.ground("m_and_g")
    proposals_SHW = cues.need("proposals_SHW", "m_and_g", image_HW3)
    boxes, objects, doubts = clear_boxes(candidates), [], []
    for number, box in enumerate(boxes):
        cut_hw = agreement(image_HW3, candidates, box, runs, (seed, number)) >= AGREED
        segment_hw = best_proposal(proposals_SHW, box)[box.window]
        objects.append(cut_hw & segment_hw)
        doubts.append(~(cut_hw & segment_hw))
    return as_evidence(candidates, laid_down(candidates, boxes, objects, background, doubts))


def inner_window(window: tuple[slice, slice], share: float) -> tuple[slice, slice]:
    """The middle of a box with `share` of its area, up to one row of pixels: sqrt(share) of each side."""
    made = []
    for side in window:
        length = side.stop - side.start
        inner = max(round(length * share**0.5), 1)
        start = side.start + (length - inner) // 2
        made.append(slice(start, start + inner))
    return made[0], made[1]


def best_proposal(proposals_SHW: np.ndarray, box: Boxed) -> np.ndarray:
    """bool HW: the proposal of largest intersection over union with the filled box; nothing where there is none."""
    if not len(proposals_SHW):
        return np.zeros(proposals_SHW.shape[1:], bool)
    inside_S = proposals_SHW[(slice(None), *box.window)].sum(axis=(1, 2))
    union_S = proposals_SHW.sum(axis=(1, 2)) + box.area - inside_S
    return proposals_SHW[int((inside_S / union_S).argmax())]
