r"""One network, the photo at several sizes: shared weights, fused scores.

    photo x 1    -- network -- scores ------------------- +
    photo x 3/4  -- network -- scores, enlarged --------- max, or a weighted sum -> scores at the network's stride
    photo x 1/2  -- network -- scores, enlarged --------- +

max        DeepLab v2, arXiv 1606.00915 (MSC): the largest score of each class.
attention  Chen, Yang, Wang, Xu, Yuille, "Attention to Scale", CVPR 2016, arXiv 1511.03339: a 3x3 convolution with 512
           channels on the features of all scales side by side, 1x1 to a number a scale, softmax over the scales; the
           scores are added with these weights. 512 or, for narrower features, as many as they have.

Both train the fused scores and those of every scale (1 + S losses). Sizes meet by coordinates (`Grid`), so any scale
and any size will do. Attention reads what the network's last layer, `classifier`, reads; a network that sums scores
of several layers has no such features.

Legend: N = images, C = classes, D = channels, S = scales, H, W = pixels, h, w = cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..grid import Grid
from ..kernels.upsample import upsample
from .blocks import enlarge, initialise

Heads = list[tuple[float, Tensor, Grid]]


class ImagePyramid(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores_NChw on the grid of `network`, which it wraps.

    scales: of the photo's sides, the first 1. Raises UsageError for others, and for attention to a network that does
    not end in one `classifier`.
    """

    def __init__(
        self,
        network: nn.Module,
        scales: Sequence[float] = (1, 0.75, 0.5),
        fusion: Literal["max", "attention"] = "max",
    ) -> None:
        super().__init__()
        check_scales(scales)
        self.name, self.encoder_name = "image_pyramid", network.encoder_name
        self.classes, self.grid, self.working_size = network.classes, network.grid, network.working_size
        self.finite_field = network.finite_field
        self.smallest = int((network.smallest - 1) / min(scales)) + 1
        self.settings = {
            "network": network.name,
            "options": network.settings,
            "scales": list(scales),
            "fusion": fusion,
        }
        self.scales, self.network = tuple(scales), network
        if fusion == "attention":
            classifier = getattr(network, "classifier", None)
            if not isinstance(classifier, nn.Conv2d) or not _ends_in(network, classifier):
                raise UsageError(
                    f"attention reads what one last `classifier` reads, {network.name} has none: take fusion 'max'"
                )
            network.classifier, self.classifier = nn.Identity(), classifier
            width = min(512, classifier.in_channels)
            self.attention = nn.Sequential(
                nn.Conv2d(len(scales) * classifier.in_channels, width, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(width, len(scales), 1),
            )
            initialise(self.attention, self.attention[-1])
        elif fusion != "max":
            raise UsageError(f"scales are fused by max or attention, got {fusion!r}")

    def forward(self, images_N3HW: Tensor) -> Tensor:
        views = at_scales(lambda x: [(1.0, self.network(x), self.grid)], images_N3HW, self.scales)
        return self._fused(views)[0]

    def training_scores(self, images_N3HW: Tensor) -> Heads:
        views = at_scales(self.network.training_scores, images_N3HW, self.scales)
        fused, each = self._fused(views)
        return [(1.0, fused, views[0][0][2]), *each, *(head for heads in views for head in heads[1:])]

    def _fused(self, views: list[Heads]) -> tuple[Tensor, Heads]:
        """The fused scores, and the first scores of every scale."""
        firsts = [heads[0] for heads in views]
        if not hasattr(self, "attention"):
            return largest(firsts), firsts
        features = torch.cat(on_first(firsts), dim=1)
        weights_NShw = self.attention(features).softmax(dim=1)
        firsts = [(weight, self.classifier(maps_NDhw), grid) for weight, maps_NDhw, grid in firsts]
        weighted = [w * x for w, x in zip(weights_NShw.split(1, dim=1), on_first(firsts), strict=True)]
        return torch.stack(weighted).sum(dim=0), firsts


def pyramid_of(
    classes: int,
    encoder: str | None = None,
    weights: str | Path | None = None,
    network: str = "deeplab_v1_largefov",
    options: dict | None = None,
    scales: Sequence[float] = (1, 0.75, 0.5),
    fusion: Literal["max", "attention"] = "max",
) -> ImagePyramid:
    """An ImagePyramid of the network of that name; options: its own settings."""
    from . import build

    return ImagePyramid(build(network, classes, encoder, weights, options), scales, fusion)


def _ends_in(network: nn.Module, layer: nn.Module) -> bool:
    """Is what the network returns what this layer gave? Asked of the smallest photo."""
    given: list[Tensor] = []
    handle = layer.register_forward_hook(lambda module, inputs, output: given.append(output))
    training, device = network.training, next(network.parameters()).device
    with torch.no_grad():
        scores = network.eval()(torch.zeros(1, 3, network.smallest, network.smallest, device=device))
    network.train(training)
    handle.remove()
    return len(given) == 1 and given[0] is scores


def check_scales(scales: Sequence[float]) -> None:
    if not scales or scales[0] != 1 or min(scales) <= 0:
        raise UsageError(f"scales begin with 1 and are above 0, got {list(scales)}")


def at_scales(heads_of: Callable[[Tensor], Heads], images_N3HW: Tensor, scales: Sequence[float]) -> list[Heads]:
    """heads_of(images) at every scale, the grids in pixels of the unscaled photo."""
    views = []
    for scale in scales:
        heads = heads_of(images_N3HW if scale == 1 else resized(images_N3HW, scale))
        views.append([(weight, scores, _grown(grid, 1 / scale)) for weight, scores, grid in heads])
    return views


def resized(images_N3HW: Tensor, scale: float) -> Tensor:
    """Bilinear; n pixels become ceil(scale * n), the first begins where the photo begins. Sizes may be symbolic."""
    ratio = Fraction(scale).limit_denominator(1000)
    height, width = ((n * ratio.numerator + ratio.denominator - 1) // ratio.denominator for n in images_N3HW.shape[2:])
    return upsample(images_N3HW, _grown(Grid(), scale), height, width)


def on_first(heads: Heads) -> list[Tensor]:
    """All scores at the cells of the first."""
    _, first, grid = heads[0]
    return [first, *(enlarge(scores, at, first, grid) for _, scores, at in heads[1:])]


def largest(heads: Heads) -> Tensor:
    """The largest score of each class, at the cells of the first."""
    total, *others = on_first(heads)
    for scores in others:
        total = torch.maximum(total, scores)
    return total


def _grown(grid: Grid, factor: float) -> Grid:
    return Grid(grid.stride_y * factor, grid.stride_x * factor, grid.centre_y * factor, grid.centre_x * factor)
