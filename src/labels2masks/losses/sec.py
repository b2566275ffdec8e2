"""Seed, expand and constrain (Kolesnikov and Lampert 2016), as in the authors' released layers.

    seed        -log f of the seed's class, mean over all seeds of a photo, background's among them
    expand      each class that is there takes some of the photo, each that is not takes none: global weighted rank
                pooling, sum of d^j f_j over pixels sorted by f, over the sum of d^j; d is 0.996 for classes that are
                there, 0.999 for background; a class that is not there is pooled by its maximum
    constrain   Kullback-Leibler divergence of the network's f from Q, what the dense CRF makes of f and the photo

f is the softmax, no smaller than about 1e-4. No gradient flows through the CRF, which takes the scores before it, on
the photo at the size of the map, with the standard deviations of a map of 41 x 41.

Legend: N = images; C = classes; h, w = cells; P = cells of a photo.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..grid import Grid
from ..kernels.cells import at_cells
from ..kernels.dense_crf import CRFParameters, dense_crf

LEAST = 1e-4
DECAY_PRESENT, DECAY_BACKGROUND = 0.996, 0.999

ACROSS = 41
"""Cells of a map for which `crf_at` has the published standard deviations."""


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


def crf_at(cells: int) -> CRFParameters:
    """The dense CRF for a map of so many cells across: of 41, 80 / 12 and 3 / 12 cells of 10 and 3, 13 levels."""
    scale = cells / ACROSS
    return CRFParameters(10.0, 80 / 12 * scale, 13.0, 3.0, 3 / 12 * scale, 10)


def crf_marginals(scores_NChw: Tensor, images_N3HW: Tensor, grid: Grid, inside_Nhw: Tensor) -> Tensor:
    """Q_NChw, what the dense CRF makes of the scores; without gradient.

    images_N3HW: float RGB, 0..255. inside_Nhw: bool, False on padding: the CRF sees a window without it.
    """
    height, width = scores_NChw.shape[2:]
    scores_NChw = scores_NChw.detach()
    marginals_NChw = scores_NChw.softmax(dim=1)
    colours_N3hw = at_cells(images_N3HW, grid, height, width).round().clamp(0, 255).byte()
    for n, inside_hw in enumerate(inside_Nhw):
        rows, columns = (torch.nonzero(inside_hw.any(dim=axis)).flatten().tolist() for axis in (1, 0))
        if rows:
            window = (..., slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
            colours_hw3 = colours_N3hw[n][window].permute(1, 2, 0).cpu().numpy()
            scores_Chw = scores_NChw[n][window].float().cpu().numpy()
            preset = crf_at(max(colours_hw3.shape[:2]))
            q_Chw = dense_crf(colours_hw3, preset=preset, scores_Lhw=scores_Chw, source_stride=1, prune=0.0)
            marginals_NChw[n][window] = torch.from_numpy(q_Chw).to(marginals_NChw)
    return marginals_NChw


def constrain_loss(
    scores_NChw: Tensor, marginals_NChw: Tensor, inside_Nhw: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(sum, count) over cells of sum_c Q log(Q / f). marginals_NChw: Q, of the dense CRF on the same cells.

    inside_Nhw: bool, the cells that count; None = all.
    """
    q_NChw = marginals_NChw.detach().clamp_min(LEAST)
    q_NChw = q_NChw / q_NChw.sum(dim=1, keepdim=True)
    loss_Nhw = (q_NChw * (q_NChw.log() - probabilities(scores_NChw).log())).sum(dim=1)
    inside_Nhw = torch.ones_like(loss_Nhw, dtype=torch.bool) if inside_Nhw is None else inside_Nhw
    return (loss_Nhw * inside_Nhw).sum(), inside_Nhw.sum().to(loss_Nhw)
