r"""FCN-32s, 16s, 8s: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015,
arXiv 1411.4038; PAMI version 1605.06211.

    VGG16, padding 100
      pool3 -- 1x1 C --------------------- crop 9 --+
      pool4 -- 1x1 C ----- crop 5 --+               |
      fc7 ---- 1x1 C -- up x2 ----- + -- up x2 ---- + -- up x8, crop 31 -> scores of the image   (8s)
                                    + -- up x16, crop 27                                          (16s)
               1x1 C -- up x32, crop 19                                                           (32s)

The ups are bilinear transposed convolutions from all classes to all classes, zero off the diagonal and not
learnt (the release gives them learning rate 0; learnt ones begin the same). Scores begin at zero, so the first
prediction is uniform and its loss ln C. The crops are not written down here: they are differences of Grids. Padding
100 leaves fc6, a valid 7x7 convolution, at least one cell for every image, and is why crops are needed at all.

Two everyday forms are same-padded and need no crops: VGG16 with `same`, and any encoder, where a 3x3 convolution
stands in the place of fc6 and fc7. They interpolate by coordinates, with scores at stride 32, 16 or 8, or take the
same transposed convolutions.

Legend: N = images, C = classes, H, W = pixels, h, w = cells.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ..encoders import VGG16, build_encoder
from ..errors import UsageError
from ..grid import Grid
from .blocks import conv_bn_relu, enlarge, initialise


class _FCN(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores_NChw, any size from 1x1: of every pixel, or with
    ups = "interpolated" at stride `last`.

    The three classes below only name it.
    """

    last: int
    smallest = 1
    working_size: int | None = None

    def __init__(
        self,
        classes: int,
        encoder: str | None = None,
        weights: str | Path | None = None,
        ups: Literal["fixed", "learned", "interpolated"] | None = None,
        at_once: bool = False,
        same: bool = False,
        caffe: bool = False,
    ) -> None:
        """encoder: a timm name, or None for VGG16. weights: see `encoders`; for VGG16 a safetensors file with
        torchvision's names, whose classifier becomes fc6 and fc7.

        ups: None = "fixed" with padding 100, else "interpolated". at_once: pool4 times 0.01 and pool3 times 0.0001
        before their scores, with which the release trains 8s in one stage. same, caffe: of VGG16; padding 1 in the
        place of 100; BGR minus the Caffe mean, for weights converted from the release.
        Raises UsageError where `ups` and padding or encoder do not go together.
        """
        super().__init__()
        self.name, self.encoder_name, self.classes = f"fcn{self.last}s", encoder, classes
        padded = encoder is None and not same
        ups = ups or ("fixed" if padded else "interpolated")
        self.settings = {"ups": ups, "at_once": at_once} | ({} if encoder else {"same": same, "caffe": caffe})
        strides = [s for s in (32, 16, 8) if s >= self.last]
        if encoder is None:
            self.encoder = VGG16(weights, padding=100 if padded else 1, caffe=caffe)
            self.levels = [5, 3, 2][: len(strides)]  # fc7, pool4, pool3
        else:
            self.encoder = build_encoder(encoder, weights)
            self.levels = [_level(self.encoder.grids, s) for s in strides]
        self.finite_field = self.encoder.finite_field
        channels = [self.encoder.channels[i] for i in self.levels]
        self.head = nn.Identity() if encoder is None else _head(channels[0])
        if encoder is not None:
            channels[0] = _width(channels[0])
        self.scales = (1.0, 0.01, 0.0001) if at_once else (1.0, 1.0, 1.0)
        self.scores = nn.ModuleList(nn.Conv2d(c, classes, 1) for c in channels)
        for score in self.scores:
            nn.init.zeros_(score.weight)
            nn.init.zeros_(score.bias)
        self.grid: Grid = self.encoder.grids[self.levels[-1]]
        self.padded, self.interpolated = padded, ups == "interpolated"
        if self.interpolated:
            if padded:
                raise UsageError("FCN with padding 100 takes ups=fixed or learned; with same=true also interpolated")
            return
        self.ups, grid = nn.ModuleList(), self.encoder.grids[self.levels[0]]
        for level in self.levels[1:]:
            up, grid_up = _up(classes, grid, self.encoder.grids[level], ups == "learned")
            self.ups.append(up)
            grid = grid_up if padded else self.encoder.grids[level]
        self.last_up, _ = _up(classes, grid, Grid(), ups == "learned")
        self.grid = Grid()

    def forward(self, images_N3HW: Tensor) -> Tensor:
        maps, grids = self.encoder(images_N3HW), self.encoder.grids
        deepest = self.levels[0]
        scores, grid = self.scores[0](self.head(maps[deepest])), grids[deepest]
        for k, level in enumerate(self.levels[1:]):
            skip = self.scores[k + 1](self.scales[k + 1] * maps[level])
            if self.interpolated:
                scores, grid = skip + enlarge(scores, grid, skip, grids[level]), grids[level]
                continue
            up, grid_up = self.ups[k](scores), _grid_after(self.ups[k], grid)
            if self.padded:  # the skip has more cells, on every side
                scores, grid = up + _cut(skip, grids[level], up, grid_up), grid_up
            else:
                scores, grid = skip + _cut(up, grid_up, skip, grids[level]), grids[level]
        if self.interpolated:
            return scores
        return _cut(self.last_up(scores), _grid_after(self.last_up, grid), images_N3HW, Grid())

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


class FCN32s(_FCN):
    """Scores of fc7 alone."""

    last = 32


class FCN16s(_FCN):
    """With the scores of pool4 (stride 16) added."""

    last = 16


class FCN8s(_FCN):
    """With the scores of pool4 and pool3 (strides 16 and 8) added."""

    last = 8


def bilinear_deconvolution(
    classes: int, stride: int, kernel: int | None = None, learned: bool = False
) -> nn.ConvTranspose2d:
    """A transposed convolution that begins by interpolating each class and mixing none; kernel None = 2 * stride.

    An even kernel puts new cells beside the old ones, an odd one (2 * stride - 1) puts every stride-th onto an old one.
    """
    kernel = kernel or 2 * stride
    layer = nn.ConvTranspose2d(classes, classes, kernel, stride, bias=False)
    hat_k = 1 - (torch.arange(kernel) - (kernel - 1) / 2).abs() / stride
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[range(classes), range(classes)] = hat_k[:, None] * hat_k[None, :]
    layer.weight.requires_grad_(learned)
    return layer


def _up(classes: int, grid: Grid, onto: Grid, learned: bool) -> tuple[nn.ConvTranspose2d, Grid]:
    """The deconvolution from `grid` whose cells meet those of `onto`, and the grid that it gives."""
    stride = int(grid.stride_y / onto.stride_y)
    for kernel in (2 * stride, 2 * stride - 1):
        above = grid.after_transposed(kernel, stride)
        if float(onto.offset_to(above)[0]).is_integer():
            return bilinear_deconvolution(classes, stride, kernel, learned), above
    raise UsageError("no deconvolution meets the cells of this encoder: take ups=interpolated")


def _grid_after(up: nn.ConvTranspose2d, grid: Grid) -> Grid:
    return grid.after_transposed(up.kernel_size[0], up.stride[0])


def _cut(maps_NDhw: Tensor, grid: Grid, like: Tensor, grid_like: Grid) -> Tensor:
    """The part of a map that lies on the cells of `like`: FCN's crop, from coordinates."""
    top, left = (int(o) for o in grid_like.offset_to(grid))
    return maps_NDhw[:, :, top : top + like.shape[2], left : left + like.shape[3]]


def _level(grids: tuple[Grid, ...], stride: int) -> int:
    """The deepest map of that stride, else the nearest: plain ViTs have one stride only."""
    return max(range(len(grids)), key=lambda i: (-abs(grids[i].stride_y - stride), i))


def _width(channels: int) -> int:
    return min(512, channels)


def _head(channels: int) -> nn.Sequential:
    head = nn.Sequential(conv_bn_relu(channels, _width(channels), 3), nn.Dropout(0.1))
    initialise(head, nn.Conv2d(1, 1, 1))
    return head
