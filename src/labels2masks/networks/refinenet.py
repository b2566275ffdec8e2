r"""RefineNet: Lin, Milan, Shen, Reid, "RefineNet: Multi-Path Refinement Networks for High-Resolution Semantic
Segmentation", CVPR 2017, arXiv 1611.06612. Four cascaded blocks, one for each stride of the encoder.

    stride 32 -- 3x3 2w -- RCU RCU ------------- pool -- RCU RCU RCU
    stride 16 -- 3x3  w -- RCU RCU -- fuse with above -- pool -- RCU RCU RCU
    stride  8 -- 3x3  w -- RCU RCU -- fuse with above -- pool -- RCU RCU RCU
    stride  4 -- 3x3  w -- RCU RCU -- fuse with above -- pool -- RCU RCU RCU -- dropout 0.5 -- 3x3 C

    RCU    residual convolution unit: x + 3x3(ReLU(3x3(ReLU(x))))
    fuse   multi-resolution fusion: 3x3 w of each, the coarser enlarged, sum
    pool   chained residual pooling: x = y = ReLU(x), then four times y = 3x3(5x5 max pool of y), x = x + y

Scores are at stride 4. w = 256. No batch normalisation outside the encoder, whose own stays frozen in training;
dropout 0.5 on the two coarsest maps. The figure of the paper has two pools in a chain and one RCU at the end, the
authors' release four and three. This is the release: 99,060,309 parameters on ResNet-50, 118,052,437 on ResNet-101.

The family takes any encoder, with w = 64 for encoders below ten million parameters.

Legend: N = images, C = classes, D = channels, h, w = cells.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from ..encoders import build_encoder
from ..grid import Grid
from .blocks import enlarge, published


class RefineNet(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores_NChw at the encoder's stride 4 (`grid`), any size from 1x1."""

    smallest = 1
    working_size: int | None = None

    def __init__(
        self,
        classes: int,
        encoder: str = "resnet50",
        weights: str | Path | None = None,
        width: int | None = None,
    ) -> None:
        """width: channels of all blocks but the coarsest, which has twice as many; None = 256, or 64."""
        super().__init__()
        self.name, self.classes = "refinenet", classes
        self.encoder_name: str | None = encoder
        self.settings = {"width": width}
        self.encoder = build_encoder(encoder, weights)
        self.finite_field = self.encoder.finite_field
        small = sum(p.numel() for p in self.encoder.parameters()) < 10_000_000
        width = width or (64 if small else 256)
        self.levels = [i for i, g in enumerate(self.encoder.grids) if g.stride_y >= 4][::-1]  # coarse to fine
        self.grid: Grid = self.encoder.grids[self.levels[-1]]
        widths = [2 * width, *[width] * (len(self.levels) - 1)]
        channels = [self.encoder.channels[i] for i in self.levels]
        self.adapt = nn.ModuleList(_conv3x3(c, w) for c, w in zip(channels, widths, strict=True))
        self.refine = nn.ModuleList(nn.Sequential(ResidualUnit(w), ResidualUnit(w)) for w in widths)
        self.fuse = nn.ModuleList(Fusion(above, width) for above in widths[:-1])
        self.pool = nn.ModuleList(ChainedPooling(w) for w in widths)
        self.finish = nn.ModuleList(nn.Sequential(*(ResidualUnit(w) for _ in range(3))) for w in widths)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Conv2d(width, classes, 3, padding=1)
        for part in (self.adapt, self.refine, self.fuse, self.pool, self.finish, self.classifier):
            for layer in part.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.normal_(layer.weight, std=0.01)
                    if layer.bias is not None:
                        nn.init.zeros_(layer.bias)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        maps, grids = self.encoder(images_N3HW), self.encoder.grids
        x: Tensor | None = None
        for block, level in enumerate(self.levels):
            own = self.dropout(maps[level]) if block < 2 else maps[level]
            own = self.refine[block](self.adapt[block](own))
            x = own if x is None else self.fuse[block - 1](x, grids[self.levels[block - 1]], own, grids[level])
            x = self.finish[block](self.pool[block](x))
        return self.classifier(self.dropout(x))

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


class ResidualUnit(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(channels, channels, 3, padding=1), _conv3x3(channels, channels)

    def forward(self, maps_NDhw: Tensor) -> Tensor:
        # Nothing here may work in place: what is added is the map before its ReLU.
        return maps_NDhw + self.second(self.first(maps_NDhw.relu()).relu())


class Fusion(nn.Module):
    def __init__(self, above: int, width: int) -> None:
        super().__init__()
        self.above, self.own = _conv3x3(above, width), _conv3x3(width, width)

    def forward(self, above: Tensor, grid_above: Grid, own: Tensor, grid: Grid) -> Tensor:
        return self.own(own) + enlarge(self.above(above), grid_above, own, grid)


class ChainedPooling(nn.Module):
    def __init__(self, channels: int, links: int = 4) -> None:
        super().__init__()
        self.links = nn.ModuleList(_conv3x3(channels, channels) for _ in range(links))

    def forward(self, maps_NDhw: Tensor) -> Tensor:
        total = pooled = maps_NDhw.relu()
        for conv in self.links:
            pooled = conv(F.max_pool2d(pooled, 5, 1, 2))
            total = total + pooled
        return total


def _conv3x3(ins: int, outs: int) -> nn.Conv2d:
    return nn.Conv2d(ins, outs, 3, padding=1, bias=False)


def refinenet50(classes: int, weights: str | Path | None = None) -> RefineNet:
    """99,060,309 parameters for 21 classes."""
    return published("refinenet50", RefineNet(classes, "resnet50", weights))


def refinenet101(classes: int, weights: str | Path | None = None) -> RefineNet:
    """118,052,437 parameters for 21 classes."""
    return published("refinenet101", RefineNet(classes, "resnet101", weights))
