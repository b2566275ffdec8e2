r"""DeepLab v3: Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution for Semantic Image Segmentation",
arXiv 1706.05587. No decoder, in two forms.

Parallel (section 3.3): atrous pyramid pooling with image-level features.

    encoder, output stride 16, last stage with multi-grid (1, 2, 4)
      |- 1x1 w, 3x3 w at rates 6, 12, 18, image mean 1x1 w      rates doubled at output stride 8
    concat 5w -> 1x1 w, dropout 0.1 -> 1x1 C                    scores at the output stride

w = 256 in the paper. There is no 3x3 convolution between pooling and scores: torchvision's and VainF's
versions have one (590,336 parameters more). `smooth` adds it, and their checkpoints load (`foreign`).

Cascaded (section 3.2): copies of ResNet's last stage go deeper instead, each with twice the dilation.

    encoder, output stride 16 -- block 5 -- block 6 -- block 7 -- 1x1 C
    dilation 2                   4          8          16       three bottlenecks a block, times multi-grid (1, 2, 1)

Legend: N = images, C = classes, D = channels, h, w = cells.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..encoders import PlainViT, Pyramid, build_encoder
from ..encoders.dilation import multi_grid as with_multi_grid
from ..errors import UsageError
from ..grid import Grid
from .blocks import BatchNorm, conv_bn_relu, initialise, published, separable_conv


class DeepLabV3(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores_NChw at the encoder's output stride (`grid`), any size from 1x1."""

    smallest = 1
    working_size: int | None = None
    finite_field = False

    def __init__(
        self,
        classes: int,
        encoder: str = "resnet50",
        weights: str | Path | None = None,
        output_stride: int = 16,
        width: int = 256,
        multi_grid: tuple[int, ...] = (),
        smooth: bool = False,
    ) -> None:
        """multi_grid: factors on the dilation of the units of the last ResNet stage. smooth: torchvision's 3x3."""
        super().__init__()
        self.name, self.classes = "deeplab_v3", classes
        self.encoder_name: str | None = encoder
        self.settings = {
            "output_stride": output_stride,
            "width": width,
            "multi_grid": list(multi_grid),
            "smooth": smooth,
        }
        self.encoder = atrous_encoder(encoder, weights, output_stride, multi_grid)
        self.grid: Grid = self.encoder.grids[-1]
        self.pooling = AtrousPyramidPooling(self.encoder.channels[-1], width, 16 / output_stride, separable=False)
        self.smooth = conv_bn_relu(width, width, 3) if smooth else nn.Identity()
        self.classifier = nn.Conv2d(width, classes, 1)
        for part in (self.pooling, self.smooth):
            initialise(part, self.classifier)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return self.classifier(self.smooth(self.pooling(self.encoder(images_N3HW)[-1])))

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


class DeepLabV3Cascaded(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores_NChw at the encoder's output stride (`grid`), any size from 1x1.

    blocks: copies of the last stage, 3 in the paper. multi_grid: factors on the dilations of the three units of every
    block, and of ResNet's last stage; none = (1, 1, 1).
    """

    smallest = 1
    working_size: int | None = None

    def __init__(
        self,
        classes: int,
        encoder: str = "resnet50",
        weights: str | Path | None = None,
        output_stride: int = 16,
        blocks: int = 3,
        multi_grid: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        self.name, self.encoder_name, self.classes = "deeplab_v3_cascaded", encoder, classes
        self.settings = {"output_stride": output_stride, "blocks": blocks, "multi_grid": list(multi_grid)}
        self.encoder = atrous_encoder(encoder, weights, output_stride, multi_grid)
        self.finite_field = self.encoder.finite_field
        self.grid: Grid = self.encoder.grids[-1]
        channels, base = self.encoder.channels[-1], 32 // output_stride
        rates = [base * 2 ** (k + 1) * f for k in range(blocks) for f in multi_grid or (1, 1, 1)]
        self.blocks = nn.Sequential(*(_Bottleneck(channels, rate) for rate in rates))
        self.classifier = nn.Conv2d(channels, classes, 1)
        initialise(self.blocks, self.classifier)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return self.classifier(self.blocks(self.encoder(images_N3HW)[-1]))

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


class AtrousPyramidPooling(nn.Module):
    """Five views of one map, side by side: the cell, three dilated 3x3 neighbourhoods, the mean of the image."""

    def __init__(self, ins: int, width: int, scale: float, separable: bool) -> None:
        super().__init__()
        conv3x3 = separable_conv if separable else conv_bn_relu
        self.near = conv_bn_relu(ins, width)
        self.dilated = nn.ModuleList(conv3x3(ins, width, 3, dilation=int(r * scale)) for r in (6, 12, 18))
        self.image = conv_bn_relu(ins, width)
        self.project = nn.Sequential(conv_bn_relu(5 * width, width), nn.Dropout(0.1))

    def forward(self, maps_NDhw: Tensor) -> Tensor:
        near = self.near(maps_NDhw)
        whole = self.image(maps_NDhw.mean(dim=(2, 3), keepdim=True)).expand_as(near)
        return self.project(torch.cat([near, *(conv(maps_NDhw) for conv in self.dilated), whole], dim=1))


class _Bottleneck(nn.Module):
    """A unit of ResNet that keeps its channels: 1x1 D/4, 3x3 D/4 dilated, 1x1 D, added to what came."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        inner = channels // 4
        self.change = nn.Sequential(
            conv_bn_relu(channels, inner),
            conv_bn_relu(inner, inner, 3, dilation),
            nn.Conv2d(inner, channels, 1, bias=False),
            BatchNorm(channels),
        )

    def forward(self, maps_NDhw: Tensor) -> Tensor:
        return (maps_NDhw + self.change(maps_NDhw)).relu()


def atrous_encoder(
    name: str, weights: str | Path | None, output_stride: int, multi_grid: tuple[int, ...]
) -> Pyramid | PlainViT:
    """An encoder whose last stage is dilated by these factors too. Raises UsageError where it has no such stage."""
    encoder = build_encoder(name, weights, output_stride)
    if multi_grid:
        stage = getattr(encoder.features, "layer4", ())
        if len(stage) != len(multi_grid):
            raise UsageError(
                f"multi_grid has {len(multi_grid)} factors, the last ResNet stage of {name} has {len(stage)} units"
            )
        with_multi_grid(stage, tuple(multi_grid))
    return encoder


def deeplab_v3_resnet50(classes: int, weights: str | Path | None = None, output_stride: int = 16) -> DeepLabV3:
    """The paper's parallel form on ResNet-50: 39,048,533 parameters for 21 classes. See `deeplab_v3_resnet101`."""
    return _published("resnet50", classes, weights, output_stride)


def deeplab_v3_resnet101(classes: int, weights: str | Path | None = None, output_stride: int = 16) -> DeepLabV3:
    """The paper's ResNet-101 model: 58,040,661 parameters for 21 classes; 77.21 mIoU on VOC 2012 val (table 5).

    output_stride: 16, or 8 as in the paper's second round of training and its best scores (78.51).
    The stem is the 7x7 one of the ImageNet weights that exist, where the authors' own network has three 3x3.
    """
    return _published("resnet101", classes, weights, output_stride)


def _published(encoder: str, classes: int, weights: str | Path | None, output_stride: int) -> DeepLabV3:
    network = DeepLabV3(classes, encoder, weights, output_stride, multi_grid=(1, 2, 4))
    return published(f"deeplab_v3_{encoder}", network, output_stride=output_stride)
