r"""FCN-32s, 16s, 8s: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015,
arXiv 1411.4038; PAMI version 1605.06211.

    VGG16, padding 100
      pool3 -- 1x1 C --------------------- crop 9 --+
      pool4 -- 1x1 C ----- crop 5 --+               |
      fc7 ---- 1x1 C -- up x2 ----- + -- up x2 ---- + -- up x8, crop 31 -> scores of the image   (8s)
                                    + -- up x16, crop 27                                          (16s)
               1x1 C -- up x32, crop 19                                                           (32s)

The ups are bilinear transposed convolutions from all classes to all classes, zero off the diagonal and not
learnt (the release gives them learning rate 0). Scores begin at zero, so the first prediction is uniform and its loss
ln C. The crops are not written down here: they are differences of Grids.

With an encoder the same fusion of scores stands on any pyramid: same-padded, a 3x3 convolution in the place of
fc6 and fc7, maps enlarged by coordinates, scores at stride 8, 16 or 32.

Legend: N = images, C = classes, H, W = pixels, h, w = cells.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..encoders import VGG16, build_encoder
from ..grid import Grid
from .blocks import conv_bn_relu, enlarge, initialise


class _FCN(nn.Module):
    """Both forms for a last stride of 32, 16 or 8; the three classes below only name it."""

    smallest = 1
    working_size: int | None = None

    def __init__(self, last: int, classes: int, encoder: str | None, weights: str | Path | None, caffe: bool) -> None:
        super().__init__()
        self.name, self.encoder_name, self.classes = f"fcn{last}s", encoder, classes
        self.settings = {} if encoder else {"caffe": caffe}
        strides = [s for s in (32, 16, 8) if s >= last]
        if encoder is None:
            self.encoder = VGG16(weights, padding=100, caffe=caffe)
            self.levels = [5, 3, 2][: len(strides)]  # fc7, pool4, pool3
        else:
            self.encoder = build_encoder(encoder, weights)
            self.levels = [_level(self.encoder.grids, s) for s in strides]
        self.finite_field = self.encoder.finite_field
        channels = [self.encoder.channels[i] for i in self.levels]
        self.head = nn.Identity() if encoder is None else _head(channels)
        if encoder is not None:
            channels[0] = _width(channels[0])
        self.scores = nn.ModuleList(nn.Conv2d(c, classes, 1) for c in channels)
        for score in self.scores:
            nn.init.zeros_(score.weight)
            nn.init.zeros_(score.bias)
        if encoder is None:
            self.ups = nn.ModuleList(bilinear_deconvolution(classes, 2) for _ in self.levels[1:])
            self.last_up = bilinear_deconvolution(classes, last)
            self.grid = Grid()
        else:
            self.grid = self.encoder.grids[self.levels[-1]]

    def forward(self, images_N3HW: Tensor) -> Tensor:
        maps = self.encoder(images_N3HW)
        if self.encoder_name is not None:
            return self._fuse_by_coordinates(maps)
        scores, grid = self.scores[0](maps[5]), self.encoder.grids[5]
        for up, score, level in zip(self.ups, self.scores[1:], self.levels[1:], strict=True):
            scores, grid = up(scores), grid.after_transposed(4, 2)
            skip = score(maps[level])
            rows, columns = (int(o) for o in grid.offset_to(self.encoder.grids[level]))
            scores = scores + skip[:, :, rows : rows + scores.shape[2], columns : columns + scores.shape[3]]
        grid = grid.after_transposed(self.last_up.kernel_size[0], self.last_up.stride[0])
        top, left = (int(o) for o in Grid().offset_to(grid))
        height, width = images_N3HW.shape[2:]
        return self.last_up(scores)[:, :, top : top + height, left : left + width]

    def _fuse_by_coordinates(self, maps: list[Tensor]) -> Tensor:
        scores, grid = self.scores[0](self.head(maps[self.levels[0]])), self.encoder.grids[self.levels[0]]
        for score, level in zip(self.scores[1:], self.levels[1:], strict=True):
            skip = score(maps[level])
            scores = skip + enlarge(scores, grid, skip, self.encoder.grids[level])
            grid = self.encoder.grids[level]
        return scores

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


class FCN32s(_FCN):
    """forward(images_N3HW RGB 0..255) -> scores: of every pixel (paper's form), or at stride 32 with an encoder.

    encoder: a timm name, or None for VGG16 with padding 100. weights: see `encoders`; for VGG16 a safetensors file with
    torchvision's names, whose classifier becomes fc6 and fc7. caffe: BGR minus the Caffe mean, for weights converted
    from the release.
    """

    def __init__(
        self,
        classes: int,
        encoder: str | None = None,
        weights: str | Path | None = None,
        caffe: bool = False,
    ) -> None:
        super().__init__(32, classes, encoder, weights, caffe)


class FCN16s(_FCN):
    """As FCN32s, with the scores of pool4 (stride 16) added."""

    def __init__(
        self,
        classes: int,
        encoder: str | None = None,
        weights: str | Path | None = None,
        caffe: bool = False,
    ) -> None:
        super().__init__(16, classes, encoder, weights, caffe)


class FCN8s(_FCN):
    """As FCN32s, with the scores of pool4 and pool3 (strides 16 and 8) added."""

    def __init__(
        self,
        classes: int,
        encoder: str | None = None,
        weights: str | Path | None = None,
        caffe: bool = False,
    ) -> None:
        super().__init__(8, classes, encoder, weights, caffe)


def bilinear_deconvolution(classes: int, stride: int) -> nn.ConvTranspose2d:
    """A fixed transposed convolution of kernel 2 * stride that interpolates each class and mixes none."""
    layer = nn.ConvTranspose2d(classes, classes, 2 * stride, stride, bias=False)
    hat_k = 1 - (torch.arange(2 * stride) - (stride - 0.5)).abs() / stride
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[range(classes), range(classes)] = hat_k[:, None] * hat_k[None, :]
    layer.weight.requires_grad_(False)
    return layer


def _level(grids: tuple[Grid, ...], stride: int) -> int:
    """The deepest map of that stride, else the nearest: plain ViTs have one stride only."""
    return max(range(len(grids)), key=lambda i: (-abs(grids[i].stride_y - stride), i))


def _width(channels: int) -> int:
    return min(512, channels)


def _head(channels: list[int]) -> nn.Sequential:
    width = _width(channels[0])
    head = nn.Sequential(conv_bn_relu(channels[0], width, 3), nn.Dropout(0.1))
    initialise(head, nn.Conv2d(1, 1, 1))
    return head
