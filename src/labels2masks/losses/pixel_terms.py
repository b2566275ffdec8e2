"""What the published systems ask of single pixels, in the place of the means of `candidate_loss`, at the crop's size.

    seed        SEC's: pixels that labels decide have their class, a mean over each photo's own
    point       What's the Point's: clicked and drawn pixels have their class
    objectness  and where background is a candidate among others, it is as likely as a prior of objects says

Legend: N = images, C = classes, H, W = pixels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..labels import INK
from .candidate_loss import Batch
from .sec import seed_loss
from .whats_the_point import objectness_loss, point_loss

PIXEL_TERMS = ("seed", "point", "objectness")


def pixel_terms(scores_NCHW: Tensor, batch: Batch, weights: Mapping[str, float]) -> dict[str, tuple[Tensor, Tensor]]:
    """{term: (sum, count)} of the terms of weight above 0 that any pixel of the batch has something to say about.

    scores_NCHW: at the size of `batch.index_NHW`. `objectness` needs the batch's prior and its background.
    """
    found = {}
    if weights["seed"] > 0:
        found["seed"] = seed_loss(scores_NCHW, batch.single_K[batch.index_NHW])
    if weights["point"] > 0:
        inked_K = torch.where(batch.source_K == INK, batch.single_K, -1)
        found["point"] = point_loss(scores_NCHW, inked_K[batch.index_NHW])
    if weights["objectness"] > 0 and batch.objectness_NHW is not None and batch.background is not None:
        asked_K = batch.sets_KC[:, batch.background] & (batch.single_K < 0)
        answered_NHW = torch.where(asked_K, -1, batch.background)[batch.index_NHW]
        found["objectness"] = objectness_loss(scores_NCHW, batch.objectness_NHW, answered_NHW, batch.background)
    return {name: pair for name, pair in found.items() if pair[1] > 0}
