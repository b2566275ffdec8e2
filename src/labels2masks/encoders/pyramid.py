"""Any timm network with `features_only` as a pyramid of feature maps, each with its constant Grid.

    images_N3HW (RGB 0..255) -> (x - mean) / std -> pad right and bottom to whole strides -> maps -> cut

An output stride below 32 follows timm's rule, "keep first" (supervised fact sheet, section 1.3): the stride of
a stage becomes 1, its first unit keeps the previous dilation, later ones double it. That is weight-exact.

Legend: N = images, H, W = pixels, D = channels, h, w = cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UsageError, did_you_mean
from ..grid import Grid
from .follow import follow
from .same_padding import with_constant_padding
from .weights import load_weights


class Pyramid(nn.Module):
    """forward(images_N3HW float32, 0..255, RGB) -> [features_NDhw, ...], fine to coarse, any size from 1x1.

    channels, grids: of each map. stride: the largest, the multiple to which images are padded.
    finite_field: no cell sees the whole image (no squeeze-and-excitation, no attention).
    """

    def __init__(self, name: str, weights: str | Path | None = None, output_stride: int = 32) -> None:
        """weights: None (random), "auto", "hub", or a safetensors file with timm's key names."""
        super().__init__()
        if output_stride not in (8, 16, 32):
            raise UsageError(f"output stride must be 8, 16 or 32, got {output_stride}")
        self.name = name
        self.features = _features(name, output_stride, pretrained=weights == "hub")
        if weights is not None and weights != "hub":
            load_weights(self.features, name, weights)
        mean, std = normalisation(name, self.features.pretrained_cfg)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self.channels: tuple[int, ...] = tuple(self.features.feature_info.channels())
        self.stride = max(self.features.feature_info.reduction())
        try:
            followed = follow(self.features, 7 * self.stride, 8 * self.stride)
        except Exception as error:
            raise UsageError(f"encoder {name} does not take images of any size: {str(error).splitlines()[0]}") from None
        self.finite_field = followed.finite_field
        self.grids: tuple[Grid, ...] = tuple(g for _, g in followed.outputs)
        for (maps, grid), channels in zip(followed.outputs, self.channels, strict=True):
            cells = (7 * self.stride / grid.stride_y, 8 * self.stride / grid.stride_x)
            if tuple(maps.shape[1:]) != (channels, *cells):
                raise UsageError(f"encoder {name} is no pyramid of maps: {tuple(maps.shape)} with {channels} channels")

    def forward(self, images_N3HW: Tensor) -> list[Tensor]:
        height, width = images_N3HW.shape[2:]
        x = pad_to_whole((images_N3HW - self.mean) / self.std, self.stride)
        return cut(self.features(x), self.grids, height, width)


def pad_to_whole(images_NDHW: Tensor, stride: int) -> Tensor:
    """Repeat the last row and column until both sizes are multiples of `stride`; sizes may be symbolic."""
    height, width = images_NDHW.shape[2:]
    # Not -height % stride: as stride * ceil(height / stride) the padded size stays simple when it is symbolic.
    bottom, right = stride * whole(height, stride) - height, stride * whole(width, stride) - width
    if type(bottom) is int and type(right) is int and not bottom and not right:
        return images_NDHW
    return F.pad(images_NDHW, (0, right, 0, bottom), mode="replicate")


def cut(maps: Sequence[Tensor], grids: Sequence[Grid], height: int, width: int) -> list[Tensor]:
    """Of every map the cells that an image of height x width pixels needs, without those of its padding."""
    return [m[:, :, : whole(height, g.stride_y), : whole(width, g.stride_x)] for m, g in zip(maps, grids, strict=True)]


def whole(pixels: int, stride: float) -> int:
    """Cells that `pixels` need: ceil(pixels / stride), also for symbolic sizes."""
    return (pixels + int(stride) - 1) // int(stride)


def normalisation(name: str, cfg: dict) -> tuple[list[float], list[float]]:
    """(mean, std) on the scale 0..255, as the weights expect.

    EfficientNet-Lite was trained with (x - 127) / 128; ImageNet's mean and std cost it 9 points of top-1.
    """
    if name.startswith("tf_efficientnet_lite"):
        return [127.0] * 3, [128.0] * 3
    return [255 * m for m in cfg["mean"]], [255 * s for s in cfg["std"]]


def _features(name: str, output_stride: int, pretrained: bool) -> nn.Module:
    if not timm.is_model(name):
        raise UsageError(f"unknown encoder {name!r}{did_you_mean(name, timm.list_models())}")
    if pretrained and not timm.is_model_pretrained(name):
        raise UsageError(f"timm has no weights for {name}: --weights none, or a safetensors file with its key names")
    options = {} if output_stride == 32 else {"output_stride": output_stride}
    try:
        features = timm.create_model(name, features_only=True, pretrained=pretrained, **options)
    except (TypeError, AssertionError) as error:  # timm's two ways to refuse; an assert may say nothing
        reason = (str(error).splitlines() or ["timm does not dilate it"])[0]
        raise UsageError(f"encoder {name} gives no pyramid at output stride {output_stride}: {reason}") from None
    return with_constant_padding(features)
