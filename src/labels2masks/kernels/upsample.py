"""Scores on a Grid -> scores at every pixel: linear interpolation at the grid's own coordinates.

Both directions are separate, so the map is two small matrices, `rows @ scores @ columns`. They are
built from the runtime size and therefore export with symbolic sizes. Where strides are whole numbers
and the first centre lies on a pixel centre or on a pixel border (every network here), torch's own
bilinear kernel does the same arithmetic faster; the matrices stay the general case and its oracle.

Legend: N = images, C = classes, h, w = cells, H, W = pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..grid import Grid


def upsample(scores_NChw: Tensor, grid: Grid, height: int, width: int) -> Tensor:
    """scores_NCHW for H = height, W = width pixels whose pixel (0, 0) is the origin of `grid`.

    Differentiable. Beyond the outer cells the outer cell is repeated. Half-precision scores stay so.
    height, width may be symbolic (torch.export): the result then follows the input's size.
    """
    if grid == Grid() and scores_NChw.shape[2:] == (height, width):
        return scores_NChw
    corners = _corners(grid)
    if corners is None or not (type(height) is int and type(width) is int):
        return upsample_by_matrices(scores_NChw, grid, height, width)
    return _upsample_by_bilinear(scores_NChw, grid, height, width, corners)


def upsample_by_matrices(scores_NChw: Tensor, grid: Grid, height: int, width: int) -> Tensor:
    """The general form, for any stride and centre; `upsample` where torch's own kernel has no such grid."""
    h, w = scores_NChw.shape[2:]
    like = scores_NChw
    rows_Hh = interpolation_matrix(grid.stride_y, grid.centre_y, h, height, like)
    columns_Ww = interpolation_matrix(grid.stride_x, grid.centre_x, w, width, like)
    return rows_Hh @ scores_NChw @ columns_Ww.T


def interpolation_matrix(stride: float, centre: float, cells: int, pixels: int, like: Tensor) -> Tensor:
    """matrix_Pc with at most two weights a row, that sum to 1: row p interpolates pixel p from the cells.

    The weight of cell i at position x is the hat max(0, 1 - |x - i|); positions are clamped to the cells.
    """
    pixel_P = torch.arange(pixels, dtype=torch.float32, device=like.device)
    cell_c = torch.arange(cells, dtype=torch.float32, device=like.device)
    position_P = ((pixel_P + (0.5 - centre)) / stride).clamp(min=0).minimum(cell_c[-1])
    return (1 - (position_P[:, None] - cell_c[None, :]).abs()).clamp(min=0).to(like.dtype)


def _corners(grid: Grid) -> bool | None:
    """Which of torch's two conventions can express the grid: align_corners True, False, or neither (None).

    With whole strides: a first cell on a pixel centre (0.5, 15.5) is `True` after a shift by whole pixels,
    one at half a stride plus whole pixels is `False`. For stride 1, and other odd ones, both are the same.
    """
    strides, centres = (grid.stride_y, grid.stride_x), (grid.centre_y, grid.centre_x)
    if not all(float(s).is_integer() for s in strides):
        return None
    if all(float(c - 0.5).is_integer() for c in centres):
        return True
    if all(float(c - s / 2).is_integer() for s, c in zip(strides, centres, strict=True)):
        return False
    return None


def _upsample_by_bilinear(scores_NChw: Tensor, grid: Grid, height: int, width: int, corners: bool) -> Tensor:
    """Repeat outer cells until the cells cover all pixels, enlarge by the whole stride, cut what is too much."""
    pads: list[int] = []
    sizes, cuts = [], []
    axes = ((grid.stride_y, grid.centre_y, height, 2), (grid.stride_x, grid.centre_x, width, 3))
    for stride_float, centre, pixels, axis in axes:
        stride = int(stride_float)
        # First pixel that the enlarged, unpadded cells would cover.
        first = int(centre - 0.5) if corners else int(centre - stride / 2)
        before = max(0, -(-first // stride))
        cells = scores_NChw.shape[axis] + before
        covered = (lambda c, s=stride: (c - 1) * s + 1) if corners else (lambda c, s=stride: c * s)
        cut = before * stride - first
        after = max(0, -(-(cut + pixels - covered(cells)) // stride))
        pads = [before, after, *pads]
        sizes.append(covered(cells + after))
        cuts.append(cut)
    if any(pads):
        scores_NChw = F.pad(scores_NChw, pads, mode="replicate")
    large = F.interpolate(scores_NChw, size=sizes, mode="bilinear", align_corners=corners)
    return large[:, :, cuts[0] : cuts[0] + height, cuts[1] : cuts[1] + width]
