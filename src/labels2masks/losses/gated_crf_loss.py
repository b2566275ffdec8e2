"""The gated CRF loss: the dense-CRF loss in a window, with a say in who speaks to whom.

Obukhov, Georgoulis, Dai, Van Gool, "Gated CRF Loss for Weakly Supervised Semantic Image Segmentation", 2019,
arXiv 1906.04651. For pixels p, and q != p in a window of (2 radius + 1)^2 around it,

    loss = sum over p, q of destination_p source_q k_pq (1 - sum over classes of y_c(p) y_c(q))

with k Gaussian in place and colour. Sources are pixels that may be listened to (not the padding of a crop),
destinations those that listen (such as the unlabelled ones). Every difference of position is one product of shifted
maps and serves both directions: (2 radius + 1)^2 / 2 passes, and never all classes for the whole window at once.

Legend: N = images; C = classes; H, W = pixels; h, w = cells.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..grid import Grid
from ..kernels.cells import at_cells


def gated_crf_loss(
    scores_NChw: Tensor,
    images_N3HW: Tensor,
    grid: Grid = Grid(),  # noqa: B008
    *,
    radius: int = 5,
    sigma_xy: float = 6.0,
    sigma_rgb: float = 25.5,
    sources_NHW: Tensor | None = None,
    destinations_NHW: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """(sum, count): the disagreement of all pairs, and the destinations (else the sources, else all cells).

    scores_NChw: before the softmax, on the cells of `grid`, where the loss is taken. images_N3HW: float RGB, 0..255;
        a cell has the mean colour of its pixels.
    radius, sigma_xy: in cells. sigma_rgb: levels; the authors' 0.1 of the range of colours.
    sources_NHW, destinations_NHW: bool or 0..1; a cell counts where all of its pixels do. None: every cell.
    The authors weigh sum / count with 0.1.
    """
    height, width = scores_NChw.shape[2:]
    shares_NChw = scores_NChw.softmax(dim=1, dtype=torch.promote_types(scores_NChw.dtype, torch.float32))
    colours_N3hw = at_cells(images_N3HW.to(shares_NChw), grid, height, width) / sigma_rgb
    source_Nhw, destination_Nhw = (
        torch.ones_like(shares_NChw[:, 0])
        if gate is None
        else (at_cells(gate[:, None].to(shares_NChw), grid, height, width)[:, 0] > 0.999).to(shares_NChw)
        for gate in (sources_NHW, destinations_NHW)
    )
    total = shares_NChw.new_zeros(())
    for down in range(min(radius, height - 1) + 1):
        for right in range(-min(radius, width - 1), min(radius, width - 1) + 1):
            if (down, right) <= (0, 0):
                continue  # the pixel itself, and pairs that were seen from their other end
            p = ..., slice(0, height - down), slice(max(0, -right), width - max(0, right))
            q = ..., slice(down, height), slice(max(0, right), width - max(0, -right))
            place = math.hypot(down, right) / sigma_xy
            colour_Nhw = (colours_N3hw[p] - colours_N3hw[q]).square().sum(dim=1)
            kernel_Nhw = torch.exp(-0.5 * (place**2 + colour_Nhw))
            gates_Nhw = destination_Nhw[p] * source_Nhw[q] + destination_Nhw[q] * source_Nhw[p]
            agreement_Nhw = (shares_NChw[p] * shares_NChw[q]).sum(dim=1)
            total = total + (kernel_Nhw * gates_Nhw * (1 - agreement_Nhw)).sum()
    counted_Nhw = source_Nhw if destinations_NHW is None else destination_Nhw
    return total, counted_Nhw.sum()
