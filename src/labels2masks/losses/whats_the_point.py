"""What's the Point: tags, clicks and objectness (Bearman, Russakovsky, Ferrari and Fei-Fei 2016, section 3).

    image       each class that is there (background among them) is right at its best cell, each that is not is
                wrong at its best:  - mean over L+ of log S(t_c)  -  mean over L- of log(1 - S(t_c))
    point       - log S at the clicked cells, weighted by the rank of the click among the annotators'
    objectness  where nothing was clicked, background as likely as a prior says:
                - mean of  P log S_background + (1 - P) log(1 - S_background)

Legend: N = images; C = classes; h, w = cells.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST = 1e-6
"""Floor of 1 - S, so that a wrong class that is certain costs a finite number."""


def image_loss(scores_NChw: Tensor, present_NC: Tensor) -> tuple[Tensor, Tensor]:
    """(sum, count) over photos. present_NC: bool, background included wherever a photo may show some."""
    logs_NChw = F.log_softmax(scores_NChw, dim=1)
    best_NC = logs_NChw.flatten(2).amax(dim=2)
    absent_NC = torch.log((1 - best_NC.exp()).clamp_min(LEAST))
    there_N, gone_N = present_NC.sum(dim=1).clamp_min(1), (~present_NC).sum(dim=1).clamp_min(1)
    loss_N = -(best_NC * present_NC).sum(dim=1) / there_N - (absent_NC * ~present_NC).sum(dim=1) / gone_N
    return loss_N.sum(), loss_N.new_tensor(len(loss_N))


def point_loss(scores_NChw: Tensor, clicks_Nhw: Tensor, weights_Nhw: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(sum, sum of weights) over clicked cells. clicks_Nhw: int64, the class, -1 = no click. weights_Nhw: 1 without."""
    logs_NChw = F.log_softmax(scores_NChw, dim=1)
    clicked_Nhw = clicks_Nhw >= 0
    weight_Nhw = clicked_Nhw.to(logs_NChw) if weights_Nhw is None else weights_Nhw * clicked_Nhw
    of_click_Nhw = logs_NChw.gather(1, clicks_Nhw.clamp_min(0)[:, None])[:, 0]
    return -(of_click_Nhw * weight_Nhw).sum(), weight_Nhw.sum()


def objectness_loss(
    scores_NChw: Tensor, objectness_Nhw: Tensor, clicks_Nhw: Tensor, background: int
) -> tuple[Tensor, Tensor]:
    """(sum, count) over cells without a click.

    objectness_Nhw: 0..1, how likely the cell shows an object, of whatever class. The release reads bytes as
        P = 1 - (byte + 1) / 257; `(byte + 1) / 257` is the objectness meant here.
    """
    of_background_Nhw = F.log_softmax(scores_NChw, dim=1)[:, background]
    of_object_Nhw = torch.log((1 - of_background_Nhw.exp()).clamp_min(LEAST))
    free_Nhw = clicks_Nhw < 0
    loss_Nhw = -(1 - objectness_Nhw) * of_background_Nhw - objectness_Nhw * of_object_Nhw
    return (loss_Nhw * free_Nhw).sum(), free_Nhw.sum().to(loss_Nhw)
