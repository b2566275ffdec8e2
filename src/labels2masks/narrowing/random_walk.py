"""Random walk on affinities (Ahn and Kwak 2018, "AffinityNet"; Ahn, Cho and Kwak 2019, "IRN").

Scores spread between cells that belong together: T = D^-1 A^beta, with A the affinity of two cells within a radius and
D its row sums, applied 2^8 = 256 times. Here the affinity of two cells is exp of minus the mean absolute difference of
their features (the colours of the photo where no others are given).

Legend: C = classes; h, w = cells; K = cells in all; D = feature channels.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import sparse

from ..labels import VOID_ROW, Candidates
from .cues import Cues
from .decide import Evidence

RADIUS, BETA, STEPS = 5, 8.0, 256
POWER = 16.0
"""Of the background's score: PSA's before the walk; its labels of sure foreground take 16 to 32, of background 4."""
SIDE = 64
"""Cells along the longer side of the photo: 256 steps of a radius of 5 then reach across it."""
LIKE = 0.05
"""Difference of colours (0..1) at which the affinity is 1 / e."""


def random_walk(image_HW3: np.ndarray, candidates: Candidates, cues: Cues, power: float = POWER) -> Evidence:
    """Evidence: class activation maps after the walk; background is (1 - the largest map) to the `power` before it.

    Works on cells of a coarse grid. UsageError without class activation maps or a background class.
    """
    cam_CHW = np.clip(cues.need("cam_CHW", "random_walk", image_HW3), 0, 1).copy()
    background = cues.ground("random_walk")
    cam_CHW[background] = 0
    cam_CHW[background] = (1 - cam_CHW.max(axis=0)) ** power
    height, width = image_HW3.shape[:2]
    scale = min(SIDE / max(height, width), 1)
    h, w = max(round(height * scale), 1), max(round(width * scale), 1)
    small = cv2.resize(image_HW3, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32) / (255 * LIKE)
    start_Chw = np.stack([cv2.resize(m_HW, (w, h), interpolation=cv2.INTER_AREA) for m_HW in cam_CHW])
    walked_Chw = walk(start_Chw, transitions(small.transpose(2, 0, 1)))
    walked_CHW = np.stack([cv2.resize(m, (width, height), interpolation=cv2.INTER_LINEAR) for m in walked_Chw])
    allowed_CHW = candidates.allowed()
    scores_CHW = np.log(np.maximum(walked_CHW, 1e-6)).astype(np.float32)
    total_HW = (walked_CHW * allowed_CHW).sum(axis=0)
    said_HW = (candidates.index_HW != VOID_ROW) & (total_HW > 0)
    return Evidence(np.where(allowed_CHW, scores_CHW, np.float32(-np.inf)), said_HW.astype(np.float32))


def transitions(features_Dhw: np.ndarray, radius: int = RADIUS, beta: float = BETA) -> sparse.csr_array:
    """T, K x K: rows sum to 1. Neighbours are all cells within `radius` (Euclidean), the cell itself among them."""
    height, width = features_Dhw.shape[1:]
    cells_hw = np.arange(height * width).reshape(height, width)
    rows, columns, values = [cells_hw.ravel()], [cells_hw.ravel()], [np.ones(cells_hw.size)]
    for dy in range(radius + 1):
        for dx in range(-radius, radius + 1):
            # Half of the disc: every pair is seen once and written twice.
            if (dy == 0 and dx <= 0) or dy * dy + dx * dx > radius * radius or dy >= height or abs(dx) >= width:
                continue
            here = (slice(0, height - dy), slice(max(-dx, 0), width - max(dx, 0)))
            there = (slice(dy, height), slice(max(dx, 0), width - max(-dx, 0)))
            difference = np.abs(features_Dhw[(slice(None), *here)] - features_Dhw[(slice(None), *there)]).mean(axis=0)
            affinity = np.exp(-beta * difference.astype(np.float64)).ravel()
            one, other = cells_hw[here].ravel(), cells_hw[there].ravel()
            rows += [one, other]
            columns += [other, one]
            values += [affinity, affinity]
    joined = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    affinity_KK = sparse.csr_array(joined, shape=(cells_hw.size,) * 2)
    return sparse.csr_array(sparse.diags_array(1 / affinity_KK.sum(axis=1)) @ affinity_KK)


def walk(scores_Chw: np.ndarray, transitions_KK: sparse.csr_array, steps: int = STEPS) -> np.ndarray:
    """float64 Chw: the scores after `steps` steps."""
    walked_KC = scores_Chw.reshape(len(scores_Chw), -1).T.astype(np.float64)
    for _ in range(steps):
        walked_KC = transitions_KK @ walked_KC
    return walked_KC.T.reshape(scores_Chw.shape)
