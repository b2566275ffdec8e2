r"""ParseNet: Liu, Rabinovich, Berg, "ParseNet: Looking Wider to See Better", arXiv 1506.04579.

    VGG16 at stride 8, 2x2 pools, fc6 3x3 1024 at dilation 12, fc7 1x1 1024
      |- L2 norm of every cell, times a learnt scale a channel ----------- 1x1 C -- +
      |- mean of the image, L2 norm, scale, dropout 0.3 -- 1x1 C -- repeated ------ + -- scores at stride 8   (late)

Early fusion repeats the normalised mean at every cell, concatenates, and classifies once; a linear classifier of two
things side by side is the sum of two, so it has the same functions, and one bias less (20,528,981). What matters is
the norm: cells and the mean of an image differ in size, and without it the larger one wins. Scales begin at 10.

20,529,002 parameters for 21 classes. The release enlarges scores with one more layer, a bilinear deconvolution that
may be learnt (5,376 more); here that is interpolation by coordinates, as for every network.

With an encoder the same context stands on any pyramid, its last map in the place of fc7.

Legend: N = images, C = classes, D = channels, h, w = cells.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..encoders import AtrousVGG16, build_encoder
from ..errors import UsageError
from ..grid import Grid


class ParseNet(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores_NChw at stride 8 or the encoder's output stride, any size from 1x1.

    encoder: a timm name, or None for the paper's VGG16. weights: see `encoders`; for VGG16 a safetensors file with
    torchvision's names. caffe: of VGG16, BGR minus the Caffe mean.
    """

    smallest = 1
    working_size: int | None = None
    finite_field = False

    def __init__(
        self,
        classes: int,
        encoder: str | None = None,
        weights: str | Path | None = None,
        fusion: Literal["late", "early"] = "late",
        output_stride: int = 8,
        caffe: bool = False,
    ) -> None:
        super().__init__()
        if fusion not in ("late", "early"):
            raise UsageError(f"ParseNet fuses late or early, got {fusion!r}")
        self.name, self.encoder_name, self.classes = "parsenet", encoder, classes
        self.settings: dict = {"fusion": fusion}
        if encoder is None:
            self.settings["caffe"] = caffe
            self.encoder = AtrousVGG16(weights, pool=2, caffe=caffe)
        else:
            self.settings["output_stride"] = output_stride
            self.encoder = build_encoder(encoder, weights, output_stride)
        self.grid: Grid = self.encoder.grids[-1]
        ins = self.encoder.channels[-1]
        self.norm_cell, self.norm_image = Normalised(ins), Normalised(ins)
        self.dropout = nn.Dropout(0.3)
        if fusion == "late":
            self.scores = nn.ModuleList(nn.Conv2d(ins, classes, 1) for _ in range(2))
        else:
            self.scores = nn.ModuleList([nn.Conv2d(2 * ins, classes, 1)])
        for score in self.scores:
            nn.init.normal_(score.weight, std=0.01)
            nn.init.zeros_(score.bias)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        maps_NDhw = self.encoder(images_N3HW)[-1]
        cell = self.norm_cell(maps_NDhw)
        image = self.dropout(self.norm_image(maps_NDhw.mean(dim=(2, 3), keepdim=True)))
        if len(self.scores) == 2:
            return self.scores[0](cell) + self.scores[1](image)
        return self.scores[0](torch.cat([cell, image.expand_as(cell)], dim=1))

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


class Normalised(nn.Module):
    """Every cell's channels divided by their L2 norm, times a learnt scale a channel that begins at 10."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale_D11 = nn.Parameter(torch.full((channels, 1, 1), 10.0))

    def forward(self, maps_NDhw: Tensor) -> Tensor:
        return F.normalize(maps_NDhw, dim=1, eps=1e-10) * self.scale_D11
