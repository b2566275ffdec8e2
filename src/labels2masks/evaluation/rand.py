"""How well masks separate objects: the foreground-restricted Rand score, by which neurons in microscopy are compared.

    split = sum p_ij^2 / sum t_j^2,    merge = sum p_ij^2 / sum s_i^2,    F = their harmonic mean

p_ij is the share of pixels that lie in segment i of the prediction and object j of the truth, s_i and t_j are its sums,
all over the pixels that are in an object of the truth: Arganda-Carreras et al. 2015, "Crowdsourcing the creation of
image segmentation algorithms for connectomics", Frontiers in Neuroanatomy 9:142. One broken pixel of a membrane joins
two cells, which costs much here and nothing in IoU. The paper takes the best over thresholds and thinned borders; a
mask of classes has neither, so numbers are comparable among masks and not with its table.

Legend: H, W = pixels; P = pixels in objects of the truth.
"""

from __future__ import annotations

import numpy as np


def rand_scores(segments_HW: np.ndarray, objects_HW: np.ndarray) -> tuple[float, float, float]:
    """(F, split, merge), each 0 .. 1, 1 = the same objects; (1, 1, 1) where the truth has none.

    split: is low where objects are cut into several segments; merge: where segments join several objects.
    segments_HW, objects_HW: int, the number of the segment or object; 0 = border. A border pixel of the prediction
        inside an object is a segment of its own.
    Raises ValueError for different shapes.
    """
    if segments_HW.shape != objects_HW.shape:
        raise ValueError(f"segments of {segments_HW.shape} for objects of {objects_HW.shape}")
    inside_HW = objects_HW > 0
    segment_P, object_P = segments_HW[inside_HW].astype(np.int64), objects_HW[inside_HW].astype(np.int64)
    if not object_P.size:
        return 1.0, 1.0, 1.0
    alone = segment_P <= 0
    segment_P[alone] = segment_P.max(initial=0) + 1 + np.arange(alone.sum())
    both = _squares(segment_P * (object_P.max() + 1) + object_P)
    split, merge = both / _squares(object_P), both / _squares(segment_P)
    return 2 * split * merge / (split + merge), split, merge


def _squares(number_P: np.ndarray) -> float:
    """Sum of the squared sizes of the groups of equal numbers."""
    return float((np.unique(number_P, return_counts=True)[1].astype(np.float64) ** 2).sum())
