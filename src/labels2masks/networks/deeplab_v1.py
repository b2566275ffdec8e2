r"""DeepLab v1: Chen, Papandreou, Kokkinos, Murphy, Yuille, "Semantic Image Segmentation with Deep Convolutional Nets
and Fully Connected CRFs", ICLR 2015, arXiv 1412.7062. LargeFOV and MSc-LargeFOV, without the CRF.

    VGG16 at stride 8 (conv5 dilated by 2)                                  image, pool1 ... pool4 (MSc)
    fc6 3x3 1024, dilation 12 -> fc7 1x1 1024 -> fc8 1x1 C                  each 3x3 128 -> 1x1 128 -> 1x1 C
                                     |______________________ + ______________________|

ReLU and dropout 0.5 after every layer but the scores. fc6 sees 12 cells of 8 pixels to either side, as VGG's
does at stride 32, with nine of its 49 taps and a quarter of its filters. 20,505,429 parameters, with MSc 21,711,550.

The paper says that MSc concatenates features; the release sums scores, and so does this. As in the release, its
branches are sampled at stride 8 in training and dense in prediction, so that the scores are those of pixels.

With an encoder the same heads stand on any pyramid at output stride 8, with batch normalisation, dropout 0.1, and
a dilation of 96 pixels whatever the stride.

Legend: N = images, C = classes, D = channels, h, w = cells.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from ..encoders import AtrousVGG16, build_encoder
from ..grid import Grid
from .blocks import conv_bn_relu, enlarge, initialise

_REACH = 96  # pixels between the taps of fc6


class _DeepLabV1(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores at stride 8, with `multi_scale` (MSc) of every pixel; sizes from 1x1.

    encoder: a timm name, or None for the paper's VGG16. weights: see `encoders`; for VGG16 a safetensors file with
    torchvision's names. caffe: BGR minus the Caffe mean, for weights converted from the release. The two classes below
    only name it.
    """

    name: str
    multi_scale: bool
    smallest = 1
    working_size: int | None = None

    def __init__(
        self,
        classes: int,
        encoder: str | None = None,
        weights: str | Path | None = None,
        output_stride: int = 8,
        caffe: bool = False,
    ) -> None:
        super().__init__()
        self.encoder_name, self.classes = encoder, classes
        self.settings = {"output_stride": output_stride} if encoder else {"caffe": caffe}
        if encoder is None:
            self.encoder = AtrousVGG16(weights, caffe=caffe)
            self.head, width = nn.Identity(), self.encoder.channels[-1]
            self.levels = range(1, 5)  # pool1 ... pool4
        else:
            self.encoder = build_encoder(encoder, weights, output_stride)
            ins = self.encoder.channels[-1]
            width, rate = min(1024, 2 * ins), max(1, round(_REACH / self.encoder.grids[-1].stride_y))
            self.head = nn.Sequential(
                conv_bn_relu(ins, width, 3, rate), nn.Dropout(0.1), conv_bn_relu(width, width), nn.Dropout(0.1)
            )
            self.levels = range(len(self.encoder.grids) - 1)
        self.finite_field = self.encoder.finite_field
        self.coarse = self.encoder.grids[-1]
        self.grid = Grid() if self.multi_scale else self.coarse
        self.classifier = nn.Conv2d(width, classes, 1)
        initialise(self.head, self.classifier)
        channels = [3, *(self.encoder.channels[i] for i in self.levels)] if self.multi_scale else []
        self.branches = nn.ModuleList(_branch(ins, classes) for ins in channels)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return self._scores(images_N3HW, self.grid)

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self._scores(images_N3HW, self.coarse), self.coarse)]

    def _scores(self, images_N3HW: Tensor, grid: Grid) -> Tensor:
        """The sum of fc8 and the branches on `grid`; a finer map is sampled there by the stride of its branch."""
        maps = self.encoder(images_N3HW)
        deep = self.classifier(self.head(maps[-1]))
        if not self.branches:
            return deep
        image = maps[0] if self.encoder_name is None else (images_N3HW - self.encoder.mean) / self.encoder.std
        scores, grids = [], []
        for branch, level in zip(self.branches, [None, *self.levels], strict=True):
            at = Grid() if level is None else self.encoder.grids[level]
            step = max(1, round(grid.stride_y / at.stride_y))
            first, *others = branch
            x = F.conv2d(image if level is None else maps[level], first.weight, first.bias, stride=step, padding=1)
            for layer in others:
                x = layer(x)
            scores.append(x)
            grids.append(Grid(at.stride_y * step, at.stride_x * step, at.centre_y, at.centre_x))
        like = deep if grid == self.coarse else scores[0]
        total = enlarge(deep, self.coarse, like, grid)
        for x, at in zip(scores, grids, strict=True):
            total = total + enlarge(x, at, like, grid)
        return total


class DeepLabV1LargeFOV(_DeepLabV1):
    """20,505,429 parameters for 21 classes; 62.25 mIoU on VOC 2012 val without CRF."""

    name, multi_scale = "deeplab_v1_largefov", False


class DeepLabV1MSc(_DeepLabV1):
    """21,711,550 parameters for 21 classes; 64.21 mIoU on VOC 2012 val without CRF."""

    name, multi_scale = "deeplab_v1_msc", True


def _branch(ins: int, classes: int) -> nn.Sequential:
    """A head of MSc: Gaussian weights of deviation 0.001, for scores 0.01, as in the release."""
    branch = nn.Sequential(
        nn.Conv2d(ins, 128, 3, padding=1),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(128, 128, 1),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(128, classes, 1),
    )
    for layer in branch:
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.01 if layer is branch[-1] else 0.001)
            nn.init.zeros_(layer.bias)
    return branch
