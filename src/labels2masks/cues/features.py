"""What a frozen encoder sees, for any encoder: features of cells, and where a photo looks like given seeds.

    FrozenFeatures   every map of stride 4 and more, brought to cells of 8 pixels: hypercolumns (Hariharan et al. 2015)
    prototype_maps   how alike each cell is to the mean of a class's seeds (prototypes, Snell et al. 2017)

Legend: H, W = pixels; h, w = cells of 8 pixels; D = features; C = classes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ..grid import Grid, interpolated

STRIDE = 8
CELLS = Grid(STRIDE, STRIDE, STRIDE / 2, STRIDE / 2)


class FrozenFeatures:
    """features(image_HW3 uint8 RGB) -> float32 h x w x D; the last feature is the constant 1."""

    def __init__(self, encoder: nn.Module):
        self.encoder = encoder.eval()
        self.levels = [i for i, g in enumerate(self.encoder.grids) if g.stride_y >= 4]
        self.count = 1 + sum(self.encoder.channels[i] for i in self.levels)

    def __call__(self, image_HW3: np.ndarray) -> np.ndarray:
        h, w = cells(*image_HW3.shape[:2])
        with torch.inference_mode():
            image_13HW = torch.from_numpy(image_HW3.copy()).permute(2, 0, 1)[None].float()
            maps = [m[0].numpy() for m in self.encoder(image_13HW)]
        found = [interpolated(maps[i], self.encoder.grids[i].in_cells_of(CELLS), h, w) for i in self.levels]
        return np.moveaxis(np.concatenate([*found, np.ones((1, h, w), np.float32)]), 0, -1).astype(np.float32)


def cells(height: int, width: int) -> tuple[int, int]:
    """(h, w): cells that cover the photo."""
    return -(-height // STRIDE), -(-width // STRIDE)


def seeds_of_cells(label_HW: np.ndarray) -> np.ndarray:
    """int32 hw: the class that the labelled pixels of a cell agree on, -1 where they do not or there are none.

    label_HW: int, -1 = unlabelled, as `Candidates.labels` gives it.
    """
    height, width = label_HW.shape
    h, w = cells(height, width)
    padded_HW = np.full((h * STRIDE, w * STRIDE), -1, np.int32)
    padded_HW[:height, :width] = label_HW
    of_cell_hwP = padded_HW.reshape(h, STRIDE, w, STRIDE).swapaxes(1, 2).reshape(h, w, STRIDE**2)
    largest_hw = of_cell_hwP.max(axis=-1)
    smallest_hw = np.where(of_cell_hwP < 0, np.iinfo(np.int32).max, of_cell_hwP).min(axis=-1)
    return np.where(largest_hw == smallest_hw, largest_hw, -1).astype(np.int32)


def prototype_maps(features_hwD: np.ndarray, seeds_hw: np.ndarray, classes: int) -> np.ndarray:
    """float32 Chw, -1..1: cosine of each cell's features with the mean of the class's seeds; -1 without seeds.

    seeds_hw: int, the class a cell is a seed of, -1 elsewhere. Each feature counts by how far it lies from its mean in
    this photo, in standard deviations: what all cells share, and a feature's scale, say nothing.
    """
    deviation_D = features_hwD.std(axis=(0, 1))
    varies_D = deviation_D > 1e-6
    told_hwD = (features_hwD - features_hwD.mean(axis=(0, 1)))[..., varies_D] / deviation_D[varies_D]
    told_hwD /= np.maximum(np.linalg.norm(told_hwD, axis=-1, keepdims=True), 1e-6)
    maps_Chw = np.full((classes, *seeds_hw.shape), -1, np.float32)
    for of_class in np.unique(seeds_hw[seeds_hw >= 0]):
        mean_D = told_hwD[seeds_hw == of_class].mean(axis=0)
        maps_Chw[of_class] = told_hwD @ (mean_D / max(float(np.linalg.norm(mean_D)), 1e-6))
    return np.clip(maps_Chw, -1, 1)
