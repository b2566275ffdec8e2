"""Area shares: the network's mean softmax should have the shares that a person gave (arXiv 2503.06954).

    Kullback-Leibler divergence of the mean softmax from the shares v:  sum over c of v_c log(v_c / mean_c)

Legend: N = images; C = classes; h, w = cells.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 1e-6
"""Floor of a mean, so that a class that is there and nowhere seen costs a finite number and has a gradient."""


def area_share_loss(scores_NChw: Tensor, shares_NC: Tensor, inside_Nhw: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(sum, count) over photos with shares.

    shares_NC: 0..1; NaN where a class has none. What the given ones leave of 1 goes to all others together; where all
        have one they are normalised. A photo of NaN only counts nothing.
    inside_Nhw: bool, False on padding.
    """
    f_NChw = scores_NChw.softmax(dim=1)
    weight_N1hw = torch.ones_like(f_NChw[:, :1]) if inside_Nhw is None else inside_Nhw[:, None].to(f_NChw)
    mean_NC = (f_NChw * weight_N1hw).sum(dim=(2, 3)) / weight_N1hw.sum(dim=(2, 3)).clamp_min(1)
    given_NC = ~shares_NC.isnan()
    v_NC = shares_NC.nan_to_num(0.0)
    rest_N = torch.where(given_NC.all(dim=1), 0.0, (1 - v_NC.sum(dim=1)).clamp_min(0))
    total_N = v_NC.sum(dim=1) + rest_N
    v_NC, rest_N = v_NC / total_N.clamp_min(LEAST)[:, None], rest_N / total_N.clamp_min(LEAST)
    of_rest_N = (mean_NC * ~given_NC).sum(dim=1)
    loss_N = _term(v_NC, mean_NC).sum(dim=1) + _term(rest_N, of_rest_N)
    stated_N = given_NC.any(dim=1)
    return (loss_N * stated_N).sum(), stated_N.sum().to(loss_N)


def _term(v: Tensor, mean: Tensor) -> Tensor:
    """v log(v / mean), 0 where v is 0."""
    return torch.where(v > 0, v * (v.clamp_min(LEAST).log() - mean.clamp_min(LEAST).log()), torch.zeros_like(v))
