"""A photo through a window: square parts that overlap by a third, their probabilities averaged.

So the PSPNet release predicts (hszhao/semseg): each part has the size that the network was trained on, and what pools
over the image pools over the part. `tiles` is for another purpose, to see a large photo as if it were seen whole.

Legend: H, W = pixels; h, w = cells; C = classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..grid import Grid

Forward = Callable[[np.ndarray], np.ndarray]
"""image_HW3 uint8 RGB -> scores_Chw float32 (before the softmax)."""


def sliding(forward: Forward, grid: Grid, side: int) -> Forward:
    """`forward` by windows of side x side pixels, or as many as the photo has; a smaller photo is seen as it is.

    Windows begin at multiples of the grid's strides, so that their cells are those of the photo. Gives the logarithm
    of the mean probability.
    """

    def over(image_HW3: np.ndarray) -> np.ndarray:
        height, width = image_HW3.shape[:2]
        if max(height, width) <= side:
            return forward(image_HW3)
        total_Chw, seen_hw = np.zeros(1, np.float32), np.zeros(1, np.float32)
        for top in _starts(height, side, grid.stride_y):
            for left in _starts(width, side, grid.stride_x):
                part_HW3 = np.ascontiguousarray(image_HW3[top : top + side, left : left + side])
                probabilities_Chw = softmax(forward(part_HW3))
                if total_Chw.ndim == 1:
                    cells = math.ceil(height / grid.stride_y), math.ceil(width / grid.stride_x)
                    total_Chw = np.zeros((len(probabilities_Chw), *cells), np.float32)
                    seen_hw = np.zeros(cells, np.float32)
                y, x = round(top / grid.stride_y), round(left / grid.stride_x)
                here = slice(y, y + probabilities_Chw.shape[1]), slice(x, x + probabilities_Chw.shape[2])
                total_Chw[:, *here] += probabilities_Chw
                seen_hw[here] += 1
        return np.log(np.maximum(total_Chw / seen_hw, np.finfo(np.float32).tiny))

    return over


def softmax(scores_Chw: np.ndarray) -> np.ndarray:
    """Probabilities over the first axis, float32."""
    raised = np.exp(scores_Chw - scores_Chw.max(axis=0))
    return raised / raised.sum(axis=0)


def _starts(pixels: int, side: int, stride: float) -> list[int]:
    """First pixels of the windows along one side: two thirds of a window apart, the last one up to the edge."""
    cells = max(0, math.ceil((pixels - side) / stride))  # the last window's first cell
    step = max(1, int(side * 2 / 3 / stride))
    return [round(cell * stride) for cell in (*range(0, cells, step), cells)]
