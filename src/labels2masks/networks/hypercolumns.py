"""A small head on what a frozen encoder sees: hypercolumns (Hariharan, Arbelaez, Girshick, Malik, CVPR 2015, arXiv
1411.5752) under parallel dilation (Chen et al. 2017, arXiv 1706.05587), depthwise, at cells of 8 pixels.

    every map of stride 8 and more -- enlarge to stride 8 -- stack -- batch norm -- dropout of whole features
        -- 1x1 WIDTH -+- itself ---------------------+
                      +- 3x3 depthwise, dilation 1 --+
                      +- 3x3 depthwise, dilation 3 --+- stack -- 1x1 WIDTH -- dropout -- 1x1 C
                      +- 3x3 depthwise, dilation 6 --+

Not a network of a paper: it is what learns in a minute or two where the encoder is left as ImageNet made it, so that
photos pass through it once (`training.frozen_maps`). Its cells see 13 cells around them on top of the encoder's field.

Legend: N = images, C = classes, D = stacked features, h, w = cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..encoders import build_encoder
from ..grid import Grid
from .blocks import BatchNorm, conv_bn_relu, enlarge, initialise

WIDTH = 128
DILATIONS = (1, 3, 6)
DROPPED = 0.2
"""Share of the features, and of the head's channels, that a training step leaves out."""


class Hypercolumns(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores_NChw at the finest stride of at least 8, any size from 1x1."""

    smallest = 1
    working_size: int | None = None

    def __init__(self, classes: int, encoder: str = "tf_efficientnet_lite0", weights: str | Path | None = None) -> None:
        super().__init__()
        self.name, self.encoder_name, self.classes = "hypercolumns", encoder, classes
        self.settings: dict = {}
        self.encoder = build_encoder(encoder, weights)
        self.finite_field = self.encoder.finite_field
        self.levels = [i for i, g in enumerate(self.encoder.grids) if g.stride_y >= 8]
        self.grid: Grid = self.encoder.grids[self.levels[0]]
        features = sum(self.encoder.channels[i] for i in self.levels)
        self.normalise = BatchNorm(features, affine=False)
        self.reduce = conv_bn_relu(features, WIDTH)
        self.around = nn.ModuleList(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=d, dilation=d, groups=WIDTH, bias=False) for d in DILATIONS
        )
        self.join = conv_bn_relu((1 + len(DILATIONS)) * WIDTH, WIDTH)
        self.classifier = nn.Conv2d(WIDTH, classes, 1)
        self.dropout = nn.Dropout2d(DROPPED)
        for part in (self.reduce, self.around, self.join):
            initialise(part, self.classifier)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        maps = self.encoder(images_N3HW)
        return self.head([maps[i] for i in self.levels])

    def head(self, maps: Sequence[Tensor]) -> Tensor:
        """scores_NChw from the encoder's maps of `levels`."""
        grids = [self.encoder.grids[i] for i in self.levels]
        enlarged = [enlarge(m, grid, maps[0], self.grid) for m, grid in zip(maps[1:], grids[1:], strict=True)]
        stacked_NDhw = self.normalise(torch.cat([maps[0], *enlarged], dim=1))
        reduced = self.reduce(self.dropout(stacked_NDhw))
        joined = self.join(torch.cat([reduced, *(conv(reduced) for conv in self.around)], dim=1))
        return self.classifier(self.dropout(joined))

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]
