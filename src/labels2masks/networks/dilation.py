r"""Dilated convolutions: Yu, Koltun, "Multi-Scale Context Aggregation by Dilated Convolutions", ICLR 2016,
arXiv 1511.07122.

    front-end: VGG16 without any padding
      conv1 - pool - conv2 - pool - conv3 - pool - conv4 - conv5, dilation 2 - fc6 7x7, dilation 4 - fc7 - 1x1 C
    context:   3x3, dilation 1 - 1 - 2 - 4 - 8 - 16 - 1 - 1x1 C            field 3 5 9 17 33 65 67 67 cells
      basic    C   C   C   C   C   C    C                                  channels
      large    2C  2C  4C  8C  16C 32C  32C

pool4 and pool5 are deleted, and what stood behind them is dilated instead: scores at stride 8 that see 380 pixels as
fc7 of VGG16 does at stride 32 (404, without the two pools). The image is mirrored by 186 pixels, as many as the valid
convolutions take; the context's input is padded once by 33 cells of zeros. The context begins as the identity and so
gives what the front-end gives, clipped at zero; random weights do not train (section 4). 134,346,581 parameters for the
front-end, C = 21, and 28,392 or 6,803,139 for the context.

With an encoder the same head, fc6 as a 3x3 convolution of dilation 4, stands on any pyramid at output stride 8; which
of the encoder's filters are dilated is a rule of `encoders.dilation`.

Legend: N = images, C = classes, H, W = pixels, h, w = cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..encoders import VGG16, build_encoder
from ..grid import Grid
from .blocks import conv_bn_relu, initialise
from .unet import mirrored

MARGIN = 186  # pixels that the front-end's valid convolutions take from each side
DILATIONS = (1, 1, 2, 4, 8, 16, 1)  # of VOC; Cityscapes has 32 and 64 after 16 (Dilation10), KITTI no 16 (Dilation7)


class _Dilated(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores_NChw at stride 8 (an encoder's own), any size from 1x1.

    The three classes below only name it.
    """

    name: str
    factors: tuple[int, ...] = ()  # channels of the context's layers, in classes; none = the front-end alone
    smallest = 1
    working_size: int | None = None

    def __init__(
        self, classes: int, encoder: str | None = None, weights: str | Path | None = None, caffe: bool = False
    ) -> None:
        """encoder: a timm name, or None for VGG16. weights: see `encoders`; for VGG16 a safetensors file with
        torchvision's names, whose classifier becomes fc6 and fc7. caffe: of VGG16; BGR minus the Caffe mean.
        """
        super().__init__()
        self.encoder_name, self.classes = encoder, classes
        self.settings = {} if encoder else {"caffe": caffe}
        if encoder is None:
            self.encoder, self.grid = _front_end(weights, caffe)
            self.head, width = nn.Identity(), self.encoder.channels[-1]
        else:
            self.encoder = build_encoder(encoder, weights, output_stride=8)
            self.grid, ins = self.encoder.grids[-1], self.encoder.channels[-1]
            width = min(512, ins)
            self.head = nn.Sequential(conv_bn_relu(ins, width, 3, dilation=4), nn.Dropout(0.1))
        self.finite_field = self.encoder.finite_field
        self.scores = nn.Conv2d(width, classes, 1)
        initialise(self.head, self.scores)
        if encoder is None:
            nn.init.normal_(self.scores.weight, std=0.001)
        self.context = context_module(classes, self.factors) if self.factors else nn.Identity()
        self.around = sum(DILATIONS) if self.factors else 0

    def forward(self, images_N3HW: Tensor) -> Tensor:
        if self.encoder_name is None:
            images_N3HW = mirrored(mirrored(images_N3HW, 2, MARGIN, 8), 3, MARGIN, 8)
        scores_NChw = self.scores(self.head(self.encoder(images_N3HW)[-1]))
        return self.context(F.pad(scores_NChw, (self.around,) * 4) if self.around else scores_NChw)

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


class DilatedFrontend(_Dilated):
    """The front-end alone."""

    name = "dilated_frontend"


class DilatedContextBasic(_Dilated):
    """With the context module of C channels."""

    name, factors = "dilated_context_basic", (1,) * 7


class DilatedContextLarge(_Dilated):
    """With the context module that grows to 32 C channels."""

    name, factors = "dilated_context_large", (2, 2, 4, 8, 16, 32, 32)


def context_module(
    classes: int, factors: Sequence[int], dilations: Sequence[int] = DILATIONS, noise: float = 0.01
) -> nn.Sequential:
    """scores_NChw -> scores, sum(dilations) cells fewer on each side; begins as the identity, clipped at zero.

    factors: channels of each 3x3 layer, in classes. noise: deviation of the random part of the weights, as a share
    of the identity's own.
    """
    layers: list[nn.Module] = []
    ins = classes
    for factor, dilation in zip(factors, dilations, strict=True):
        layers += [nn.Conv2d(ins, factor * classes, 3, dilation=dilation), nn.ReLU(inplace=True)]
        ins = factor * classes
    layers.append(nn.Conv2d(ins, classes, 1))
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            _identity(layer, classes, noise)
    return nn.Sequential(*layers)


def _identity(layer: nn.Conv2d, classes: int, noise: float) -> None:
    """Section 4: channel a of the input feeds channel b of the output where both stand for one class, by C / outs at
    the centre; all other weights are small and random. Channels stand for classes in order, floor(a C / ins)."""
    class_of_in = torch.arange(layer.in_channels) * classes // layer.in_channels
    class_of_out = torch.arange(layer.out_channels) * classes // layer.out_channels
    middle, share = layer.kernel_size[0] // 2, classes / layer.out_channels
    with torch.no_grad():
        layer.weight.normal_(0, noise * share)
        layer.weight[:, :, middle, middle] += share * (class_of_out[:, None] == class_of_in[None, :])
        nn.init.zeros_(layer.bias)


def _front_end(weights: str | Path | None, caffe: bool) -> tuple[VGG16, Grid]:
    """VGG16 in the paper's form, and where its last cells lie in an image that `MARGIN` mirrored pixels surround."""
    vgg = VGG16(weights, caffe=caffe)
    conv5, grid, grids = 24, Grid().cropped(-MARGIN, -MARGIN), []
    vgg.features[conv5 - 1], vgg.features[-1] = nn.Identity(), nn.Identity()  # pool4, pool5
    vgg.fc6.dilation = (4, 4)
    for index, layer in enumerate([*vgg.features, vgg.fc6]):
        if isinstance(layer, nn.Conv2d):
            layer.padding = (0, 0)
            if conv5 <= index < len(vgg.features):
                layer.dilation = (2, 2)
            grid = grid.after(layer.kernel_size[0], dilation=layer.dilation[0])
        elif isinstance(layer, nn.MaxPool2d):
            grid = grid.after(2, 2)
            grids.append(grid)
    vgg.grids, vgg.channels = (*grids, grid), (*vgg.channels[:3], vgg.channels[-1])
    return vgg, grid
