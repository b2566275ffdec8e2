"""VGG16 with its last two strides exchanged for dilation, as DeepLab v1 and v2 and ParseNet use it.

    3x3 convolutions 64 64 | 128 128 | 256 256 256 | 512 512 512 | 512 512 512 at dilation 2
    pools of stride 2 2 2 1 1, all of stride 1 are 3x3              -> stride 8
    for each rate r: fc6 3x3 1024 dilation r -> fc7 1x1 1024, each with ReLU and dropout 0.5

DeepLab's first three pools are 3x3 too, which puts every cell on a pixel's centre, and an average of 3x3 follows the
last; ParseNet keeps VGG's 2x2 and has no average. fc6 and fc7 are cut out of VGG's (arXiv 1412.7062): of the 7x7
taps every third, so that at dilation 12 they stand where they stood, and of the 4096 filters every fourth, where
the paper draws 1024 by lot.

Legend: N = images, H, W = pixels, D = channels, h, w = cells.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import DataError
from ..grid import Grid
from .pyramid import cut, pad_to_whole
from .vgg import _PLAN, _TORCHVISION_MEAN, _TORCHVISION_STD, fill, read_vgg16

_CLASSIFIER = 1024


class AtrousVGG16(nn.Module):
    """forward(images_N3HW float32, 0..255, RGB) -> [image, pool1, ..., pool4, fc7 of each rate], on constant `grids`.

    rates: dilation of each fc6. pool: 3 as in DeepLab, 2 as in ParseNet. caffe: BGR minus the Caffe mean.
    weights: None or a safetensors file with torchvision's names of VGG16.
    """

    finite_field = True
    stride = 8

    def __init__(
        self,
        weights: str | Path | None = None,
        rates: tuple[int, ...] = (12,),
        pool: int = 3,
        caffe: bool = False,
    ) -> None:
        super().__init__()
        self.name, self.caffe = "vgg16", caffe
        mean, std = ([104.008, 116.669, 122.675], [1.0] * 3) if caffe else (_TORCHVISION_MEAN, _TORCHVISION_STD)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        layers: list[nn.Module] = []
        grid, grids, ins = Grid(), [Grid()], 3
        for block, widths in enumerate(_PLAN):
            for width in widths:
                dilation = 2 if block == 4 else 1
                layers += [nn.Conv2d(ins, width, 3, padding=dilation, dilation=dilation), nn.ReLU(inplace=True)]
                ins = width
            kernel, stride = (pool, 2) if block < 3 else (3, 1)
            layers.append(nn.MaxPool2d(kernel, stride, (kernel - 1) // 2))
            grid = grid.after(kernel, stride, (kernel - 1) // 2)
            grids.append(grid)
        if pool == 3:
            layers.append(nn.AvgPool2d(3, 1, 1))
        self.features = nn.Sequential(*layers)
        self.fc6 = nn.ModuleList(nn.Conv2d(ins, _CLASSIFIER, 3, padding=r, dilation=r) for r in rates)
        self.fc7 = nn.ModuleList(nn.Conv2d(_CLASSIFIER, _CLASSIFIER, 1) for _ in rates)
        self.dropout = nn.Dropout(0.5)
        self.grids = (*grids[:5], *(grid for _ in rates))
        self.channels = (3, *(widths[-1] for widths in _PLAN[:4]), *(_CLASSIFIER for _ in rates))
        fill(self, weights, self._cut_out)

    def forward(self, images_N3HW: Tensor) -> list[Tensor]:
        height, width = images_N3HW.shape[2:]
        image = ((images_N3HW.flip(1) if self.caffe else images_N3HW) - self.mean) / self.std
        x = pad_to_whole(image, self.stride)
        maps = [image]
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d) and len(maps) < 5:
                maps.append(x)
        for fc6, fc7 in zip(self.fc6, self.fc7, strict=True):
            maps.append(self.dropout(fc7(self.dropout(fc6(x).relu())).relu()))
        return cut(maps, self.grids, height, width)

    def _cut_out(self, weights: str | Path) -> dict[str, Tensor]:
        """VGG's values, fc6 and fc7 reduced to what stands here, the same for every rate."""
        found = read_vgg16(weights)
        try:
            fc6 = found.pop("fc6.weight").reshape(4096, 512, 7, 7)[::4, :, ::3, ::3]
            fc7 = found.pop("fc7.weight").reshape(4096, 4096, 1, 1)[::4, ::4]
            biases = found.pop("fc6.bias")[::4], found.pop("fc7.bias")[::4]
        except (KeyError, RuntimeError) as error:
            raise DataError(f"{weights}: not a torchvision vgg16, its classifier does not fit: {error}") from None
        for branch in range(len(self.fc6)):
            found |= {f"fc6.{branch}.weight": fc6, f"fc7.{branch}.weight": fc7}
            found |= {f"fc6.{branch}.bias": biases[0], f"fc7.{branch}.bias": biases[1]}
        return found
