r"""U-Net: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
arXiv 1505.04597.

    64 64 ------------------------------------------------- crop, concat -- 64 64 -- 1x1 C
        pool 128 128 ------------------------ crop, concat -- 128 128 -- up
             pool 256 256 ---------- crop, concat -- 256 256 -- up
                  pool 512 512 -- crop, concat -- 512 512 -- up
                       pool 1024 1024 -- up

All 3x3 convolutions are valid, each with ReLU; up is a 2x2 transposed convolution that halves the channels, with
ReLU as in the release; dropout 0.5 stands at the end of the two deepest encoder levels, also in the skip. 23
convolutional layers, 31,033,045 parameters for 3 -> 21. An image of 16 k + 60 pixels becomes one of 184 less
(`scores_of_tile`), and the paper mirrors what the border lacks: `forward` does that, so it takes every size. Photos
larger than a tile of `prediction` are predicted as overlapping tiles, as in the paper's figure 2: tiles begin at
multiples of 16 and share more than the 102 pixels that a score sees, so they give the scores of the whole photo.

With `same` the convolutions are padded, as in most later U-Nets: nothing is mirrored, and borders see zeros. With an
encoder the same decoder stands on any pyramid: same-padded, batch normalisation, maps enlarged by coordinates, scores
at the encoder's finest stride (2 or 4).

Legend: N = images, C = classes, D = channels, H, W = pixels, h, w = cells.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..encoders import build_encoder
from ..encoders.pyramid import pad_to_whole
from ..errors import UsageError
from ..grid import Grid
from .blocks import conv_bn_relu, enlarge, initialise

MARGIN = 92  # pixels that the valid convolutions take from each side
_WIDTHS = (64, 128, 256, 512, 1024)


class UNet(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores: of every pixel (paper's form), or at the encoder's finest stride.

    encoder: a timm name, or None for the paper's own. weights: of the encoder; the paper's form has none, and
    takes None and "auto" alike. same: the paper's form with padded convolutions.
    """

    smallest = 1
    working_size: int | None = None

    def __init__(
        self, classes: int, encoder: str | None = None, weights: str | Path | None = None, same: bool = False
    ) -> None:
        super().__init__()
        self.name, self.encoder_name, self.classes, self.same = "unet", encoder, classes, same
        self.settings: dict = {} if encoder else {"same": same}
        if encoder is None:
            if weights not in (None, "auto"):
                raise UsageError(f"the paper's U-Net starts from random weights: no --weights {weights}, or --encoder")
            self.net: nn.Module = _Paper(classes, padding=1 if same else 0)
            self.grid, self.finite_field = Grid(), True
        else:
            self.net = _OnPyramid(classes, encoder, weights)
            self.grid, self.finite_field = self.net.encoder.grids[0], self.net.encoder.finite_field

    def forward(self, images_N3HW: Tensor) -> Tensor:
        if self.encoder_name is not None:
            return self.net(images_N3HW)
        height, width = images_N3HW.shape[2:]
        if self.same:
            return self.net(pad_to_whole(images_N3HW, 16))[:, :, :height, :width]
        tile = mirrored(mirrored(images_N3HW, 2, MARGIN, 16, 4), 3, MARGIN, 16, 4)
        return self.net(tile)[:, :, :height, :width]

    def scores_of_tile(self, images_N3HW: Tensor) -> Tensor:
        """The paper's form without mirroring: n pixels -> n - 184, the inner ones, for n = 16 k + 60 >= 188.

        Raises UsageError naming the nearest valid sizes for any other n, and for a U-Net with another encoder.
        """
        if self.encoder_name is not None or self.same:
            raise UsageError("only the paper's U-Net has valid convolutions: build it without encoder and without same")
        for pixels in images_N3HW.shape[2:]:
            if pixels < 188 or (pixels - 60) % 16:
                below = 60 + (pixels - 60) // 16 * 16
                near = f"{below} or {below + 16}" if pixels > 188 else "188"
                raise UsageError(f"a U-Net tile has 16 k + 60 >= 188 pixels a side, got {pixels}: take {near}")
        return self.net(images_N3HW)

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


class _Paper(nn.Module):
    def __init__(self, classes: int, padding: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(_twice(i, o, padding) for i, o in zip((3, *_WIDTHS), _WIDTHS, strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in _WIDTHS[-2::-1])
        self.after_up = nn.ModuleList(_twice(2 * w, w, padding) for w in _WIDTHS[-2::-1])
        self.classifier = nn.Conv2d(_WIDTHS[0], classes, 1)
        self.pool, self.dropout = nn.MaxPool2d(2), nn.Dropout(0.5)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                # N(0, sqrt(2 / N)), N = incoming connections of a neuron; a 2x2 up of stride 2 has one tap each.
                taps = 1 if isinstance(layer, nn.ConvTranspose2d) else layer.kernel_size[0] * layer.kernel_size[1]
                nn.init.normal_(layer.weight, std=(2 / (taps * layer.in_channels)) ** 0.5)
                nn.init.zeros_(layer.bias)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        x = (images_N3HW - 127.5) / 127.5
        skips = []
        for depth, double in enumerate(self.down):
            x = double(x if depth == 0 else self.pool(x))
            x = self.dropout(x) if depth >= 3 else x
            skips.append(x)
        for up, double, skip in zip(self.up, self.after_up, skips[-2::-1], strict=True):
            x = up(x).relu()
            top, left = (skip.shape[2] - x.shape[2]) // 2, (skip.shape[3] - x.shape[3]) // 2
            x = double(torch.cat([x, skip[:, :, top : top + x.shape[2], left : left + x.shape[3]]], dim=1))
        return self.classifier(x)


class _OnPyramid(nn.Module):
    """widths: half of the paper's 64 per doubling of stride, a quarter for encoders below ten million parameters."""

    def __init__(self, classes: int, encoder: str, weights: str | Path | None) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder, weights)
        small = sum(p.numel() for p in self.encoder.parameters()) < 10_000_000
        ins, stages = self.encoder.channels[-1], []
        for channels, grid in list(zip(self.encoder.channels, self.encoder.grids, strict=True))[-2::-1]:
            width = max(16, min(256, int(8 * grid.stride_y * (1 if small else 2))))
            stages.append(nn.Sequential(conv_bn_relu(ins + channels, width, 3), conv_bn_relu(width, width, 3)))
            ins = width
        self.stages = nn.ModuleList(stages)
        self.classifier = nn.Conv2d(ins, classes, 1)
        initialise(self.stages, self.classifier)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        maps, grids = self.encoder(images_N3HW), self.encoder.grids
        x = maps[-1]
        for stage, level in zip(self.stages, range(len(maps) - 2, -1, -1), strict=True):
            x = stage(torch.cat([enlarge(x, grids[level + 1], maps[level], grids[level]), maps[level]], dim=1))
        return self.classifier(x)


def mirrored(images_NDHW: Tensor, axis: int, margin: int, multiple: int, rest: int = 0) -> Tensor:
    """One axis with `margin` mirrored pixels on each side, and more at the end; sizes may be symbolic.

    So many more that without the margins there are multiple * k + rest pixels. The outermost pixel is not repeated. The
    mirror repeats for images smaller than the margin: n pixels have period 2 n - 2, and one pixel only itself.
    """
    pixels = images_NDHW.shape[axis]
    more = -(pixels - rest) % multiple
    # As a tensor and not as a number, which the exporters would not keep symbolic in a remainder.
    period = (2 * torch.arange(pixels, device=images_NDHW.device)[-1]).clamp(min=1)
    index = (torch.arange(pixels + 2 * margin + more, device=images_NDHW.device) - margin).remainder(period)
    return images_NDHW.index_select(axis, torch.minimum(index, period - index))


def _twice(ins: int, outs: int, padding: int) -> nn.Sequential:
    first, second = nn.Conv2d(ins, outs, 3, padding=padding), nn.Conv2d(outs, outs, 3, padding=padding)
    return nn.Sequential(first, nn.ReLU(True), second, nn.ReLU(True))
