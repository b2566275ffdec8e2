"""The dense CRF as a step from evidence to evidence: labels spread within colours and stop at their edges.

Kraehenbuehl and Koltun 2011, as in DeepLab-CRF, BoxSup and "Simple Does It" ("CRF on top of
what is known"); the kernels are in `kernels.dense_crf`. Every pixel gets the log of its mean-field marginal. Classes
that are no candidates of a pixel stay impossible. Void pixels state nothing: they start with all classes alike and
end without confidence.

Legend: C = classes; H, W = pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UsageError
from ..kernels.dense_crf import CRFParameters, probabilities_from_scores
from ..kernels.dense_crf import dense_crf as marginals_of
from ..labels import VOID_ROW, Candidates
from .decide import Evidence


def dense_crf(
    image_HW3: np.ndarray,
    candidates: Candidates,
    evidence: Evidence,
    preset: str | CRFParameters = "deeplab",
    **options: Any,
) -> Evidence:
    """Evidence after the CRF: log marginals, -inf outside the candidates; sure everywhere but on void.

    evidence: what earlier steps found. Where its confidence is 0 the pixel starts with all candidates alike, so a
        CRF also fills what no step spoke about.
    options: of `labels2masks.dense_crf`. Raises UsageError as it does.
    """
    shape = (candidates.sets_KC.shape[1], *candidates.index_HW.shape)
    if image_HW3.shape[:2] != shape[1:] or evidence.log_scores_CHW.shape != shape:
        raise UsageError(
            f"image {image_HW3.shape}, evidence {evidence.log_scores_CHW.shape} and candidates {shape} do not fit"
        )
    stated_HW = candidates.index_HW != VOID_ROW
    allowed_CHW = candidates.allowed()
    known_HW = (evidence.confidence_HW > 0) & stated_HW
    scores_CHW = np.where(known_HW, evidence.log_scores_CHW, np.float32(0))
    # What a step held for impossible, but a label does not, may still be won by the neighbours.
    scores_CHW = np.where(allowed_CHW, np.maximum(scores_CHW, _UNLIKELY), np.float32(-np.inf))
    marginals_CHW = marginals_of(
        image_HW3, probabilities_from_scores(scores_CHW), preset, allowed_LHW=allowed_CHW, **options
    )
    with np.errstate(divide="ignore"):
        log_scores_CHW = np.where(allowed_CHW, np.log(marginals_CHW), np.float32(-np.inf))
    return Evidence(log_scores_CHW, stated_HW.astype(np.float32))


_UNLIKELY = np.float32(-1e30)
