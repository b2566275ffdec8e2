r"""PSPNet: Zhao, Shi, Qi, Wang, Jia, "Pyramid Scene Parsing Network", CVPR 2017, arXiv 1612.01105.

    encoder, stride 8; ResNet with a stem of three 3x3 (64, 64, 128)      D channels
      |- means of 1x1, 2x2, 3x3, 6x6 parts of the image, each 1x1 D/4 -- enlarged --+
      |---------------------------------------------------------------------------- concat 2D
                                                          3x3 D/4, dropout 0.1, 1x1 C -- scores at stride 8
    the stage before: 3x3 D/8, dropout 0.1, 1x1 C         in training only, its loss weighs 0.4

The 3x3 over the concatenation is computed without it (`PyramidConv`): half of its work, the same scores.

With batch normalisation and ReLU after all but the scores. D = 2048: 46,716,373 parameters on ResNet-50, 65,708,501
on ResNet-101, and 2,365,205 in training for the second head.

Part i of b over n cells is cells floor(i n / b) .. ceil((i + 1) n / b) - 1, which tile where b divides n: all of
1, 2, 3, 6 for photos of 48 k - 7 pixels, 473 and 713 in the paper. Means are two matrices made of the map's size, left
and right of the map; torch's adaptive pooling keeps the traced size in ONNX without a word. Enlarged means stand with
the outermost parts on the outermost cells, as in the release.

ResNet's units are all dilated, with strides in the 3x3, as in the authors' own training code (`encoders.dilation`).

Legend: N = images, C = classes, D, E = channels in and out, h, w = cells, b = parts a side, B = all b one after the
other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..encoders import build_encoder
from ..encoders.dilation import dilate_all_units
from ..grid import Grid
from .blocks import BatchNorm, conv_bn_relu, initialise, published

PARTS = (1, 2, 3, 6)
AUXILIARY = 0.4


class PSPNet(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores_NChw at the encoder's output stride (`grid`), any size from 1x1."""

    smallest = 1
    working_size: int | None = None
    finite_field = False

    def __init__(
        self,
        classes: int,
        encoder: str = "resnet50",
        weights: str | Path | None = None,
        output_stride: int = 8,
    ) -> None:
        super().__init__()
        self.name, self.classes = "pspnet", classes
        self.encoder_name: str | None = encoder
        self.settings = {"output_stride": output_stride}
        self.encoder = build_encoder(encoder, weights, output_stride)
        self.grid: Grid = self.encoder.grids[-1]
        before, ins = self.encoder.channels[-2:]
        width = ins // 4
        self.parts = nn.ModuleList(conv_bn_relu(ins, width) for _ in PARTS)
        joined = PyramidConv(ins + len(PARTS) * width, width, 3, padding=1, bias=False)
        self.head = nn.Sequential(nn.Sequential(joined, BatchNorm(width), nn.ReLU(inplace=True)), nn.Dropout(0.1))
        self.classifier = nn.Conv2d(width, classes, 1)
        inner = max(1, before // 4)
        self.second = nn.Sequential(conv_bn_relu(before, inner, 3), nn.Dropout(0.1), nn.Conv2d(inner, classes, 1))
        for part in (self.parts, self.head):
            initialise(part, self.classifier)
        initialise(self.second, self.second[-1])

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return self._scores(self.encoder(images_N3HW)[-1])

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        maps = self.encoder(images_N3HW)
        second = (AUXILIARY, self.second(maps[-2]), self.encoder.grids[-2])
        return [(1.0, self._scores(maps[-1]), self.grid), second]

    def _scores(self, maps_NDhw: Tensor) -> Tensor:
        means = [reduce(m) for reduce, m in zip(self.parts, means_of_parts(maps_NDhw), strict=True)]
        (joined, norm, relu), dropout = self.head
        return self.classifier(dropout(relu(norm(joined(maps_NDhw, means)))))


class PyramidConv(nn.Conv2d):
    """3x3 convolution over [maps, enlarged means], zeros around, without enlarging the means.

    Enlarged, the means M of b x b parts are R M C', with matrices R and C that interpolate (`_between`). A tap of the
    kernel moves that by dy and dx cells and weighs its channels by W[dy, dx]. Moved by dy, R is R_dy, with zeros for
    what comes from beyond the border; and weighing may come first, on the few parts:
        sum over dy, dx of  W[dy, dx] (R_dy M C_dx')  =  sum over dy, dx of  R_dy (W[dy, dx] M) C_dx'
    With all R_dy of all b side by side that is one product, of 3 B = 36 multiplications a cell for 9 D before.
    """

    def forward(self, maps_NDhw: Tensor, means: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        height, width = maps_NDhw.shape[2:]
        of_maps, *of_means = self.weight.split([maps_NDhw.shape[1], *(m.shape[1] for m in means)], dim=1)
        rows, columns = [], []
        for weight_ED33, means_NDbb in zip(of_means, means, strict=True):
            count = means_NDbb.shape[2]
            taps_33ED = weight_ED33.permute(2, 3, 0, 1)
            weighed_NXbb = F.conv2d(means_NDbb, taps_33ED.flatten(0, 2)[..., None, None])
            weighed_NE3b3b = weighed_NXbb.unflatten(1, taps_33ED.shape[:3]).permute(0, 3, 1, 4, 2, 5)
            weighed_NEkk = weighed_NE3b3b.reshape(-1, self.out_channels, 3 * count, 3 * count)
            rows.append(_moved(_between(count, height, means_NDbb)))
            columns.append(weighed_NEkk @ _moved(_between(count, width, means_NDbb)).T)
        maps_NEhw = F.conv2d(maps_NDhw, of_maps, self.bias, padding=1)
        return maps_NEhw + torch.cat(rows, dim=1) @ torch.cat(columns, dim=2)


def means_of_parts(maps_NDhw: Tensor, counts: Sequence[int] = PARTS) -> list[Tensor]:
    """means_NDbb of b x b parts for every b: adaptive average pooling for any size, also a symbolic one."""
    rows_Bh = torch.cat([_averaging(b, maps_NDhw.shape[2], maps_NDhw) for b in counts])
    columns_Bw = torch.cat([_averaging(b, maps_NDhw.shape[3], maps_NDhw) for b in counts])
    # Every b against every other, of which the diagonal is wanted: the large map is read once, not once for each b.
    # With channels last there would be a copy for each channel.
    means_NDBB = rows_Bh @ maps_NDhw.contiguous() @ columns_Bw.T
    ends = list(accumulate(counts))
    return [means_NDBB[:, :, end - b : end, end - b : end] for b, end in zip(counts, ends, strict=True)]


def _averaging(count: int, cells: int, like: Tensor) -> Tensor:
    """matrix_bc with rows that sum to 1. A quotient of whole numbers below 2^24 rounds to no other whole number."""
    cell_c = torch.arange(cells, dtype=torch.float32, device=like.device)
    part_b1 = torch.arange(count, dtype=torch.float32, device=like.device)[:, None]
    total = cell_c[-1] + 1  # a tensor: as a number, exporters would keep the traced size
    first_b1, last_b1 = (part_b1 * total / count).floor(), ((part_b1 + 1) * total / count).ceil() - 1
    inside_bc = ((cell_c >= first_b1) & (cell_c <= last_b1)).to(torch.float32)
    return (inside_bc / (last_b1 - first_b1 + 1)).to(like.dtype)


def _between(count: int, cells: int, like: Tensor) -> Tensor:
    """matrix_cb with at most two weights a row, that sum to 1; part 0 stands on cell 0, the last on the last."""
    cell_c1 = torch.arange(cells, dtype=torch.float32, device=like.device)[:, None]
    part_b = torch.arange(count, dtype=torch.float32, device=like.device)
    position_c1 = cell_c1 * (count - 1) / cell_c1[-1].clamp(min=1)
    return (1 - (position_c1 - part_b).abs()).clamp(min=0).to(like.dtype)


def _moved(matrix_cb: Tensor) -> Tensor:
    """matrix_ck, k = 3 b: the rows of the cell before, the cell and the cell behind; zeros beyond the border."""
    padded = F.pad(matrix_cb, (0, 0, 1, 1))
    return torch.cat([padded[:-2], matrix_cb, padded[2:]], dim=1)


def pspnet50(classes: int, weights: str | Path | None = None) -> PSPNet:
    """46,716,373 parameters for 21 classes, 49,081,578 in training; 77.05 mIoU on VOC 2012 val (authors' semseg)."""
    return _published("pspnet50", "resnet50s", classes, weights)


def pspnet101(classes: int, weights: str | Path | None = None) -> PSPNet:
    """65,708,501 parameters for 21 classes, 68,073,706 in training; 79.07 mIoU on VOC 2012 val (authors' semseg)."""
    return _published("pspnet101", "resnet101s", classes, weights)


def _published(name: str, encoder: str, classes: int, weights: str | Path | None) -> PSPNet:
    network = PSPNet(classes, encoder, weights)
    dilate_all_units(network.encoder.features)
    return published(name, network)
