"""Networks without numbers, for counting: parameters and receptive fields of the published forms."""

from __future__ import annotations

from functools import cache

import torch
from torch import nn

from labels2masks import networks


@cache
def on_meta(name: str, classes: int = 21, encoder: str | None = None, **settings: object) -> nn.Module:
    """The network in evaluation mode, without memory for its weights; built once, so not to be changed."""
    with torch.device("meta"):
        return networks.build(name, classes, encoder, settings=settings).eval()


def field_after(layers: list[nn.Module], field: int = 1, stride: int = 1) -> tuple[int, int]:
    """(receptive field, stride) after a chain of convolutions and pools, in pixels of its input."""
    for layer in layers:
        kernel, step, dilation = (
            v if isinstance(v, int) else v[0] for v in (layer.kernel_size, layer.stride, getattr(layer, "dilation", 1))
        )
        field, stride = field + (kernel - 1) * dilation * stride, stride * step
    return field, stride


def chain_of(features: nn.Module) -> list[nn.Module]:
    """The convolutions and pools of VGG16, or of a ResNet's main path, in order."""
    if isinstance(features, nn.Sequential):
        return [layer for layer in features if hasattr(layer, "kernel_size")]
    units = [unit for k in range(1, 5) for unit in getattr(features, f"layer{k}")]
    stem = [layer for layer in features.conv1.modules() if isinstance(layer, nn.Conv2d)]
    return [*stem, features.maxpool, *(conv for unit in units for conv in (unit.conv1, unit.conv2, unit.conv3))]
