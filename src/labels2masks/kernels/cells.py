"""What a Gaussian kernel sees of a photo at the cells of a grid: where each lies, and its colour.

Legend: N = images; D = channels or dimensions; H, W = pixels; h, w = cells; P = h * w.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..grid import Grid
from .upsample import upsample


def at_cells(maps_NDHW: Tensor, grid: Grid, height: int, width: int) -> Tensor:
    """maps_NDhw on height x width cells of `grid`: means over stride x stride pixels around each cell's centre.

    Strides are rounded to whole pixels for the mean, not for the centres. Beyond the border the outermost mean is
    repeated.
    """
    pixels = [
        min(max(round(s), 1), n) for s, n in zip((grid.stride_y, grid.stride_x), maps_NDHW.shape[2:], strict=True)
    ]
    means_NDHW = F.avg_pool2d(maps_NDHW, pixels, stride=1)
    of_means = Grid(centre_y=pixels[0] / 2, centre_x=pixels[1] / 2)
    return upsample(means_NDHW, of_means.in_cells_of(grid), height, width)


def place_features(grid: Grid, height: int, width: int, sigma_xy: float | Tensor, like: Tensor) -> Tensor:
    """features_P2 (x, y) of the cells in pixels from the first of them, divided by `sigma_xy`."""
    y_h = grid.stride_y * torch.arange(height, dtype=like.dtype, device=like.device)
    x_w = grid.stride_x * torch.arange(width, dtype=like.dtype, device=like.device)
    y_hw, x_hw = torch.meshgrid(y_h, x_w, indexing="ij")
    return torch.stack([x_hw, y_hw], dim=-1).flatten(0, 1) / sigma_xy


def place_and_colour_features(
    colours_N3hw: Tensor, grid: Grid, sigma_xy: float | Tensor, sigma_rgb: float | Tensor
) -> Tensor:
    """features_NP5 (x, y, r, g, b), divided by their sigmas; colours in levels of 0..255, as `at_cells` gives them."""
    height, width = colours_N3hw.shape[2:]
    place_P2 = place_features(grid, height, width, sigma_xy, colours_N3hw)
    colour_NP3 = colours_N3hw.flatten(2).mT / sigma_rgb
    return torch.cat([place_P2.expand(len(colour_NP3), -1, -1), colour_NP3], dim=-1)
