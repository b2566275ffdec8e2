"""BoxSup: each box activates one of many candidate segments (Dai, He and Sun 2015, section 3).

The segments keep their shape; what is learnt is which of them are objects. For each box the cost of a segment S is
    E_o + lambda E_r = (1 - IoU(box, hull of S)) + lambda * mean over the photo of -log p(label with S activated)
lambda = 3 (the paper sums the regression over pixels beside a mean over segments; here it is a mean), and one of the
five smallest is taken at random, which the paper found better than the smallest. Without scores (the first round) E_o
decides alone. Everything else is background, so is what a segment has beyond its box: the label says so. The
alternation with training is the recipe's.

The regression term compares labelings of the whole photo; they differ in the segment only, so that the mean over the
photo is, up to a constant, the sum over the segment of log p(background) - log p(class), divided by the photo's pixels.

Legend: S = proposals; H, W = pixels.
"""

from __future__ import annotations

import numpy as np

from ..errors import UsageError
from ..labels import Candidates
from .cues import Cues
from .decide import Evidence
from .objects import Boxed, as_evidence, clear_boxes, hull_of, laid_down

LAMBDA = 3.0
CHEAPEST = 5


def boxsup(image_HW3: np.ndarray, candidates: Candidates, cues: Cues, seed: int = 0) -> Evidence:
    """Evidence: one proposal a box. UsageError without proposals or a background class."""
    background = cues.ground("boxsup")
    proposals_SHW = cues.need("proposals_SHW", "boxsup", image_HW3)
    if not len(proposals_SHW):
        raise UsageError("boxsup chooses among proposals, and this photo has none")
    draw = np.random.default_rng(seed)
    boxes = clear_boxes(candidates)
    hulls_S4 = np.array([hull_of(p_HW) for p_HW in proposals_SHW])
    objects = []
    for box in boxes:
        costs_S = costs(proposals_SHW, hulls_S4, box, cues.scores_CHW, background)
        chosen = draw.choice(np.argsort(costs_S, kind="stable")[:CHEAPEST])
        objects.append(proposals_SHW[chosen][box.window])
    return as_evidence(candidates, laid_down(candidates, boxes, objects, background))


def costs(
    proposals_SHW: np.ndarray,
    hulls_S4: np.ndarray,
    box: Boxed,
    log_scores_CHW: np.ndarray | None,
    background: int,
) -> np.ndarray:
    """float64 S: what it costs to activate each proposal for the box.

    hulls_S4: (top, left, bottom, right) of each proposal, in pixels. log_scores_CHW: log-probabilities, or None.
    """
    rows, columns = box.window
    high_S = np.minimum(hulls_S4[:, 2], rows.stop) - np.maximum(hulls_S4[:, 0], rows.start)
    wide_S = np.minimum(hulls_S4[:, 3], columns.stop) - np.maximum(hulls_S4[:, 1], columns.start)
    shared_S = np.maximum(high_S, 0) * np.maximum(wide_S, 0)
    area_S = (hulls_S4[:, 2] - hulls_S4[:, 0]) * (hulls_S4[:, 3] - hulls_S4[:, 1])
    overlap_S = 1 - shared_S / (area_S + box.area - shared_S)
    if log_scores_CHW is None:
        return overlap_S
    gain_HW = log_scores_CHW[background] - log_scores_CHW[int(box.allowed_C.argmax())]
    regression_S = (proposals_SHW[(slice(None), *box.window)] * gain_HW[box.window]).sum(axis=(1, 2)) / gain_HW.size
    return overlap_S + LAMBDA * regression_S
