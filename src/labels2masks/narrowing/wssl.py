"""Boxes and tags by expectation maximisation (Papandreou et al. 2015, "Weakly- and Semi-Supervised Learning of a DCNN
for Semantic Image Segmentation", WSSL).

    Bbox-Rect   boxes filled, smaller ones on top
    Bbox-Seg    the middle 20 % of each box is held to be object, outside to be background, a dense CRF decides the rest
    EM-Fixed    the network's scores, raised by a constant for background and for the present classes
    EM-Adapt    raised by what it takes for each to win a wanted portion of the pixels

Legend: C = classes; H, W = pixels.
"""

from __future__ import annotations

import numpy as np

from ..kernels.dense_crf import CRFParameters
from ..labels import Candidates
from .cues import Cues
from .decide import ArgMax, Evidence, decide
from .dense_crf import dense_crf
from .from_scores import said
from .objects import as_evidence, clear_boxes, filled_boxes
from .simple_does_it import inner_window

CENTRE = 0.2
CRF = CRFParameters(bilateral_weight=45, bilateral_xy=37, bilateral_rgb=3, gaussian_weight=15, gaussian_xy=3)
"""DeepLab's scripts for Bbox-Seg ("BboxErode20"); they name no number of iterations, 10 is DeepLab's elsewhere."""

PORTIONS = (0.4, 0.2)
"""EM-Adapt's portions of background and of each present class; from memory of the paper, not verified."""
FIXED_BIAS = (1.0, 2.0)
"""EM-Fixed's defaults in the released layer: background, present classes."""


def bbox_rect(image_HW3: np.ndarray, candidates: Candidates, cues: Cues) -> Evidence:
    """Evidence of filled boxes. UsageError without a background class."""
    return filled_boxes(candidates, cues.ground("bbox_rect"))


def bbox_seg(image_HW3: np.ndarray, candidates: Candidates, cues: Cues) -> Evidence:
    """Evidence of the CRF from the boxes' middles. UsageError without a background class."""
    label_HW = np.where(candidates.labels() >= 0, candidates.labels(), -1)
    for box in clear_boxes(candidates):
        label_HW[box.window] = -1
        label_HW[inner_window(box.window, CENTRE)] = box.allowed_C.argmax()
    cues.ground("bbox_seg")
    # Decided beforehand: a middle that is merely likely is voted down by a background of like colour.
    held = decide(candidates, as_evidence(candidates, label_HW), ArgMax())
    return dense_crf(image_HW3, held, Evidence.none(held), CRF)


def em_fixed(
    image_HW3: np.ndarray, candidates: Candidates, cues: Cues, biases: tuple[float, float] = FIXED_BIAS
) -> Evidence:
    """Evidence: scores, with `biases` added to background and to every other candidate."""
    scores_CHW = cues.need("scores_CHW", "em_fixed", image_HW3).astype(np.float32)
    bias_C = np.full(len(scores_CHW), biases[1], np.float32)
    bias_C[cues.ground("em_fixed")] = biases[0]
    return said(candidates, scores_CHW + bias_C[:, None, None])


def em_adapt(
    image_HW3: np.ndarray,
    candidates: Candidates,
    cues: Cues,
    portions: tuple[float, float] = PORTIONS,
    rounds: int = 5,
    seed: int = 0,
) -> Evidence:
    """Evidence: scores, raised until background and each present class win their portion (see `adapted`)."""
    background = cues.ground("em_adapt")
    scores_CHW = cues.need("scores_CHW", "em_adapt", image_HW3)
    present = sorted({c for meant in candidates.facts.present if len(meant) == 1 for c in meant} - {background})
    return said(candidates, adapted(scores_CHW, present, background, portions, rounds, seed))


def adapted(
    scores_CHW: np.ndarray,
    present: list[int],
    background: int,
    portions: tuple[float, float],
    rounds: int,
    seed: int = 0,
) -> np.ndarray:
    """float32 CHW: the E-step of EM-Adapt.

    Absent classes fall below the lowest present score. Then, `rounds` times, background first and the present classes
    in random order: the class gets the constant with which it wins its portion of the pixels, if it won fewer.
    present: indices without background. portions: of background, and of each present class; those of a photo of so many
        classes that they exceed 1 together shrink alike, so that all can be had at once (the release takes turns).
    """
    fit = min(1 / (portions[0] + portions[1] * len(present)), 1.0)
    raised_CHW = scores_CHW.astype(np.float32)
    kept = [background, *present]
    absent = [c for c in range(len(raised_CHW)) if c not in kept]
    if absent:
        raised_CHW[absent] = np.minimum(raised_CHW[absent], raised_CHW[kept].min() - 1)
    draw = np.random.default_rng(seed)
    for _ in range(rounds):
        for of_class in (background, *draw.permutation(present).tolist()):
            portion = fit * (portions[0] if of_class == background else portions[1])
            others = [c for c in range(len(raised_CHW)) if c != of_class]
            lacking_HW = raised_CHW[others].max(axis=0) - raised_CHW[of_class]
            wanted = int(np.ceil(portion * lacking_HW.size))
            lift = np.partition(lacking_HW, wanted - 1, axis=None)[wanted - 1] if wanted else -np.inf
            if lift > 0:
                above = 4 * np.spacing(np.abs(raised_CHW).max() + lift)  # past the tie, at the scores' magnitude
                raised_CHW[of_class] += lift + above
    return raised_CHW
