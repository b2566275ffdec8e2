"""Seed, expand and constrain (Kolesnikov and Lampert 2016), as in the authors' released layers.

    seed        -log f of the seed's class, mean over all seeds of a photo, background's among them
    expand      each class that is there takes some of the photo, each that is not takes none: global weighted rank
                pooling, sum of d^j f_j over pixels sorted by f, over the sum of d^j; d is 0.996 for classes that are
                there, 0.999 for background; a class that is not there is pooled by its maximum
    constrain   Kullback-Leibler divergence of the network's f from Q, what the dense CRF makes of f and the photo

f is the softmax, no smaller than about 1e-4. No gradient flows through the CRF.

Legend: N = images; C = classes; h, w = cells; P = cells of a photo.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 1e-4
DECAY_PRESENT, DECAY_BACKGROUND = 0.996, 0.999


def probabilities(scores_NChw: Tensor) -> Tensor:
    """The softmax with 1e-4 added to every class, normalised again."""
    raised_NChw = scores_NChw.softmax(dim=1) + LEAST
    return raised_NChw / raised_NChw.sum(dim=1, keepdim=True)


def seed_loss(scores_NChw: Tensor, seeds_Nhw: Tensor) -> tuple[Tensor, Tensor]:
    """(sum, count) over photos that have seeds. seeds_Nhw: int64, the seed's class, -1 = none."""
    logs_NChw = probabilities(scores_NChw).log()
    there_Nhw = seeds_Nhw >= 0
    of_seed_Nhw = logs_NChw.gather(1, seeds_Nhw.clamp_min(0)[:, None])[:, 0] * there_Nhw
    seeds_N = there_Nhw.sum(dim=(1, 2))
    loss_N = -of_seed_Nhw.sum(dim=(1, 2)) / seeds_N.clamp_min(1)
    return loss_N.sum(), (seeds_N > 0).sum().to(loss_N)


def expand_loss(scores_NChw: Tensor, present_NC: Tensor, background: int) -> tuple[Tensor, Tensor]:
    """(sum, count) over photos. present_NC: bool, what the tags say is there; background's entry is not read."""
    f_NCP = probabilities(scores_NChw).flatten(2)
    is_class_C = torch.arange(f_NCP.shape[1], device=f_NCP.device) != background
    there_NC, absent_NC = present_NC & is_class_C, ~present_NC & is_class_C
    pooled_NC = rank_pooled(f_NCP, DECAY_PRESENT)
    of_background_N = rank_pooled(f_NCP[:, background], DECAY_BACKGROUND)
    present_N = (-pooled_NC.log() * there_NC).sum(dim=1) / there_NC.sum(dim=1).clamp_min(1)
    absent_N = (-torch.log1p(-f_NCP.amax(dim=2)) * absent_NC).sum(dim=1) / absent_NC.sum(dim=1).clamp_min(1)
    loss_N = present_N + absent_N - of_background_N.log()
    return loss_N.sum(), loss_N.new_tensor(len(loss_N))


def rank_pooled(values_P: Tensor, decay: float) -> Tensor:
    """Weighted mean over the last axis, the j-th largest with weight decay^j: 0 gives the maximum, 1 the mean."""
    weights_P = torch.pow(
        torch.tensor(decay, dtype=values_P.dtype, device=values_P.device),
        torch.arange(values_P.shape[-1], device=values_P.device, dtype=values_P.dtype),
    )
    return (values_P.sort(dim=-1, descending=True).values * weights_P).sum(dim=-1) / weights_P.sum()


def constrain_loss(scores_NChw: Tensor, marginals_NChw: Tensor) -> tuple[Tensor, Tensor]:
    """(sum, count) over cells of sum_c Q log(Q / f). marginals_NChw: Q, of the dense CRF on the same cells."""
    q_NChw = marginals_NChw.detach().clamp_min(LEAST)
    q_NChw = q_NChw / q_NChw.sum(dim=1, keepdim=True)
    loss_Nhw = (q_NChw * (q_NChw.log() - probabilities(scores_NChw).log())).sum(dim=1)
    return loss_Nhw.sum(), loss_Nhw.new_tensor(loss_Nhw.numel())
