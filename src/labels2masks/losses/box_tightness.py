"""Box tightness: an object reaches all four sides of its box, so every row and column of the box meets it.

Lempitsky et al. 2009, "Image segmentation with a bounding box prior"; as a loss by multiple instances: Hsu et al. 2019.
For each row and column of a box: -log of the largest probability of the box's class in it. A little of the loss goes to
each line, none to where along it the object lies.

Legend: N = images; C = classes; h, w = cells; L = lines of a box.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil

import torch
from torch import Tensor
from torch.nn import functional as F

from ..grid import Grid

Boxes = Iterable[tuple[Iterable[int], tuple[float, float, float, float]]]
"""`Facts.boxes` of a photo: (class indices, one of which it is; (x0, y0, x1, y1) in pixels)."""


def box_tightness_loss(scores_NChw: Tensor, boxes: Sequence[Boxes], grid: Grid = Grid()) -> tuple[Tensor, Tensor]:  # noqa: B008
    """(sum, count) over the boxes' lines of cells. A box that holds no cell's centre counts nothing.

    boxes: those of each photo, wholly inside it.
    """
    logs_NChw = F.log_softmax(scores_NChw, dim=1)
    total, count = scores_NChw.new_zeros(()), 0
    for logs_Chw, of_photo in zip(logs_NChw, boxes, strict=True):
        for classes, (x0, y0, x1, y1) in of_photo:
            rows = _cells(y0, y1, grid.centre_y, grid.stride_y, logs_Chw.shape[1])
            columns = _cells(x0, x1, grid.centre_x, grid.stride_x, logs_Chw.shape[2])
            inside_hw = logs_Chw[torch.tensor(sorted(classes), device=logs_Chw.device)][:, rows, columns].logsumexp(
                dim=0
            )
            if inside_hw.numel():
                total = total - inside_hw.amax(dim=1).sum() - inside_hw.amax(dim=0).sum()
                count += sum(inside_hw.shape)
    return total, total.new_tensor(count)


def _cells(low: float, high: float, centre: float, stride: float, cells: int) -> slice:
    """The cells whose centres lie in [low, high)."""
    first, last = (min(max(ceil((edge - centre) / stride), 0), cells) for edge in (low, high))
    return slice(first, max(last, first))
