"""How much does each pixel count? The effective field of a trained network, by gradients: Luo, Li, Urtasun, Zemel,
"Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", NeurIPS 2016, arXiv 1701.04128.

The theoretical field (`receptive_field`) says which pixels can count. Most of them hardly do: ParseNet's authors found
a quarter of the image where theory allows all of it (arXiv 1506.04579).

Legend: H, W = pixels, C = classes.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from ..errors import UsageError
from ..prediction.network import evaluating

_SEVERAL = 4


def effective_field(
    network: nn.Module, image_HW3: np.ndarray, position: tuple[float, float], several: int = _SEVERAL
) -> np.ndarray:
    """influence_HW float32, at least 0, with sum 1: how much each pixel moves the scores at one place.

    image_HW3: uint8 RGB, as the network is to see it. position: (y, x) in pixels; the nearest cell is taken. The mean
    over the `several` best-scored classes there of the gradient's magnitude, summed over colours; each class counts
    alike. All zeros where no pixel has any influence. Runs in evaluation mode, where the network is.
    Raises UsageError for a position outside the image.
    """
    height, width = image_HW3.shape[:2]
    if not (0 <= position[0] < height and 0 <= position[1] < width):
        raise UsageError(f"the position (y, x) = {position} lies outside the photo of {height}x{width} pixels")
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    with evaluating(network), torch.enable_grad():
        image_13HW = torch.from_numpy(image_HW3.copy()).to(device).permute(2, 0, 1)[None].float().requires_grad_()
        scores_Chw = network(image_13HW)[0]
        grid = network.grid
        row = round((position[0] + 0.5 - grid.centre_y) / grid.stride_y)
        column = round((position[1] + 0.5 - grid.centre_x) / grid.stride_x)
        scores_C = scores_Chw[
            :, min(max(row, 0), scores_Chw.shape[1] - 1), min(max(column, 0), scores_Chw.shape[2] - 1)
        ]
        total_HW = np.zeros((height, width))
        for c in scores_C.topk(min(several, len(scores_C))).indices.tolist():
            (gradient,) = torch.autograd.grad(scores_C[c], image_13HW, retain_graph=True)
            influence_HW = gradient[0].abs().sum(dim=0).double().cpu().numpy()
            total_HW += influence_HW / max(influence_HW.sum(), np.finfo(np.float64).tiny)
    return (total_HW / max(total_HW.sum(), np.finfo(np.float64).tiny)).astype(np.float32)


def side_of(influence_HW: np.ndarray, position: tuple[float, float], share: float = 0.5) -> int:
    """Pixels along a side of the smallest square around the position that holds this share of the influence."""
    height, width = influence_HW.shape
    away_H = np.abs(np.arange(height) - math.floor(position[0]))
    away_W = np.abs(np.arange(width) - math.floor(position[1]))
    distance_HW = np.maximum(away_H[:, None], away_W[None, :])
    within = np.cumsum(np.bincount(distance_HW.ravel(), influence_HW.ravel().astype(np.float64)))
    return 2 * int(np.searchsorted(within, share * within[-1])) + 1
