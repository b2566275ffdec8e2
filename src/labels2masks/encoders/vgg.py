"""VGG16 as the papers use it: Simonyan and Zisserman 2014, arXiv 1409.1556, its classifier turned into convolutions.

    3x3 convolutions 64 64 | 128 128 | 256 256 256 | 512 512 512 | 512 512 512, a 2x2 pool after each bar
    fc6 7x7 4096 -> fc7 1x1 4096, each with ReLU and dropout 0.5

Padding 100 at the first convolution and none at fc6 is FCN's form (supervised fact sheet, section 2.1):
every image, even of one pixel, leaves fc6 at least one cell. Parameters carry torchvision's names (`features.0.weight`
...); fc6 and fc7 take `classifier.0` and `classifier.3` of such a file, reshaped.

Legend: N = images, H, W = pixels, D = channels, h, w = cells.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import DataError, UsageError
from ..grid import Grid
from .pyramid import cut, pad_to_whole

_PLAN = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_CLASSIFIER = 4096


class VGG16(nn.Module):
    """forward(images_N3HW float32, 0..255, RGB) -> [pool1, ..., pool5, fc7], on constant `grids`.

    padding: 100 (FCN's form; no image is padded or cut) or 1 (same-padded, images padded to multiples of 32).
    caffe: BGR minus the Caffe mean, as weights converted from the papers' releases expect; else torchvision's
        RGB mean and deviation.
    weights: None or a safetensors file with torchvision's key names. The classifier's last layer is ignored.
    """

    finite_field = True
    stride = 32

    def __init__(self, weights: str | Path | None = None, padding: int = 100, caffe: bool = False) -> None:
        super().__init__()
        self.name, self.same, self.caffe = "vgg16", padding == 1, caffe
        mean, std = ([104.00699, 116.66877, 122.67892], [1.0] * 3) if caffe else (_TORCHVISION_MEAN, _TORCHVISION_STD)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        layers: list[nn.Module] = []
        grids, grid, ins = [], Grid(), 3
        for widths in _PLAN:
            for width in widths:
                pad = padding if ins == 3 else 1
                layers += [nn.Conv2d(ins, width, 3, padding=pad), nn.ReLU(inplace=True)]
                grid, ins = grid.after(3, padding=pad), width
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
            grid = grid.after(2, 2)
            grids.append(grid)
        self.features = nn.Sequential(*layers)
        around = 3 if self.same else 0
        self.fc6, self.fc7 = nn.Conv2d(ins, _CLASSIFIER, 7, padding=around), nn.Conv2d(_CLASSIFIER, _CLASSIFIER, 1)
        self.dropout = nn.Dropout(0.5)
        self.grids = (*grids, grid.after(7, padding=around))
        self.channels: tuple[int, ...] = (*(widths[-1] for widths in _PLAN), _CLASSIFIER)
        fill(self, weights, read_vgg16)

    def forward(self, images_N3HW: Tensor) -> list[Tensor]:
        height, width = images_N3HW.shape[2:]
        x = ((images_N3HW.flip(1) if self.caffe else images_N3HW) - self.mean) / self.std
        x = pad_to_whole(x, self.stride) if self.same else x
        maps = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                maps.append(x)
        x = self.dropout(self.fc6(x).relu())
        maps.append(self.dropout(self.fc7(x).relu()))
        return cut(maps, self.grids, height, width) if self.same else maps


def fill(encoder: nn.Module, weights: str | Path | None, read: Callable[[str | Path], dict[str, Tensor]]) -> None:
    """The values that `read` finds in the file `weights`, in place; without one those of He et al. 2015, biases 0.

    Classifiers become convolutions: shapes may differ where sizes agree. Raises DataError for any other difference.
    """
    if weights is None:
        for layer in encoder.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        return
    values, ours = read(weights), encoder.state_dict()
    odd = sorted(k for k in values | ours if k not in values or k not in ours or values[k].numel() != ours[k].numel())
    if odd:
        raise DataError(f"{weights}: not a torchvision vgg16, {len(odd)} tensors differ: {', '.join(odd[:8])}")
    encoder.load_state_dict({k: values[k].reshape(v.shape).float() for k, v in ours.items()})


def read_vgg16(weights: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file with torchvision's VGG16, its classifier renamed to fc6 and fc7.

    Raises UsageError where there is no such file. The classifier's last layer is left out.
    """
    if str(weights) in ("auto", "hub"):
        raise UsageError("no installed weights for VGG16: --weights none, or a safetensors file (torchvision names)")
    if not Path(weights).is_file():
        raise UsageError(f"no weights file {weights}: VGG16 takes a safetensors file with torchvision's key names")
    renamed = {"classifier.0": "fc6", "classifier.3": "fc7"}
    values = {}
    for key, value in load_file(weights).items():
        layer, _, what = key.rpartition(".")
        if layer != "classifier.6":
            values[f"{renamed.get(layer, layer)}.{what}"] = value
    return values


_TORCHVISION_MEAN = [123.675, 116.28, 103.53]
_TORCHVISION_STD = [58.395, 57.12, 57.375]
