"""A linear classifier of cells on the features of an encoder: hypercolumns, Hariharan, Arbelaez, Girshick, Malik,
CVPR 2015, arXiv 1411.5752; with a plain ViT the linear probe of DINO and its successors.

    every map of stride 4 and more -- batch norm -- 1x1 C -- enlarge to the finest --+
                                                                                     sum = scores

The linear map of stacked maps is the sum of linear maps of each, so the stack is never made.

Legend: N = images, C = classes, h, w = cells.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from ..encoders import build_encoder
from ..grid import Grid
from .blocks import BatchNorm, enlarge


class Linear(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores_NChw at the finest stride of at least 4, any size from 1x1."""

    smallest = 1
    working_size: int | None = None

    def __init__(self, classes: int, encoder: str = "tf_efficientnet_lite0", weights: str | Path | None = None) -> None:
        super().__init__()
        self.name, self.encoder_name, self.classes = "linear", encoder, classes
        self.settings: dict = {}
        self.encoder = build_encoder(encoder, weights)
        self.finite_field = self.encoder.finite_field
        self.levels = [i for i, g in enumerate(self.encoder.grids) if g.stride_y >= 4]
        self.grid = self.encoder.grids[self.levels[0]]
        channels = [self.encoder.channels[i] for i in self.levels]
        self.norms = nn.ModuleList(BatchNorm(c) for c in channels)
        self.scores = nn.ModuleList(nn.Conv2d(c, classes, 1) for c in channels)
        for score in self.scores:
            nn.init.normal_(score.weight, std=0.01)
            nn.init.zeros_(score.bias)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        maps = self.encoder(images_N3HW)
        parts = [s(n(maps[i])) for i, n, s in zip(self.levels, self.norms, self.scores, strict=True)]
        total = parts[0]
        for part, level in zip(parts[1:], self.levels[1:], strict=True):
            total = total + enlarge(part, self.encoder.grids[level], total, self.grid)
        return total

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]
