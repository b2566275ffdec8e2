"""Weak-to-strong consistency: what the teacher is sure of in a calm view, the network should say in a disturbed one.

Sohn et al. 2020 (FixMatch), for segmentation as in Yang et al. 2023 (UniMatch); the teacher is the running mean of the
weights (Tarvainen and Valpola 2017). It speaks only where a pixel is undecided, and chooses among its candidates only,
so that no label is ever contradicted.

Legend: N = images; C = classes; H, W = pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..labels import VOID_ROW
from .candidate_loss import Batch

SURE = 0.95


def consistency_loss(
    scores_NCHW: Tensor, teacher_NCHW: Tensor, batch: Batch, sure: float = SURE
) -> tuple[Tensor, Tensor]:
    """(sum, count): cross-entropy with the teacher's class; count is of all undecided pixels, sure or not.

    scores_NCHW: of the strong view. teacher_NCHW: the teacher's scores of the weak view, laid on the same pixels; no
        gradient goes there. Dividing by all undecided pixels lets the term grow as the teacher gets surer.
    sure: least probability among the pixel's candidates.
    """
    undecided_NHW = (batch.single_K < 0)[batch.index_NHW] & (batch.index_NHW != VOID_ROW)
    with torch.no_grad():
        allowed_NCHW = batch.sets_KC[batch.index_NHW].permute(0, 3, 1, 2) | ~undecided_NHW[:, None]
        shares_NCHW = teacher_NCHW.masked_fill(~allowed_NCHW, -torch.inf).softmax(dim=1)
        share_NHW, class_NHW = shares_NCHW.max(dim=1)
        heard_NHW = undecided_NHW & (share_NHW >= sure)
    loss_NHW = F.cross_entropy(scores_NCHW, class_NHW, reduction="none")
    return (loss_NHW * heard_NHW).sum(), undecided_NHW.sum().to(loss_NHW)
