"""The dense-CRF loss: neighbours in place and colour should agree, labelled or not.

Tang, Perazzi, Djelouah, Ben Ayed, Schroers, Boykov, "On Regularized Losses for Weakly-supervised CNN Segmentation",
ECCV 2018, arXiv 1803.09569. For probabilities S of every class, and the Gaussian kernel K of place and colour,

    Potts energy    sum over classes of S' K (1 - S),  less what does not depend on how the classes lie:
    loss            - sum over classes of S' K S,      so negative values are right, and more negative is better
    gradient        - 2 K S

One filter gives both. It is added to a loss on what is labelled, once that has converged. The authors' release takes
the maps at half size, K is not normalised and includes the pixel itself, and the weight is 2e-9 of sum / images. Sum
and count of pixels are given here, so that other sizes can be weighed alike. Here scores are reduced before the
softmax, there probabilities after it.

Legend: N = images; C = classes; H, W = pixels; h, w = cells.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..grid import Grid
from ..kernels.cells import at_cells, place_and_colour_features
from ..kernels.gaussian_torch import GaussianOperator
from ..networks.blocks import enlarge


def dense_crf_loss(
    scores_NChw: Tensor,
    images_N3HW: Tensor,
    grid: Grid = Grid(),  # noqa: B008
    *,
    sigma_xy: float = 100.0,
    sigma_rgb: float = 15.0,
    stride: int = 2,
    normalised: bool = False,
    gate_NHW: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """(sum, count): -S'KS over all images and classes, and the pixels at the reduced size, counted by their gate.

    scores_NChw: before the softmax, on the cells of `grid`. images_N3HW: float RGB, 0..255, not normalised.
    sigma_xy: pixels of the photo. sigma_rgb: levels. stride: every such pixel of the photo is one of the reduced photo.
    gate_NHW: 0..1, how much of a pixel takes part: 0 for the padding around a crop.
    normalised: K between the square roots of its row sums, which keeps sum / count within -1 and 0, whatever the
        sigmas, the size and the backend. As published the sum grows with the neighbours, and the lattice ("auto" on a
        CPU, and in the release) gives half to two thirds of what all pairs give ("auto" on a GPU).
    The gradient is -2KS on every backend, also on the lattice, which is not quite symmetric.
    """
    reduced = Grid.square(stride, stride / 2)
    like = images_N3HW[:, :1, ::stride, ::stride]
    size = like.shape[2:]
    shares_NChw = enlarge(scores_NChw, grid, like, reduced).softmax(
        dim=1, dtype=torch.promote_types(scores_NChw.dtype, torch.float32)
    )
    count = shares_NChw.new_tensor(shares_NChw[:, 0].numel())
    if gate_NHW is not None:
        gate_N1hw = at_cells(gate_NHW[:, None].to(shares_NChw), reduced, *size)
        shares_NChw, count = shares_NChw * gate_N1hw, gate_N1hw.sum()
    shares_NPC = shares_NChw.flatten(2).mT
    with torch.no_grad():
        colours_N3hw = at_cells(images_N3HW.to(shares_NPC), reduced, *size)
        features_NP5 = place_and_colour_features(colours_N3hw, reduced, sigma_xy, sigma_rgb)
        gaussian = GaussianOperator(features_NP5, None, backend, "symmetric" if normalised else None)
        heard_NPC = gaussian.filter(shares_NPC)
        energy = (shares_NPC * heard_NPC).sum()
    return energy - 2 * (shares_NPC * heard_NPC).sum(), count
