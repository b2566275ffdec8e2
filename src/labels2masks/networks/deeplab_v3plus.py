r"""DeepLab v3+: Chen, Zhu, Papandreou, Schroff, Adam, "Encoder-Decoder with Atrous Separable Convolution for
Semantic Image Segmentation", ECCV 2018, arXiv 1802.02611. Encoder head (ASPP) of DeepLab v3, arXiv 1706.05587.

    encoder, output stride 16 ----------------------------- level at stride 4
      |- 1x1  w                                                |
      |- 3x3  w, rate 6   \                                    |
      |- 3x3  w, rate 12   > atrous pyramid pooling            |
      |- 3x3  w, rate 18  /                                    |
      |- image mean, 1x1  w                                    |
    concat 5w -> 1x1 w, dropout 0.1                        1x1 48
      |- x4 ------------------------ concat w + 48 ------------|
                                  3x3 w -> 3x3 w -> 1x1 C      scores at stride 4

The published form has w = 256 = 1280 after the first concat, 304 after the second. The family takes any
encoder, separable convolutions (the paper's last rows: half the cost, -0.1 mIoU) and, for encoders below ten
million parameters, w = 128.

Legend: N = images, C = classes, D = channels, h, w = cells.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..grid import Grid
from .blocks import conv_bn_relu, enlarge, initialise, published, separable_conv
from .deeplab_v3 import AtrousPyramidPooling, atrous_encoder


class DeepLabV3Plus(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores_NChw at the encoder's stride 4 (`grid`), any size from 1x1."""

    smallest = 1
    working_size: int | None = None
    finite_field = False

    def __init__(
        self,
        classes: int,
        encoder: str = "resnet50",
        weights: str | Path | None = None,
        output_stride: int = 16,
        width: int | None = None,
        separable: bool = True,
        multi_grid: tuple[int, ...] = (),
    ) -> None:
        """width: channels of pyramid pooling and decoder; None = 256, or 128 for encoders below 10 M parameters.

        multi_grid: factors on the dilation of the units of the last ResNet stage (DeepLab v3, section 3.2).
        """
        super().__init__()
        self.name, self.classes = "deeplab_v3plus", classes
        self.encoder_name: str | None = encoder
        self.settings: dict = {
            "output_stride": output_stride,
            "width": width,
            "separable": separable,
            "multi_grid": list(multi_grid),
        }
        self.encoder = atrous_encoder(encoder, weights, output_stride, multi_grid)
        small = sum(p.numel() for p in self.encoder.parameters()) < 10_000_000
        width = width or (128 if small else 256)
        fine = min(i for i, g in enumerate(self.encoder.grids) if g.stride_y >= 4)
        self.fine, self.grid = fine, self.encoder.grids[fine]
        self.pooling = AtrousPyramidPooling(self.encoder.channels[-1], width, 16 / output_stride, separable)
        self.reduce = conv_bn_relu(self.encoder.channels[fine], 48)
        conv3x3 = separable_conv if separable else conv_bn_relu
        self.decoder = nn.Sequential(conv3x3(width + 48, width, 3), conv3x3(width, width, 3))
        self.classifier = nn.Conv2d(width, classes, 1)
        for part in (self.pooling, self.reduce, self.decoder):
            initialise(part, self.classifier)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        maps = self.encoder(images_N3HW)
        deep, fine = self.pooling(maps[-1]), self.reduce(maps[self.fine])
        deep = enlarge(deep, self.encoder.grids[-1], fine, self.grid)
        return self.classifier(self.decoder(torch.cat([deep, fine], dim=1)))

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


def deeplab_v3plus_resnet101(classes: int, weights: str | Path | None = None) -> DeepLabV3Plus:
    """The paper's ResNet-101 model at output stride 16: plain convolutions, 256 channels, multi-grid (1, 2, 4).

    59,344,309 parameters for 21 classes; 78.85 mIoU on VOC 2012 val (paper, table 3). The stem is the 7x7 one of
    the ImageNet weights that exist, where the authors' own network has three 3x3.
    """
    network = DeepLabV3Plus(classes, "resnet101", weights, width=256, separable=False, multi_grid=(1, 2, 4))
    return published("deeplab_v3plus_resnet101", network)
