r"""SegNet: Badrinarayanan, Kendall, Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
Segmentation", PAMI 2017, arXiv 1511.00561; its first version, trained layer by layer: 1505.07293.

    64 64 | 128 128 | 256 256 256 | 512 512 512 | 512 512 512 |       VGG16; | is a 2x2 pool that keeps its indices
                                                              :
    C 64 : 64 128 : 128 256 256 : 256 512 512 : 512 512 512   :       read from right to left; : puts every value back
                                                                      where its maximum was, the rest is zero

All convolutions are 3x3 with batch normalisation and ReLU, but for the last. 29,449,355 parameters for C = 11.
Nothing of the decoder's shape is learnt or interpolated: two bits for each 2x2 window say where values go. Sizes
are those of before each pool, so every image size comes back, odd ones too.

SegNet-Basic, the small network of the paper's experiments, has four pairs: 7x7, 64 channels, no bias, no ReLU on the
way back, 1x1 to C, and local response normalisation of the image: 1,416,075 parameters for C = 11 (the paper says
1.425 million). `depth` says how many pairs there are, counted from the image: with 1, 2, 3, 4 and the outer ones frozen
it is trained as in the first version. The order is that version's; of its optimiser, L-BFGS, and its steps there is no
record, so the recipe takes SegNet-Basic's.

With an encoder, windows over its maps give the indices: each map's strongest cell in a window is where the value of the
next coarser map goes. The decoder mirrors the encoder's channels and ends at its finest map. A window lies around
the coarser map's cell: 2x2 where that lies between four finer ones, and 3x3 where it lies on one, as in all encoders
that stride by 3x3 (ResNet: 2x2 windows would move all values by half a cell, in sum by 15 pixels). 3x3 windows overlap,
and values that meet in one cell add up, as they do in the gradient of such a pool.

Where two cells of a window are equal up to rounding, the order of a sum decides which one keeps the value, so the
scores of two machines or runtimes jump apart around it (`jumps`): about one window in a million, with float32.

Both need batch-norm statistics recomputed after training: at a high rate the running ones lag behind
(caffe-segnet #91: 9.8 mIoU without).

Legend: N = images, C = classes, D = channels, H, W = pixels, h, w = cells.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..encoders import build_encoder
from ..encoders.vgg import read_vgg16
from ..errors import DataError, UsageError
from ..grid import Grid
from .blocks import BatchNorm, initialise

_DOWN: tuple[tuple[int, ...], ...] = (
    (3, 64, 64),
    (64, 128, 128),
    (128, 256, 256, 256),
    (256, 512, 512, 512),
    (512, 512, 512, 512),
)
_UP: tuple[tuple[int, ...], ...] = (
    (512, 512, 512, 512),
    (512, 512, 512, 256),
    (256, 256, 256, 128),
    (128, 128, 64),
    (64, 64),
)


class SegNet(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores_NChw, any size from 1x1: of every pixel, or at the finest map's stride.

    encoder: a timm name whose strides double, or None for VGG16. weights: of the encoder; for VGG16 a safetensors file
    with torchvision's names, of `vgg16` or `vgg16_bn`.
    """

    smallest = 1
    working_size: int | None = None
    jumps = True

    def __init__(self, classes: int, encoder: str | None = None, weights: str | Path | None = None) -> None:
        super().__init__()
        self.name, self.encoder_name, self.classes = "segnet", encoder, classes
        self.settings: dict = {}
        if encoder is None:
            self.encoder: nn.Module = _VGG16(weights)
            self.grid, self.finite_field = Grid(), True
            self.reduce, widths = nn.Identity(), _UP
        else:
            pyramid = build_encoder(encoder, weights)
            strides = [g.stride_y for g in pyramid.grids]
            if any(b != 2 * a for a, b in zip(strides, strides[1:], strict=False)):
                raise UsageError(f"SegNet pools by two, the maps of encoder {encoder} have strides {strides}")
            self.windows = [_window(a, b) for a, b in zip(pyramid.grids, pyramid.grids[1:], strict=False)]
            self.encoder, self.grid, self.finite_field = pyramid, pyramid.grids[0], pyramid.finite_field
            channels = pyramid.channels
            self.reduce = _stage((channels[-1], channels[-2]))
            coarser, finer = channels[-2::-1], (*channels[-3::-1], channels[0])
            widths = tuple((a, a, b) for a, b in zip(coarser, finer, strict=True))
        self.decoder = nn.ModuleList(_stage(w) for w in widths)
        self.classifier = nn.Conv2d(widths[-1][-1], classes, 3, padding=1)
        for part in (self.reduce, self.decoder):
            initialise(part, self.classifier)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        if self.encoder_name is None:
            x, seen = self.encoder(images_N3HW)
            for stage, (where, shape) in zip(self.decoder, reversed(seen), strict=True):
                x = stage(unpooled(x, where, *shape[2:]))
            return self.classifier(x)
        *finer, deepest = self.encoder(images_N3HW)
        x = self.reduce(deepest)
        for stage, fine, window in zip(self.decoder, reversed(finer), reversed(self.windows), strict=True):
            x = stage(put_back(x, fine, *window))
        return self.classifier(x)

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


class SegNetBasic(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores_NCHW of every pixel, any size from 1x1.

    depth: 1 to 4 encoder-decoder pairs; pair 0 is the outermost, `encoders.0` and `decoders.0`.
    weights: there are none for it; None and "auto" alike.
    """

    smallest = 1
    working_size: int | None = None
    finite_field = True
    jumps = True
    grid = Grid()

    def __init__(self, classes: int, weights: str | Path | None = None, depth: int = 4) -> None:
        super().__init__()
        if weights not in (None, "auto"):
            raise UsageError(f"SegNet-Basic starts from random weights: --weights none or a run, got {weights}")
        self.name, self.encoder_name, self.classes = "segnet_basic", None, classes
        self.settings = {"depth": depth}
        self.encoders = nn.ModuleList(_conv_bn_7x7(3 if k == 0 else 64) for k in range(depth))
        self.decoders = nn.ModuleList(_conv_bn_7x7(64) for _ in range(depth))
        self.classifier = nn.Conv2d(64, classes, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)  # the release's "MSRA" filler
            elif isinstance(layer, BatchNorm):
                nn.init.constant_(layer.bias, 0.001)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        x, seen = response_normalised(images_N3HW), []
        for encode in self.encoders:
            fine = encode(x).relu()
            x, where = pooled(fine)
            seen.append((where, fine.shape))
        for decode, (where, shape) in zip(reversed(self.decoders), reversed(seen), strict=True):
            x = decode(unpooled(x, where, *shape[2:]))
        return self.classifier(x)

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


def pooled(maps_NDhw: Tensor) -> tuple[Tensor, Tensor]:
    """(maxima of 2x2 windows, their places in the map's own rows); an odd last row or column is a window too."""
    return F.max_pool2d(maps_NDhw, 2, 2, ceil_mode=True, return_indices=True)


def unpooled(maps_NDhw: Tensor, where_NDhw: Tensor, height: int, width: int) -> Tensor:
    """Every value at its place in a map of height x width that is zero elsewhere; values at one place add up.

    A scatter and not `max_unpool2d`: it exports to ONNX by every exporter, with symbolic and odd sizes.
    """
    count, channels = maps_NDhw.shape[:2]
    flat_NDp = maps_NDhw.new_zeros(count, channels, height * width)
    return flat_NDp.scatter_add(2, where_NDhw.flatten(2), maps_NDhw.flatten(2)).view(count, channels, height, width)


def put_back(maps_NDhw: Tensor, fine_NDhw: Tensor, kernel: int, before: int) -> Tensor:
    """Every value where the finer map, of twice the cells, is strongest in the value's window; zero elsewhere.

    Windows of kernel x kernel lie two cells apart; the first begins `before` cells outside the finer map. Where no cell
    of a 3x3 window is active (zero behind a ReLU), the value goes to its middle.
    """
    height, width = fine_NDhw.shape[2:]
    behind = kernel - 1 - before
    if kernel == 3:  # a pool takes the first of equal cells, the upper left one
        middle_h, middle_w = ((torch.arange(n, device=fine_NDhw.device) + before) % 2 for n in (height, width))
        fine_NDhw = fine_NDhw + torch.finfo(fine_NDhw.dtype).tiny * (middle_h[:, None] * middle_w)
    framed_NDhw = F.pad(fine_NDhw, (before, behind, before, behind), value=float("-inf"))
    _, where_NDhw = F.max_pool2d(framed_NDhw, kernel, 2, return_indices=True)
    back_NDhw = unpooled(maps_NDhw, where_NDhw, *framed_NDhw.shape[2:])
    return back_NDhw[:, :, before : before + height, before : before + width]


def response_normalised(images_N3HW: Tensor) -> Tensor:
    """Caffe's local response normalisation (size 5, alpha 1e-4, beta 0.75): a window of 5 holds all three colours."""
    return images_N3HW / (1 + 1e-4 / 5 * images_N3HW.square().sum(dim=1, keepdim=True)) ** 0.75


def _window(fine: Grid, coarse: Grid) -> tuple[int, int]:
    """(kernel, before) of the smallest windows of stride 2 over `fine` whose centres are the cells of `coarse`."""
    for kernel in (2, 3):
        for before in range(kernel):
            if fine.after(kernel, 2, before) == coarse:
                return kernel, before
    raise UsageError(f"no 2x2 or 3x3 windows over cells at {fine} lie around the cells at {coarse}")


class _VGG16(nn.Module):
    """VGG16's convolutions with batch normalisation -> (pool5, [(places of maxima, shape before the pool), ...])."""

    def __init__(self, weights: str | Path | None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1), persistent=False)
        self.stages = nn.ModuleList(_stage(w) for w in _DOWN)
        if weights is None:
            initialise(self.stages, nn.Conv2d(1, 1, 1))
        else:
            self._load(weights)

    def forward(self, images_N3HW: Tensor) -> tuple[Tensor, list[tuple[Tensor, torch.Size]]]:
        x, seen = (images_N3HW - self.mean) / self.std, []
        for stage in self.stages:
            fine = stage(x)
            x, where = pooled(fine)
            seen.append((where, fine.shape))
        return x, seen

    def _load(self, weights: str | Path) -> None:
        """The layers of the file in their order: convolutions alone, or each with its batch normalisation."""
        layers: dict[int, dict[str, Tensor]] = {}
        for key, value in read_vgg16(weights).items():
            if key.startswith("features."):
                _, number, what = key.split(".")
                layers.setdefault(int(number), {})[what] = value
        ours = [m for m in self.modules() if isinstance(m, nn.Conv2d | BatchNorm)]
        ours = [m for m in ours if isinstance(m, nn.Conv2d)] if len(layers) == len(ours) // 2 else ours
        try:
            for (_, values), layer in zip(sorted(layers.items()), ours, strict=True):
                layer.load_state_dict(values)
        except (RuntimeError, ValueError) as error:
            detail = " ".join(str(error).split())[:200]
            raise DataError(f"{weights}: not torchvision's vgg16 or vgg16_bn ({detail})") from None


def _stage(widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for ins, outs in zip(widths, widths[1:], strict=False):
        layers += [nn.Conv2d(ins, outs, 3, padding=1), BatchNorm(outs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _conv_bn_7x7(ins: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(ins, 64, 7, padding=3, bias=False), BatchNorm(64))
